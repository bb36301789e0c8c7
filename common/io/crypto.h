// SPDX-License-Identifier: Apache-2.0
// Cryptography, and the only user of libsodium: sealing (XChaCha20-Poly1305), signatures (Ed25519),
// keyed hashes (BLAKE2b), SHA-256, random bytes, key derivation, locked memory, constant-time
// comparison. Every function is for any thread and initialises the library by itself.
#ifndef SLUICE_IO_CRYPTO_H
#define SLUICE_IO_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"

#define CRYPTO_KEY_BYTES       32u // sealing, keyed hashing, derivation
#define CRYPTO_NONCE_BYTES     24u
#define CRYPTO_TAG_BYTES       16u // a sealed text is so much longer than the plain one
#define CRYPTO_SEED_BYTES      32u // signing key as it is stored
#define CRYPTO_PUBLIC_BYTES    32u
#define CRYPTO_SIGN_BYTES      64u // expanded signing key
#define CRYPTO_SIGNATURE_BYTES 64u
#define CRYPTO_SHA256_BYTES    32u

// Random bytes from the system, for keys, nonces and ids.
void crypto_random(void *out, size_t n);
// A random id of n_chars base62 characters and a NUL.
void crypto_random_id(char *out, size_t n_chars);
// Compares n bytes in a time that depends on n only.
MUST_CHECK bool crypto_equal(const void *a, const void *b, size_t n);

// BLAKE2b over the parts one after the other (not separated: the caller frames them). n_out 16..64;
// key NULL or CRYPTO_KEY_BYTES.
void crypto_keyed_hash(uint8_t *out, size_t n_out, const uint8_t *key, const struct slice *parts,
                       size_t n_parts);

// SHA-256 over the parts.
void crypto_sha256(uint8_t out[CRYPTO_SHA256_BYTES], const struct slice *parts, size_t n_parts);
// The same, piece by piece. On the stack; wiped by _end.
struct crypto_sha256 {
    _Alignas(16) uint8_t state[128]; // private
};
void crypto_sha256_begin(struct crypto_sha256 *h);
void crypto_sha256_add(struct crypto_sha256 *h, struct slice s);
void crypto_sha256_end(struct crypto_sha256 *h, uint8_t out[CRYPTO_SHA256_BYTES]);

// Encrypts and authenticates text; associated data is authenticated only. out has room for text.n +
// CRYPTO_TAG_BYTES and may be text.p itself. A nonce is random and used once.
void crypto_seal(uint8_t *out, struct slice text, struct slice associated,
                 const uint8_t nonce[CRYPTO_NONCE_BYTES], const uint8_t key[CRYPTO_KEY_BYTES]);
// out has room for sealed.n - CRYPTO_TAG_BYTES and may be sealed.p itself. False: not made with
// this key, nonce and associated data; out is then undefined.
MUST_CHECK bool crypto_open(uint8_t *out, struct slice sealed, struct slice associated,
                            const uint8_t nonce[CRYPTO_NONCE_BYTES],
                            const uint8_t key[CRYPTO_KEY_BYTES]);

// Another independent key for a purpose: context is 8 characters naming the program part, id the
// purpose within it.
void crypto_derive(uint8_t out[CRYPTO_KEY_BYTES], const uint8_t master[CRYPTO_KEY_BYTES],
                   const char context[8], uint64_t id);

// Both halves from the seed.
void crypto_sign_keys(const uint8_t seed[CRYPTO_SEED_BYTES],
                      uint8_t ret_public[CRYPTO_PUBLIC_BYTES], uint8_t ret_sign[CRYPTO_SIGN_BYTES]);
void crypto_sign_text(uint8_t out[CRYPTO_SIGNATURE_BYTES], struct slice text,
                      const uint8_t sign[CRYPTO_SIGN_BYTES]);
MUST_CHECK bool crypto_verify(const uint8_t signature[CRYPTO_SIGNATURE_BYTES], struct slice text,
                              const uint8_t public_key[CRYPTO_PUBLIC_BYTES]);

// Base64 of n bytes with padding: out has room for CRYPTO_BASE64_BYTES(n).
#define CRYPTO_BASE64_BYTES(n) (((n) + 2) / 3 * 4 + 1)
void crypto_base64(char *out, const void *p, size_t n);
// Decodes exactly n bytes of base64 (standard or URL alphabet, padded or not); false otherwise.
MUST_CHECK bool crypto_unbase64(struct slice s, uint8_t *out, size_t n);

// Zeroed memory between guard pages, locked where the limit allows and left out of core dumps; for
// long-lived keys (a page or more each). Dies when exhausted.
void *crypto_locked_new(size_t n);
// Wipes and frees; *p becomes NULL; NULL allowed.
void crypto_locked_free(void **p);

#endif
