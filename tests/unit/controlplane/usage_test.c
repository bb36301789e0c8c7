// SPDX-License-Identifier: Apache-2.0
// Numbered reports against a real Redis: each counted once, in order, whoever sends them again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/mono.h"
#include "controlplane/usage.h"
#include "tests/unit/fake_mono.h"
#include "tests/unit/redis_server.h"

static const uint8_t master[CRYPTO_KEY_BYTES] = "0123456789abcdef0123456789abcde";

static const struct record_keys *master_keys(void)
{
    static struct record_keys k;

    k.n = 0;
    assert_true(record_keys_add(&k, master));
    return &k;
}

struct fixture {
    struct redis_server server;
    struct loop *loop;
    struct state *state;
    struct store *store;
    struct meters *meters;
    struct usage *usage;
    int answers;
    bool ok;
    uint64_t last;
    int64_t number;
};

static void on_status(void *arg, enum follow_status s, const char *message)
{
    (void)arg;
    (void)s;
    (void)message;
}

#define WAIT(f, cond) FAKE_MONO_UNTIL((f)->loop, cond)

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){0};
    f.loop = loop_new(NULL);
    assert_true(redis_server_start(&f.server, NULL, NULL));
    f.state = state_new();
    f.meters = meters_new();
    f.store = store_new(&(const struct store_config){.loop = f.loop,
                                                     .redis_url = f.server.url,
                                                     .state = f.state,
                                                     .keys = master_keys(),
                                                     .init = true,
                                                     .on_status = on_status},
                        NULL);
    f.usage = usage_new(f.loop, f.store, f.meters);
    WAIT(&f, redis_is_up(store_redis(f.store)));
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    store_free(&f->store);
    usage_free(&f->usage);
    meters_free(&f->meters);
    state_free(&f->state);
    loop_free(&f->loop);
    redis_server_stop(&f->server);
    return 0;
}

static void on_counted(void *arg, bool ok, uint64_t last)
{
    struct fixture *f = arg;

    f->answers++;
    f->ok = ok;
    f->last = last;
}

static struct message_usage_record record(const char *key, uint32_t status)
{
    return (struct message_usage_record){.request_id = "req-1",
                                         .key = key,
                                         .router = "prod",
                                         .provider = "openai",
                                         .model = "gpt-4o-mini",
                                         .status = status,
                                         .input = 10,
                                         .output = 5,
                                         .cost = 250,
                                         .cache = MESSAGE_CACHE_MISS,
                                         .attempts = 1,
                                         .wall_us = mono_wall_us(),
                                         .team = "",
                                         .user = "",
                                         .tags = "a, b"};
}

static uint64_t report(struct fixture *f, uint64_t number, uint64_t oldest)
{
    const struct message_usage_record records[] = {record("key1", 200), record("key1", 503),
                                                   record("", 200)};

    f->answers = 0;
    usage_report(f->usage,
                 &(const struct message_usage_report){.proxy = "p",
                                                      .stream = "journal-1",
                                                      .number = number,
                                                      .oldest = oldest,
                                                      .records = records,
                                                      .n_records = 3},
                 on_counted, f);
    assert_int_equal(f->answers, 0);
    WAIT(f, f->answers == 1);
    assert_true(f->ok);
    return f->last;
}

static void on_number(void *arg, const struct redis_reply *r, const struct err *e)
{
    assert_null(e);
    ((struct fixture *)arg)->number = redis_int(r);
}

static int64_t sum(struct fixture *f, const char *dimension, const char *field)
{
    char name[64];

    f->number = -1;
    redis_command(store_redis(f->store),
                  (const struct slice[]){
                      SLICE("HGET"), slice_str(usage_name(true, mono_wall_us(), dimension, name)),
                      slice_str(field)},
                  3, MONO_SEC, on_number, f);
    WAIT(f, f->number >= 0);
    return f->number;
}

static void each_report_counts_once(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(report(f, 1, 1), 1);
    assert_int_equal(report(f, 1, 1), 1); // the answer was lost, and so was nothing else
    assert_int_equal(report(f, 3, 1), 1); // not yet
    assert_int_equal(report(f, 2, 1), 2);
    assert_int_equal(sum(f, "key", "key1\x1frequests"), 4);
    assert_int_equal(sum(f, "key",
                         "key1\x1f"
                         "errors"),
                     2);
    assert_int_equal(sum(f, "key", "\x1frequests"), 2);
    assert_int_equal(sum(f, "total", "\x1finput_tokens"), 60);
    assert_int_equal(sum(f, "total",
                         "\x1f"
                         "cost"),
                     1500);
    assert_int_equal(sum(f, "tag", "b\x1frequests"), 6);
    assert_int_equal(sum(f, USAGE_CUBE,
                         "key1\x1e\x1e\x1egpt-4o-mini\x1eopenai\x1eprod\x1e"
                         "a,b\x1frequests"),
                     4);
    assert_int_equal(report(f, 0, 1), 2); // only asks
    // 3 to 6 are gone from its journal: it goes on with 7, once.
    assert_int_equal(report(f, 7, 7), 7);
    assert_int_equal(report(f, 7, 7), 7);
    assert_int_equal(sum(f, "total", "\x1frequests"), 9);
}

static void without_redis_it_is_sent_again(void **state)
{
    const struct message_usage_record r = record("key1", 200);
    struct fixture *f = *state;

    redis_server_kill(&f->server);
    usage_report(f->usage,
                 &(const struct message_usage_report){
                     .proxy = "p", .stream = "s", .number = 1, .records = &r, .n_records = 1},
                 on_counted, f);
    WAIT(f, f->answers == 1);
    assert_false(f->ok);
}

static void hostile_records_are_bounded(void **state)
{
    struct message_usage_record r = record("a\x1f"
                                           "b",
                                           200);
    struct fixture *f = *state;
    char longer[400];

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    r.user = longer;
    r.wall_us = 12; // 1970: counted today
    usage_report(f->usage,
                 &(const struct message_usage_report){
                     .proxy = "p", .stream = "s", .number = 1, .records = &r, .n_records = 1},
                 on_counted, f);
    WAIT(f, f->answers == 1);
    assert_int_equal(sum(f, "key", "a?b\x1frequests"), 1);

    memcpy(longer + 128, "\x1frequests", sizeof("\x1frequests"));
    assert_int_equal(sum(f, "user", longer), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_report_counts_once, setup, teardown),
        cmocka_unit_test_setup_teardown(without_redis_it_is_sent_again, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_records_are_bounded, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
