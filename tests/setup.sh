# SPDX-License-Identifier: MIT
#
# setup.sh: what tests/run and examples/run share. Sourced by both, with $root set to the tree.
#
# Nothing is installed that is there already: each tool is looked for by using it, not by asking the
# package manager, so a machine that has everything needs neither root nor a network.

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s\n' "$0: $*" >&2
    exit 1
}

has_command() {
    command -v "$1" >/dev/null 2>&1
}

has_module() {
    has_command pkg-config && pkg-config --exists "$1"
}

# Those of root are not in everybody's PATH.
has_program() {
    (PATH=$PATH:/usr/sbin:/sbin && has_command "$1")
}

# For both MPIs.
has_slurm_plugins() {
    for folder in /usr/lib/*/slurm-wlm; do
        [ -f "$folder/mpi_pmix.so" ] && [ -f "$folder/mpi_pmi2.so" ] && return
    done
    return 1
}

# A compiler without the C library's headers is no compiler.
has_c() {
    has_command cc && printf '#include <stdio.h>\n' | cc -E -x c - >/dev/null 2>&1
}

has_cplusplus() {
    has_command c++ && printf '#include <cstddef>\n' | c++ -E -x c++ - >/dev/null 2>&1
}

has_meson() {
    has_command meson || return 1
    case $(meson --version 2>/dev/null) in
    '' | 0.*) return 1 ;;
    esac
}

# The distribution's own Python, with its standard library: the interop tests are about that one.
has_python() {
    /usr/bin/python3 -c 'import json, multiprocessing.shared_memory' >/dev/null 2>&1
}

has_numpy() {
    /usr/bin/python3 -c 'import numpy' >/dev/null 2>&1
}

has_joblib() {
    /usr/bin/python3 -c 'import joblib' >/dev/null 2>&1
}

has_lmdb() {
    printf '#include <lmdb.h>\n' | cc -E -x c - >/dev/null 2>&1
}

# A launcher of an MPI, by the name that Debian gives it: both MPIs are installed beside each other.
has_launcher() {
    "$1" --version >/dev/null 2>&1
}

has_mrmpi() {
    [ -e /usr/include/mrmpi/cmapreduce.h ]
}

has_javascript() {
    has_command node || has_command njs
}

# A browser that draws the pages of weir trace.
has_chromium() {
    has_command chromium || has_command chromium-browser || has_command google-chrome
}

# Clang with libFuzzer and the sanitizers, which are a package of their own.
has_fuzzer() {
    has_command clang || return 1
    probe=$(mktemp) || return 1
    printf 'int LLVMFuzzerTestOneInput(const unsigned char *d, unsigned long n) { return n > 9 && d[0]; }\n' |
        clang -fsanitize=fuzzer,address,undefined -x c - -o "$probe" >/dev/null 2>&1
    probed=$?
    rm -f "$probe"
    return $probed
}

# How such a build is configured, with CC=clang: in a folder of its own, as it is another compiler.
# shellcheck disable=SC2034 # used by who sources this
fuzz_options='-Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false -Dexamples=false'

missing=
wanted=

# need PACKAGE PROBE [ARGUMENT]: notes the Debian package if the probe fails.
need() {
    package=$1
    shift
    "$@" || missing="$missing $package"
}

# want PACKAGE PROBE [ARGUMENT]: the same for what only a part of the tests needs, which is skipped without it.
want() {
    package=$1
    shift
    "$@" || wanted="$wanted $package"
}

need_to_build() {
    need gcc has_command gcc
    need libc6-dev has_c
    need pkg-config has_command pkg-config
    need meson has_meson
    need ninja-build has_command ninja
    need libuv1-dev has_module 'libuv >= 1.40'
    need libjansson-dev has_module 'jansson >= 2.12'
}

need_to_test() {
    need g++ has_cplusplus
    need libcmocka-dev has_module cmocka
    need libsodium-dev has_module libsodium
    need python3 has_python
    need python3-numpy has_numpy
    need strace has_command strace
    need spin has_command spin
    want python3-joblib has_joblib
    want liblmdb-dev has_lmdb
    want clang has_command clang
    want libclang-rt-dev has_fuzzer
    want clang-format has_command clang-format
    want clang-tidy has_command clang-tidy
    want cppcheck has_command cppcheck
    want shellcheck has_command shellcheck
    want cmake has_command cmake
    want abigail-tools has_command abidw
    want mandoc has_command mandoc
    want cmark-gfm has_command cmark-gfm
    want tidy has_command tidy
    want njs has_javascript
    want man-db has_command man
    want chromium has_chromium
}

# Clusters, which are tested with both MPIs.
need_to_cluster() {
    want libopenmpi-dev has_module ompi-c
    want openmpi-bin has_launcher mpirun.openmpi
    want libmpich-dev has_module mpich
    want mpich has_launcher mpiexec.mpich
    want iproute2 has_command ip
}

# Slurm as a user meets it, for the long test that starts its daemons on machines out of namespaces. The packages start none
# without a slurm.conf, but munged; RUNLEVEL keeps that back where there is no systemd.
need_to_slurm() {
    export RUNLEVEL=1
    want slurmctld has_program slurmctld
    want slurmd has_program slurmd
    want slurm-client has_command srun
    want slurm-wlm-basic-plugins has_slurm_plugins
    want munge has_program munged
}

# What weir is measured beside, and clusters.
need_to_compare() {
    want pigz has_command pigz
    want zlib1g-dev has_module zlib
    want libtbb-dev has_module tbb
}

need_to_compare_clusters() {
    want libmrmpi-dev has_mrmpi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has_command sudo; then
        sudo "$@"
    else
        die "this needs root, and there is no sudo. Missing packages:$missing"
    fi
}

# install PACKAGE...: true if all of them are installed now.
install() {
    say "Installing: $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update ||
        say 'apt-get update failed; going on with the package lists that are there'
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y --no-install-recommends install "$@" >"${TMPDIR:-/tmp}/weir-apt.$$" 2>&1
    installed=$?
    [ $installed = 0 ] || cat "${TMPDIR:-/tmp}/weir-apt.$$" >&2
    rm -f "${TMPDIR:-/tmp}/weir-apt.$$"
    return $installed
}

# install_each PACKAGE...: those that can be, one after the other.
install_each() {
    for package in "$@"; do
        install "$package" || say "apt-get could not install $package; going on without"
    done
}

# Installs what need() and want() noted, and nothing when they noted nothing.
install_missing() {
    if [ -n "$missing" ]; then
        has_command apt-get || die "please install (Debian's names):$missing"
        # shellcheck disable=SC2086 # a list of words
        install $missing || die "apt-get could not install:$missing"
    fi
    if [ -n "$wanted" ] && has_command apt-get && { [ "$(id -u)" = 0 ] || has_command sudo; }; then
        # shellcheck disable=SC2086 # a list of words
        install $wanted || install_each $wanted
    fi
}

# find_cpython_tests FOLDER: one file of Debian's package of CPython's own tests, unpacked under FOLDER, and not installed,
# which on a machine that is not up to date would replace its Python by a newer one. WEIR_CPYTHON_TESTS tells where;
# without it the tests that need it are skipped.
find_cpython_tests() {
    has_command apt-get && has_command dpkg-deb || return 0
    cpython=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') || return 0
    tests=usr/lib/python$cpython
    if [ ! -f "$1/$tests/test/_test_multiprocessing.py" ]; then
        say "Unpacking one file of libpython$cpython-testsuite"
        mkdir -p "$1" && (
            cd "$1" && apt-get -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20 download "libpython$cpython-testsuite" &&
                for package in ./*.deb; do
                    dpkg-deb --fsys-tarfile "$package" | tar -x "./$tests/test/_test_multiprocessing.py"
                done
        ) >/dev/null 2>&1
        rm -f "$1"/*.deb
    fi
    [ -f "$1/$tests/test/_test_multiprocessing.py" ] || return 0
    WEIR_CPYTHON_TESTS=$1/$tests
    export WEIR_CPYTHON_TESTS
}

# compile FOLDER: what it says is in FOLDER.log, and shown when it fails.
compile() {
    ninja -C "$1" >"$1.log" 2>&1 && return
    cat "$1.log"
    return 1
}

# configure FOLDER [OPTION...]: a build folder, made or made up to date. One that meson cannot use any
# more (another version, or the tree was moved) is made anew; only a folder of meson's is ever removed.
configure() {
    folder=$1
    shift
    # shellcheck disable=SC2154 # root is set by who sources this
    if [ -f "$folder/meson-private/coredata.dat" ]; then
        meson setup --reconfigure "$@" "$folder" "$root" >"$folder.log" 2>&1 && return 0
        rm -rf "$folder"
    fi
    mkdir -p "$(dirname "$folder")"
    meson setup "$@" "$folder" "$root" >"$folder.log" 2>&1 || {
        cat "$folder.log"
        return 1
    }
}
