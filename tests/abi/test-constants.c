/* SPDX-License-Identifier: MIT
 *
 * test-constants.c: the macros that programs which are compiled already have in them. Checked by
 * the compiler; running it tells that the library in use agrees with the headers about the version.
 * Types and functions stand in weir.abi (baseline.sh).
 */
#include <weir.h>

#include <stdio.h>
#include <string.h>

_Static_assert(WEIR_ARRAY_LAZY == 1 && WEIR_ARRAY_NPY == 2 && WEIR_ARRAY_HUGE == 4 &&
                   WEIR_ARRAY_NDIM_MAX == 16 && WEIR_SLICE_END == INT64_MIN &&
                   WEIR_JSON_MAX == 4096,
               "the arrays' flags and limits");
_Static_assert(WEIR_DICT_KEY_MAX == 65535 && WEIR_DICT_VALUE_MAX == 134217727 &&
                   WEIR_SCOPE_NAME_MAX == 128,
               "the dictionaries' and names' limits");
_Static_assert(WEIR_EFAILED == -20001 && WEIR_EDIED == -20002, "the error codes");
_Static_assert(WEIR_SHM_LAZY == 1 && WEIR_ERROR_MESSAGE_SIZE == 768, "flags and sizes");

int main(void)
{
    char wanted[32];

    snprintf(wanted, sizeof wanted, "%d.%d.%d", WEIR_VERSION_MAJOR, WEIR_VERSION_MINOR,
             WEIR_VERSION_PATCH);
    if (strcmp(wanted, weir_version()) != 0) {
        printf("the headers are %s, the library is %s\n", wanted, weir_version());
        return 1;
    }
    return 0;
}
