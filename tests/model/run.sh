#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh: checks a model: no error in any order of events, in each configuration; and each bug that can be
# put into it is found in one of them. Needs spin and a C compiler.
#
# Usage: run.sh MODEL [long]      long: larger configurations too (minutes, and 4 GiB)

model=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
command -v spin >/dev/null || { echo "skipped: spin is not installed"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failed=0
tried=' '

# check OPTIMISATION LIMITS FLAGS...: prints the number of errors and of states, or what went wrong.
check() {
    optimisation=$1 limits=$2
    shift 2
    if ! spin "$@" -a "$model" >log 2>&1 ||
        ! ${CC:-cc} "$optimisation" -w -DSAFETY -DCOLLAPSE -DVECTORSZ=2048 -o pan pan.c >log 2>&1; then
        cat log
        return
    fi
    # shellcheck disable=SC2086 # a list of words
    ./pan $limits >log 2>&1
    grep -E 'errors:|states, stored|too small|out of memory|truncated' log | tr -s ' \n' ' '
}

good() {
    # shellcheck disable=SC2086 # a list of words
    result=$(check -O2 '-m1000000 -w23' $1)
    echo "$1: $result"
    case $result in
    *"too small"* | *"out of memory"* | *truncated*) failed=1 ;;
    *"errors: 0 "*) ;;
    *) failed=1 ;;
    esac
}

# bug NAME CONFIGURATION: it must be found there. It is found within a second or two, less than it would take to
# optimise the search.
bug() {
    tried="$tried$1 "
    # shellcheck disable=SC2086 # a list of words
    result=$(check -O0 '-m10000 -w20' "-D$1" $2)
    case $result in
    *"errors: 1"*) echo "$1: found" ;;
    *) echo "$1: NOT FOUND with $2: $result"; failed=1 ;;
    esac
}

job() {
    ledger="-DNO_BELLS -DCHUNKS=3 -DCHUNKS_AGAIN=0 -DKILLS=1"
    twice="-DNO_BELLS -DCHUNKS=1 -DCHUNKS_AGAIN=0 -DKILLS=2"
    failing="-DNO_BELLS -DCHUNKS=2 -DCHUNKS_AGAIN=0 -DKILLS=1 -DRETRIES=0"
    reuse="-DNO_BELLS -DCHUNKS=1 -DCHUNKS_AGAIN=1 -DKILLS=1"
    cancel="-DNO_BELLS -DCHUNKS=1 -DCHUNKS_AGAIN=0 -DKILLS=1 -DCANCEL"
    bells="-DCHUNKS=1 -DCHUNKS_AGAIN=0 -DKILLS=1"

    parts="$twice -DPARTS"

    for options in "$ledger" "$twice" "$failing" "$reuse" "$cancel" "$bells" "$parts" "$reuse -DPARTS" \
        "-DNO_BELLS -DCHUNKS=2 -DCHUNKS_AGAIN=0 -DKILLS=1 -DPARTS"; do
        good "$options"
    done
    if [ "$length" = long ]; then
        good "-DNO_BELLS -DCHUNKS=3 -DCHUNKS_AGAIN=0 -DKILLS=2"
        good "-DNO_BELLS -DCHUNKS=2 -DCHUNKS_AGAIN=0 -DKILLS=2 -DPARTS"
    fi
    bug BUG_CLAIM_BEFORE_CHUNK "$twice"
    bug BUG_FORK_BEFORE_RECLAIMING "$twice"
    bug BUG_NO_REPAIR "$twice"
    bug BUG_NO_RETRY_SEQ "$twice"
    bug BUG_RECLAIM_BEFORE_REAPING "$twice"
    bug BUG_HINT_ONLY "$bells"
    bug BUG_HOST_NOT_RUNG "$bells"
    bug BUG_NO_LOOK_AFTER_WAITING "$bells"
    bug BUG_NO_LOOK_BEFORE_SLEEPING "$bells"
    bug BUG_NAME_AFTER_ENTERING "$reuse"
    bug BUG_NO_COUNT_OF_ENTRIES "$reuse"
    bug BUG_NO_LOOK_AFTER_REMOVAL "$reuse"
    bug BUG_NO_LOOK_AT_STATE "$reuse"
    bug BUG_REUSE_WHILE_INSIDE "$reuse"
    bug BUG_SEAL_IN_TWO_STEPS "$cancel"
    bug BUG_MARK_BEFORE_LOOKING "$parts"
    bug BUG_MARK_FOR_EVER "$parts"
    bug BUG_MARK_WITH_A_LATER_NUMBER "$parts"
}

