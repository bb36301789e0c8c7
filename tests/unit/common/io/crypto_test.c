// SPDX-License-Identifier: Apache-2.0
// Known answers from the RFCs, and that every kind of tampering is noticed.
#include "common/io/crypto.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/text.h"

static void assert_hex(const uint8_t *p, size_t n, const char *hex)
{
    char text[2 * 64 + 1];

    assert_true(n <= 64);
    text_hex(p, n, text);
    assert_string_equal(text, hex);
}

static void known_hashes(void **state)
{
    const struct slice abc[] = {SLICE("a"), SLICE(""), SLICE("bc")};
    uint8_t out[64];

    (void)state;
    crypto_keyed_hash(out, 64, NULL, abc, 3); // RFC 7693, appendix A
    assert_hex(out, 64,
               "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
               "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923");
    crypto_sha256(out, abc, 3); // FIPS 180-2
    assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void a_key_changes_the_hash(void **state)
{
    const struct slice text = SLICE("secret part of a virtual key");
    uint8_t key[CRYPTO_KEY_BYTES] = {1}, a[32], b[32], c[32];

    (void)state;
    crypto_keyed_hash(a, 32, key, &text, 1);
    crypto_keyed_hash(b, 32, NULL, &text, 1);
    key[31] = 1;
    crypto_keyed_hash(c, 32, key, &text, 1);
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a, c, 32);
}

static void seal_opens_only_as_it_was(void **state)
{
    const uint8_t key[CRYPTO_KEY_BYTES] = {3}, other_key[CRYPTO_KEY_BYTES] = {4};
    const uint8_t nonce[CRYPTO_NONCE_BYTES] = {5}, other_nonce[CRYPTO_NONCE_BYTES] = {6};
    const struct slice text = SLICE("attack at dawn"), ad = SLICE("type=1");
    uint8_t sealed[14 + CRYPTO_TAG_BYTES], plain[14];
    struct slice s = SLICE_MAKE((const char *)sealed, sizeof(sealed));

    (void)state;
    crypto_seal(sealed, text, ad, nonce, key);
    assert_true(crypto_open(plain, s, ad, nonce, key));
    assert_memory_equal(plain, text.p, text.n);
    assert_false(crypto_open(plain, s, ad, nonce, other_key));
    assert_false(crypto_open(plain, s, ad, other_nonce, key));
    assert_false(crypto_open(plain, s, SLICE("type=2"), nonce, key));
    assert_false(crypto_open(plain, slice_head(s, s.n - 1), ad, nonce, key));
    assert_false(crypto_open(plain, slice_head(s, 3), ad, nonce, key));
    for (size_t i = 0; i < sizeof(sealed); i++) {
        sealed[i] ^= 0x20;
        assert_false(crypto_open(plain, s, ad, nonce, key));
        sealed[i] ^= 0x20;
    }
    // In place, and nothing at all.
    assert_true(crypto_open(sealed, s, ad, nonce, key));
    assert_memory_equal(sealed, text.p, text.n);
    crypto_seal(sealed, SLICE_NULL, SLICE_NULL, nonce, key);
    assert_true(crypto_open(plain, slice_head(s, CRYPTO_TAG_BYTES), SLICE_NULL, nonce, key));
}

static void signatures(void **state)
{
    // RFC 8032, 7.1, test 2.
    static const char seed_hex[] =
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
    uint8_t seed[CRYPTO_SEED_BYTES], pub[CRYPTO_PUBLIC_BYTES], sign[CRYPTO_SIGN_BYTES];
    uint8_t sig[CRYPTO_SIGNATURE_BYTES];

    (void)state;
    assert_true(text_unhex(SLICE(seed_hex), seed, sizeof(seed)));
    crypto_sign_keys(seed, pub, sign);
    assert_hex(pub, 32, "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    crypto_sign_text(sig, SLICE("\x72"), sign);
    assert_hex(sig, 64,
               "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
               "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
    assert_true(crypto_verify(sig, SLICE("\x72"), pub));
    assert_false(crypto_verify(sig, SLICE("\x73"), pub));
    sig[10] ^= 1;
    assert_false(crypto_verify(sig, SLICE("\x72"), pub));
}

static void derived_keys_differ(void **state)
{
    const uint8_t master[CRYPTO_KEY_BYTES] = {9};
    uint8_t a[32], b[32], c[32];

    (void)state;
    crypto_derive(a, master, "sluice-a", 1);
    crypto_derive(b, master, "sluice-a", 2);
    crypto_derive(c, master, "sluice-b", 1);
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a, c, 32);
    crypto_derive(b, master, "sluice-a", 1);
    assert_memory_equal(a, b, 32);
}

static void base64(void **state)
{
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"+/8AAQ==", true},  {"+/8AAQ", true},     {"-_8AAQ==", true}, {"-_8AAQ", true},
        {"+/8AAQ=", false},  {"+/8AA", false},     {"", false},        {"+/8AAQ==x", false},
        {"+/8AAQI=", false}, {" +/8AAQ==", false},
    };
    char text[CRYPTO_BASE64_BYTES(4)];
    uint8_t out[4];

    (void)state;
    crypto_base64(text, "\xfb\xff\x00\x01", 4);
    assert_string_equal(text, "+/8AAQ==");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(crypto_unbase64(slice_str(cases[i].text), out, 4), cases[i].ok);
        if (cases[i].ok) {
            assert_memory_equal(out, "\xfb\xff\x00\x01", 4);
        }
    }
}

static void random_and_equal(void **state)
{
    uint8_t a[32], b[32];
    char id[23], other[23];

    (void)state;
    crypto_random(a, sizeof(a));
    crypto_random(b, sizeof(b));
    assert_false(crypto_equal(a, b, sizeof(a)));
    memcpy(b, a, sizeof(b));
    assert_true(crypto_equal(a, b, sizeof(a)));
    crypto_random_id(id, 22);
    crypto_random_id(other, 22);
    assert_int_equal(strlen(id), 22);
    assert_int_equal(strspn(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
                     22);
    assert_string_not_equal(id, other);
}

static void locked_memory(void **state)
{
    void *p = crypto_locked_new(100);

    (void)state;
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(((uint8_t *)p)[i], 0);
    }
    memset(p, 1, 100);
    crypto_locked_free(&p);
    assert_null(p);
    crypto_locked_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_hashes),
        cmocka_unit_test(a_key_changes_the_hash),
        cmocka_unit_test(seal_opens_only_as_it_was),
        cmocka_unit_test(signatures),
        cmocka_unit_test(derived_keys_differ),
        cmocka_unit_test(base64),
        cmocka_unit_test(random_and_equal),
        cmocka_unit_test(locked_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
