// SPDX-License-Identifier: Apache-2.0
// (Bodies are tested through the API in api_test.c and by fuzz_admin_body.c.)
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/mono.h"
#include "controlplane/vkey.h"

static const uint8_t one[32] = "one", two[32] = "two";

static void secrets_are_made_not_kept(void **state)
{
    char a[VKEY_TEXT_MAX], b[VKEY_TEXT_MAX];
    uint8_t ha[32], hb[32], hash[32];
    struct slice secret;

    (void)state;
    vkey_make_secret(SLICE("id"), SLICE("salt"), one, two, a, ha);
    vkey_make_secret(SLICE("id"), SLICE("salt"), one, two, b, hb);
    assert_string_equal(a, b);
    assert_memory_equal(ha, hb, 32);
    assert_int_equal(strncmp(a, "sk-sluice-id-", 13), 0);
    assert_int_equal(strlen(a), 13 + VKEY_SECRET_CHARS);
    // What the proxy computes from what a client sends.
    secret = slice_str(a + 13);
    crypto_keyed_hash(hash, sizeof(hash), two, &secret, 1);
    assert_memory_equal(hash, ha, 32);
    vkey_make_secret(SLICE("id"), SLICE("salz"), one, two, b, hb);
    assert_string_not_equal(a, b);
    vkey_make_secret(SLICE("ie"), SLICE("salt"), one, two, b, hb);
    assert_string_not_equal(a + 13, b + 13);
    vkey_make_secret(SLICE("id"), SLICE("salt"), two, two, b, hb);
    assert_string_not_equal(a, b);
}

static void states(void **state)
{
    struct resource_key k = {.expires_wall_us = 100};

    (void)state;
    assert_string_equal(vkey_state(&k, 99), "active");
    assert_string_equal(vkey_state(&k, 100), "expired");
    k.expires_wall_us = 0;
    assert_string_equal(vkey_state(&k, UINT64_MAX), "active");
    k.state = RESOURCE_DISABLED;
    assert_string_equal(vkey_state(&k, 0), "disabled");
}

static void a_patch_changes_what_it_names(void **state)
{
    struct err e;
    struct json_report r = {0};
    struct json_value *doc =
        json_parse(SLICE("{\"name\":\"a\",\"models\":[\"gpt-*\"],\"limits\":[{\"unit\":\"tokens\","
                         "\"amount\":5,\"per\":\"1h\"}],\"metadata\":{\"k\":\"v\"}}"),
                   4096, 32, &e);
    struct json_value *patch = json_parse(SLICE("{\"limits\":[],\"team\":\"t\"}"), 4096, 32, &e);
    struct json_at body = json_root(doc), change = json_root(patch);
    struct resource *a = vkey_from_body(&body, NULL, SLICE("id"), 7, &r);
    struct resource *b = vkey_from_body(&change, a, SLICE("id"), 8, &r);

    (void)state;
    assert_int_equal(r.n, 0);
    json_free(&doc);
    json_free(&patch);
    assert_int_equal(a->u.key->limits[0].per_us, 3600 * MONO_SEC);
    assert_int_equal(a->u.key->created_wall_us, 7);
    assert_int_equal(b->version, 2);
    assert_int_equal(b->u.key->n_limits, 0);
    assert_string_equal(b->u.key->team, "t");
    assert_string_equal(b->u.key->models[0], "gpt-*");
    assert_string_equal(b->u.key->metadata[0].value, "v");
    assert_int_equal(b->u.key->created_wall_us, 7);
    assert_int_equal(a->u.key->n_limits, 1);
    assert_null(a->u.key->team);
    resource_unref(&a);
    resource_unref(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_are_made_not_kept),
        cmocka_unit_test(states),
        cmocka_unit_test(a_patch_changes_what_it_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
