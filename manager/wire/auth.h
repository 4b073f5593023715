/* SPDX-License-Identifier: MIT
 *
 * auth.h: proving to the other side that one knows the scope's key, without sending it.
 */
#ifndef WEIR_MANAGER_WIRE_AUTH_H
#define WEIR_MANAGER_WIRE_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR__NONCE_SIZE   32
#define WEIR__MAC_SIZE     32
#define WEIR__AUTH_KEY_MAX 1024
#define WEIR__HEX(size)    (2 * (size) + 1) /* the size as text, with the NUL */

/* The side that proves it. It is signed, so the proof of one side is not valid for the other. */
enum weir__auth_role {
    WEIR__AUTH_CLIENT,
    WEIR__AUTH_SERVER,
};

/* A proof is about this scope and this connection. */
struct weir__auth_session {
    uint64_t scope;
    unsigned char server_nonce[WEIR__NONCE_SIZE];
    unsigned char client_nonce[WEIR__NONCE_SIZE];
};

struct weir__auth_key {
    size_t size; /* 0: no key */
    unsigned char bytes[WEIR__AUTH_KEY_MAX];
};

/* False when weir was built without libsodium. */
bool weir__auth_available(void);

/* 32 bytes that no program can guess. 0, or a negative errno. */
int weir__auth_nonce(unsigned char nonce[WEIR__NONCE_SIZE]);

/* HMAC-SHA256 with the key over the text
 *     weir-1 <client|server> <scope id> <server's nonce> <client's nonce> <key's size>
 * the size as a decimal number (HMAC alone takes "k" and "k\0" for one key), the others in lower
 * case hexadecimal digits. Only when weir__auth_available(). */
void weir__auth_prove(unsigned char mac[WEIR__MAC_SIZE], const struct weir__auth_key *key,
                      const struct weir__auth_session *session, enum weir__auth_role role);

/* True when `mac` is what `role` would have proved. Takes the same time wherever they differ. */
bool weir__auth_verify(const unsigned char mac[WEIR__MAC_SIZE], const struct weir__auth_key *key,
                       const struct weir__auth_session *session, enum weir__auth_role role);

void weir__hex_write(char *text, const unsigned char *bytes, size_t size);
/* Reads exactly `size` bytes from lower case digits; false when the text is anything else. */
bool weir__hex_read(unsigned char *bytes, size_t size, const char *text);

#endif
