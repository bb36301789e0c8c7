// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "controlplane/record.h"
#include "tests/unit/proto/golden.h"

static struct record_keys keys_of(uint8_t fill)
{
    struct record_keys k = {.n = 0};
    uint8_t master[CRYPTO_KEY_BYTES];

    memset(master, fill, sizeof(master));
    assert_true(record_keys_add(&k, master));
    return k;
}

static struct resource *provider_key(void)
{
    struct resource *r = resource_new(RESOURCE_PROVIDER_KEY, SLICE("pk1"), 7);

    r->u.provider_key->provider = "openai";
    r->u.provider_key->name = "main";
    r->u.provider_key->value = secret_new(SLICE("sk-planted-secret"));
    r->u.provider_key->weight = 1;
    r->u.provider_key->origin = "api";
    r->u.provider_key->hint = "...cret";
    return r;
}

static void secrets_are_sealed_and_come_back(void **state)
{
    struct record_keys k = keys_of(1), other = keys_of(2);
    struct resource *r = provider_key();
    struct record rec;
    struct buf b;
    struct err e;

    (void)state;
    buf_init(&b, RECORD_BYTES_MAX);
    record_encode(r, RECORD_FILE, "a.yaml:12", &k, &b);
    assert_true(slice_find(buf_slice(&b), SLICE("planted")) == SIZE_MAX);
    assert_true(slice_find(buf_slice(&b), SLICE("openai")) == SIZE_MAX);
    assert_true(record_decode(SLICE("provider_key:pk1"), buf_slice(&b), &k, &rec, &e));
    assert_int_equal(rec.origin, RECORD_FILE);
    assert_true(slice_eq_str(rec.where, "a.yaml:12"));
    assert_int_equal(rec.res->version, 7);
    assert_true(slice_eq_str(secret_reveal(rec.res->u.provider_key->value), "sk-planted-secret"));
    resource_unref(&rec.res);

    assert_false(record_decode(SLICE("provider_key:pk1"), buf_slice(&b), &other, &rec, &e));
    assert_int_equal(e.code, ERR_DENIED);
    assert_non_null(strstr(e.message, "another master key"));
    // In another's place.
    assert_false(record_decode(SLICE("provider_key:pk2"), buf_slice(&b), &k, &rec, &e));
    assert_int_equal(e.code, ERR_DENIED);
    // Made to be the API's, another version, elsewhere.
    for (size_t at = 2; at < 20; at++) {
        struct buf copy;

        buf_init(&copy, RECORD_BYTES_MAX);
        buf_append(&copy, buf_slice(&b));
        copy.p[copy.off + at] ^= 1;
        assert_false(record_decode(SLICE("provider_key:pk1"), buf_slice(&copy), &k, &rec, &e));
        buf_done(&copy);
    }
    for (size_t n = 0; n < b.n; n++) {
        assert_false(
            record_decode(SLICE("provider_key:pk1"), slice_head(buf_slice(&b), n), &k, &rec, &e));
    }
    buf_done(&b);
    resource_unref(&r);
}

static void others_are_in_clear(void **state)
{
    struct record_keys k = keys_of(1), other = keys_of(2);
    struct resource *r = resource_new(RESOURCE_TEAM, SLICE("t:1"), UINT64_C(1) << 40);
    char field[RECORD_FIELD_MAX];
    struct record rec;
    struct buf b;
    struct err e;

    (void)state;
    r->u.team->name = "blue";
    buf_init(&b, RECORD_BYTES_MAX);
    record_encode(r, RECORD_API, NULL, &k, &b);
    assert_true(record_field(r->kind, slice_str(r->id), field));
    assert_string_equal(field, "team:t:1");
    assert_true(record_decode(slice_str(field), buf_slice(&b), &other, &rec, &e));
    assert_string_equal(rec.res->u.team->name, "blue");
    assert_true(rec.res->version == UINT64_C(1) << 40);
    assert_int_equal(rec.where.n, 0);
    resource_unref(&rec.res);
    assert_false(record_decode(SLICE("router:t:1"), buf_slice(&b), &k, &rec, &e));
    assert_false(record_decode(SLICE("nonsense:t:1"), buf_slice(&b), &k, &rec, &e));
    assert_false(record_decode(SLICE("team"), buf_slice(&b), &k, &rec, &e));
    assert_false(record_decode(SLICE("team:"), buf_slice(&b), &k, &rec, &e));
    buf_done(&b);
    resource_unref(&r);
}

