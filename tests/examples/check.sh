# SPDX-License-Identifier: MIT
#
# check.sh EXAMPLE PROGRAM: runs an example and compares its output with what other means find.

set -eu
what=$1 program=$(realpath "$2")
root=$(cd "$(dirname "$0")/../.." && pwd)

. "$root/tests/support/checks.sh"
export LC_ALL=C
cd "$work"

# refused STATUS PATTERN ARGUMENT...: the program ends with this status, says why on stderr, prints nothing
refused() {
    wanted=$1 pattern=$2
    shift 2
    status=0
    "$program" "$@" >out 2>err || status=$?
    [ $status = "$wanted" ] || fail "status $status, not $wanted, for: $* ($(cat err))"
    grep -q "$pattern" err || fail "no '$pattern' in: $(cat err)"
    [ ! -s out ] || fail "prints results all the same for: $*"
}

count_by_hand() {
    tr -cs 'A-Za-z0-9\200-\377' '\n' | sed '/^$/d' | sort | uniq -c | sort -k1,1nr -k2
}

same_counts() {
    count_by_hand <"$1" >expected
    for workers in 1 2 3; do
        "$program" "$1" 2000000000 $workers >counted || fail "$1: status $?"
        cmp counted expected || fail "$1: $(diff counted expected | head)"
    done
}

# 0, 1, ..., n-1 have the mean (n-1)/2 and the variance (n^2-1)/12.
near_moments() {
    awk -v n="$1" '
        function near(a, b) { return a - b <= 1e-12 * b && b - a <= 1e-12 * b }
        $1 == "count" && $2 == n { good++ }
        $1 == "mean" && near($2, (n - 1) / 2) { good++ }
        $1 == "variance" && near($2, (n * n - 1) / 12) { good++ }
        END { exit good != 3 }' expected || fail "$1: $(cat expected)"
}

case $what in
do_work)
    "$program" >out || fail "status $?"
    printf 'two processes: 2664667000\na pool of two: 2664667000\n' | cmp - out || fail "$(cat out)"
    ;;
mean)
    for count in 1 2 63 64 65 1000 1000003; do
        "$program" $count 1 >expected || fail "status $?"
        for workers in 2 5; do
            "$program" $count $workers | cmp - expected || fail "$count: $workers workers differ from one"
        done
        near_moments $count
    done
    refused 2 usage 0
    refused 2 usage 10x
    refused 2 usage 10 0
    refused 2 usage 10 2 3
    refused 1 'mean: .' 1099511627776
    ;;
mean_cluster)
    # As mean. Without a launcher it is one node; tests/mpi has the others.
    ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 # MPI's own
    export ASAN_OPTIONS
    for count in 1 4095 1000003; do
        WEIR_WORKERS=1 "$program" $count >expected || fail "status $?"
        for workers in 0 5; do
            WEIR_WORKERS=$workers "$program" $count | cmp - expected || fail "$count: $workers workers differ from one"
        done
        near_moments $count
    done
    refused 2 usage 0
    refused 2 usage 10 2
    refused 1 'mean_cluster: .' 1099511627776
    ;;
array)
    # 0, 1, ..., 999999; NumPy doubles them, where it is installed.
    "$program" >out || fail "status $?"
    echo 'sum 499999500000' | cmp - out || fail "$(cat out)"
    if /usr/bin/python3 -c 'import numpy' 2>/dev/null; then
        "$program" /usr/bin/python3 "$root/examples/array.py" >out || fail "status $?"
        printf 'NumPy sees (1000, 1000) float64 with a mean of 499999.5\nsum 999999000000\n' |
            cmp - out || fail "$(cat out)"
    else
        echo 'without NumPy, for it is not installed'
    fi
    refused 1 'cannot run' /no/such/program
    refused 1 'false failed' false
    ;;
pi)
    for steps in 1 100 1000003; do
        "$program" $steps 1 >expected 2>err || fail "status $?"
        [ ! -s err ] || fail "writes to stderr: $(cat err)"
        for workers in 2 5; do
            "$program" $steps $workers | cmp - expected || fail "$steps steps: $workers workers differ from one"
        done
    done
    grep -q '^3\.141592653589' expected || fail "$(cat expected)"
    refused 2 usage 0
    refused 2 usage 10 x
    ;;
