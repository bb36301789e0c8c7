// SPDX-License-Identifier: Apache-2.0
// Revisions: what goes in comes out; what is damaged or sealed for others is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controlplane/revision.h"

static const uint8_t master[CRYPTO_KEY_BYTES] = "0123456789abcdef0123456789abcde";
static const uint8_t other[CRYPTO_KEY_BYTES] = "another key another key another";

static struct record_keys ring(const uint8_t *key)
{
    struct record_keys k = {0};

    assert_true(record_keys_add(&k, key));
    return k;
}

static void fill(struct buf *b, const struct record_keys *k)
{
    struct resource *router = resource_new(RESOURCE_ROUTER, SLICE("blue"), 7);
    struct resource *key = resource_new(RESOURCE_PROVIDER_KEY, SLICE("k1"), 1);
    struct resource *env = resource_new(RESOURCE_PROVIDER_KEY, SLICE("k2"), 1);

    *router->u.router = (struct resource_router){.origin = "file"};
    *key->u.provider_key = (struct resource_provider_key){
        .provider = "openai", .name = "a", .value = secret_new(SLICE("sk-planted")), .weight = 1};
    *env->u.provider_key = (struct resource_provider_key){
        .provider = "openai", .name = "b", .value = secret_new(SLICE("sk-old")), .weight = 1};
    revision_add(b, router, RECORD_FILE, "gw.yaml:2", k);
    revision_add(b, key, RECORD_FILE, "gw.yaml:9", k);
    revision_add(b, env, RECORD_ENV, "OPENAI_API_KEY", k); // left out
    resource_unref(&router);
    resource_unref(&key);
    resource_unref(&env);
}

static void comes_back(void **state)
{
    struct record_keys k = ring(master), wrong = ring(other);
    struct revision r;
    struct buf b;
    struct err e;

    (void)state;
    buf_init(&b, REVISION_BYTES_MAX);
    fill(&b, &k);
    assert_int_equal(slice_find(buf_slice(&b), SLICE("sk-planted")), SIZE_MAX);
    assert_true(revision_read(buf_slice(&b), &k, &r, &e));
    assert_int_equal(r.n, 2);
    assert_string_equal(r.resources[0]->id, "blue");
    assert_int_equal(r.resources[0]->version, 7);
    assert_string_equal(r.where[1], "gw.yaml:9");
    assert_true(slice_eq_str(secret_reveal(r.resources[1]->u.provider_key->value), "sk-planted"));
    revision_done(&r);
    assert_false(revision_read(buf_slice(&b), &wrong, &r, &e));
    assert_int_equal(e.code, ERR_DENIED);
    buf_done(&b);
}

// Settings hold a secret, but not here: a revision without provider keys outlives master keys.
static void settings_without_their_key(void **state)
{
    struct record_keys k = ring(master), wrong = ring(other);
    struct resource *settings = resource_new(RESOURCE_SETTINGS, SLICE("global"), 3);
    struct revision r;
    struct buf b;
    struct err e;

    (void)state;
    memcpy(settings->u.settings->key_hash_key, "planted planted planted planted ", 32);
    settings->u.settings->cache_bytes = 77;
    buf_init(&b, REVISION_BYTES_MAX);
    revision_add(&b, settings, RECORD_FILE, "", &k);
    assert_int_equal(slice_find(buf_slice(&b), SLICE("planted")), SIZE_MAX);
    assert_memory_equal(settings->u.settings->key_hash_key, "planted", 7); // as it was
    assert_true(revision_read(buf_slice(&b), &wrong, &r, &e));
    assert_int_equal(r.resources[0]->u.settings->cache_bytes, 77);
    assert_int_equal(r.resources[0]->u.settings->key_hash_key[0], 0);
    revision_done(&r);
    resource_unref(&settings);
    buf_done(&b);
}

static void damage_is_refused(void **state)
{
    struct record_keys k = ring(master);
    struct revision r;
    struct buf b;
    struct err e;
    size_t whole = 0;

    (void)state;
    buf_init(&b, REVISION_BYTES_MAX);
    fill(&b, &k);
    for (size_t n = 0; n < b.n; n++) {
        if (revision_read(slice_head(buf_slice(&b), n), &k, &r, &e)) {
            whole++; // between two records
            revision_done(&r);
        }
    }
    assert_int_equal(whole, 2); // nothing, and the first alone
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back),
        cmocka_unit_test(settings_without_their_key),
        cmocka_unit_test(damage_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
