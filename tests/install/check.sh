# SPDX-License-Identifier: MIT
#
# check.sh prefix|static|subproject ROOT CC...: builds weir in a temporary folder and uses it from outside.
#
#   prefix      installed under a prefix that is then moved: every example compiles with cc and pkg-config
#               alone, and runs at both places, as weir.py does; what README.md says to users of CMake
#   static      only libweir.a is there
#   subproject  a small meson project that gets weir by weir.wrap, out of a git repository; one that has it in subprojects/
#   narrow      a compiler for 32 bits: meson says in a sentence that this is not possible

set -eu
what=$1 root=$2
shift 2

. "$root/tests/support/checks.sh"
unset WEIR_MANAGER PKG_CONFIG_PATH LD_LIBRARY_PATH DESTDIR

# Under $work/prefix.
install_weir() {
    # as a package is built: with other warnings than what the tests are built with
    werror=false
    [ "${CI:-}" != true ] || werror=true
    quietly meson setup --prefix="$work/prefix" --buildtype=release -Dwerror=$werror -Dtests=false -Dexamples=false \
        "$work/build" "$root"
    quietly meson install -C "$work/build"
    DESTDIR="$work/staged" quietly meson install -C "$work/build" --no-rebuild
    # Staged, the same files are there.
    (cd "$work/prefix" && find . | sort) >"$work/files"
    (cd "$work/staged$work/prefix" && find . | sort) | diff "$work/files" - || fail 'DESTDIR gets other files than the prefix'
    # The build tree is not there for its users.
    rm -rf "$work/build"
}

libraries() {
    dirname "$(dirname "$(find "$1" -name weir.pc)")"
}

# compile NAME FLAG...: an example, with nothing but the compiler and pkg-config
compile() {
    name=$1
    shift
    packages=weir
    grep -q '<uv\.h>' "$root/examples/$name.c" && packages='weir libuv'
    if grep -q '<weir-mpi\.h>' "$root/examples/$name.c"; then
        packages=weir-mpi
        pkg-config --exists weir-mpi || { echo "without an MPI: $name is not tried"; return 0; }
    fi
    # shellcheck disable=SC2046,SC2086 # lists of words
    $cc "$root/examples/$name.c" $(pkg-config "$@" --cflags --libs $packages) -o "$work/$name" ||
        fail "$name.c does not compile"
}

run_do_work() {
    "$work/do_work" >"$work/out" || fail "do_work ended with status $? ($*)"
    [ "$(grep -c ': 2664667000$' "$work/out")" = 2 ] || fail "do_work: $(cat "$work/out")"
}

# Its own MPI is in no other program.
run_clusters() {
    "$work/mean_cluster" 1000 | grep -q '^mean *499\.5' || fail "mean_cluster: $("$work/mean_cluster" 1000)"
    "$work/kmeans_cluster" 1000 | cmp -s - "$work/kmeans.out" || fail 'kmeans_cluster prints not what kmeans does'
    ! ldd "$work/mean" | grep -qi mpi || fail "mean needs an MPI: $(ldd "$work/mean")"
    [ -f "$work/prefix/include/weir-mpi.h" ] || fail 'weir-mpi.h is not installed in include/'
    [ "$(pkg-config --modversion weir-mpi)" = "$(pkg-config --modversion weir)" ] || fail 'weir-mpi.pc has another version'
}

# The program on README.md's first screen prints what is shown below it, and the tests that documents name exist.
check_readme() {
    readme_program >"$work/squares.c"
    readme_output >"$work/expected"
    # shellcheck disable=SC2046,SC2086
    $cc -Wall -Wextra "$work/squares.c" $(pkg-config --cflags --libs weir) -o "$work/squares" 2>"$work/log" ||
        fail "README.md's program does not compile: $(cat "$work/log")"
    [ ! -s "$work/log" ] || fail "README.md's program compiles with warnings: $(cat "$work/log")"
    "$work/squares" >"$work/out" || fail "README.md's program ended with status $?"
    # shellcheck disable=SC2016 # Markdown's
    for test in $(grep -oh '`[a-z0-9_]*__[a-z0-9_]*`' "$root/README.md" "$root/tests/faults/README.md" | tr -d '`'); do
        grep -rq "^static void $test(\|^$test(" "$root/tests" || fail "a test is named that does not exist: $test"
    done
    [ -s "$work/expected" ] && cmp "$work/out" "$work/expected" || fail "README.md's program: $(cat "$work/out")"
}

