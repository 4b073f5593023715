# SPDX-License-Identifier: MIT
#
# check.sh build|install|dist|cross ROOT: weir as packages of Debian 12, made from a copy of the tree and debian/ beside this
# file; and as a tarball.
#
#   build    the packages are built, lintian has nothing to say, and each has what its users look for
#   install  a system that debootstrap makes, without weir, a compiler's cache or a build tree: installed with apt, looked up
#            with man, compiled against, upgraded, removed and purged, with nothing left; a program of a cluster, too, by Open
#            MPI's launcher. Needs root, and takes minutes.
#   cross    the packages for arm64, built here: their programs are of that machine, they depend on what this machine's packages
#            depend on, and can be installed beside these. A program that is compiled with them runs. By tests/cross/run, which
#            lets this system run programs of arm64 and makes the folder WEIR_CROSS: deb/ has Debian's packages that weir needs
#            on arm64, and root/ has them unpacked.
#   dist     `meson dist` makes a tarball of what is committed, which a project gets by a wrap file, builds, and installs
#
# The packages are left in WEIR_PACKAGES, if that is set, and taken from there; those for arm64 in arm64/ there. Those of
# libweir-mpi are made where Open MPI is installed (libopenmpi-dev), and not for arm64.

# shellcheck disable=SC2016 # what stands in single quotes is for a shell in the other system
set -eu
what=$1 root=$2
. "$root/tests/support/checks.sh"

skip() {
    echo "skipped: $*"
    exit 77
}

version=$(sed -n "s/^  version: '\(.*\)',/\1/p" "$root/meson.build")
packages=${WEIR_PACKAGES:-$work/packages}

copy_tree() {
    rm -rf "$work/weir"
    mkdir "$work/weir"
    (cd "$root" && tar cf - meson.build meson_options.txt README.md NEWS.md LIMITS.md LICENSE CONTRIBUTING.md shm manager pool examples \
        tests/README.md tests/faults/README.md tests/bench/README.md) |
        tar xf - -C "$work/weir"
    cp -r "$root/tests/package/debian" "$work/weir/debian"
}

build_packages() {
    for tool in dpkg-buildpackage dh mandoc cmark-gfm; do
        command -v "$tool" >/dev/null 2>&1 || skip "$tool is not installed (dpkg-dev, debhelper, mandoc, cmark-gfm)"
    done
    profiles=
    if ! pkg-config --exists ompi-c; then
        echo 'without libopenmpi-dev: the packages of libweir-mpi are not tried'
        profiles=-Ppkg.weir.nompi
    fi
    mkdir -p "$packages"
    copy_tree
    # what it is built with may have come by another way than as a package
    # shellcheck disable=SC2086 # a word or none
    (cd "$work/weir" && quietly dpkg-buildpackage -b -us -uc -d $profiles)
    mv "$work"/*.deb "$work"/weir_*.changes "$work"/weir_*.buildinfo "$packages"
}

deb_of() {
    ls "$packages/$1"_*.deb
}

with_mpi() {
    [ -n "$(ls "$packages"/libweir-mpi0_*.deb 2>/dev/null)" ]
}

# depends_of PACKAGE: the names of the packages that it depends on
depends_of() {
    dpkg-deb -f "$(deb_of "$1")" Pre-Depends Depends | sed 's/^[A-Z][A-Za-z-]*: //' | tr ',' '\n' | sed 's/^ *\([^ ]*\).*/\1/' | sort
}

has_file() {
    dpkg-deb -c "$(deb_of "$1")" >"$work/list"
    grep -q " \./$2\( -> .*\)\?$" "$work/list" || fail "$1 has no $2"
}

