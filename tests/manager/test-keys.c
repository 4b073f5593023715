/* SPDX-License-Identifier: MIT
 *
 * A scope with a key: only a client that has it is let in, and only a server that has it is
 * believed.
 */
#include "leak.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "listening.h"
#include "manager/host/state.h"
#include "manager/wire/auth.h"
#include "manager/wire/protocol.h"
#include "shm/clock.h"

/* ---- keys ----------------------------------------------------------------------------------- */

static void key_is_refused__when_it_makes_no_sense(void **state)
{
    char key[WEIR__AUTH_KEY_MAX + 1] = "secret";
    weir_scope *outside;

    (void)state;
    if (!weir__auth_available()) {
        assert_null(weir_scope_begin(
            &(weir_scope_options){.address = address, .authkey = "k", .authkey_size = 1}));
        assert_int_equal(weir_last_error()->code, -ENOTSUP);
        assert_null(weir_scope_connect(address, "k", 1));
        assert_int_equal(weir_last_error()->code, -ENOTSUP);
        return;
    }
    assert_null(weir_scope_begin(&(weir_scope_options){.authkey = "k", .authkey_size = 1}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_begin(&(weir_scope_options){.address = address, .authkey = key}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_begin(&(weir_scope_options){.address = address, .authkey_size = 3}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_scope_begin(
        &(weir_scope_options){.address = address, .authkey = key, .authkey_size = sizeof(key)}));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    scope = weir_scope_begin(
        &(weir_scope_options){.address = address, .authkey = key, .authkey_size = sizeof(key) - 1});
    assert_non_null(scope);
    outside = weir_scope_connect(address, key, sizeof(key) - 1);
    assert_non_null(outside);
    weir_scope_disconnect(outside);
}

#define KEY "a key, with\0a NUL"

static int open_locked_door(void **state)
{
    if (make_folder(state))
        return -1;
    if (weir__auth_available())
        scope = weir_scope_begin(
            &(weir_scope_options){.address = address, .authkey = KEY, .authkey_size = sizeof(KEY)});
    return !weir__auth_available() || scope ? 0 : -1;
}

#define NEEDS_KEYS                                                                                 \
    if (!weir__auth_available())                                                                   \
    skip()

static void only_the_right_key_is_let_in__when_there_is_one(void **state)
{
    weir_scope *outside;

    (void)state;
    NEEDS_KEYS;
    outside = weir_scope_connect(address, KEY, sizeof(KEY));
    assert_non_null(outside);
    assert_int_equal(weir_scope_blocks(outside, NULL, 0), 0);
    weir_scope_disconnect(outside);
    for (size_t size = 1; size < sizeof(KEY); size++) {
        assert_null(weir_scope_connect(address, KEY, size));
        assert_int_equal(weir_last_error()->code, -EACCES);
    }
    assert_null(weir_scope_connect(address, "a key, with\0a nul", sizeof(KEY)));
    assert_int_equal(weir_last_error()->code, -EACCES);
    assert_null(weir_scope_connect(address, NULL, 0));
    assert_int_equal(weir_last_error()->code, -EACCES);
}

static void client_with_a_key_is_refused__when_the_scope_has_none(void **state)
{
    (void)state;
    NEEDS_KEYS;
    assert_null(weir_scope_connect(address, KEY, sizeof(KEY)));
    assert_int_equal(weir_last_error()->code, -EACCES);
}

/* ---- the challenge -------------------------------------------------------------------------- */

static char *field(json_t *message, const char *key, char text[80])
{
    const char *value = json_string_value(json_object_get(message, key));

    snprintf(text, 80, "%s", value ? value : "");
    json_decref(message);
    return text;
}

static char *signed_hello(const char *nonce_of_server, const char *nonce, enum weir__auth_role role,
                          char frame[300])
{
    struct weir__auth_key key = {.size = sizeof(KEY)};
    struct weir__auth_session session = {.scope = scope->id};
    unsigned char mac[WEIR__MAC_SIZE];
    char text[WEIR__HEX(WEIR__MAC_SIZE)];

    memcpy(key.bytes, KEY, sizeof(KEY));
    assert_true(weir__hex_read(session.server_nonce, WEIR__NONCE_SIZE, nonce_of_server));
    assert_true(weir__hex_read(session.client_nonce, WEIR__NONCE_SIZE, nonce));
    weir__auth_prove(mac, &key, &session, role);
    weir__hex_write(text, mac, sizeof(mac));
    snprintf(frame, 300, "{\"hello\":1,\"nonce\":\"%s\",\"mac\":\"%s\"}", nonce, text);
    return frame;
}

static void proof_is_refused__when_it_is_replayed_or_of_another_role(void **state)
{
    static const char nonce[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    char hello[300], other[300], first[80], second[80], mac[80];
    json_t *reply;
    int fd, again;

    (void)state;
    NEEDS_KEYS;
    fd = dial();
    field(hear(fd), "nonce", first);
    reply = say(fd, signed_hello(first, nonce, WEIR__AUTH_CLIENT, hello));
    assert_int_equal(json_integer_value(json_object_get(reply, "welcome")), 1);
    field(reply, "mac", mac);
    assert_int_equal(strlen(mac), 64);
    assert_int_equal(verdict(say(fd, "{\"list\":{\"from\":0}}")), 0);

    /* The recorded session, word by word. */
    again = dial();
    field(hear(again), "nonce", second);
    assert_string_not_equal(first, second);
    assert_int_equal(verdict(say(again, hello)), -EACCES);
    assert_true(is_closed(again));
    close(again);

    /* The manager's own proof, sent back to it. */
    again = dial();
    field(hear(again), "nonce", second);
    snprintf(hello, sizeof(hello), "{\"hello\":1,\"nonce\":\"%s\",\"mac\":\"%s\"}", nonce, mac);
    assert_int_equal(verdict(say(again, hello)), -EACCES);
    close(again);

    /* The right key, in the wrong role. */
    again = dial();
    field(hear(again), "nonce", second);
    signed_hello(second, nonce, WEIR__AUTH_SERVER, other);
    assert_int_equal(verdict(say(again, other)), -EACCES);
    close(again);

    /* A second try on the same connection, though it would be right. */
    again = dial();
    field(hear(again), "nonce", second);
    assert_int_equal(verdict(say(again, hello)), -EACCES);
    assert_int_equal(verdict(say(again, signed_hello(second, nonce, WEIR__AUTH_CLIENT, other))), 1);
    close(again);
    assert_int_equal(verdict(say(fd, "{\"list\":{\"from\":0}}")), 0);
    close(fd);
}

static void proof_is_refused__when_any_byte_of_it_is_changed(void **state)
{
    static const char nonce[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    char hello[300], first[80];
    weir_scope *outside;
    int refused = 0;

    (void)state;
    NEEDS_KEYS;
    for (size_t at = 0; at == 0 || at < strlen(hello); at++) {
        for (int bit = 1; bit < 256; bit <<= 1) {
            int fd = dial();
            char before;

            field(hear(fd), "nonce", first);
            signed_hello(first, nonce, WEIR__AUTH_CLIENT, hello);
            before = hello[at];
            hello[at] = (char)(before ^ bit);
            if (bit == 0x20 && strchr("abcdef", before) && at > strlen("{\"hello\":1,\"nonce\":")) {
                close(fd); /* the same number, in other letters */
                continue;
            }
            if (verdict(say(fd, hello)) == 0)
                fail_msg("byte %zu, bit %x: let in with %s", at, (unsigned)bit, hello);
            close(fd);
            refused++;
            hello[at] = before;
        }
    }
    assert_true(refused > 1000);
    /* A program that knows the key is still let in. */
    outside = weir_scope_connect(address, KEY, sizeof(KEY));
    assert_non_null(outside);
    weir_scope_disconnect(outside);
}

#define LATE 3

/* A server without the key, which sends back what it gets; or one that greets late, and then says
 * no more. */
static void impostor(int listener, int how)
{
    int fd = accept(listener, NULL, NULL);
    json_t *hello;

    if (how == LATE)
        usleep(2500000);
    weir__frame_send(fd, json_pack("{s:i, s:s, s:s, s:s, s:s}", "weir", 1, "version", "0.1.0",
                                   "scope", "0123456789abcdef", "auth",
                                   how == 2 ? "none" : "hmac-sha256", "nonce",
                                   "00112233445566778899aabbccddeeff"
                                   "00112233445566778899aabbccddeeff"));
    hello = hear(fd);
    if (how == LATE)
        pause();
    if (how == 0)
        weir__frame_send(
            fd, json_pack("{s:i, s:O}", "welcome", 1, "mac", json_object_get(hello, "mac")));
    else
        weir__frame_send(fd, json_pack("{s:i}", "welcome", 1));
    pause();
}

/* weir_scope_connect()'s error with one of them. */
static int connect_to_impostor(int how)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), status;
    pid_t pid;

    strcpy(name.sun_path, address);
    assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(listener, 1), 0);
    pid = fork();
    if (pid == 0) {
        settle_child();
        impostor(listener, how);
    }
    close(listener);
    assert_null(weir_scope_connect(address, KEY, sizeof(KEY)));
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    assert_int_equal(unlink(address), 0);
    return weir_last_error()->code;
}

static void server_is_refused__when_it_does_not_know_the_key(void **state)
{
    (void)state;
    NEEDS_KEYS;
    for (int how = 0; how < LATE; how++)
        assert_int_equal(connect_to_impostor(how), -EACCES);
}

static void connecting_takes_4_s_in_all__when_the_server_answers_late_and_then_no_more(void **state)
{
    int64_t start = weir__now_ms(), took;

    (void)state;
    NEEDS_KEYS;
    assert_int_equal(connect_to_impostor(LATE), -ETIMEDOUT);
    assert_non_null(strstr(weir_last_error()->message, "within 4000 ms"));
    took = weir__now_ms() - start;
    if (took < 4000 || took > 6000)
        fail_msg("gave up after %d ms", (int)took);
}

#define LOCKED(name) cmocka_unit_test_setup_teardown(name, open_locked_door, close_door)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAIN(key_is_refused__when_it_makes_no_sense),
        LOCKED(only_the_right_key_is_let_in__when_there_is_one),
        OPEN(client_with_a_key_is_refused__when_the_scope_has_none),
        LOCKED(proof_is_refused__when_it_is_replayed_or_of_another_role),
        LOCKED(proof_is_refused__when_any_byte_of_it_is_changed),
        PLAIN(server_is_refused__when_it_does_not_know_the_key),
        PLAIN(connecting_takes_4_s_in_all__when_the_server_answers_late_and_then_no_more),
    };

    if (!leak_isolate()) {
        print_message("skipped: needs root or user namespaces for a /dev/shm of its own\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