// Values of headers may be secrets. What an older version wrote in clear is read all the same.
static void providers_with_headers_are_sealed(void **state)
{
    static const struct resource_pair pairs[] = {{"x-auth", "planted-value"}};
    struct record_keys k = keys_of(1);

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct resource *r = resource_new(RESOURCE_PROVIDER, SLICE("own"), 3);
        struct record rec;
        struct buf b;
        struct err e;

        r->u.provider->dialect = "openai";
        r->u.provider->base_url = r->u.provider->raw_url = "http://h/";
        r->u.provider->auth_header = "authorization";
        r->u.provider->headers = i == 1 ? pairs : NULL;
        r->u.provider->n_headers = i == 1;
        r->u.provider->query = i == 2 ? pairs : NULL;
        r->u.provider->n_query = i == 2;
        buf_init(&b, RECORD_BYTES_MAX);
        record_encode(r, RECORD_API, "", &k, &b);
        assert_int_equal(buf_slice(&b).p[1], i > 0);
        assert_true(slice_find(buf_slice(&b), SLICE("planted")) == SIZE_MAX);
        assert_true(record_decode(SLICE("provider:own"), buf_slice(&b), &k, &rec, &e));
        assert_int_equal(rec.res->u.provider->n_headers + rec.res->u.provider->n_query, i > 0);
        resource_unref(&rec.res);
        if (i > 0) { // as before
            buf_clear(&b);
            buf_append(&b, SLICE_MAKE("\1\0a\0\0\0\0\0\0\0\0\3", 12));
            resource_encode(r, &b);
            assert_true(record_decode(SLICE("provider:own"), buf_slice(&b), &k, &rec, &e));
            resource_unref(&rec.res);
        }
        buf_done(&b);
        resource_unref(&r);
    }
}

static void master_keys_rotate(void **state)
{
    struct record_keys old = keys_of(1), both = keys_of(2), fresh = keys_of(2);
    struct resource *r = provider_key();
    uint8_t first[CRYPTO_KEY_BYTES];
    struct record rec;
    struct buf sealed, anew;
    struct err e;

    (void)state;
    memset(first, 1, sizeof(first));
    assert_true(record_keys_add(&both, first)); // the old one behind
    buf_init(&sealed, RECORD_BYTES_MAX);
    buf_init(&anew, RECORD_BYTES_MAX);
    record_encode(r, RECORD_API, "", &old, &sealed);
    assert_false(record_is_stale(buf_slice(&sealed), &old));
    assert_true(record_is_stale(buf_slice(&sealed), &both));
    assert_true(record_decode(SLICE("provider_key:pk1"), buf_slice(&sealed), &both, &rec, &e));
    record_encode(rec.res, rec.origin, "", &both, &anew);
    resource_unref(&rec.res);
    assert_false(record_is_stale(buf_slice(&anew), &both));
    assert_true(record_decode(SLICE("provider_key:pk1"), buf_slice(&anew), &fresh, &rec, &e));
    resource_unref(&rec.res);
    assert_false(record_decode(SLICE("provider_key:pk1"), buf_slice(&sealed), &fresh, &rec, &e));
    for (size_t n = 0; n < sealed.n; n++) { // never reads beyond what there is
        (void)!record_is_stale(slice_head(buf_slice(&sealed), n), &both);
    }
    for (size_t i = both.n; i < RECORD_KEYS_MAX; i++) {
        assert_true(record_keys_add(&both, first));
    }
    assert_false(record_keys_add(&both, first));
    buf_done(&sealed);
    buf_done(&anew);
    resource_unref(&r);
}

// As for the proxies' file: what an earlier build has written.
static void the_golden_record_is_read(void **state)
{
    struct record_keys k = keys_of(9);
    struct resource *r = provider_key();
    struct record rec;
    struct buf b;
    struct err e;
    char path[512];

    (void)state;
    buf_init(&b, RECORD_BYTES_MAX);
    golden_path("record-provider_key.bin", path);
    if (getenv("SLUICE_UPDATE_GOLDEN") != NULL && access(path, F_OK) != 0) {
        record_encode(r, RECORD_FILE, "a.yaml:12", &k, &b);
        golden_check("record-provider_key.bin", buf_slice(&b));
        buf_clear(&b);
    }
    golden_read("record-provider_key.bin", &b);
    if (!record_decode(SLICE("provider_key:pk1"), buf_slice(&b), &k, &rec, &e)) {
        fail_msg("%s", e.message);
    }
    assert_int_equal(rec.res->version, 7);
    assert_true(slice_eq_str(rec.where, "a.yaml:12"));
    assert_true(slice_eq_str(secret_reveal(rec.res->u.provider_key->value), "sk-planted-secret"));
    resource_unref(&rec.res);
    resource_unref(&r);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_are_sealed_and_come_back),
        cmocka_unit_test(providers_with_headers_are_sealed),
        cmocka_unit_test(master_keys_rotate),
        cmocka_unit_test(the_golden_record_is_read),
        cmocka_unit_test(others_are_in_clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
