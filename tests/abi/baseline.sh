# SPDX-License-Identifier: MIT
#
# baseline.sh check|renew ROOT LIBRARY COMPILER: the public types and functions as programs that are compiled already know
# them, in weir.abi beside this file, as abidw writes it.
#
#   check   the library has the same: anything else, an addition too, fails with what abidiff says of it
#   renew   weir.abi becomes what the library has; `ninja -C BUILD abi-baseline` runs it
#
# What a build is made of does not show in it: no optimization, no path, no line of the source, no private structure, none
# of libuv's, and no function that is libweir-mpi's alone. Of gcc's builds alone: of clang's, abidw 2.2 takes some private
# structures for public ones.

set -eu
what=$1 root=$2 library=$3 compiler=$4
. "$root/tests/support/checks.sh"
baseline=$root/tests/abi/weir.abi

skip() {
    echo "skipped: $*"
    exit 77
}

# The label is what abidw gives to types that the headers do not define: known by their name alone.
describe() {
    mkdir "$work/headers"
    for header in shm/weir-shm.h manager/weir-scope.h pool/weir.h pool/weir-pool.h pool/weir-future.h pool/weir-map-reduce.h \
        pool/weir-process.h; do
        cp "$root/$header" "$work/headers/"
    done
    cat >"$work/others" <<'END'
[suppress_type]
label = Artificial private types suppression specification
name_regexp = ^uv_
drop = yes
[suppress_function]
symbol_name_regexp = ^weir__
drop = yes
END
    quietly abidw --headers-dir "$work/headers" --suppressions "$work/others" --drop-private-types --exported-interfaces-only \
        --no-show-locs --no-corpus-path --no-comp-dir-path --no-elf-needed --no-architecture --no-parameter-names \
        --type-id-style hash --out-file "$work/built" "$library"
    # one unit of all: which file of the source has what is not the public's concern
    awk '/^  <abi-instr / { if (units++) next; sub(/path=.[^ ]*/, "path=\047weir\047") } /^  <\/abi-instr>/ { last = $0; next }
        /^<\/abi-corpus>/ && units { print last } { print }' "$work/built" >"$work/weir.abi"
}

for tool in abidw abidiff; do
    command -v $tool >/dev/null 2>&1 || skip "$tool is not installed (abigail-tools)"
done
[ "$compiler" = gcc ] || skip "this is a build of $compiler, and the baseline one of gcc"
readelf -SW "$library" | grep -q ' \.debug_info ' || skip 'this build has no debug information (-g)'
describe

case $what in
check)
    abidiff --harmless --no-show-locs "$baseline" "$work/weir.abi" >"$work/log" 2>&1 || {
        cat "$work/log"
        echo 'The library is not what tests/abi/weir.abi says ("A change of the interface" in CONTRIBUTING.md has what may'
        echo "change). If that is meant, and in NEWS.md where programs break: ninja -C BUILD abi-baseline"
        exit 1
    }
    ;;
renew) cp "$work/weir.abi" "$baseline" ;;
*) fail 'no such thing' ;;
esac
