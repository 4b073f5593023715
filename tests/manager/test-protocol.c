/* SPDX-License-Identifier: MIT
 *
 * The manager's frames: what is refused, and that what follows is still understood.
 */
#include "leak.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager/wire/protocol.h"

static int sockets[2];

static int open_sockets(void **state)
{
    if (leak_setup(state))
        return -1;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets);
}

static int close_sockets(void **state)
{
    close(sockets[0]);
    if (sockets[1] >= 0)
        close(sockets[1]);
    return leak_teardown(state);
}

static void put(const char *text, size_t size)
{
    assert_int_equal(send(sockets[1], text, size, MSG_NOSIGNAL), size);
}

static void assert_refused(const char *text, size_t size)
{
    json_t *message = NULL;

    put(text, size);
    assert_int_equal(weir__frame_receive(sockets[0], &message), -EBADMSG);
    assert_null(message);
    put("{\"next\":1}", 10); /* a refused frame takes nothing of the next one with it */
    assert_int_equal(weir__frame_receive(sockets[0], &message), 1);
    assert_int_equal(json_integer_value(json_object_get(message, "next")), 1);
    json_decref(message);
}

static void message_arrives__when_sent(void **state)
{
    json_t *message = NULL;

    (void)state;
    assert_int_equal(weir__frame_send(sockets[1], json_pack("{s:b, s:s}", "end", 1, "x", "{[")), 0);
    assert_int_equal(weir__frame_receive(sockets[0], &message), 1);
    assert_true(json_is_true(json_object_get(message, "end")));
    assert_string_equal(json_string_value(json_object_get(message, "x")), "{[");
    json_decref(message);
    assert_int_equal(weir__frame_receive(sockets[0], &message), -EAGAIN);
}

static void frame_is_refused__when_it_is_no_object(void **state)
{
    const char *const frames[] = {"[1]",
                                  "\"end\"",
                                  "1",
                                  "null",
                                  "{",
                                  "{}}",
                                  "\xff\xfe",
                                  "{\"a\":1,\"a\":2}",
                                  "{\"a\":1} {\"b\":2}",
                                  "{\"a\":\"\xc0\x80\"}",
                                  "{\"a\":1e999}"};

    (void)state;
    for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++)
        assert_refused(frames[i], strlen(frames[i]));
    assert_refused("\0\0\0", 3);
    assert_refused("{}\0", 3);
}

static void frame_is_refused__when_it_nests_too_deeply(void **state)
{
    const char *quoted = "{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[\"}";
    char text[200] = "";
    json_t *message = NULL;

    (void)state;
    for (int depth = WEIR__FRAME_DEPTH; depth <= WEIR__FRAME_DEPTH + 1; depth++) {
        int n = 0;

        n += sprintf(text + n, "{\"a\":");
        for (int i = 1; i < depth; i++)
            text[n++] = '[';
        for (int i = 1; i < depth; i++)
            text[n++] = ']';
        text[n++] = '}';
        if (depth > WEIR__FRAME_DEPTH) {
            assert_refused(text, (size_t)n);
        } else {
            put(text, (size_t)n);
            assert_int_equal(weir__frame_receive(sockets[0], &message), 1);
            json_decref(message);
        }
    }
    /* Brackets in strings are no nesting. */
    put(quoted, strlen(quoted));
    assert_int_equal(weir__frame_receive(sockets[0], &message), 1);
    json_decref(message);
}

static void frame_is_refused__when_it_is_too_long(void **state)
{
    char *text = malloc(2 * WEIR__FRAME_MAX);
    json_t *message = NULL;

    (void)state;
    assert_non_null(text);
    memset(text, ' ', 2 * WEIR__FRAME_MAX);
    memcpy(text, "{}", 2);
    assert_refused(text, WEIR__FRAME_MAX + 1);
    put(text, WEIR__FRAME_MAX);
    assert_int_equal(weir__frame_receive(sockets[0], &message), 1);
    json_decref(message);
    memset(text, 'x', 2 * WEIR__FRAME_MAX);
    assert_int_equal(weir__frame_send(sockets[1], json_pack("{s:s#}", "a", text, WEIR__FRAME_MAX)),
                     -EMSGSIZE);
    free(text);
}

static void end_is_told__when_the_other_side_is_gone(void **state)
{
    json_t *message = NULL;

    (void)state;
    put("{\"last\":1}", 10);
    close(sockets[1]);
    sockets[1] = -1;
    assert_int_equal(weir__frame_receive(sockets[0], &message), 1);
    json_decref(message);
    assert_int_equal(weir__frame_receive(sockets[0], &message), 0);
    assert_int_equal(weir__frame_send(sockets[0], json_pack("{}")), -EPIPE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_sockets, close_sockets)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(message_arrives__when_sent),
        TEST(frame_is_refused__when_it_is_no_object),
        TEST(frame_is_refused__when_it_nests_too_deeply),
        TEST(frame_is_refused__when_it_is_too_long),
        TEST(end_is_told__when_the_other_side_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
