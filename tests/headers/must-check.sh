# SPDX-License-Identifier: MIT
#
# must-check.sh COMPILER c|c++ ROOT: an overlooked result is a warning, and is none when the program
# says so, by WEIR_NO_MUST_CHECK.

set -eu
compiler=$1 language=$2 root=$3

overlook() {
    printf '%s\n' '#include <weir.h>' \
        'void overlook(weir_pool *pool, weir_list *list, weir_task_fn work);' \
        'void overlook(weir_pool *pool, weir_list *list, weir_task_fn work)' '{' \
        '    weir_pool_for(pool, weir_range_of(1), work, list, NULL);' \
        '    weir_list_set(list, 0, weir_int(1));' \
        '    weir_list_create("a", NULL, 0);' '}' |
        "$compiler" "$@" -Wall -Wextra -Werror -x "$language" -S -o /dev/null -I"$root/shm" \
            -I"$root/manager" -I"$root/pool" - 2>&1 || :
}

warned=$(overlook | grep -c 'error:.*\(unused-result\|warn_unused_result\)' || :)
[ "$warned" = 3 ] || { echo "$warned of 3 overlooked results are warned of"; exit 1; }
said=$(overlook -DWEIR_NO_MUST_CHECK)
[ -z "$said" ] || { echo "$said"; exit 1; }