kmeans)
    "$program" 200000 1 >expected || fail "status $?"
    for workers in 2 5; do
        "$program" 200000 $workers | cmp - expected || fail "$workers workers differ from one"
    done
    # the clouds are around (0, 0), (10, 10), (20, 0), ...
    awk '
        function near(a, b) { return a - b < 0.1 && b - a < 0.1 }
        NR == 1 && $1 > 2 && $1 < 100 && $2 == "rounds" { good++ }
        NR > 1 && near($1, (NR - 2) * 10) && near($2, (NR - 2) % 2 * 10) { good++ }
        END { exit good != 9 || NR != 9 }' expected || fail "$(cat expected)"
    "$program" 8 >out || fail "status $? for eight points"
    refused 2 usage 7
    refused 2 usage 10 0
    ;;
kmeans_cluster)
    # What kmeans prints. Without a launcher it is one node; tests/mpi has the others.
    ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 # MPI's own
    export ASAN_OPTIONS
    for count in 8 200000; do
        "${program%_cluster}" $count 2 >expected || fail "kmeans: status $?"
        for workers in 0 1 5; do
            WEIR_WORKERS=$workers "$program" $count | cmp - expected || fail "$count points, $workers workers: not as kmeans"
        done
    done
    refused 2 usage 7
    refused 2 usage 10 2
    refused 1 'kmeans_cluster: .' 68719476736
    ;;
linear_regression)
    for count in 2 3 1000 1000003; do
        "$program" $count 1 >expected || fail "status $?"
        for workers in 2 5; do
            "$program" $count $workers | cmp - expected || fail "$count: $workers workers differ from one"
        done
    done
    awk '
        function near(a, b) { return a - b < 0.01 && b - a < 0.01 }
        $1 == "slope" && near($2, -0.5) { good++ }
        $1 == "intercept" && near($2, 3) { good++ }
        $1 == "r" && near($3, 0.998) { good++ }
        END { exit good != 3 }' expected || fail "$(cat expected)"
    refused 2 usage 1
    refused 1 'linear_regression: .' 1099511627776
    ;;
matrix_multiply)
    # the program compares by itself; here with the product done another way
    for size in 1 7 8 129 200; do
        sum=$(awk -v n=$size 'BEGIN {
            for (i = 0; i < n; i++)
                for (j = 0; j < n; j++)
                    for (k = 0; k < n; k++)
                        sum += (i + 2 * k) % 7 * ((3 * k + j) % 5 - 2)
            printf "%.0f", sum }')
        for workers in 1 3; do
            "$program" $size $workers >out || fail "status $? for $size"
            [ "$(cat out)" = "sum $sum, expected $sum" ] || fail "$size: $(cat out), but it is $sum"
        done
    done
    refused 2 usage 0
    refused 1 'matrix_multiply: .' 65536
    ;;
mandelbrot)
    for columns in 5 24; do
        "$program" $columns 1 >expected || fail "status $?"
        for workers in 2 5; do
            "$program" $columns $workers | cmp - expected || fail "$columns: $workers workers differ from one"
        done
        # here each point is computed another way
        area=$(awk -v columns=$columns 'BEGIN {
            across = columns * 4; down = int(columns * 2 / 5) * 8
            for (row = 0; row < down; row++) {
                cy = 1.2 - (row + 0.5) * 2.4 / down
                for (column = 0; column < across; column++) {
                    cx = -2.2 + (column + 0.5) * 3 / across
                    x = y = 0
                    for (steps = 0; steps < 1000 && x * x + y * y <= 4; steps++) {
                        next_x = x * x - y * y + cx
                        y = 2 * x * y + cy
                        x = next_x
                    }
                    inside += steps == 1000
                }
            }
            printf "%.6f", inside * 3 * 2.4 / (across * down) }')
        # a point on the border may round otherwise
        tail -n 1 expected | awk -v area="$area" '$1 != "area" || $2 - area > 0.05 || area - $2 > 0.05 { exit 1 }' ||
            fail "$columns: $(tail -n 1 expected), but it is $area"
        [ "$(sed '$d' expected | wc -l)" = $((columns * 2 / 5)) ] || fail "$(cat expected)"
    done
    refused 2 usage 4
    refused 2 usage 10 -1
    refused 1 'mandelbrot: .' 10 2000
    ;;