wake() {
    good ""
    [ "$length" != long ] || good "-DKILLS=1"
    bug BUG_CHAIN_BEFORE_REMOVAL ""
    bug BUG_LOOK_BEFORE_ADDING ""
    bug BUG_LOST_NOT_RUNG "-DKILLS=1"
    bug BUG_NO_CHAIN ""
    bug BUG_NO_LOOK_BEFORE_SLEEPING ""
    bug BUG_PUT_BACK_ALONE "-DKILLS=1"
    bug BUG_REMOVAL_AFTER_THE_RUN ""
}

failure() {
    good ""
    good "-DKILLS=3"
    good "-DRETRIES=0"
    bug BUG_NO_WAIT ""
    bug BUG_SETTLE_BEFORE_WRITING ""
    bug BUG_WITHDRAW_WHAT_COUNTS ""
    bug BUG_WITHDRAW_AFTER_RECLAIMING "-DRETRIES=0"
    bug BUG_FREE_BEFORE_ITS_CHUNK ""
    bug BUG_ONE_RECORD "-DKILLS=3"
}

queue() {
    sleep="-DNO_MARKS -DCALLS=2"
    marks="-DNO_SLEEP -DPASSED"
    kills="-DNO_SLEEP -DNO_MARKS -DKILLS=1 -DPASSED"
    reuse="-DNO_SLEEP -DKILLS=1 -DPLACES=1 -DCALLS=2 -DALONE"

    for options in "$sleep" "$marks" "$kills" "$reuse"; do
        good "$options"
    done
    bug BUG_CLAIM_BEFORE_CHUNK "$kills"
    bug BUG_FLAG_BEFORE_REMOVAL "$sleep"
    bug BUG_HOST_NOT_RUNG "$reuse"
    bug BUG_LOOK_BEFORE_ADDING "$sleep"
    bug BUG_NEXT_AFTER_THE_RUN "$sleep"
    bug BUG_NO_CHAIN "$sleep"
    bug BUG_NO_LOOK_AFTER_MARKING "$marks"
    bug BUG_NO_LOOK_AT_TAIL "$sleep"
    bug BUG_NO_LOOK_BEFORE_SLEEPING "$sleep"
    bug BUG_NO_REPAIR "$reuse"
    bug BUG_PASSED_IS_THE_TAIL "$marks"
    bug BUG_PLACE_USED_TOO_EARLY "$marks"
    bug BUG_TAIL_BEFORE_CELL "$marks"
    bug BUG_TAIL_NOT_READ_AGAIN "$marks -DALONE"
}

deadline() {
    good ""
    good "-DCHUNKS=5"
    bug BUG_CONDEMNED_FOR_EVER ""
    bug BUG_KILL_WITHOUT_CONDEMNING ""
    bug BUG_SETTLE_WITHOUT_LOOKING ""
}

future() {
    place=""
    end="-DEND -DALONE"
    both="-DEND -DNO_OTHER"

    for options in "$place" "$end"; do
        good "$options"
    done
    [ "$length" != long ] || { good "$both"; good "-DEND"; }
    bug BUG_CANCEL_BY_PLACE "$place"
    bug BUG_CANCEL_IN_TWO_STEPS "$place"
    bug BUG_CLAIM_WITHOUT_LOOKING "$place"
    bug BUG_CLOSE_BEFORE_TAKING "$place"
    bug BUG_ENDER_NOT_TOLD "$end"
    bug BUG_FREE_WITHOUT_WAITING "$place"
    bug BUG_LATE_FUTURE_NOT_TOLD "$end"
    bug BUG_LEAVE_BEFORE_CLOSING "$end"
    bug BUG_LOOK_BEFORE_POSITION "$place"
    bug BUG_LOOK_BEFORE_TOUCHING "$end"
    bug BUG_NO_LOOK_AT_TOUCHING "$end"
    bug BUG_NO_PLACE_MADE "$place"
    bug BUG_POOL_BEFORE_LIST "$place"
    bug BUG_POSITION_BEFORE_CANCELLED "$place"
    bug BUG_TELL_BEFORE_FINISHED "$place"
    bug BUG_USER_DOES_NOT_WAIT "$place"
}

