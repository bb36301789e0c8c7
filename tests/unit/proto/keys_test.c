// SPDX-License-Identifier: Apache-2.0
// Key files: what init makes can be loaded by both sides; formats, rotation, refusals.
#include "proto/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/io/crypto.h"
#include "tests/unit/proto/keydir.h"

#define HEX_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define B64_A "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8="
#define HEX_B "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void init_makes_what_both_sides_load(void **state)
{
    struct keys *control, *proxy, *again;
    struct stat st;
    char dir[64], path[256];
    uint32_t signer;
    struct err e;

    (void)state;
    keydir_make(dir);
    assert_true(keys_create(dir, &e));
    control = keydir_load(dir, true);
    proxy = keydir_load(dir, false);
    assert_int_equal(keys_current(control), keys_current(proxy));
    assert_memory_equal(keys_cluster(control), keys_cluster(proxy), KEYS_CLUSTER_BYTES);
    assert_non_null(keys_signing(control, &signer));
    assert_null(keys_signing(proxy, NULL));
    assert_non_null(keys_public(proxy, signer));
    assert_non_null(keys_public(control, signer));
    assert_null(keys_public(proxy, signer + 1));
    for (unsigned p = 1; p <= KEYS_PURPOSES; p++) {
        assert_memory_equal(keys_sealing(control, keys_current(control), p),
                            keys_sealing(proxy, keys_current(control), p), CRYPTO_KEY_BYTES);
    }
    assert_memory_not_equal(keys_sealing(proxy, keys_current(proxy), KEYS_BROADCAST),
                            keys_sealing(proxy, keys_current(proxy), KEYS_UPWARD),
                            CRYPTO_KEY_BYTES);
    keydir_path(path, dir, "cluster-secret");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    // A second init keeps them.
    assert_true(keys_create(dir, &e));
    again = keydir_load(dir, true);
    assert_int_equal(keys_current(control), keys_current(again));
    keys_unref(&again);
    keys_unref(&control);
    keys_unref(&proxy);
    assert_null(proxy);
    keydir_remove(dir);
}

static struct keys *load_secret(const char *dir, const char *text, struct err *e)
{
    char path[256];
    struct keys_files f = {.cluster_secret = path};

    keydir_path(path, dir, "s");
    keydir_write(dir, "s", text);
    return keys_load(&f, e);
}

static void formats(void **state)
{
    static const struct {
        const char *text, *error; // NULL: HEX_A is the first key
    } cases[] = {
        {HEX_A, NULL},
        {B64_A "\n", NULL},
        {"# comment\r\n\r\n  " HEX_A "  \r\n", NULL},
        {HEX_A "\n" HEX_B "\n", NULL},
        {"cluster=blue\n" HEX_A, NULL},
        {"", "no key in it"},
        {"# nothing\n", "no key in it"},
        {"\nhello\n", ":2: expected 32 bytes"},
        {HEX_A "00\n", ":1: expected 32 bytes"},
        {B64_A "\n\n" HEX_A "x", ":3: expected 32 bytes"},
    };
    struct err e;
    struct keys *k;
    uint32_t id;
    char dir[64];

    (void)state;
    keydir_make(dir);
    k = load_secret(dir, HEX_A, &e);
    assert_non_null(k);
    id = keys_current(k);
    keys_unref(&k);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        k = load_secret(dir, cases[i].text, &e);
        if (cases[i].error != NULL) {
            assert_null(k);
            assert_non_null(strstr(e.message, cases[i].error));
            assert_null(strstr(e.message, "hello")); // never what is in the file
            continue;
        }
        assert_non_null(k);
        assert_int_equal(keys_current(k), id);
        keys_unref(&k);
    }
    keydir_remove(dir);
}

static void rotation_accepts_both(void **state)
{
    struct keys *old, *both, *swapped;
    uint32_t a, b;
    char dir[64];

    (void)state;
    keydir_make(dir);
    old = load_secret(dir, "cluster=c\n" HEX_A, NULL);
    both = load_secret(dir, "cluster=c\n" HEX_A "\n" HEX_B, NULL);
    swapped = load_secret(dir, "cluster=c\n" HEX_B "\n" HEX_A, NULL);
    a = keys_current(old);
    b = keys_current(swapped);
    assert_int_not_equal(a, b);
    assert_int_equal(keys_current(both), a);
    assert_non_null(keys_sealing(both, b, KEYS_ANSWER));
    assert_non_null(keys_sealing(swapped, a, KEYS_ANSWER));
    assert_null(keys_sealing(old, b, KEYS_ANSWER));
    assert_memory_equal(keys_cluster(old), keys_cluster(swapped), KEYS_CLUSTER_BYTES);
    keys_unref(&old);
    old = load_secret(dir, "cluster=d\n" HEX_A, NULL);
    assert_memory_not_equal(keys_cluster(old), keys_cluster(both), KEYS_CLUSTER_BYTES);
    keys_unref(&old);
    keys_unref(&both);
    keys_unref(&swapped);
    keydir_remove(dir);
}

static void files_are_read_again(void **state)
{
    struct keys *now, *again, *held;
    struct keys_files f = {.cluster_secret = NULL};
    struct err e = {0};
    struct buf text;
    char dir[64], path[256];

    (void)state;
    keydir_make(dir);
    keydir_path(path, dir, "s");
    f.cluster_secret = path;
    now = load_secret(dir, "cluster=c\n" HEX_A, NULL);
    held = keys_ref(now);
    keydir_write(dir, "s", "cluster=c\n" HEX_B "\n" HEX_A);
    again = keys_reload(&f, now, &e);
    assert_non_null(again);
    assert_int_not_equal(keys_current(again), keys_current(now));
    assert_non_null(keys_sealing(again, keys_current(now), KEYS_FILE));
    buf_init(&text, 1000);
    keys_describe(again, &text);
    assert_int_equal(text.n, strlen("secrets 01234567 01234567; trusts"));
    buf_done(&text);
    keydir_write(dir, "s", "cluster=d\n" HEX_B);
    assert_null(keys_reload(&f, now, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    keydir_write(dir, "s", "nothing");
    assert_null(keys_reload(&f, now, &e));
    keys_unref(&now);
    assert_non_null(keys_sealing(held, keys_current(held), KEYS_FILE)); // lives on
    keys_unref(&held);
    keys_unref(&again);
    keydir_remove(dir);
}

static void unfit_files_are_refused(void **state)
{
    char dir[64], path[256], many[(64 + 1) * (KEYS_MAX + 1) + 1] = "";
    struct keys_files f = {.cluster_secret = path};
    struct err e;

    (void)state;
    keydir_make(dir);
    keydir_path(path, dir, "absent");
    assert_null(keys_load(&f, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);

    keydir_path(path, dir, "s");
    keydir_write(dir, "s", HEX_A);
    assert_int_equal(chmod(path, 0644), 0);
    assert_null(keys_load(&f, &e));
    assert_int_equal(e.code, ERR_DENIED);

    for (unsigned i = 0; i <= KEYS_MAX; i++) {
        char line[80];

        (void)snprintf(line, sizeof(line), "%.62s%02u\n", HEX_A, i);
        memcpy(many + i * 65, line, 66);
    }
    assert_null(load_secret(dir, many, &e));
    assert_non_null(strstr(e.message, ":17: more than 16"));
    keydir_remove(dir);
    assert_false(keys_create("/proc/nowhere", &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_makes_what_both_sides_load), cmocka_unit_test(formats),
        cmocka_unit_test(rotation_accepts_both),           cmocka_unit_test(files_are_read_again),
        cmocka_unit_test(unfit_files_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
