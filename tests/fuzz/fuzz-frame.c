/* SPDX-License-Identifier: MIT
 *
 * Frames of the manager's protocol, as they come out of the socket: any packet is an object or
 * refused, and leaves the next one alone.
 */
#include "fuzz.h"

#include <errno.h>
#include <sys/socket.h>

#include "manager/wire/protocol.h"

static int pair[2] = {-1, -1};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *message = NULL;
    int result;

    if (size == 0)
        return 0;
    if (pair[0] < 0)
        HOLD(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair) == 0);
    HOLD(send(pair[0], data, size, 0) == (ssize_t)size);
    result = weir__frame_receive(pair[1], &message);
    HOLD(result == 1 || result == -EBADMSG);
    if (result == 1) {
        HOLD(size <= WEIR__FRAME_MAX && json_is_object(message));
        json_decref(message);
    }
    HOLD(weir__frame_receive(pair[1], &message) == -EAGAIN);

    /* what came out goes in again */
    HOLD(weir__frame_send(pair[0], json_pack("{s:i}", "next", 1)) == 0);
    HOLD(weir__frame_receive(pair[1], &message) == 1);
    HOLD(json_integer_value(json_object_get(message, "next")) == 1);
    json_decref(message);
    return 0;
}

static void seed(const char *folder, const char *name, const char *text)
{
    fuzz_seed(folder, name, text, strlen(text));
}

void fuzz_seeds(const char *folder)
{
    char deep[64];

    seed(folder, "end", "{\"end\":true}");
    seed(folder, "ready", "{\"ready\":true,\"pid\":4711,\"version\":\"0.1.0\"}");
    seed(folder, "ended",
         "{\"ended\":true,\"unlinked\":3,\"gone\":0,\"complete\":true,\"error\":0,"
         "\"message\":\"\\u00e9 \\\\ \\\"\"}");
    seed(folder, "array", "[1, 2.5e10, null, false]");
    memset(deep, '[', 32);
    memset(deep + 32, ']', 32);
    fuzz_seed(folder, "deep", deep, sizeof deep);
}