# What README.md says to people who have a prefix of their own, or CMake.
check_others() {
    (
        unset LD_LIBRARY_PATH
        # shellcheck disable=SC2046
        $cc "$work/squares.c" $(pkg-config --cflags --libs weir) "-Wl,-rpath,$(pkg-config --variable=libdir weir)" \
            -o "$work/squares" && "$work/squares" >"$work/out" && cmp "$work/out" "$work/expected"
    ) || fail 'the program does not run with the run path that README.md gives'
    command -v cmake >/dev/null 2>&1 || { echo 'without cmake: what README.md says to it is not tried'; return 0; }
    mkdir "$work/cmake"
    readme_cmake >"$work/cmake/CMakeLists.txt"
    cmake_with_prefix >"$work/log" 2>&1 || { cat "$work/log"; fail 'CMake cannot use it as README.md says'; }
    "$work/cmake/build/squares" | cmp - "$work/expected" || fail 'the program that CMake built'
    for wanted in '' 0.1 0.1.0; do
        sed "s/^find_package(weir.*/find_package(weir $wanted REQUIRED)/; s/weir::weir/weir::static/" "$work/cmake/CMakeLists.txt" >"$work/lists"
        cp "$work/lists" "$work/cmake/CMakeLists.txt"
        cmake_with_prefix >"$work/log" 2>&1 || { cat "$work/log"; fail "CMake does not find weir $wanted"; }
        "$work/cmake/build/squares" | cmp - "$work/expected" || fail 'the program that CMake linked with libweir.a'
    done
    for wanted in 0.2 0.0.9 1; do
        sed "s/^find_package(weir.*/find_package(weir $wanted REQUIRED)/" "$work/lists" >"$work/cmake/CMakeLists.txt"
        ! cmake_with_prefix >"$work/log" 2>&1 || fail "CMake takes this for weir $wanted"
        grep -q "requested version \"$wanted\"" "$work/log" || { cat "$work/log"; fail 'CMake says something else'; }
    done
}

# The compiler without what may be in front of it (ccache): CMake wants one program.
cmake_with_prefix() {
    rm -rf "$work/cmake/build"
    cmake -S "$work/cmake" -B "$work/cmake/build" "-DCMAKE_C_COMPILER=${cc##* }" "-DCMAKE_PREFIX_PATH=$work/prefix" &&
        cmake --build "$work/cmake/build"
}

# Each name has its page or a link to one, and the program in weir(7) is one.
check_manual() {
    man=$work/prefix/share/man
    [ "$("$work/prefix/bin/weir" --version)" = "weir $(pkg-config --modversion weir)" ] || fail 'weir does not run'
    pages=$work/prefix/share/doc/weir/html
    if [ -d "$pages" ]; then
        grep -q '"weir_pool_for", "weir_pool_for.3.html"' "$pages/search-index.js" || fail 'the search does not find weir_pool_for'
        for page in index weir_pool_for.3 weir.7 names examples-guides; do
            grep -q '<link rel="stylesheet" href="manual.css">' "$pages/$page.html" || fail "there is no page $page.html"
        done
    else
        echo 'without the manual in HTML: it is not tried'
    fi
    [ -d "$man" ] || { echo 'without manual pages: they are not tried'; return 0; }
    for name in $(sed -n 's/^    \(weir_[a-z0-9][a-z0-9_]*\);/\1/p' "$root/pool/weir.map") WEIR_SCOPE weir_pool_options; do
        grep -q '^\.SH SYNOPSIS' "$man/man3/$name.3" || fail "there is no page of $name"
    done
    for name in weir weir-shm weir-scope weir-pool weir-future weir-map-reduce weir-process weir-mpi; do
        [ -f "$man/man7/$name.7" ] || fail "there is no page $name(7)"
    done
    awk '/^#include <weir.h>/ { on = 1 } /^\.fi/ { on = 0 } on' "$man/man7/weir.7" | sed 's/\\e/\\/g; s/\\-/-/g' >"$work/manual.c"
    # shellcheck disable=SC2046
    $cc -Wall -Wextra -Werror "$work/manual.c" $(pkg-config --cflags --libs weir) -o "$work/manual" ||
        fail 'the program in weir(7) does not compile'
    [ "$("$work/manual")" = 998001 ] || fail "the program in weir(7): $("$work/manual")"
}

check_cplusplus() {
    command -v c++ >/dev/null 2>&1 || return 0
    # shellcheck disable=SC2046
    c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror "$root/tests/install/use.cpp" \
        $(pkg-config --cflags --libs weir) -o "$work/use" || fail 'use.cpp does not compile'
    "$work/use" || fail "use.cpp ended with status $?"
    # shellcheck disable=SC2046
    c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror "$root/examples/mandelbrot.cc" \
        $(pkg-config --cflags --libs weir) -o "$work/mandelbrot" || fail 'mandelbrot.cc does not compile'
    "$work/mandelbrot" 20 | grep -q '^area 1\.[45]' || fail "mandelbrot: $("$work/mandelbrot" 20)"
}