# What libweir-mpi calls of libweir besides the public functions may change with each version. No other package needs an MPI.
test_build_mpi() {
    has_file libweir-mpi0 "usr/lib/$triplet/libweir-mpi.so.0"
    for file in include/weir-mpi.h "lib/$triplet/libweir-mpi.so" "lib/$triplet/pkgconfig/weir-mpi.pc"; do
        has_file libweir-mpi-dev "usr/$file"
    done
    dpkg-deb --ctrl-tarfile "$(deb_of libweir-mpi0)" | tar xOf - ./symbols | grep -q 'WEIR_MPI_0.1@WEIR_MPI_0.1' ||
        fail 'libweir-mpi0 has no symbols'
    dpkg-deb -f "$(deb_of libweir-mpi0)" Depends | grep -q "libweir0 (= $version)" ||
        fail "libweir-mpi0 goes with other versions of libweir0 than $version"
    depends_of libweir-mpi0 | grep -q '^libopenmpi' || fail 'libweir-mpi0 does not depend on Open MPI'
    for package in libweir0 libweir-dev weir python3-weir libweir-doc libweir-mpi-dev; do
        ! depends_of $package | grep -v '^libweir-mpi0$' | grep 'mpi' || fail "$package depends on an MPI"
    done
}

test_build() {
    build_packages
    grep -q "^weir ($version)" "$root/tests/package/debian/changelog" ||
        fail "debian/changelog does not begin with version $version"
    triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
    has_file libweir0 "usr/lib/$triplet/libweir.so.0"
    has_file libweir0 "usr/lib/$triplet/weir/weir-manager"
    has_file python3-weir usr/lib/python3/dist-packages/weir.py
    for file in include/weir.h include/weir.hpp "lib/$triplet/libweir.so" "lib/$triplet/libweir.a" "lib/$triplet/pkgconfig/weir.pc" \
        "lib/$triplet/cmake/weir/weirConfig.cmake"; do
        has_file libweir-dev "usr/$file"
    done
    has_file weir usr/bin/weir
    has_file weir usr/share/man/man1/weir.1.gz
    for file in man7/weir.7.gz man7/weir-pool.7.gz man7/weir-mpi.7.gz man3/weir_pool_for.3.gz man3/weir_shm_size.3.gz \
        man3/weir_cluster_reduce.3.gz; do
        has_file libweir-doc "usr/share/man/$file"
    done
    for file in index.html weir_pool_for.3.html examples-guides-first-program.html manual.css search.js search-index.js; do
        has_file libweir-doc "usr/share/doc/libweir-doc/html/$file"
    done
    has_file libweir-doc usr/share/doc-base/libweir-doc.libweir
    dpkg-deb --ctrl-tarfile "$(deb_of libweir0)" | tar xOf - ./symbols | grep -q 'WEIR_0.1@WEIR_0.1' ||
        fail 'libweir0 has no symbols'
    ! with_mpi || test_build_mpi
    command -v lintian >/dev/null 2>&1 || { echo 'without lintian: it is not asked'; return 0; }
    lintian --allow-root --fail-on error,warning "$packages"/*.changes >"$work/log" 2>&1 ||
        { cat "$work/log"; fail 'lintian is not content'; }
}

# The suite's mirror, as this machine's own apt has it.
mirror() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb  *\(\[[^]]*\] *\)\?\([^ ]*\) .*/\2/p' | grep '/debian/*$' | head -n 1
}

inside() {
    unshare --mount --pid --fork sh -c 'mount -t proc proc "$0/proc" && mount -t sysfs sysfs "$0/sys" &&
        mount -t tmpfs tmpfs "$0/dev/shm" && exec chroot "$0" "$@"' \
        "$work/system" "$@"
}

# The guide's program, alone and as two nodes. It is compiled without mpi.h, where Open MPI is there to run programs alone.
use_mpi() {
    cp "$root/examples/guides/cluster.c" "$work/system/root"
    quietly inside sh -c 'cd /root && cc cluster.c $(pkg-config --cflags --libs weir-mpi) -o cluster'
    ! inside find / -xdev -name mpi.h | grep . || fail 'Open MPI is there to compile programs, too'
    inside /root/cluster >"$work/alone" || fail 'a program of a cluster does not run alone'
    grep -q '^1 nodes' "$work/alone" || fail "a program of a cluster, alone: $(cat "$work/alone")"
    if [ "$(nproc)" -lt 2 ]; then
        echo 'one CPU: two nodes are not tried'
        return 0
    fi
    quietly inside mpirun --allow-run-as-root --oversubscribe --bind-to core -n 2 /root/cluster
    grep -q '^2 nodes' "$work/log" || fail "a program of a cluster, twice: $(cat "$work/log")"
    [ "$(tail -n 1 "$work/alone")" = "$(tail -n 1 "$work/log")" ] || fail 'one node and two have different results'
}

test_install() {
    [ "$(id -u)" = 0 ] || skip 'a system is made by root only'
    command -v debootstrap >/dev/null 2>&1 || skip 'debootstrap is not installed'
    from=$(mirror)
    [ -n "$from" ] || skip 'no mirror of Debian is known here'
    [ -n "$(ls "$packages"/libweir0_*.deb 2>/dev/null)" ] || build_packages
    # what weir needs, too: apt need not fetch anything any more
    included=gcc,libc6-dev,pkg-config,man-db,cmake,make,libuv1-dev,libjansson-dev,libsodium-dev,python3
    all='libweir0 libweir-dev libweir-doc python3-weir weir'
    if with_mpi; then
        included=$included,libopenmpi3,openmpi-bin
        all="$all libweir-mpi0 libweir-mpi-dev"
    fi
    debootstrap --variant=minbase --include=$included \
        bookworm "$work/system" "$from" >"$work/log" 2>&1 || {
        tail -n 5 "$work/log"
        skip 'debootstrap cannot make a system here'
    }
    cp "$packages"/*.deb "$work/system/root/"
    rm -f "$work"/system/root/*dbgsym*
    # minimal systems leave out manual pages
    rm -f "$work"/system/etc/dpkg/dpkg.cfg.d/*
    quietly inside sh -c 'apt-get -y --no-install-recommends install /root/*.deb'
    quietly inside sh -c 'man weir_pool_for | grep -q weir_pool_for && man 3 weir_shm_size | grep -q weir_shm_buf &&
        man 7 weir | grep -q WEIR_WORKERS'
    readme_program >"$work/system/root/squares.c"
    mkdir "$work/system/root/cmake"
    readme_cmake >"$work/system/root/cmake/CMakeLists.txt"
    quietly inside sh -c 'cd /root && cc squares.c -lweir -o plain && cc squares.c $(pkg-config --cflags --libs weir) -o squares &&
        cc -static squares.c $(pkg-config --static --cflags --libs weir) -o static &&
        cmake -S cmake -B cmake/build && cmake --build cmake/build'
    for program in plain squares static cmake/build/squares; do
        [ "$(inside "/root/$program")" = "$(readme_output)" ] || fail "$program, compiled there, does not run"
    done
    ! with_mpi || use_mpi

    quietly inside python3 -c 'import weir
with weir.scope() as scope:
    numbers = scope.list([1, 2.5, "three"])
    assert list(numbers) == [1, 2.5, "three"]'
    [ -z "$(inside ls /dev/shm)" ] || fail 'a program left something in /dev/shm'
    inside weir ls --all | grep -q '^/dev/shm' || fail 'weir ls says nothing'

    for package in $all; do
        dpkg-deb -R "$(deb_of "$package")" "$work/next"
        sed -i "s/^Version: .*/Version: $version+next/; s/(= $version)/(= $version+next)/g" "$work/next/DEBIAN/control"
        dpkg-deb -b "$work/next" "$work/system/root/${package}_next.deb" >/dev/null
        rm -rf "$work/next"
    done
    quietly inside sh -c 'apt-get -y install /root/*_next.deb && /root/plain'
    inside sh -c 'dpkg-query -W -f "\${Version}" libweir0' | grep -q '+next' || fail 'it was not upgraded'
    # removed, they leave nothing to be purged
    # shellcheck disable=SC2086 # a list of words
    quietly inside apt-get -y remove $all
    ! inside dpkg -l '*weir*' 2>"$work/log" | grep '^rc' || fail 'something is left to be purged'
    quietly inside apt-get -y --purge autoremove
    # what man keeps of pages that were shown is man's, and the folder of weir.py's sockets the user's
    left=$(inside sh -c 'find / -xdev -name "*weir*" -not -path "/root/*" -not -path "/proc/*" -not -path "/var/cache/man/*" \
        -not -path "/tmp/weir-0"')
    [ -z "$left" ] || fail "left after removing: $left"
    [ "$(inside ls /dev/shm)" = '' ] || fail 'something is left in /dev/shm'
}