checksums)
    find /usr/include -maxdepth 1 -name '*.h' | sort >names
    : >'a name with spaces'
    head -c 300000 /dev/urandom >random
    printf '%s\n' 'a name with spaces' random >>names
    xargs -d '\n' cksum <names >expected
    "$program" <names | cmp - expected || fail 'cksum finds other sums'
    sort expected >sorted
    "$program" -u <names | sort | cmp - sorted || fail 'cksum finds other sums'
    "$program" </dev/null >out || fail "status $? for no name"
    [ ! -s out ] || fail "$(cat out)"
    printf '/no/such/file\nrandom\n/\n' | "$program" >out 2>err && fail 'no error for a file that is not there'
    cksum random | cmp - out || fail "not the one file that is there: $(cat out)"
    grep -q '/no/such/file: No such file' err && grep -q '/: Is a directory' err || fail "$(cat err)"
    refused 2 usage x
    ;;
factors)
    { seq 1 300; seq 1000000007 1000000037; echo 4294967296; echo 18446744073709551615; } >numbers
    factor <numbers | sort >expected
    "$program" <numbers | sort | cmp - expected || fail 'factor finds other factors'
    # an answer comes while the next number is awaited
    mkfifo line answer
    "$program" <line >answer &
    pid=$!
    exec 3>line 4<answer
    echo 91 >&3
    read -r answered <&4
    [ "$answered" = '91: 7 13' ] || fail "$answered"
    echo 'no number' >&3
    exec 3>&-
    wait $pid || fail "status $?"
    ;;
race)
    for workers in 1 2 5; do
        "$program" 20 $workers >out || fail "status $?"
        echo '573548 has the hash 0000070ec8a9db7d' | cmp - out || fail "$(cat out)"
    done
    # Ctrl-C, at any moment
    for delay in 0.05 0.2 0.5; do
        "$program" 40 >out 2>err &
        pid=$!
        # a shell's background job ignores it until the program has its handler
        (sleep $delay && while kill -INT $pid; do sleep 0.2; done) 2>/dev/null &
        wait $pid && fail 'it ends well after Ctrl-C' || status=$?
        [ "$status" = 1 ] && grep -q cancelled err || fail "status $status: $(cat err)"
    done
    refused 2 usage 41
    ;;
at_once)
    for count in 1 2 1000 1000003; do
        "$program" $count 1 >expected 2>err || fail "status $?"
        [ ! -s err ] || fail "writes to stderr: $(cat err)"
        for workers in 2 5; do
            "$program" $count $workers | cmp - expected || fail "$count: $workers workers differ from one"
        done
        awk -v n=$count '
            $1 ~ /^[0-9]+$/ { all += $2; sum += $1 * $2 }
            $1 == "mean" { mean = $2 }
            $1 == "first" { first = $2 }
            END { exit all != n || mean < sum / n - 1e-6 || mean > sum / n + 1e-6 || length(first) != (n < 40 ? n : 40) }
        ' expected || fail "$count: $(cat expected)"
    done
    refused 2 usage 0
    ;;
uv_host)
    "$program" >out || fail "status $?"
    printf '148933 primes below 2000000\nthe loop was free meanwhile\n' | cmp - out || fail "$(cat out)"
    ;;
connect)
    mkfifo line
    "$program" host "$work/door" <line >out &
    host=$!
    exec 3>line
    for _ in $(seq 100); do
        [ ! -S door ] || break
        sleep 0.1
    done
    "$program" put "$work/door" 3 14 15 >put.out || fail "put: status $?"
    grep -q '^left 3 numbers in weir-' put.out || fail "$(cat put.out)"
    block=/dev/shm/$(sed 's/.* in //' put.out)
    [ -f "$block" ] || fail 'the list is gone with the program that made it'
    echo >&3
    wait $host || fail "host: status $?"
    grep -q '^process [0-9]* left 3 14 15$' out || fail "$(cat out)"
    [ ! -e "$block" ] && [ ! -e door ] || fail 'something outlived the scope'
    refused 2 usage
    refused 1 'no manager listens' put "$work/door" 1
    # with a key, where weir has keys
    CONNECT_KEY=secret "$program" host "$work/door" </dev/null >out 2>err && status=0 || status=$?
    if grep -q libsodium err; then
        echo "without a key: $(cat err)"
        exit 0
    fi
    [ $status = 0 ] || fail "host with a key: status $status: $(cat err)"
    CONNECT_KEY=secret "$program" host "$work/door" <line >heard &
    host=$!
    exec 3>line
    for _ in $(seq 100); do
        [ ! -S door ] || break
        sleep 0.1
    done
    CONNECT_KEY=secret "$program" put "$work/door" 92 65 >put.out || fail "put with the key: status $?"
    CONNECT_KEY=guessed refused 1 'key' put "$work/door" 1
    refused 1 'key' put "$work/door" 1
    echo >&3
    wait $host || fail "host: status $?"
    grep -q '^process [0-9]* left 92 65$' heard || fail "$(cat heard)"
    ;;
