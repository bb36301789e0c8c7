// SPDX-License-Identifier: Apache-2.0
// Tokens as they are stored; whether they let anybody in is tested through the API.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/arena.h"
#include "controlplane/token.h"

static void stored_and_read_back(void **state)
{
    struct token t = {.id = "abcDEF123456",
                      .name = "ci \"quoted\"",
                      .scopes = TOKEN_READ | TOKEN_KEYS,
                      .hash = {1, 2, 255},
                      .created_wall_us = 1,
                      .expires_wall_us = UINT64_C(1) << 60},
                 back;
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    tokens_encode(&t, &b);
    assert_true(tokens_decode(slice_str(t.id), buf_slice(&b), &back));
    assert_string_equal(back.id, t.id);
    assert_string_equal(back.name, t.name);
    assert_int_equal(back.scopes, t.scopes);
    assert_memory_equal(back.hash, t.hash, sizeof(t.hash));
    assert_int_equal(back.created_wall_us, t.created_wall_us);
    assert_int_equal(back.expires_wall_us, t.expires_wall_us);
    // Every shorter text is refused, and none is read beyond its end.
    for (size_t n = 0; n < b.n; n++) {
        assert_false(tokens_decode(slice_str(t.id), slice_head(buf_slice(&b), n), &back));
    }
    buf_done(&b);
}

static void damage_is_refused(void **state)
{
#define HASH "\"hash\":\"0000000000000000000000000000000000000000000000000000000000000000\""
    static const char *const texts[] = {
        "",
        "{}",
        "[]",
        "null",
        "{\"name\":\"x\",\"scopes\":[\"root\"]," HASH ",\"created\":1,\"expires\":0}",
        "{\"name\":\"x\",\"scopes\":[]," HASH ",\"created\":1,\"expires\":0}",
        "{\"name\":\"x\",\"scopes\":[\"read\"],\"hash\":\"00\",\"created\":1,\"expires\":0}",
        "{\"name\":\"x\",\"scopes\":[\"read\"]," HASH ",\"created\":-1,\"expires\":0}",
        "{\"name\":5,\"scopes\":[\"read\"]," HASH ",\"created\":1,\"expires\":0}",
        "{\"name\":\"x\",\"scopes\":[\"read\"]," HASH ",\"created\":1}",
    };
    struct token t;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_false(tokens_decode(SLICE("abc"), slice_str(texts[i]), &t));
    }
    assert_true(tokens_decode(
        SLICE("abc"),
        SLICE("{\"name\":\"x\",\"scopes\":[\"admin\"]," HASH ",\"created\":1,\"expires\":0}"), &t));
    assert_false(tokens_decode(
        SLICE("longer-than-an-id"),
        SLICE("{\"name\":\"x\",\"scopes\":[\"admin\"]," HASH ",\"created\":1,\"expires\":0}"), &t));
}

static void write_id(void *ctx, const struct token *one)
{
    buf_append_str(ctx, one->id);
    buf_append_str(ctx, " ");
}

// Whatever order they were read in: a list that is asked for twice is the same.
static void listed_by_age(void **state)
{
    static const struct token all[] = {{.id = "bbb", .created_wall_us = 20},
                                       {.id = "zzz", .created_wall_us = 10},
                                       {.id = "aaa", .created_wall_us = 30},
                                       {.id = "ccc", .created_wall_us = 20}};
    struct loop *l = loop_new(NULL);

    (void)state;
    for (size_t first = 0; first < ARRAY_LEN(all); first++) {
        struct tokens *t = tokens_new(l, NULL);
        struct buf b;

        buf_init(&b, 4096);
        for (size_t i = 0; i < ARRAY_LEN(all); i++) {
            tokens_put(t, &all[(first + i) % ARRAY_LEN(all)]);
        }
        tokens_each(t, write_id, &b);
        assert_true(slice_eq_str(buf_slice(&b), "zzz bbb ccc aaa "));
        buf_done(&b);
        tokens_free(&t);
    }
    loop_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_and_read_back),
        cmocka_unit_test(damage_is_refused),
        cmocka_unit_test(listed_by_age),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
