// SPDX-License-Identifier: Apache-2.0
// Sealing (XChaCha20-Poly1305, random 24-byte nonces: no counter to keep, none to repeat) and
// signing. What is signed is a digest, so that a 128 KiB chunk is hashed once and not, as Ed25519
// does, twice.
#include "proto/seal.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define DIGEST_BYTES 64
#define PARTS_MAX    8

void seal_close(const struct keys *k, enum keys_purpose p, struct slice associated,
                struct slice text, uint8_t ret_nonce[CRYPTO_NONCE_BYTES], struct buf *out)
{
    const uint8_t *key = keys_sealing(k, keys_current(k), p);
    size_t room;
    char *at;

    CHECK(key != NULL);
    CHECK(buf_try_reserve(out, text.n + CRYPTO_TAG_BYTES));
    at = buf_tail(out, &room);
    crypto_random(ret_nonce, CRYPTO_NONCE_BYTES);
    crypto_seal((uint8_t *)at, text, associated, ret_nonce, key);
    buf_commit(out, text.n + CRYPTO_TAG_BYTES);
}

bool seal_open(const struct keys *k, enum keys_purpose p, uint32_t key_id, struct slice associated,
               const uint8_t nonce[CRYPTO_NONCE_BYTES], struct slice sealed, struct buf *out)
{
    const uint8_t *key = keys_sealing(k, key_id, p);
    size_t room;
    char *at;

    if (key == NULL || sealed.n < CRYPTO_TAG_BYTES || !buf_try_reserve(out, sealed.n)) {
        return false;
    }
    at = buf_tail(out, &room);
    if (!crypto_open((uint8_t *)at, sealed, associated, nonce, key)) {
        return false;
    }
    buf_commit(out, sealed.n - CRYPTO_TAG_BYTES);
    return true;
}

// Each part is preceded by its length, so that moving bytes between parts changes the digest.
static void digest(const struct slice *parts, size_t n, uint8_t out[DIGEST_BYTES])
{
    struct slice framed[2 * PARTS_MAX + 1];
    uint64_t lengths[PARTS_MAX];

    CHECK(n <= PARTS_MAX);
    framed[0] = SLICE("sluice signature 1");
    for (size_t i = 0; i < n; i++) {
        uint64_t length = parts[i].n;
        char *at = (char *)&lengths[i];

        for (unsigned b = 0; b < 8; b++) {
            at[b] = (char)(length >> (8 * b));
        }
        framed[1 + 2 * i] = SLICE_MAKE(at, 8);
        framed[2 + 2 * i] = parts[i];
    }
    crypto_keyed_hash(out, DIGEST_BYTES, NULL, framed, 1 + 2 * n);
}

void seal_sign(const struct keys *k, const struct slice *parts, size_t n,
               uint8_t ret_signature[CRYPTO_SIGNATURE_BYTES])
{
    const uint8_t *sign = keys_signing(k, NULL);
    uint8_t d[DIGEST_BYTES];

    CHECK(sign != NULL);
    digest(parts, n, d);
    crypto_sign_text(ret_signature, SLICE_MAKE((const char *)d, sizeof(d)), sign);
}

bool seal_verify(const struct keys *k, uint32_t signer, const struct slice *parts, size_t n,
                 const uint8_t signature[CRYPTO_SIGNATURE_BYTES])
{
    const uint8_t *public_key = keys_public(k, signer);
    uint8_t d[DIGEST_BYTES];

    if (public_key == NULL) {
        return false;
    }
    digest(parts, n, d);
    return crypto_verify(signature, SLICE_MAKE((const char *)d, sizeof(d)), public_key);
}
