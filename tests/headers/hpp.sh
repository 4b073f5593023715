# SPDX-License-Identifier: MIT
#
# hpp.sh COMPILER ROOT: weir.hpp compiles alone and in what uses it, as C++17 and C++20, without a warning; what it
# refuses is refused with a message that says why.

set -eu
compiler=$1 root=$2

fail() {
    echo "$*"
    exit 1
}

# check STANDARD FILE
check() {
    "$compiler" "-std=$1" -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Werror -fsyntax-only -x c++ \
        -I"$root/shm" -I"$root/manager" -I"$root/pool" -I"$root/tests/support" "$2"
}

for standard in c++17 gnu++17 c++20; do
    printf '#include <weir.hpp>\n#include <weir.hpp>\nint main() { weir::scope scope; }\n' | check $standard -
done
# as C++17 the tests are built
check c++17 "$root/examples/mandelbrot.cc"
check c++20 "$root/tests/pool/test-hpp.cc"
check c++20 "$root/tests/pool/test-hpp-objects.cc"

# what C++20 adds
printf '%s\n' '#include <weir.hpp>' '#include <span>' \
    'void run(weir::scope &scope) {' \
    '    weir::pool pool(scope, {.workers = 2});' \
    '    weir::array_ref<int> array = scope.array<int>(10);' \
    '    std::span<int> span = array;' \
    '    weir::span<int> again = span;' \
    '    weir::parallel_for(pool, again.size(), [=](auto i) { array[*i.begin()]++; }, {.grain = 1});' \
    '}' | "$compiler" -std=c++20 -Wall -Wpedantic -Werror -fsyntax-only -x c++ -I"$root/shm" -I"$root/manager" \
    -I"$root/pool" -

# older ones, and no exceptions
said=$(printf '#include <weir.hpp>\n' | check c++14 - 2>&1) && fail 'C++14 is taken'
case $said in *'weir.hpp needs C++17'*) ;; *) fail "of C++14: $said" ;; esac
said=$(printf '#include <weir.hpp>\n' | "$compiler" -std=c++17 -fno-exceptions -fsyntax-only -x c++ -I"$root/shm" \
    -I"$root/manager" -I"$root/pool" - 2>&1) && fail 'no exceptions are taken'
case $said in *'weir.hpp needs exceptions'*) ;; *) fail "without exceptions: $said" ;; esac

# All at once: each statement below a "// REASON" must be an error for that reason, and nothing else may be one.
refused=$root/tests/headers/refused.cc
everything=-ferror-limit=0
"$compiler" --version | grep -q clang || everything=-fmax-errors=0
said=$("$compiler" $everything -std=c++17 -fsyntax-only -I"$root/shm" -I"$root/manager" -I"$root/pool" "$refused" 2>&1) &&
    fail 'refused.cc compiles'
grep -n '^    // ' "$refused" | sed 's|^\([0-9]*\): *// |\1 |' | {
    last=0 count=0
    while read -r line reason; do
        printf '%s\n' "$said" | grep -F error: | grep -qF "$reason" || fail "refused.cc:$line: not with this reason: $reason"
        count=$((count + 1))
        eval "begin_$count=$line"
        last=$count
    done
    [ "$last" -ge 20 ] || fail "refused.cc has $last statements"
    eval "begin_$((last + 1))=$(wc -l <"$refused")"
    numbers=$(printf '%s\n' "$said" | sed -n 's|.*refused\.cc:\([0-9]*\):[0-9].*|\1|p' | sort -un)
    for i in $(seq "$last"); do
        eval "from=\$begin_$i to=\$begin_$((i + 1))"
        # shellcheck disable=SC2154 # by eval
        printf '%s\n' "$numbers" | awk -v from="$from" -v to="$to" '$1 > from && $1 < to { found = 1 } END { exit !found }' ||
            fail "refused.cc:$from: not refused"
    done
    # shellcheck disable=SC2154 # by eval
    printf '%s\n' "$numbers" | awk -v from="$begin_1" '$1 < from { print "refused.cc:" $1 ": refused, too"; bad = 1 } END { exit bad }'
}
