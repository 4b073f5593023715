/* SPDX-License-Identifier: MIT
 *
 * repr.h: values as Python's repr() writes them.
 */
#ifndef WEIR_TOOL_REPR_H
#define WEIR_TOOL_REPR_H

#include <stdio.h>
#include <weir.h>

void tool_repr_float(FILE *out, double value);
void tool_repr_bytes(FILE *out, const char *bytes, size_t size);
/* What is not UTF-8 becomes \xNN, and what would command a terminal, too. */
void tool_repr_str(FILE *out, const char *text, size_t size);
void tool_repr(FILE *out, const weir_value *value);

#endif
