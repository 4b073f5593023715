#!/bin/sh
# SPDX-License-Identifier: MIT
#
# seeded.sh: faults that weir once had are put back, one after the other, in a copy of the sources;
# the random tester must find each within so many seeds. Minutes, as each is built.
#
# Usage: seeded.sh [FAULT...]

root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
command -v meson >/dev/null || { echo "skipped: meson is not installed"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
wanted=$*

mkdir "$dir/tree" && cd "$root" &&
    cp -r meson.build meson_options.txt manager pool shm tests "$dir/tree" &&
    meson setup -Dexamples=false "$dir/build" "$dir/tree" >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }

# try NAME SEEDS FAMILIES FILE SED-SCRIPT...: FILE and SED-SCRIPT as often as needed.
try() {
    name=$1 seeds=$2 families=$3
    shift 3
    case " ${wanted:-$name} " in
    *" $name "*) ;;
    *) return ;;
    esac
    while [ $# -gt 0 ]; do
        cp -p "$dir/tree/$1" "$dir/sound" && sed -i "$2" "$dir/tree/$1"
        cmp -s "$dir/tree/$1" "$dir/sound" && { echo "$name: $1 has no place for $2"; failed=1; }
        shift 2
    done
    if ! ninja -C "$dir/build" tests/random/random manager/weir-manager >"$dir/log" 2>&1; then
        grep -A4 error: "$dir/log"
        echo "$name: cannot be built"
        failed=1
    elif "$dir/build/tests/random/random" --seeds "1..$seeds" --only "$families" >"$dir/log" 2>&1; then
        echo "$name: NOT FOUND in $seeds seeds of $families"
        failed=1
    else
        echo "$name: found: $(grep -a -m1 FAILED "$dir/log")"
        grep -a -m2 -e '^signal' -e 'does not hold' -e 'does not end' -e '^left' "$dir/log"
    fi
    cp -r "$root/pool" "$root/shm" "$root/manager" "$dir/tree"
}

# A forked child uses the program's futures; and frees them as if they were its own.
try futures_of_a_child 20 fork,future \
    pool/host/future.c 's/weir__check_mine(future->set->mine, "a future")/0/
        s/|| !weir__is_mine(future->set->mine)//'
try freed_by_a_child 60 fork,future \
    pool/host/future.c 's/|| !weir__is_mine(future->set->mine)//'
# Two threads finish one future.
try finished_twice 300 crowd \
    pool/host/job_future.c '/while (future->finishing)/,+1d
        s/settled = settled \&\& future->users == 1;//'
# The host waits until a stopped supervisor reads.
try waits_for_a_stopped_supervisor 20 fault \
    pool/control/hello.c 's/ | MSG_DONTWAIT//'
exit $failed