# import_weir FOLDER: weir.py there finds its own library and manager, with nothing set but PYTHONPATH.
import_weir() {
    [ -f "$1/weir.py" ] || fail "weir.py is not in $1"
    python=/usr/bin/python3
    [ -x $python ] || python=python3
    said=$(env -u LD_LIBRARY_PATH -u WEIR_LIBRARY PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$1" "$python" -c 'import weir
with weir.scope() as s:
    print(list(s.list([1, "two"])), weir._lib._name)') || fail "weir.py of $1 does not work"
    case $said in
    "[1, 'two'] ${1%/lib/*}/"*) ;;
    *) fail "weir.py of $1 says $said" ;;
    esac
}

check_python() {
    command -v python3 >/dev/null 2>&1 || { echo 'without python3: weir.py is not tried'; return 0; }
    import_weir "$(pkg-config --variable=pythondir weir | sed 's|/$||')"
    import_weir "$work/staged$(pkg-config --variable=pythondir weir | sed 's|/$||')"
}

test_prefix() {
    install_weir
    lib=$(libraries "$work/prefix")
    export PKG_CONFIG_PATH="$lib/pkgconfig" LD_LIBRARY_PATH="$lib"
    [ "$(pkg-config --modversion weir)" = "$(sed -n "s/^  version: '\(.*\)',/\1/p" "$root/meson.build")" ] ||
        fail 'weir.pc has another version than the project'
    for header in weir.h weir-shm.h weir-scope.h weir-pool.h weir-future.h weir-map-reduce.h weir-process.h weir.hpp; do
        [ -f "$work/prefix/include/$header" ] || fail "$header is not installed in include/"
    done
    for example in "$root"/examples/*.c; do
        compile "$(basename "$example" .c)"
    done
    ! ldd "$work/do_work" | grep -e libuv -e jansson | grep -qv '=>' || fail "$(ldd "$work/do_work")"
    run_do_work 'under its prefix'
    "$work/mean" 1000 | grep -q '^mean *499\.5' || fail "mean: $("$work/mean" 1000)"
    [ "$("$work/uv_host" | head -n 1)" = '148933 primes below 2000000' ] || fail uv_host
    "$work/pi" 1000 | grep -q '^3\.14159' || fail pi
    "$work/kmeans" 1000 >"$work/kmeans.out" && grep -q '^[0-9]* rounds' "$work/kmeans.out" || fail kmeans
    "$work/linear_regression" 1000 | grep -q '^slope *-0\.[45]' || fail linear_regression
    "$work/matrix_multiply" 20 >"$work/out" || fail "matrix_multiply: $(cat "$work/out")"
    [ ! -e "$work/mean_cluster" ] || run_clusters
    echo 'b a, a' >"$work/text"
    [ "$("$work/word_count" "$work/text" | tr -s ' \n' ' ')" = ' 2 a 1 b ' ] || fail 'word_count'

    check_readme
    check_others
    check_manual
    check_cplusplus
    check_python

    mkdir "$work/away"
    mv "$work/prefix" "$work/away/moved"
    lib=$(libraries "$work/away/moved")
    export LD_LIBRARY_PATH="$lib"
    run_do_work 'under a moved prefix'
    rm "$work/do_work"
    export PKG_CONFIG_PATH="$lib/pkgconfig"
    compile do_work --define-variable=prefix="$work/away/moved"
    run_do_work 'compiled against a moved prefix'
    ! command -v python3 >/dev/null 2>&1 ||
        import_weir "$(pkg-config --define-variable=prefix="$work/away/moved" --variable=pythondir weir | sed 's|/$||')"

    # Without its manager the library says where it looked.
    find "$work/away" -name weir-manager -type f -exec mv {} "$work/weir-manager" \;
    if "$work/do_work" >"$work/out" 2>&1; then
        fail 'a scope begins without its manager'
    fi
    grep -q "$work/away/moved" "$work/out" || fail "the message does not say where it looked: $(cat "$work/out")"
    export WEIR_MANAGER="$work/weir-manager"
    run_do_work 'with WEIR_MANAGER'
}

test_static() {
    install_weir
    find "$work/prefix" -name 'libweir.so*' -exec rm {} +
    lib=$(libraries "$work/prefix")
    export PKG_CONFIG_PATH="$lib/pkgconfig"
    compile do_work --static
    ldd "$work/do_work" | grep -q libweir && fail 'do_work needs libweir.so'
    run_do_work 'linked with libweir.a'
    # The archives of all else are there with Debian's packages; glibc warns of what libuv may do with names of users.
    # shellcheck disable=SC2046
    if pkg-config --exists libuv-static; then
        $cc -static "$root/examples/do_work.c" $(pkg-config --static --cflags --libs weir) -o "$work/do_work" 2>"$work/log" ||
            { cat "$work/log"; fail 'do_work cannot be linked with archives alone'; }
        run_do_work 'linked with archives alone'
    else
        echo 'without an archive of libuv: a program with no shared library is not tried'
    fi
    # An archive's private symbols are not in the way of a program's own: all are called weir_ or weir__. (DW.ref...: of the
    # compiler, for exceptions that pass through; one that several files have is one.)
    nm --defined-only -g "$lib/libweir.a" | awk 'NF == 3 && $3 !~ /^(weir_|DW\.ref\.)/ { print $3 }' >"$work/names"
    [ ! -s "$work/names" ] || fail "libweir.a defines $(tr '\n' ' ' <"$work/names")"
    # Tools that take an archive apart would overwrite one of two.
    ar t "$lib/libweir.a" | sed 's|.*/||' | sort | uniq -d >"$work/names"
    [ ! -s "$work/names" ] || fail "libweir.a has more than one $(tr '\n' ' ' <"$work/names")"
}