word_count_cluster)
    # As word_count. Without a launcher it is one node; tests/mpi has the others.
    ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 # MPI's own
    export ASAN_OPTIONS
    cat /usr/include/*.h | head -c 1000000 >text
    seq 1 5000 >numbers
    : >empty
    for file in text numbers empty; do
        count_by_hand <$file >expected
        for workers in 0 1 3; do
            WEIR_WORKERS=$workers "$program" $file 2000000000 >counted || fail "$file: status $?"
            cmp counted expected || fail "$file: $(diff counted expected | head)"
        done
    done
    count_by_hand <text | head -n 10 >expected
    "$program" text | cmp - expected || fail 'not the top ten'
    refused 2 usage
    refused 2 usage text -1
    refused 1 'No such file' missing
    ;;
word_count)
    cat /usr/include/*.h | head -c 1000000 >text
    same_counts text
    "$program" text | cmp - "$(head -n 10 expected >ten && echo ten)" || fail 'not the top ten'
    printf 'word' >one
    same_counts one
    head -c 100000 /dev/zero | tr '\0' a >long # one word over all chunks
    same_counts long
    seq 1 5000 >numbers
    same_counts numbers
    yes ', .;' | head -n 5000 >marks # no word at all
    same_counts marks
    : >empty
    same_counts empty
    refused 2 usage
    refused 2 usage text -1
    refused 2 usage text 10 100000
    refused 1 'No such file' missing
    refused 1 'a directory' .
    refused 1 'may have no end' /dev/zero
    ;;
histogram)
    cat /usr/include/*.h | head -c 1000000 >text
    printf 'aab\377' >"tail"
    : >empty
    "$program" text empty tail >out || fail "status $?"
    cat text tail | od -An -v -tx1 -w1 | sort | uniq -c | awk '{ print $2, $1 }' >expected
    awk '{ print $1, substr($0, 6, 10) + 0 }' out | cmp - expected || fail "$(cat out)"
    "$program" empty >out || fail "status $?"
    [ ! -s out ] || fail "$(cat out)"
    refused 2 usage
    refused 1 'No such file' missing
    ;;
grep)
    cat /usr/include/*.h | head -c 1000000 >text
    printf 'int\n\nno newline, but int' >"tail"
    : >empty
    for string in int '#define' '};' ' ' typedefx; do
        status=0 wanted=0
        "$program" "$string" text empty tail text >out || status=$?
        grep -aF -e "$string" text empty tail text >expected || wanted=$?
        [ $status = $wanted ] || fail "status $status, not $wanted, for $string"
        cmp out expected || fail "$string: $(diff out expected | head)"
    done
    refused 2 usage x
    refused 2 'No such file' x text missing
    ;;
pid_lines)
    for count in 1 2 20 100; do
        "$program" $count >out || fail "status $?"
        # one is killed before it records its line, and all have counted to a thousand
        printf '%d lines, counted to %d\n' $((count - 1)) $((count * 1000)) >expected
        tail -n 1 out | cmp - expected || fail "$(tail -n 1 out)"
        [ "$(sed '$d' out | wc -l)" = $((count - 1)) ] || fail "$count: $(cat out)"
        sed '$d' out | sed 's/.*process \([0-9]*\) of.*/\1/' | sort -n >numbers
        seq 1 $((count - 1)) | cmp - numbers || fail "$count: not each process once"
        sed '$d' out | sort -c -n || fail "$count: not in the order of the pids"
    done
    refused 2 usage 0
    refused 2 usage 1001
    refused 2 usage 1 2
    ;;
esac
