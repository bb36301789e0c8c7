// SPDX-License-Identifier: Apache-2.0
// Each message survives a round trip and matches its golden bytes; bounds; unknown fields.
#include "proto/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/proto/golden.h"

static const struct message_item items[] = {
    {RESOURCE_KEY, "7Gk2", 3, {"encoded", 7}},
    {77, "of the future", UINT64_MAX, {"", 0}},
};
static const struct message_ref refs[] = {{RESOURCE_TEAM, "blue"}};
static const struct message_resource_error errors[] = {{RESOURCE_ROUTER, "r", 4, "balances: ..."}};
static const struct message_target_health targets[] = {
    {"openai", "gpt-4o-mini", "k1", "", MESSAGE_TARGET_EJECTED, 250000, 3, 100, 7, 30000000,
     "5 consecutive failures"},
};
static const struct message_usage_record records[] = {
    {.request_id = "req-1",
     .key = "7Gk2",
     .router = "production",
     .provider = "openai",
     .model = "gpt-4o-mini",
     .status = 200,
     .input = 12,
     .cached = 4,
     .output = 90,
     .reasoning = 5,
     .cost = 123456789,
     .cache = MESSAGE_CACHE_MISS,
     .latency_us = 350000,
     .ttft_us = 120000,
     .attempts = 2,
     .wall_us = 1795000000000000,
     .team = "blue",
     .user = "u1",
     .tags = "a,b",
     .stream = true},
    {.request_id = "req-2",
     .key = "anonymous",
     .router = "",
     .provider = "",
     .model = "",
     .status = 502,
     .latency_us = 9,
     .attempts = 3,
     .interrupted = true,
     .wall_us = 1,
     .team = "",
     .user = "",
     .tags = "",
     .estimated = true},
};
static const struct message_lease_item asks[] = {
    {.limit_id = "r:production:0:anonymous", .want = 10, .returned = 2, .debt = 1}};
static const struct message_grant grants[] = {
    {"r:production:0:anonymous", 10, 600000, 980, 1000, 0, 60000000, 0, 0},
    {"k:7Gk2:0", 0, 0, 0, 5, 17000000, 17000000, 0, 0},
};
static const struct message_probe probes[] = {
    {"vllm", true, 1200, ""},
    {"ollama", false, 0, "connection refused"},
};
static const char epoch[16] = "0123456789abcdef";

static const struct message samples[] = {
    {MESSAGE_DELTA, {.delta = {41, 42, items, 2, refs, 1, false}}},
    {MESSAGE_HEARTBEAT, {.heartbeat = {42, 0xfedcba9876543210, 1795000000000000, 0}}},
    {MESSAGE_SYNC_REQUEST, {.sync_request = {"proxy-1", 9, 3, 77, true}}},
    {MESSAGE_SYNC_CHUNK,
     {.sync_chunk = {9, 3, true, false, 42, 77, 100000, {epoch, 16}, items, 2}}},
    {MESSAGE_REFUSAL, {.refusal = {MESSAGE_GONE, "snapshot 9 is no longer held"}}},
    {MESSAGE_REPORT,
     {.report = {"proxy-1", "0.1.0", "127.0.0.1:9464", 77, 12, 1795000000000000, errors, 1, true,
                 targets, 1, 8}}},
    {MESSAGE_USAGE_REPORT, {.usage_report = {"proxy-1", "s1", 7, 5, records, 2}}},
    {MESSAGE_USAGE_ACK, {.usage_ack = {7}}},
    {MESSAGE_LEASE_REQUEST, {.lease_request = {"proxy-1", asks, 1, NULL}}},
    {MESSAGE_LEASE_GRANT, {.lease_grant = {grants, 2}}},
    {MESSAGE_PROBES, {.probes = {probes, 2}}},
};

