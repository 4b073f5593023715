# SPDX-License-Identifier: MIT
#
# check.sh COMPILER c|c++ HEADER ROOT: compiles a file that includes nothing but the header, twice. As C
# also with the strictest standard, where _GNU_SOURCE's and GNU C's additions are not there.

set -eu
compiler=$1 language=$2 name=${3##*/} root=$4

check() {
    printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$name" "$name" |
        "$compiler" "$@" -Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only -x "$language" \
            -I"$root/shm" -I"$root/manager" -I"$root/pool" -I"$root/pool/mpi" -
}

if [ "$language" = c ]; then
    check -std=c11 -Wstrict-prototypes
    check -std=c11 -D_POSIX_C_SOURCE=200809L
    check -std=gnu17
else
    check -std=c++17
    check -std=gnu++20
fi

# Its functions have C linkage for C++.
! grep -q WEIR_API "$3" || grep -q '^extern "C" {$' "$3"
head -n 1 "$3" | grep -q 'SPDX-License-Identifier: MIT'
