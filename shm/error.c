/* SPDX-License-Identifier: MIT
 *
 * error.c: the calling thread's last error.
 *
 * One record a thread, in thread-local storage, so that nothing here allocates, locks or can fail.
 * A record is replaced as a whole: a message is formatted aside first, because its arguments may
 * point into the record (a caller that wraps the message of the layer below). Messages are one
 * line: control characters in them, which can only come from names and values given by users,
 * become '?'.
 */
#include "shm/error.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NO_ERROR                                                                                   \
    {                                                                                              \
        .worker = -1, .exit_status = -1                                                            \
    }

static _Thread_local weir_error last = NO_ERROR;
static _Thread_local char text[128]; /* what weir_strerror() returns, if it had to be made */

static void keep_one_line(char *message)
{
    for (unsigned char *c = (unsigned char *)message; *c != '\0'; c++)
        if (*c < ' ' || *c == 0x7f)
            *c = '?';
}

__attribute__((format(printf, 2, 0))) static void set_error(int code, const char *format,
                                                            va_list args)
{
    weir_error error = NO_ERROR;
    int saved = errno;

    error.code = code;
    if (vsnprintf(error.message, sizeof error.message, format, args) < 0)
        error.message[0] = '\0';
    keep_one_line(error.message);
    last = error;
    errno = saved;
}

int weir__fail(int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_error(code, format, args);
    va_end(args);
    return code;
}

void *weir__fail_null(int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_error(code, format, args);
    va_end(args);
    return NULL;
}

int weir__check_reserved(const uint64_t *reserved, size_t count, const char *what)
{
    for (size_t i = 0; i < count; i++)
        if (reserved[i] != 0)
            return weir__fail(-EINVAL, "%s.reserved must be zero", what);
    return 0;
}

int weir__fail_with(const weir_error *error)
{
    weir_error copy = *error;

    copy.message[sizeof copy.message - 1] = '\0';
    keep_one_line(copy.message);
    last = copy;
    return copy.code;
}

const weir_error *weir_last_error(void)
{
    return &last;
}

void weir_clear_error(void)
{
    static const weir_error none = NO_ERROR;

    last = none;
}

static const char *text_of_system(int number)
{
#ifdef __GLIBC__
    return strerror_r(number, text, sizeof text); /* the GNU one, which gives the text */
#else
    return strerror(number); /* musl's text is a constant */
#endif
}

const char *weir_strerror(int code)
{
    int saved = errno;
    const char *found = text;

    if (code == 0)
        return "no error";
    if (code == WEIR_EFAILED)
        return "a task reported failure";
    if (code == WEIR_EDIED)
        return "a worker or process died";
    if (code > 0 || code == INT_MIN)
        snprintf(text, sizeof text, "unknown code %d", code);
    else
        found = text_of_system(-code);
    errno = saved;
    return found;
}

#define STRING(x)  #x
#define VERSION(x) STRING(x)

const char *weir_version(void)
{
    return VERSION(WEIR_VERSION_MAJOR) "." VERSION(WEIR_VERSION_MINOR) "." VERSION(
        WEIR_VERSION_PATCH);
}