static void each_round_trips_and_matches_golden(void **state)
{
    (void)state;
    assert_int_equal(ARRAY_LEN(samples), MESSAGE_TYPE_MAX);
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        const char *name = message_type_name(samples[i].type);
        struct buf first, second;
        struct arena arena;
        struct message back;
        struct err e = {0};
        char file[64];

        buf_init(&first, MESSAGE_BYTES_MAX);
        buf_init(&second, MESSAGE_BYTES_MAX);
        arena_init(&arena, 1024, 0);
        message_encode(&samples[i], &first);
        if (!message_decode(samples[i].type, buf_slice(&first), &arena, &back, &e)) {
            fail_msg("%s: %s", name, e.message);
        }
        message_encode(&back, &second);
        assert_true(slice_eq(buf_slice(&first), buf_slice(&second)));
        (void)snprintf(file, sizeof(file), "message-%s.bin", name);
        golden_check(file, buf_slice(&first));
        // A later version's fields are skipped.
        buf_append(&first, SLICE("\xfa\x7d\x05hello"));
        assert_true(message_decode(samples[i].type, buf_slice(&first), &arena, &back, &e));
        for (size_t n = 0; n < first.n; n++) { // no truncation crashes
            (void)!message_decode(samples[i].type, slice_head(buf_slice(&first), n), &arena, &back,
                                  NULL);
        }
        arena_done(&arena);
        buf_done(&first);
        buf_done(&second);
    }
}

static struct message through(const struct message *m, struct arena *arena)
{
    struct message back;
    struct buf b;

    buf_init(&b, MESSAGE_BYTES_MAX);
    message_encode(m, &b);
    assert_true(message_decode(m->type, buf_slice(&b), arena, &back, NULL));
    buf_done(&b);
    return back;
}

// Fields that came after the golden bytes: absent there, and zero; written when they are not.
static void newer_fields_survive(void **state)
{
    const struct message_lease_item item = {.limit_id = "k:1:0", .returned = 3, .batch = 7000000};
    const struct message_lease_item told = {.limit_id = "k:1:0",
                                            .want = 3,
                                            .window = 7,
                                            .unit = 1,
                                            .no = 1234567890123,
                                            .taken = 40,
                                            .period = 2};
    const struct message_lease_item again = {.limit_id = "k:1:0", .no = 9, .since = 7, .again = 5};
    const struct message_grant grant = {.limit_id = "k:1:0", .granted = 3, .batch = 7000001};
    const struct message sent[] = {
        {MESSAGE_HEARTBEAT, {.heartbeat = {.seq = 42, .live = 3}}},
        {MESSAGE_LEASE_REQUEST, {.lease_request = {"proxy-1", &item, 1, NULL}}},
        {MESSAGE_LEASE_GRANT, {.lease_grant = {&grant, 1}}},
        {MESSAGE_LEASE_REQUEST, {.lease_request = {"proxy-1", &told, 1, "9c1Xy"}}},
        {MESSAGE_LEASE_REQUEST, {.lease_request = {"proxy-1", &again, 1, "9c1Xy"}}},
    };
    struct arena arena;
    struct message m;
    struct buf b;

    (void)state;
    arena_init(&arena, 1024, 0);
    buf_init(&b, MESSAGE_BYTES_MAX);
    message_encode(&sent[3], &b);
    golden_check("message-lease_request-2.bin", buf_slice(&b));
    buf_done(&b);
    assert_string_equal(through(&sent[1], &arena).u.lease_request.holder, "");
    m = through(&sent[3], &arena);
    assert_string_equal(m.u.lease_request.holder, "9c1Xy");
    assert_int_equal(m.u.lease_request.items[0].no, 1234567890123);
    assert_int_equal(m.u.lease_request.items[0].taken, 40);
    assert_int_equal(m.u.lease_request.items[0].period, 2);
    assert_int_equal(m.u.lease_request.items[0].since, 0);
    assert_int_equal(through(&sent[4], &arena).u.lease_request.items[0].since, 7);
    assert_int_equal(through(&sent[4], &arena).u.lease_request.items[0].again, 5);
    assert_int_equal(through(&sent[0], &arena).u.heartbeat.live, 3);
    assert_int_equal(through(&sent[1], &arena).u.lease_request.items[0].batch, 7000000);
    assert_int_equal(through(&sent[2], &arena).u.lease_grant.grants[0].batch, 7000001);
    assert_int_equal(through(&samples[1], &arena).u.heartbeat.live, 0);
    arena_done(&arena);
}

