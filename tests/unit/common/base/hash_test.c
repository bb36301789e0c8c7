// SPDX-License-Identifier: Apache-2.0
// SipHash-1-3 against known answers; the process key is one and random.
#include "common/base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

// Key 00 01 .. 0f, message 00 01 .. n-1: SipHash-1-3 answers as published with Rust's test suite.
static void test_known_answers(void **state)
{
    static const struct {
        size_t n;
        uint64_t want;
    } cases[] = {
        {0, 0xabac0158050fc4dcU},  {1, 0xc9f49bf37d57ca93U},  {7, 0xd3927d989bb11140U},
        {8, 0x369095118d299a8eU},  {9, 0x25a48eb36c063de4U},  {15, 0xd320d86d2a519956U},
        {16, 0xcc4fdd1a7d908b66U}, {17, 0x9cf2689063dbd80cU}, {31, 0x2370dd1f8c21d1bcU},
        {63, 0x9d199062b7bbb3a8U},
    };
    const struct hash_key key = {0x0706050403020100U, 0x0f0e0d0c0b0a0908U};
    char message[64];

    (void)state;
    for (size_t i = 0; i < sizeof(message); i++) {
        message[i] = (char)i;
    }
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(hash_bytes(&key, (struct slice){message, cases[i].n}) == cases[i].want);
    }
    assert_true(hash_bytes(&key, SLICE_NULL) == hash_bytes(&key, SLICE("")));
}

static void *get_key(void *arg)
{
    (void)arg;
    return (void *)(uintptr_t)hash_process_key();
}

static void test_process_key(void **state)
{
    pthread_t threads[4];
    const struct hash_key *key = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, get_key, NULL), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        void *got;

        assert_int_equal(pthread_join(threads[i], &got), 0);
        assert_true(key == NULL || key == got);
        key = got;
    }
    assert_ptr_equal(key, hash_process_key());
    assert_true(key->k0 != 0 || key->k1 != 0);
    const struct hash_key other = {key->k0 + 1, key->k1};

    assert_true(hash_bytes(key, SLICE("a")) != hash_bytes(&other, SLICE("a")));
    assert_true(hash_bytes(key, SLICE("a")) != hash_bytes(key, SLICE("b")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_process_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