result() {
    kills=""
    quiet="-DKILLS=0"
    twice="-DKILLS=2 -DUNITS=1 -DPUTS=2"

    for options in "$kills" "$quiet" "$twice"; do
        good "$options"
    done
    [ "$length" != long ] || good "-DKILLS=2"
    bug BUG_CLEAR_BEFORE_COPYING "$quiet"
    bug BUG_CLOSE_WHILE_TAKING "$quiet"
    bug BUG_LET_GO_BEFORE_CLEARING "$kills"
    bug BUG_LET_GO_BEFORE_SETTLING "$kills"
    bug BUG_LET_GO_OPENS "$kills"
    bug BUG_NAME_AFTER_SETTING "$kills"
    bug BUG_RECLAIM_AFTER_FREEING "$kills"
    bug BUG_RECLAIM_SETTLED "$kills"
    bug BUG_TAKE_WHILE_CLOSED "$quiet"
}

scope() {
    for options in -DMEMBERS=1 -DMEMBERS=2 -DCLEANERS=2 -DSWEEPERS=2; do
        good "$options"
    done
    bug BUG_BLANK -DMEMBERS=1
    bug BUG_CHECK_BEFORE_LOCK -DMEMBERS=1
    bug BUG_IGNORE_INODE -DMEMBERS=1
    bug BUG_LINK_BEFORE_LOCK -DMEMBERS=1
    bug BUG_LOCK_NOT_INHERITED -DMEMBERS=1
    bug BUG_NO_CLOSE -DMEMBERS=1
    bug BUG_NO_RECORD_LOCK -DMEMBERS=1
    bug BUG_NO_SECOND_SCAN -DMEMBERS=1
    bug BUG_RECORD_AFTER_NAME -DMEMBERS=1
    bug BUG_SCOPE_FILE_ANYWAY -DMEMBERS=1
    bug BUG_SCOPE_FILE_FIRST -DMEMBERS=1
    bug BUG_SWEEP_WITHOUT_LOCK -DMEMBERS=1
}

cluster() {
    fails="-DTWO -DFAILS=2"
    cancel="-DTWO -DCANCELS=1"
    odd="-DODDS=1"
    leave="-DLEAVES=1"
    late="-DDEADLINES=1"

    for options in "" "$fails" "$cancel" "$odd" "$leave" "$late"; do
        good "$options"
    done
    [ "$length" != long ] || { good "-DTWO -DFAILS=1 -DCANCELS=1 -DLEAVES=1"; good "-DLEAVES=2"; good "-DCALLS=3"; }
    bug BUG_CANCEL_AFTER_THE_DECISION "$cancel"
    bug BUG_LATER_CALL_DROPPED ""
    bug BUG_LATER_GOODBYE_DROPPED "$leave"
    bug BUG_NODE_DECIDES "$fails"
    bug BUG_NO_FINAL_REPORT ""
    bug BUG_OLD_FAILURE_COUNTS "$fails"
    bug BUG_OLD_REPORT_COUNTS "$late"
    bug BUG_STEAL_AND_LEAVE ""
    bug BUG_STOP_WHO_HAS_COME "$late"
    bug BUG_SUCCEED_WITHOUT_ALL "$odd"
}

cluster_exchange() {
    two="-DFAILS=2"
    three="-DTHREE -DCALLS=1"

    for options in "$two" "$three"; do
        good "$options"
    done
    [ "$length" != long ] || { good "-DFAILS=3 -DCALLS=4"; good "-DTHREE -DCALLS=1 -DFAILS=1"; }
    bug BUG_DECIDED_BEFORE_MERGED "$two"
    bug BUG_END_BEFORE_PARTS "$three"
    bug BUG_FED_WITHOUT_AN_END "$two"
    bug BUG_GO_BEFORE_ALL "$three"
    bug BUG_GO_NOT_WAITED_FOR "$two"
    bug BUG_NODE_DECIDES "$two"
    bug BUG_OLD_END_TAKEN "$two"
    bug BUG_OLD_MERGED_TAKEN "$two"
    bug BUG_OLD_PART_TAKEN "$two"
}

length=${2:-}
case $(basename "$1") in
job.pml) job ;;
queue.pml) queue ;;
wake.pml) wake ;;
failure.pml) failure ;;
deadline.pml) deadline ;;
future.pml) future ;;
result.pml) result ;;
cluster.pml) cluster ;;
cluster_exchange.pml) cluster_exchange ;;
scope.pml) scope ;;
*) echo "there is no model $1"; exit 2 ;;
esac
# Each bug that stands in a model is tried.
names=$(grep -o 'BUG_[A-Z_]*[A-Z]' "$model" | sort -u)
for name in $names; do
    case $tried in
    *" $name "*) ;;
    *) echo "$name: not tried"; failed=1 ;;
    esac
done
exit $failed