test_narrow() {
    echo 'int main(void) { return 0; }' >"$work/program.c"
    $cc -m32 "$work/program.c" -o "$work/program" 2>/dev/null || {
        echo 'skipped: the compiler makes no programs of 32 bits'
        exit 77
    }
    {
        echo '[binaries]'
        echo "c = ['$(echo "$cc" | sed "s| |', '|g")', '-m32']"
        printf "[host_machine]\nsystem = 'linux'\ncpu_family = 'x86'\ncpu = 'i686'\nendian = 'little'\n"
        printf '[properties]\nneeds_exe_wrapper = true\n' # many kernels run no such program
    } >"$work/cross"
    ! meson setup --cross-file "$work/cross" "$work/build" "$root" >"$work/log" 2>&1 ||
        fail 'meson takes a compiler for 32 bits'
    grep -q 'weir needs a 64-bit machine' "$work/log" || {
        cat "$work/log"
        fail 'meson does not say why'
    }
}

# A git repository of the tree as it is, at $1.
make_repository() {
    mkdir "$1"
    (cd "$root" && tar cf - meson.build meson_options.txt shm manager pool) | tar xf - -C "$1"
    (cd "$1" && quietly git init -q && git add -A && quietly git -c user.name=weir -c user.email=weir@weir.invalid commit -qm weir)
}

test_subproject() {
    mkdir -p "$work/project/subprojects"
    cp "$root/examples/do_work.c" "$work/project/program.c"
    cat >"$work/project/meson.build" <<'END'
project('program', 'c', meson_version: '>= 1.0.0')
executable('program', 'program.c', dependencies: dependency('weir'))
END
    fallback=
    ! pkg-config --exists weir || fallback=--force-fallback-for=weir # installed on this machine
    ln -s "$root" "$work/project/subprojects/weir"
    # shellcheck disable=SC2086 # a word, or none
    quietly meson setup --wrap-mode=nodownload $fallback "$work/build" "$work/project"
    if command -v git >/dev/null 2>&1; then
        rm -rf "$work/build" "$work/project/subprojects/weir"
        make_repository "$work/repository"
        sed "s|^url = .*|url = file://$work/repository|" "$root/weir.wrap" >"$work/project/subprojects/weir.wrap"
        # shellcheck disable=SC2086
        quietly meson setup $fallback "$work/build" "$work/project"
        [ -d "$work/project/subprojects/weir/.git" ] || fail 'weir.wrap did not bring weir'
    else
        echo 'without git: weir.wrap is not tried'
    fi
    quietly ninja -C "$work/build"
    "$work/build/program" >"$work/out" || fail "the program ended with status $?"
    [ "$(grep -c ': 2664667000$' "$work/out")" = 2 ] || fail "the program: $(cat "$work/out")"
    grep -rq 'cmocka' "$work/build/build.ninja" && fail 'a subproject builds its tests'
    return 0
}

cc=$*
export CC="$cc"
case $what in
prefix) test_prefix ;;
static) test_static ;;
subproject) test_subproject ;;
narrow) test_narrow ;;
*) fail 'no such test' ;;
esac
