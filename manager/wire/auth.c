/* SPDX-License-Identifier: MIT
 *
 * auth.c: the mutual challenge: HMAC-SHA256 over role, scope and a nonce of each side.
 *
 * Invariants
 *  - Each side chose one nonce of this very connection, so a recorded proof is worth nothing later.
 *  - The role is signed, so a proof cannot be sent back to the side that made it.
 *  - Built without libsodium nothing is ever verified: every proof is wrong.
 *
 * Failure modes. Without random numbers there is no nonce and no connection: a nonce must not be
 * known beforehand, so there is no substitute, as there is for the names of blocks.
 */
#include "manager/wire/auth.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#if WEIR_WITH_SODIUM
#include <sodium.h>
#endif

#include "shm/retry.h"

int weir__auth_nonce(unsigned char nonce[WEIR__NONCE_SIZE])
{
    /* Up to 256 bytes it is all or nothing. */
    ssize_t n = TEMP_FAILURE_RETRY(getrandom(nonce, WEIR__NONCE_SIZE, 0));

    if (n == WEIR__NONCE_SIZE)
        return 0;
    return n < 0 ? -errno : -EIO;
}

bool weir__auth_available(void)
{
    return WEIR_WITH_SODIUM;
}

#if WEIR_WITH_SODIUM

void weir__auth_prove(unsigned char mac[WEIR__MAC_SIZE], const struct weir__auth_key *key,
                      const struct weir__auth_session *session, enum weir__auth_role role)
{
    char server[WEIR__HEX(WEIR__NONCE_SIZE)], client[WEIR__HEX(WEIR__NONCE_SIZE)];
    crypto_auth_hmacsha256_state state;
    char text[256];
    int size;

    _Static_assert(WEIR__MAC_SIZE == crypto_auth_hmacsha256_BYTES, "the size of an HMAC-SHA256");
    weir__hex_write(server, session->server_nonce, WEIR__NONCE_SIZE);
    weir__hex_write(client, session->client_nonce, WEIR__NONCE_SIZE);
    size = snprintf(text, sizeof(text), "weir-1 %s %016" PRIx64 " %s %s %zu",
                    role == WEIR__AUTH_CLIENT ? "client" : "server", session->scope, server, client,
                    key->size);
    crypto_auth_hmacsha256_init(&state, key->bytes, key->size);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)text, (unsigned long long)size);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof(state));
}

#else

void weir__auth_prove(unsigned char mac[WEIR__MAC_SIZE], const struct weir__auth_key *key,
                      const struct weir__auth_session *session, enum weir__auth_role role)
{
    (void)key;
    (void)session;
    (void)role;
    memset(mac, 0, WEIR__MAC_SIZE);
}

#define sodium_memcmp memcmp /* decides nothing: keys are not available */

#endif

bool weir__auth_verify(const unsigned char mac[WEIR__MAC_SIZE], const struct weir__auth_key *key,
                       const struct weir__auth_session *session, enum weir__auth_role role)
{
    unsigned char right[WEIR__MAC_SIZE];

    weir__auth_prove(right, key, session, role);
    return weir__auth_available() && sodium_memcmp(mac, right, sizeof(right)) == 0;
}

/* ---- hexadecimal digits --------------------------------------------------------------------- */

void weir__hex_write(char *text, const unsigned char *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        *text++ = digits[bytes[i] >> 4];
        *text++ = digits[bytes[i] & 15];
    }
    *text = '\0';
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool weir__hex_read(unsigned char *bytes, size_t size, const char *text)
{
    if (!text || strlen(text) != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        bytes[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}
