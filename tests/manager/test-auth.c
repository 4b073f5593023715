/* SPDX-License-Identifier: MIT
 *
 * The challenge's arithmetic: what is proved, and that nothing else is taken for a proof.
 */
#include "leak.h"

#include <string.h>

#include "manager/wire/auth.h"

static struct weir__auth_key key = {.size = 6, .bytes = "secret"};
static struct weir__auth_session session = {.scope = 0x0123456789abcdef};

static int setup(void **state)
{
    memset(session.server_nonce, 0xa5, WEIR__NONCE_SIZE);
    memset(session.client_nonce, 0x3c, WEIR__NONCE_SIZE);
    return leak_setup(state);
}

/* Built without libsodium nothing is a proof. */
static bool nothing_is_proved(void)
{
    unsigned char mac[WEIR__MAC_SIZE];

    if (weir__auth_available())
        return false;
    weir__auth_prove(mac, &key, &session, WEIR__AUTH_CLIENT);
    assert_false(weir__auth_verify(mac, &key, &session, WEIR__AUTH_CLIENT));
    return true;
}

/* By Python's hmac over "weir-1 client 0123456789abcdef a5a5... 3c3c... 6". */
static void proof_is_hmac_sha256__when_there_is_a_key(void **state)
{
    const char *const wanted[] = {
        "7593af0ad6be51873ea914e730772190e0fae8f0721727fa3225caa82636d44a",
        "caff0de0869788ab36ffa0fce939d2c27429ea0d8bb0c2035f17437454e69726",
    };
    char text[WEIR__HEX(WEIR__MAC_SIZE)];
    unsigned char mac[WEIR__MAC_SIZE];

    (void)state;
    if (nothing_is_proved())
        return;
    for (int role = 0; role < 2; role++) {
        weir__auth_prove(mac, &key, &session, (enum weir__auth_role)role);
        weir__hex_write(text, mac, sizeof(mac));
        assert_string_equal(text, wanted[role]);
        assert_true(weir__auth_verify(mac, &key, &session, (enum weir__auth_role)role));
    }
}

static void proof_is_none__when_anything_differs(void **state)
{
    struct weir__auth_session other = session;
    struct weir__auth_key wrong = key;
    unsigned char mac[WEIR__MAC_SIZE];

    (void)state;
    if (nothing_is_proved())
        return;
    weir__auth_prove(mac, &key, &session, WEIR__AUTH_CLIENT);
    assert_false(weir__auth_verify(mac, &key, &session, WEIR__AUTH_SERVER));
    other.scope++;
    assert_false(weir__auth_verify(mac, &key, &other, WEIR__AUTH_CLIENT));
    for (int i = 0; i < WEIR__NONCE_SIZE; i++) {
        other = session;
        other.server_nonce[i] ^= 1;
        assert_false(weir__auth_verify(mac, &key, &other, WEIR__AUTH_CLIENT));
        other = session;
        other.client_nonce[i] ^= 0x80;
        assert_false(weir__auth_verify(mac, &key, &other, WEIR__AUTH_CLIENT));
    }
    for (size_t i = 0; i < key.size; i++) {
        wrong = key;
        wrong.bytes[i] ^= 1;
        assert_false(weir__auth_verify(mac, &wrong, &session, WEIR__AUTH_CLIENT));
    }
    wrong = key;
    wrong.size++; /* by a NUL, which HMAC alone would not notice */
    assert_false(weir__auth_verify(mac, &wrong, &session, WEIR__AUTH_CLIENT));
    wrong = key;
    wrong.size--;
    assert_false(weir__auth_verify(mac, &wrong, &session, WEIR__AUTH_CLIENT));
    for (int i = 0; i < WEIR__MAC_SIZE * 8; i++) {
        mac[i / 8] ^= (unsigned char)(1 << i % 8);
        assert_false(weir__auth_verify(mac, &key, &session, WEIR__AUTH_CLIENT));
        mac[i / 8] ^= (unsigned char)(1 << i % 8);
    }
}

static void nonces_differ__when_drawn(void **state)
{
    unsigned char nonces[64][WEIR__NONCE_SIZE];

    (void)state;
    for (int i = 0; i < 64; i++) {
        assert_int_equal(weir__auth_nonce(nonces[i]), 0);
        for (int j = 0; j < i; j++)
            assert_memory_not_equal(nonces[i], nonces[j], WEIR__NONCE_SIZE);
    }
}

static void digits_are_read__when_they_are_exactly_those(void **state)
{
    const char *const wrong[] = {"",        "0",      "00ff1",  "00ff1A",   "00ff1g",
                                 "00ff10 ", " 0ff10", "+0ff10", "00ff1000", "00ff\xc3\xa9"};
    const unsigned char bytes[] = {0x00, 0xff, 0x1a};
    unsigned char read[3];
    char text[WEIR__HEX(3)];

    (void)state;
    weir__hex_write(text, bytes, 3);
    assert_string_equal(text, "00ff1a");
    assert_true(weir__hex_read(read, 3, text));
    assert_memory_equal(read, bytes, 3);
    assert_true(weir__hex_read(read, 0, ""));
    assert_false(weir__hex_read(read, 3, NULL));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_false(weir__hex_read(read, 3, wrong[i]));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(proof_is_hmac_sha256__when_there_is_a_key),
        TEST(proof_is_none__when_anything_differs),
        TEST(nonces_differ__when_drawn),
        TEST(digits_are_read__when_they_are_exactly_those),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
