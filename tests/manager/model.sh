#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Checks the model of the scope file: no error in any order of events, in each configuration; and each
# bug that can be put into it is found in at least one. Needs spin and a C compiler.
# Usage: model.sh MODEL
model=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
command -v spin >/dev/null || { echo "skipped: spin is not installed"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failed=0

# check FLAGS...: prints "errors: N" and the number of states, or what went wrong.
check() {
    spin "$@" -a "$model" >log 2>&1 && ${CC:-cc} -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c >log 2>&1 ||
        { cat log; return; }
    ./pan -m1000000 -w22 >log 2>&1
    grep -E "errors:|states, stored|too small|out of memory|truncated" log | tr -s ' \n' ' '
}

for options in -DMEMBERS=1 -DMEMBERS=2 -DCLEANERS=2 -DSWEEPERS=2; do
    result=$(check $options)
    echo "$options: $result"
    case $result in
    *"too small"* | *"out of memory"* | *truncated*) failed=1 ;;
    *"errors: 0 "*) ;;
    *) failed=1 ;;
    esac
done
for bug in $(grep -o 'BUG_[A-Z_]*[A-Z]' "$model" | sort -u); do
    found=no
    for options in -DMEMBERS=1 -DMEMBERS=2 -DCLEANERS=2 -DSWEEPERS=2; do
        result=$(check "-D$bug" $options)
        case $result in
        *"errors: 1"*) found="found with $options"; break ;;
        *"errors: 0 "*) ;;
        *) found="no: $result"; break ;;
        esac
    done
    echo "$bug: $found"
    case $found in no*) failed=1 ;; esac
done
exit $failed