static void fields_survive(void **state)
{
    struct arena arena;
    struct message m;

    (void)state;
    arena_init(&arena, 1024, 0);
    m = through(&samples[0], &arena);
    assert_int_equal(m.u.delta.n_upserts, 2);
    assert_int_equal(m.u.delta.upserts[1].kind, 77);
    assert_true(m.u.delta.upserts[1].version == UINT64_MAX);
    assert_true(slice_eq_str(m.u.delta.upserts[0].resource, "encoded"));
    assert_string_equal(m.u.delta.deletes[0].id, "blue");
    m = through(&samples[3], &arena);
    assert_true(slice_eq(m.u.sync_chunk.supersedes, SLICE_MAKE(epoch, 16)));
    assert_true(m.u.sync_chunk.last);
    m = through(&samples[6], &arena);
    assert_true(m.u.usage_report.records[1].interrupted);
    assert_string_equal(m.u.usage_report.records[1].router, "");
    assert_true(m.u.usage_report.records[0].cost == 123456789);
    m = through(&samples[9], &arena);
    assert_true(m.u.lease_grant.grants[1].empty_until_us == 17000000);
    arena_done(&arena);
}

static void bounds_hold(void **state)
{
    static struct message_ref many[MESSAGE_ITEMS_MAX + 1];
    struct message m = {MESSAGE_DELTA, {.delta = {.deletes = many}}};
    struct arena arena;
    struct message back;
    struct err e;
    struct buf b;

    (void)state;
    arena_init(&arena, 1024, 0);
    buf_init(&b, 2 * MESSAGE_BYTES_MAX);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        many[i] = (struct message_ref){1, "x"};
    }
    m.u.delta.n_deletes = MESSAGE_ITEMS_MAX;
    message_encode(&m, &b);
    assert_true(message_decode(MESSAGE_DELTA, buf_slice(&b), &arena, &back, &e));
    m.u.delta.n_deletes++;
    buf_clear(&b);
    message_encode(&m, &b);
    assert_false(message_decode(MESSAGE_DELTA, buf_slice(&b), &arena, &back, &e));
    assert_non_null(strstr(e.message, "delta: deletes: too many"));
    buf_clear(&b);
    while (b.n <= MESSAGE_BYTES_MAX) {
        buf_append(&b, SLICE("\x08\x01"));
    }
    assert_false(message_decode(MESSAGE_DELTA, buf_slice(&b), &arena, &back, &e));
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_false(message_decode(MESSAGE_TYPE_MAX + 1, SLICE(""), &arena, &back, &e));
    assert_string_equal(message_type_name(0), "unknown");
    buf_done(&b);
    arena_done(&arena);
}

static void item_blocks(void **state)
{
    const struct message_item *back;
    struct arena arena;
    struct buf b;
    size_t n;

    (void)state;
    arena_init(&arena, 1024, 0);
    buf_init(&b, MESSAGE_BYTES_MAX);
    message_encode_items(items, 2, &b);
    assert_true(b.n <= message_item_size(&items[0]) + message_item_size(&items[1]));
    assert_true(message_decode_items(buf_slice(&b), &arena, &back, &n, NULL));
    assert_int_equal(n, 2);
    assert_string_equal(back[1].id, "of the future");
    assert_false(message_decode_items(SLICE("\x0a"), &arena, &back, &n, NULL));
    buf_done(&b);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_round_trips_and_matches_golden),
        cmocka_unit_test(newer_fields_survive),
        cmocka_unit_test(fields_survive),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(item_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
