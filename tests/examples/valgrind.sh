# SPDX-License-Identifier: MIT
#
# valgrind.sh PROGRAM: runs the example "mean" under valgrind, without processes: no errors, no leaks, and the same
# output as with processes.

set -eu

if ! command -v valgrind >/dev/null; then
    echo 'skipped: valgrind is not installed'
    exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/weir-valgrind.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

"$1" 1003 2 >"$work/expected"
WEIR_WORKERS=0 valgrind --quiet --error-exitcode=9 --leak-check=full "$1" 1003 2 >"$work/out" 2>"$work/err" || {
    echo "mean under valgrind: status $?"
    cat "$work/err"
    exit 1
}
cmp "$work/out" "$work/expected"
