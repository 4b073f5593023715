# SPDX-License-Identifier: MIT
#
# coverage.sh COMPILER LIBRARY ROOT: gcov counts what workers and processes execute, each line as
# often as it was executed.

set -eu
compiler=$1 library=$(realpath "$2") root=$(realpath "$3")

for tool in "$compiler" gcov; do
    command -v "$tool" >/dev/null || { echo "skipped: there is no $tool"; exit 77; }
done
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cp "$root/tests/pool/coverage.c" .
"$compiler" --coverage -O0 -std=gnu11 -c coverage.c -I"$root/shm" -I"$root/manager" -I"$root/pool"
"$compiler" --coverage -Wl,-u,__gcov_dump,-u,__gcov_reset coverage.o -o coverage "$library" \
    -Wl,-rpath,"$(dirname "$library")"
./coverage
gcov coverage.c >gcov.out 2>&1 || { cat gcov.out; echo "skipped: gcov is not of $compiler"; exit 77; }
# "     1000:   16:        *sum += i; /* counted 1000 */"
awk -F: '/\/\* counted [0-9]+ \*\// {
    line = $0; sub(/.*counted /, "", line); sub(/ .*/, "", line); gsub(/[ *]/, "", $1)
    found++
    if ($1 != line) { print "counted " $1 ":" $0; wrong = 1 }
} END { if (found != 5) print found " lines"; exit wrong || found != 5 }' coverage.c.gcov
