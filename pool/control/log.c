/* SPDX-License-Identifier: MIT
 *
 * log.c: lines on stderr, above the bar if there is one.
 *
 * While a bar is on the terminal that is this worker's stderr, one write() clears the bar, writes
 * the lines where it was, and draws it again behind them (control/bar.h). So no line of another
 * process comes in between, whatever the number of workers, and no order among them is needed: each
 * write leaves the bar as the last line. A worker that is killed has written all of it or nothing.
 *
 * The frame may have become old between the look at it and the write; the next one replaces it. If
 * the bar was taken away in that moment, the copy stays as a line of its own.
 */
#include "pool/control/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/control/control.h"
#include "pool/control/put.h"
#include "shm/value.h"

#include "pool/control/no_malloc.h"

#define TEXT_MAX ((size_t)1024) /* of weir__log_format(), with the NUL: so says weir-pool.h */
#define CUT      "..."
#define CLEAR    "\r\033[K"
#define WAIT_MS  1000 /* for a stderr that does not block and is full */

/* All of it, if not at once. */
static int put_all(const char *text, size_t size)
{
    while (size > 0) {
        ssize_t put = weir__put(text, size);

        if (put >= 0) {
            text += put;
            size -= (size_t)put;
        } else if (put == -EAGAIN) {
            struct pollfd output = {.fd = STDERR_FILENO, .events = POLLOUT};

            if (poll(&output, 1, WAIT_MS) == 0)
                return -EAGAIN;
        } else if (put != -EINTR) {
            return (int)put;
        }
    }
    return 0;
}

int weir__log_put(struct weir__control *control, const char *lines, size_t size)
{
    char text[sizeof(CLEAR) + WEIR__LOG_MAX + WEIR__BAR_MAX];
    char frame[WEIR__BAR_MAX];
    size_t frame_size, used = sizeof(CLEAR) - 1;
    uint64_t device = weir__bar_get(&control->bar, frame, &frame_size);
    struct stat stat;

    if (device == 0 || fstat(STDERR_FILENO, &stat) < 0 || !S_ISCHR(stat.st_mode) ||
        stat.st_rdev != device)
        return put_all(lines, size);
    memcpy(text, CLEAR, used);
    memcpy(text + used, lines, size);
    used += size;
    memcpy(text + used, frame, frame_size);
    return put_all(text, used + frame_size);
}

/* Of a text that was cut, its last bytes are replaced. Not within a character of UTF-8. */
static size_t mark_cut(char *text, size_t size)
{
    size -= sizeof(CUT) - 1;
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    memcpy(text + size, CUT, sizeof(CUT) - 1);
    return size + sizeof(CUT) - 1;
}

/* Nothing is left that commands a terminal. It gets no longer. */
static size_t make_harmless(char *text, size_t size)
{
    size_t used = 0, length;

    for (size_t i = 0, step; i < size; i += step) {
        uint32_t code;

        length = weir__utf8_decode(text + i, size - i, &code);
        step = length > 0 ? length : 1;
        if (length > 0 && (code == '\n' || code == '\t' || !weir__is_control(code))) {
            memmove(text + used, text + i, length);
            used += length;
        } else {
            text[used++] = '?';
        }
    }
    return used;
}

int weir__log_format(struct weir__control *control, const char *format, va_list args)
{
    char text[TEXT_MAX + 1];
    int length = vsnprintf(text, TEXT_MAX, format, args);
    size_t size;

    if (length < 0)
        return -EINVAL;
    size = (size_t)length < TEXT_MAX ? (size_t)length : mark_cut(text, TEXT_MAX - 1);
    if (size > 0 && text[size - 1] == '\n')
        size--;
    size = make_harmless(text, size);
    text[size++] = '\n';
    return weir__log_put(control, text, size);
}

int weir__log_line(struct weir__control *control, const char *format, ...)
{
    va_list args;
    int error;

    va_start(args, format);
    error = weir__log_format(control, format, args);
    va_end(args);
    return error;
}
