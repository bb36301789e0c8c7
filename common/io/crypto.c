// SPDX-License-Identifier: Apache-2.0
// A thin layer over libsodium: fixed algorithms, slices, no error codes that nobody can act on. A
// call that can only fail through a wrong argument or a broken library is a CHECK.
#include "common/io/crypto.h"

#include <sodium.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

_Static_assert(CRYPTO_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "sealing key");
_Static_assert(CRYPTO_KEY_BYTES == crypto_kdf_KEYBYTES, "master key");
_Static_assert(CRYPTO_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(CRYPTO_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");
_Static_assert(CRYPTO_SEED_BYTES == crypto_sign_SEEDBYTES, "seed");
_Static_assert(CRYPTO_PUBLIC_BYTES == crypto_sign_PUBLICKEYBYTES, "public key");
_Static_assert(CRYPTO_SIGN_BYTES == crypto_sign_SECRETKEYBYTES, "signing key");
_Static_assert(CRYPTO_SIGNATURE_BYTES == crypto_sign_BYTES, "signature");
_Static_assert(sizeof(struct crypto_sha256) >= sizeof(crypto_hash_sha256_state), "sha256 state");

// sodium_init is idempotent, thread-safe and cheap after the first call.
static void init(void)
{
    CHECK(sodium_init() >= 0);
}

static const uint8_t *bytes(struct slice s)
{
    return (const uint8_t *)(s.p == NULL ? "" : s.p);
}

void crypto_random(void *out, size_t n)
{
    init();
    randombytes_buf(out, n);
}

void crypto_random_id(char *out, size_t n_chars)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    init();
    for (size_t i = 0; i < n_chars; i++) {
        out[i] = digits[randombytes_uniform(62)];
    }
    out[n_chars] = '\0';
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
    return sodium_memcmp(a, b, n) == 0;
}

void crypto_keyed_hash(uint8_t *out, size_t n_out, const uint8_t *key, const struct slice *parts,
                       size_t n_parts)
{
    crypto_generichash_state h;

    init();
    CHECK(crypto_generichash_init(&h, key, key == NULL ? 0 : CRYPTO_KEY_BYTES, n_out) == 0);
    for (size_t i = 0; i < n_parts; i++) {
        CHECK(crypto_generichash_update(&h, bytes(parts[i]), parts[i].n) == 0);
    }
    CHECK(crypto_generichash_final(&h, out, n_out) == 0);
    mem_wipe(&h, sizeof(h)); // holds the key
}

void crypto_sha256_begin(struct crypto_sha256 *h)
{
    init();
    CHECK(crypto_hash_sha256_init((crypto_hash_sha256_state *)(void *)h->state) == 0);
}

void crypto_sha256_add(struct crypto_sha256 *h, struct slice s)
{
    CHECK(crypto_hash_sha256_update((crypto_hash_sha256_state *)(void *)h->state, bytes(s), s.n) ==
          0);
}

void crypto_sha256_end(struct crypto_sha256 *h, uint8_t out[CRYPTO_SHA256_BYTES])
{
    CHECK(crypto_hash_sha256_final((crypto_hash_sha256_state *)(void *)h->state, out) == 0);
    mem_wipe(h, sizeof(*h));
}

void crypto_sha256(uint8_t out[CRYPTO_SHA256_BYTES], const struct slice *parts, size_t n_parts)
{
    struct crypto_sha256 h;

    crypto_sha256_begin(&h);
    for (size_t i = 0; i < n_parts; i++) {
        crypto_sha256_add(&h, parts[i]);
    }
    crypto_sha256_end(&h, out);
}

void crypto_seal(uint8_t *out, struct slice text, struct slice associated,
                 const uint8_t nonce[CRYPTO_NONCE_BYTES], const uint8_t key[CRYPTO_KEY_BYTES])
{
    unsigned long long n = 0;

    init();
    CHECK(crypto_aead_xchacha20poly1305_ietf_encrypt(out, &n, bytes(text), text.n,
                                                     bytes(associated), associated.n, NULL, nonce,
                                                     key) == 0);
    CHECK(n == text.n + CRYPTO_TAG_BYTES);
}

bool crypto_open(uint8_t *out, struct slice sealed, struct slice associated,
                 const uint8_t nonce[CRYPTO_NONCE_BYTES], const uint8_t key[CRYPTO_KEY_BYTES])
{
    init();
    return sealed.n >= CRYPTO_TAG_BYTES && crypto_aead_xchacha20poly1305_ietf_decrypt(
                                               out, NULL, NULL, bytes(sealed), sealed.n,
                                               bytes(associated), associated.n, nonce, key) == 0;
}

void crypto_derive(uint8_t out[CRYPTO_KEY_BYTES], const uint8_t master[CRYPTO_KEY_BYTES],
                   const char context[8], uint64_t id)
{
    init();
    CHECK(crypto_kdf_derive_from_key(out, CRYPTO_KEY_BYTES, id, context, master) == 0);
}

void crypto_sign_keys(const uint8_t seed[CRYPTO_SEED_BYTES],
                      uint8_t ret_public[CRYPTO_PUBLIC_BYTES], uint8_t ret_sign[CRYPTO_SIGN_BYTES])
{
    init();
    CHECK(crypto_sign_seed_keypair(ret_public, ret_sign, seed) == 0);
}

void crypto_sign_text(uint8_t out[CRYPTO_SIGNATURE_BYTES], struct slice text,
                      const uint8_t sign[CRYPTO_SIGN_BYTES])
{
    init();
    CHECK(crypto_sign_detached(out, NULL, bytes(text), text.n, sign) == 0);
}

bool crypto_verify(const uint8_t signature[CRYPTO_SIGNATURE_BYTES], struct slice text,
                   const uint8_t public_key[CRYPTO_PUBLIC_BYTES])
{
    init();
    return crypto_sign_verify_detached(signature, bytes(text), text.n, public_key) == 0;
}

void crypto_base64(char *out, const void *p, size_t n)
{
    CHECK(sodium_bin2base64(out, CRYPTO_BASE64_BYTES(n), p, n, sodium_base64_VARIANT_ORIGINAL) !=
          NULL);
}

bool crypto_unbase64(struct slice s, uint8_t *out, size_t n)
{
    static const int variants[] = {
        sodium_base64_VARIANT_ORIGINAL,
        sodium_base64_VARIANT_ORIGINAL_NO_PADDING,
        sodium_base64_VARIANT_URLSAFE,
        sodium_base64_VARIANT_URLSAFE_NO_PADDING,
    };
    const char *end;
    size_t got;

    for (size_t i = 0; s.p != NULL && i < ARRAY_LEN(variants); i++) {
        if (sodium_base642bin(out, n, s.p, s.n, NULL, &got, &end, variants[i]) == 0 && got == n &&
            end == s.p + s.n) {
            return true;
        }
    }
    return false;
}

void *crypto_locked_new(size_t n)
{
    void *p;

    init();
    p = sodium_malloc(n == 0 ? 1 : n);
    CHECK(p != NULL);
    return memset(p, 0, n);
}

void crypto_locked_free(void **p)
{
    sodium_free(*p); // wipes; NULL allowed
    *p = NULL;
}
