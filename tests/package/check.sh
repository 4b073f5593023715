# SPDX-License-Identifier: MIT
#
# check.sh build|install|dist ROOT: weir as packages of Debian 12, made from a copy of the tree and debian/ beside this file;
# and as a tarball.
#
#   build    the packages are built, lintian has nothing to say, and each has what its users look for
#   install  a system that debootstrap makes, without weir, a compiler's cache or a build tree: installed with apt, looked up
#            with man, compiled against, upgraded, removed and purged, with nothing left. Needs root, and takes minutes.
#   dist     `meson dist` makes a tarball of what is committed, which a project gets by a wrap file, builds, and installs
#
# The packages are left in WEIR_PACKAGES, if that is set, and taken from there.

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

build_packages() {
    for tool in dpkg-buildpackage dh mandoc cmark-gfm; do
        command -v "$tool" >/dev/null 2>&1 || skip "$tool is not installed (dpkg-dev, debhelper, mandoc, cmark-gfm)"
    done
    mkdir -p "$packages" "$work/weir"
    (cd "$root" && tar cf - meson.build meson_options.txt README.md NEWS.md LIMITS.md LICENSE CONTRIBUTING.md shm manager pool examples \
        tests/README.md tests/faults/README.md tests/bench/README.md) |
        tar xf - -C "$work/weir"
    cp -r "$root/tests/package/debian" "$work/weir/debian"
    # what it is built with may have come by another way than as a package
    (cd "$work/weir" && quietly dpkg-buildpackage -b -us -uc -d)
    mv "$work"/*.deb "$work"/weir_*.changes "$work"/weir_*.buildinfo "$packages"
}

deb_of() {
    ls "$packages/$1"_*.deb
}

has_file() {
    dpkg-deb -c "$(deb_of "$1")" >"$work/list"
    grep -q " \./$2\( -> .*\)\?$" "$work/list" || fail "$1 has no $2"
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
    for file in man7/weir.7.gz man7/weir-pool.7.gz man3/weir_pool_for.3.gz man3/weir_shm_size.3.gz; do
        has_file libweir-doc "usr/share/man/$file"
    done
    for file in index.html weir_pool_for.3.html examples-guides-first-program.html manual.css search.js search-index.js; do
        has_file libweir-doc "usr/share/doc/libweir-doc/html/$file"
    done
    has_file libweir-doc usr/share/doc-base/libweir-doc.libweir
    dpkg-deb --ctrl-tarfile "$(deb_of libweir0)" | tar xOf - ./symbols | grep -q 'WEIR_0.1@WEIR_0.1' ||
        fail 'libweir0 has no symbols'
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
    unshare --mount --pid --fork sh -c 'mount -t proc proc "$0/proc" && mount -t tmpfs tmpfs "$0/dev/shm" && exec chroot "$0" "$@"' \
        "$work/system" "$@"
}

test_install() {
    [ "$(id -u)" = 0 ] || skip 'a system is made by root only'
    command -v debootstrap >/dev/null 2>&1 || skip 'debootstrap is not installed'
    from=$(mirror)
    [ -n "$from" ] || skip 'no mirror of Debian is known here'
    [ -n "$(ls "$packages"/libweir0_*.deb 2>/dev/null)" ] || build_packages
    # what weir needs, too: apt need not fetch anything any more
    debootstrap --variant=minbase --include=gcc,libc6-dev,pkg-config,man-db,cmake,make,libuv1-dev,libjansson-dev,libsodium-dev,python3 \
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

    quietly inside python3 -c 'import weir
with weir.scope() as scope:
    numbers = scope.list([1, 2.5, "three"])
    assert list(numbers) == [1, 2.5, "three"]'
    [ -z "$(inside ls /dev/shm)" ] || fail 'a program left something in /dev/shm'
    inside weir ls --all | grep -q '^/dev/shm' || fail 'weir ls says nothing'

    for package in libweir0 libweir-dev libweir-doc python3-weir weir; do
        dpkg-deb -R "$(deb_of "$package")" "$work/next"
        sed -i "s/^Version: .*/Version: $version+next/; s/(= $version)/(= $version+next)/" "$work/next/DEBIAN/control"
        dpkg-deb -b "$work/next" "$work/system/root/${package}_next.deb" >/dev/null
        rm -rf "$work/next"
    done
    quietly inside sh -c 'apt-get -y install /root/*_next.deb && /root/plain'
    inside sh -c 'dpkg-query -W -f "\${Version}" libweir0' | grep -q '+next' || fail 'it was not upgraded'
    # removed, they leave nothing to be purged
    quietly inside sh -c 'apt-get -y remove libweir0 libweir-dev libweir-doc python3-weir weir'
    ! inside dpkg -l '*weir*' 2>"$work/log" | grep '^rc' || fail 'something is left to be purged'
    quietly inside apt-get -y --purge autoremove
    # what man keeps of pages that were shown is man's, and the folder of weir.py's sockets the user's
    left=$(inside sh -c 'find / -xdev -name "*weir*" -not -path "/root/*" -not -path "/proc/*" -not -path "/var/cache/man/*" \
        -not -path "/tmp/weir-0"')
    [ -z "$left" ] || fail "left after removing: $left"
    [ "$(inside ls /dev/shm)" = '' ] || fail 'something is left in /dev/shm'
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