# What pkg-config says of the packages in that folder for arm64.
make_pkg_config() {
    printf '#!/bin/sh\nPKG_CONFIG_LIBDIR="%s" PKG_CONFIG_SYSROOT_DIR="%s" exec pkg-config "$@"\n' \
        "$2/usr/lib/aarch64-linux-gnu/pkgconfig" "$2" >"$1"
    chmod +x "$1"
}

# Into the folder $packages. Debian's packages for arm64 are unpacked, but not installed: compiler and linker are told where
# their files are, and dpkg-shlibdeps finds of which package a library is, and from which version on, in a folder for each.
build_cross_packages() {
    libraries=$WEIR_CROSS/root/usr/lib/aarch64-linux-gnu folders=
    for package in "$WEIR_CROSS"/deb/*.deb; do
        folder=$work/needed/$(dpkg-deb -f "$package" Package)
        mkdir -p "$work/needed"
        dpkg-deb -R "$package" "$folder"
        folders="$folders -S$folder"
    done
    mkdir -p "$packages" "$work/bin"
    make_pkg_config "$work/bin/aarch64-linux-gnu-pkg-config" "$WEIR_CROSS/root"
    copy_tree
    printf '\noverride_dh_shlibdeps:\n\tdh_shlibdeps --%s\n' "$folders" >>"$work/weir/debian/rules"
    (
        cd "$work/weir"
        PATH=$work/bin:$PATH DEB_CFLAGS_APPEND="-isystem $WEIR_CROSS/root/usr/include" \
            DEB_LDFLAGS_APPEND="-L$libraries -Wl,-rpath-link=$libraries" \
            quietly dpkg-buildpackage -B -aarm64 -Pcross,nocheck,pkg.weir.nompi -us -uc -d
    ) || exit 1
    mv "$work"/*.deb "$packages"
}

# With the library of the package, beside which it finds the manager, and what else it needs in the system.
run_cross() {
    LD_LIBRARY_PATH="$work/cross/libweir0/usr/lib/aarch64-linux-gnu" QEMU_LD_PREFIX="$work/system" "$@"
}

test_cross() {
    [ -n "$(ls "$packages"/libweir0_*.deb 2>/dev/null)" ] || build_packages
    mkdir "$work/native" "$work/cross"
    for package in libweir0 libweir-dev weir; do
        dpkg-deb -x "$(deb_of $package)" "$work/native/$package"
        depends_of $package >"$work/native/$package.depends"
    done
    packages=$packages/arm64
    [ -n "$(ls "$packages"/libweir0_*.deb 2>/dev/null)" ] || build_cross_packages
    for package in libweir0 libweir-dev weir; do
        [ "$(dpkg-deb -f "$(deb_of $package)" Architecture)" = arm64 ] || fail "there is no $package for arm64"
        dpkg-deb -x "$(deb_of $package)" "$work/cross/$package"
        depends_of $package >"$work/cross/$package.depends"
        diff "$work/native/$package.depends" "$work/cross/$package.depends" || fail "$package for arm64 depends on other packages"
    done
    # what both have is the same in both, to the byte, or dpkg refuses the second
    for package in libweir0 libweir-dev; do
        [ "$(dpkg-deb -f "$(deb_of $package)" Multi-Arch)" = same ] || fail "$package cannot be installed for two machines"
        (cd "$work/cross/$package" && find . -type f -o -type l) >"$work/files"
        while read -r file; do
            [ ! -e "$work/native/$package/$file" ] || cmp "$work/cross/$package/$file" "$work/native/$package/$file" ||
                fail "$package for arm64 has another $file"
        done <"$work/files"
    done
    mkdir "$work/system"
    for package in libweir0 libweir-dev weir; do
        cp -a "$work/cross/$package/." "$work/system"
    done
    libraries=$work/system/usr/lib/aarch64-linux-gnu
    for file in "$libraries/libweir.so.0" "$libraries/libweir.so" "$libraries/libweir.a" "$libraries/weir/weir-manager" \
        "$work/system/usr/bin/weir"; do
        [ -f "$file" ] || fail "there is no $file"
        readelf -h "$file" >"$work/list"
        grep -q 'Machine:' "$work/list" || fail "$file is no program"
        ! grep 'Machine:' "$work/list" | grep -v AArch64 || fail "$file is not of arm64"
    done

    cp -a "$WEIR_CROSS/root/." "$work/system"
    readme_program >"$work/squares.c"
    make_pkg_config "$work/pkg-config" "$work/system"
    quietly sh -c 'aarch64-linux-gnu-gcc -isystem "$1/usr/include" "$1/../squares.c" $("$1/../pkg-config" --cflags --libs weir) \
        -Wl,-rpath-link="$1/usr/lib/aarch64-linux-gnu" -o "$1/squares"' sh "$work/system"
    [ "$(run_cross "$work/system/squares")" = "$(readme_output)" ] ||
        fail 'a program that was compiled with the packages for arm64 does not run'
    run_cross "$work/cross/weir/usr/bin/weir" --version >"$work/log" 2>&1 && grep -q "$version" "$work/log" ||
        { cat "$work/log"; fail 'the program weir of the package for arm64 does not run'; }
    [ -z "$(ls /dev/shm)" ] || fail 'it left something in /dev/shm'
}

test_dist() {
    git -C "$root" rev-parse HEAD >/dev/null 2>&1 || skip 'the tree is no git repository'
    quietly git clone -q "$root" "$work/clone"
    quietly meson setup -Dtests=false "$work/build" "$work/clone"
    quietly meson dist -C "$work/build" --formats gztar --no-tests
    tarball=$work/build/meson-dist/weir-$version.tar.gz
    [ -f "$tarball" ] || fail "there is no $tarball"
    mkdir -p "$work/project/subprojects"
    cat >"$work/project/subprojects/weir.wrap" <<END
[wrap-file]
directory = weir-$version
source_url = file://$tarball
source_filename = weir-$version.tar.gz
source_hash = $(sha256sum "$tarball" | cut -d ' ' -f 1)
[provide]
dependency_names = weir
END
    readme_program >"$work/project/squares.c"
    cat >"$work/project/meson.build" <<'END'
project('squares', 'c')
executable('squares', 'squares.c', dependencies: dependency('weir'))
END
    quietly meson setup --force-fallback-for=weir "$work/project/build" "$work/project"
    quietly ninja -C "$work/project/build"
    [ "$("$work/project/build/squares")" = "$(readme_output)" ] || fail 'a program with weir from a tarball does not run'
    DESTDIR="$work/staged" quietly meson install -C "$work/project/build"
    for file in weir.h weir.pc libweir.so.0 weir-manager; do
        [ -n "$(find "$work/staged" -name $file)" ] || fail "$file is not installed from a tarball"
    done
}

"test_$what"
