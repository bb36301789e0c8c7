// SPDX-License-Identifier: Apache-2.0
// Callers: every mode with every kind of credential, in every header.
#include "dataplane/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/io/crypto.h"
#include "tests/unit/dataplane/build.h"

#define NOW 1000000u

static struct build b;
static struct snapshot *snap;

static void add_key(const char *id, const char *secret, enum resource_state state, uint64_t expires)
{
    struct resource_key *k = build_key(&b, id);
    struct slice text = slice_str(secret);
    uint8_t hash_key[32] = {7};

    crypto_keyed_hash(k->hash, sizeof(k->hash), hash_key, &text, 1);
    k->state = state;
    k->expires_wall_us = expires;
}

static int setup(void **state)
{
    (void)state;
    b.n = 0;
    build_add(&b, RESOURCE_SETTINGS, "global")->u.settings->key_hash_key[0] = 7;
    add_key("alice", "s3cret", RESOURCE_ACTIVE, 0);
    add_key("later", "s3cret", RESOURCE_ACTIVE, NOW + 1);
    add_key("expired", "s3cret", RESOURCE_ACTIVE, NOW);
    add_key("off", "s3cret", RESOURCE_DISABLED, 0);
    add_key("both", "s3cret", RESOURCE_DISABLED, 1);
    add_key("dash", "a-b-c", RESOURCE_ACTIVE, 0);
    snap = build_snapshot(&b);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    build_done(&b, &snap);
    return 0;
}

static void keys(void **state)
{
    static const struct {
        const char *credential;
        enum auth_result result;
        const char *principal;
    } cases[] = {
        {"sk-sluice-alice-s3cret", AUTH_OK, "alice"},
        {"sk-sluice-later-s3cret", AUTH_OK, "later"},
        {"sk-sluice-dash-a-b-c", AUTH_OK, "dash"},
        {"sk-sluice-expired-s3cret", AUTH_EXPIRED, NULL},
        {"sk-sluice-off-s3cret", AUTH_DISABLED, NULL},
        {"sk-sluice-both-s3cret", AUTH_DISABLED, NULL},
        {"sk-sluice-alice-wrong", AUTH_UNKNOWN, NULL},
        {"sk-sluice-off-wrong", AUTH_UNKNOWN, NULL}, // says nothing about the key
        {"sk-sluice-expired-wrong", AUTH_UNKNOWN, NULL},
        {"sk-sluice-nobody-s3cret", AUTH_UNKNOWN, NULL},
        {"sk-sluice-alice-s3cre", AUTH_UNKNOWN, NULL},
        {"sk-sluice-alice-s3cret ", AUTH_UNKNOWN, NULL},
        {"sk-sluice-alice-", AUTH_UNKNOWN, NULL},
        {"sk-sluice-alice", AUTH_UNKNOWN, NULL},
        {"sk-sluice--s3cret", AUTH_UNKNOWN, NULL},
        {"sk-sluice-", AUTH_UNKNOWN, NULL},
        {"sk-sluice-ALICE-s3cret", AUTH_UNKNOWN, NULL},
    };
    static const enum resource_auth_mode modes[] = {RESOURCE_AUTH_OPTIONAL, RESOURCE_AUTH_REQUIRED};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
            for (size_t at = 0; at < 4; at++) { // each of the headers
                struct slice given[4] = {SLICE_NULL, SLICE_NULL, SLICE_NULL, SLICE_NULL};
                struct auth_caller who;

                given[at] = slice_str(cases[i].credential);
                assert_int_equal(auth_check(snap, modes[m], given, NOW, &who), cases[i].result);
                if (cases[i].principal != NULL) {
                    assert_true(slice_eq_str(who.principal, cases[i].principal));
                    assert_string_equal(who.key->id, cases[i].principal);
                } else {
                    assert_null(who.key);
                }
            }
        }
    }
}

static void modes(void **state)
{
    static const char *const good = "sk-sluice-alice-s3cret", *const bad = "sk-sluice-alice-x";
    const struct {
        enum resource_auth_mode mode;
        const char *given[4];
        enum auth_result result;
        bool key; // else anonymous
    } cases[] = {
        {RESOURCE_AUTH_OPTIONAL, {NULL, NULL, NULL, NULL}, AUTH_OK, false},
        {RESOURCE_AUTH_OPTIONAL, {"sk-proj-other", NULL, NULL, NULL}, AUTH_OK, false},
        {RESOURCE_AUTH_OPTIONAL, {"", "", "", ""}, AUTH_OK, false},
        {RESOURCE_AUTH_OPTIONAL, {bad, NULL, NULL, NULL}, AUTH_UNKNOWN, false},
        {RESOURCE_AUTH_REQUIRED, {NULL, NULL, NULL, NULL}, AUTH_MISSING, false},
        {RESOURCE_AUTH_REQUIRED, {"", NULL, NULL, ""}, AUTH_MISSING, false},
        {RESOURCE_AUTH_REQUIRED, {"sk-proj-other", NULL, NULL, NULL}, AUTH_UNKNOWN, false},
        {RESOURCE_AUTH_REQUIRED, {NULL, NULL, NULL, "x"}, AUTH_UNKNOWN, false},
        {RESOURCE_AUTH_OFF, {NULL, NULL, NULL, NULL}, AUTH_OK, false},
        {RESOURCE_AUTH_OFF, {good, NULL, NULL, NULL}, AUTH_OK, false},
        {RESOURCE_AUTH_OFF, {bad, NULL, NULL, NULL}, AUTH_OK, false},
        // The first that is one of ours counts, wherever it stands.
        {RESOURCE_AUTH_REQUIRED, {"sk-proj-other", good, NULL, NULL}, AUTH_OK, true},
        {RESOURCE_AUTH_REQUIRED, {NULL, "a", "b", good}, AUTH_OK, true},
        {RESOURCE_AUTH_REQUIRED, {bad, good, NULL, NULL}, AUTH_UNKNOWN, false},
        {RESOURCE_AUTH_REQUIRED, {good, bad, NULL, NULL}, AUTH_OK, true},
        {RESOURCE_AUTH_OPTIONAL, {NULL, "sk-ant", good, NULL}, AUTH_OK, true},
        {RESOURCE_AUTH_OPTIONAL, {"SK-SLUICE-alice-s3cret", NULL, NULL, NULL}, AUTH_OK, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice given[4];
        struct auth_caller who;

        for (size_t k = 0; k < 4; k++) {
            given[k] = slice_str(cases[i].given[k]);
        }
        assert_int_equal(auth_check(snap, cases[i].mode, given, NOW, &who), cases[i].result);
        assert_int_equal(who.key != NULL, cases[i].key);
        if (cases[i].result == AUTH_OK && !cases[i].key) {
            assert_true(slice_eq_str(who.principal, "anonymous"));
        }
    }
}

static void odd_lengths(void **state)
{
    char text[1000];
    struct auth_caller who;

    (void)state;
    memset(text, 'a', sizeof(text));
    memcpy(text, "sk-sluice-", 10);
    for (size_t n = 0; n < sizeof(text); n += 7) {
        for (size_t dash = 10; dash < n; dash += 50) {
            struct slice given[4] = {{text, n}, SLICE_NULL, SLICE_NULL, SLICE_NULL};

            text[dash] = '-';
            assert_int_equal(auth_check(snap, RESOURCE_AUTH_REQUIRED, given, NOW, &who),
                             AUTH_UNKNOWN);
            text[dash] = 'a';
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys),
        cmocka_unit_test(modes),
        cmocka_unit_test(odd_lengths),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
