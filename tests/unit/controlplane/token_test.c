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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stored_and_read_back),
        cmocka_unit_test(damage_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
