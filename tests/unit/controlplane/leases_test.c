// SPDX-License-Identifier: Apache-2.0
// From a proxy's request to grants: which limit an id means, the calls to a real Redis, what cannot
// be answered. (What the script promises is tested in lease_script_test.c.)
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/mono.h"
#include "controlplane/leases.h"
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

static const struct resource_limit per_key[] = {
    {.unit = RESOURCE_REQUESTS, .amount = 1000, .per_us = 60 * MONO_SEC, .per_principal = true},
    {.unit = RESOURCE_TOKENS, .amount = 500, .per_us = 60 * MONO_SEC},
};
static const struct resource_limit of_key[] = {
    {.unit = RESOURCE_USD,
     .amount = 1000000000,
     .calendar = RESOURCE_MONTH,
     .time_zone = "Europe/Berlin"},
    {.unit = RESOURCE_REQUESTS, .amount = 5, .per_us = 86400 * MONO_SEC},
};

struct fixture {
    struct redis_server server;
    struct loop *loop;
    struct state *state;
    struct store *store;
    struct meters *meters;
    struct leases *leases;
    // last answer
    int answers;
    bool none;
    size_t n;
    struct message_grant grants[600];
    char ids[8][64];
};

static void on_status(void *arg, enum follow_status s, const char *message)
{
    (void)arg;
    (void)s;
    (void)message;
}

#define WAIT(f, cond) FAKE_MONO_UNTIL((f)->loop, cond)

static void on_stored(void *arg, const struct store_result *r)
{
    assert_int_equal(r->outcome, STORE_DONE);
    *(bool *)arg = true;
}

static void fill(struct fixture *f)
{
    struct resource *all[] = {
        resource_new(RESOURCE_SETTINGS, SLICE("global"), 1),
        resource_new(RESOURCE_ROUTER, SLICE("prod"), 1),
        resource_new(RESOURCE_KEY, SLICE("key1"), 1),
        resource_new(RESOURCE_TEAM, SLICE("blue"), 1),
        resource_new(RESOURCE_USER, SLICE("ann@example.com"), 1),
    };
    struct store_op ops[ARRAY_LEN(all)];
    bool stored = false;

    *all[0]->u.settings = (struct resource_settings){
        .limits = per_key, .n_limits = 1, .unified_limits = per_key, .n_unified_limits = 2};
    *all[1]->u.router =
        (struct resource_router){.limits = per_key, .n_limits = 2, .origin = "file"};
    *all[2]->u.key = (struct resource_key){
        .name = "k", .limits = of_key, .n_limits = 2, .origin = "api", .created_wall_us = 1};
    *all[3]->u.team = (struct resource_team){.name = "blue", .limits = per_key, .n_limits = 1};
    *all[4]->u.user = (struct resource_user){.name = "Ann", .limits = of_key, .n_limits = 2};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        ops[i] = (struct store_op){.res = all[i], .origin = RECORD_API};
    }
    store_commit(f->store, &(const struct store_change){.ops = ops, .n = ARRAY_LEN(ops)}, on_stored,
                 &stored);
    WAIT(f, stored);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        resource_unref(&all[i]);
    }
}

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
    f.leases = leases_new(f.loop, f.store, f.meters, "");
    WAIT(&f, state_ready(f.state) && redis_is_up(store_redis(f.store)));
    fill(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    store_free(&f->store);
    leases_free(&f->leases);
    meters_free(&f->meters);
    state_free(&f->state);
    loop_free(&f->loop);
    redis_server_stop(&f->server);
    return 0;
}

static void on_grant(void *arg, const struct message_lease_grant *g)
{
    struct fixture *f = arg;

    f->answers++;
    f->none = g == NULL;
    f->n = g == NULL ? 0 : g->n_grants;
    for (size_t i = 0; i < f->n && i < ARRAY_LEN(f->grants); i++) {
        f->grants[i] = g->grants[i];
        if (i < 8) {
            (void)snprintf(f->ids[i], sizeof(f->ids[i]), "%s", g->grants[i].limit_id);
        }
    }
}

static void send_ask(struct fixture *f, const struct message_lease_item *items, size_t n)
{
    f->answers = 0;
    leases_ask(f->leases,
               &(const struct message_lease_request){.proxy = "p", .items = items, .n_items = n},
               on_grant, f);
    assert_int_equal(f->answers, 0);
}

static void ask(struct fixture *f, const struct message_lease_item *items, size_t n)
{
    send_ask(f, items, n);
    WAIT(f, f->answers == 1);
}

static void ids_name_limits(void **state)
{
    static const struct {
        const char *id;
        uint64_t amount; // 0: no such limit
    } cases[] = {
        {"r:prod:0:anonymous", 1000},
        {"r:prod:0:key1", 1000},
        {"r:prod:1:*", 500},
        {"u:0:key1", 1000},
        {"g:0:key1", 1000},
        {"k:key1:0", 1000000000},
        {"k:key1:1", 5},
        {"t:blue:0", 1000},
        {"o:ann@example.com:1", 5},
        {"o:ann@example.com:2", 0},
        {"o:bob@example.com:0", 0},
        {"t:ann@example.com:0", 0},
        {"r:prod:0:*", 0},    // one for each principal
        {"r:prod:1:key1", 0}, // one for all
        {"r:prod:2:key1", 0},
        {"r:prod:0", 0},
        {"r:prod:0:", 0},
        {"r:prod:0:a b", 0},
        {"r:prod:x:key1", 0},
        {"r:prod:-1:key1", 0},
        {"r:prod:18446744073709551616:key1", 0},
        {"r:none:0:key1", 0},
        {"g:1:key1", 0},
        {"k:key1:0:key1", 0},
        {"k:key2:0", 0},
        {"x:prod:0:key1", 0},
        {"", 0},
        {":", 0},
        {"r", 0},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct resource_limit *l = leases_find(f->state, slice_str(cases[i].id), NULL);

        if ((l == NULL ? 0 : l->amount) != cases[i].amount) {
            fail_msg("%s", cases[i].id);
        }
    }
}

static void lengths(void **state)
{
    static const struct {
        struct resource_limit limit;
        uint64_t us;
    } cases[] = {
        {{.amount = 1000, .per_us = 60 * MONO_SEC}, 300 * MONO_MS},
        {{.amount = 1, .per_us = 60 * MONO_SEC}, 60 * MONO_MS},
        {{.amount = 1000, .per_us = MONO_SEC}, 10 * MONO_MS},
        {{.amount = 1000, .per_us = 3600 * MONO_SEC}, 5 * MONO_SEC},
        {{.amount = 1000, .per_us = 86400 * MONO_SEC}, 5 * MONO_SEC},
        {{.amount = 1, .calendar = RESOURCE_DAY}, 5 * MONO_SEC},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(leases_length_us(&cases[i].limit), cases[i].us);
    }
}

static void one_request_answers_many_questions(void **state)
{
    const struct message_lease_item items[] = {
        {.limit_id = "r:prod:0:key1", .want = 10},
        {.limit_id = "r:none:0:key1", .want = 10},
        {.limit_id = "k:key1:0", .want = 300},
        {.limit_id = "k:key1:1", .want = 100},
        {.limit_id = "t:blue:0"},
    };
    struct fixture *f = *state;

    ask(f, items, ARRAY_LEN(items));
    assert_int_equal(f->n, 4);
    assert_string_equal(f->ids[0], "r:prod:0:key1");
    assert_int_equal(f->grants[0].granted, 10);
    assert_int_equal(f->grants[0].amount, 1000);
    assert_int_equal(f->grants[0].lease_us, 300 * MONO_MS);
    assert_int_equal(f->grants[0].remaining, 985);
    assert_int_equal(f->grants[1].granted, 300);
    assert_int_equal(f->grants[2].granted, 5); // never more than there is
    assert_int_equal(f->grants[3].granted, 0);
    assert_int_equal(f->grants[3].empty_until_us, 0);
    ask(f, items + 3, 1);
    assert_int_equal(f->grants[0].granted, 0);
    assert_true(f->grants[0].empty_until_us > 0);
}

static void large_requests_are_cut_into_calls(void **state)
{
    struct fixture *f = *state;
    struct message_lease_item items[600];
    char ids[600][32];

    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        (void)snprintf(ids[i], sizeof(ids[i]), "g:0:p%zu", i);
        items[i] = (struct message_lease_item){.limit_id = ids[i], .want = 1};
    }
    ask(f, items, ARRAY_LEN(items));
    assert_int_equal(f->n, ARRAY_LEN(items));
    for (size_t i = 0; i < f->n; i++) {
        assert_int_equal(f->grants[i].granted, 1);
    }
}

static void on_broken(void *arg, const struct redis_reply *r, const struct err *e)
{
    assert_null(e);
    *(bool *)arg = r != NULL;
}

static void command(struct fixture *f, const char *const words[4])
{
    struct slice argv[4];
    bool done = false;
    size_t n = 0;

    for (; n < 4 && words[n] != NULL; n++) {
        argv[n] = slice_str(words[n]);
    }
    redis_command(store_redis(f->store), argv, n, MONO_SEC, on_broken, &done);
    WAIT(f, done);
}

// Whatever has become of what is stored of one limit, or of the clock: the others in the same
// request are answered.
// What is logged during one question.
static void ask_and_listen(struct fixture *f, const struct message_lease_item *item, char out[4096])
{
    FILE *file = tmpfile();
    int before = dup(STDERR_FILENO);
    size_t n;

    assert_non_null(file);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    ask(f, item, 1);
    assert_true(dup2(before, STDERR_FILENO) >= 0);
    (void)close(before);
    rewind(file);
    n = fread(out, 1, 4095, file);
    out[n] = '\0';
    (void)fclose(file);
}

static void a_damaged_value_costs_its_limit_only(void **state)
{
    char log[4096];
    static const struct {
        const char *limit;
        const char *argv[4];
    } cases[] = {
        {"g:0:p1", {"SET", "{sluice}:l:g:0:p1:1:0:60000000", "x"}},
        {"g:0:p2", {"HSET", "{sluice}:l:g:0:p2:1:0:60000000", "v", "x"}},
        {"g:0:p3", {"HSET", "{sluice}:l:g:0:p3:1:0:60000000", "a", "nan"}},
        {"g:0:p4", {"HSET", "{sluice}:l:g:0:p4:1:0:60000000", "r", "-inf"}},
        {"k:key1:1", {"HSET", "{sluice}:l:k:key1:1:1:0:86400000000", "u", ""}},
        {"k:key1:0", {"SET", "{sluice}:l:k:key1:0:3:3:0", "x"}},
    };
    struct message_lease_item items[ARRAY_LEN(cases) + 1];
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        command(f, cases[i].argv);
        items[i] = (struct message_lease_item){.limit_id = cases[i].limit, .want = 1};
    }
    items[ARRAY_LEN(cases)] = (struct message_lease_item){.limit_id = "g:0:whole", .want = 1};
    ask(f, items, ARRAY_LEN(items));
    assert_int_equal(f->n, 1);
    assert_string_equal(f->ids[0], "g:0:whole");
    assert_int_equal(f->grants[0].granted, 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) { // as the log says what to do
        command(f, (const char *const[4]){"DEL", cases[i].argv[1]});
    }
    ask(f, items, ARRAY_LEN(items));
    assert_int_equal(f->n, ARRAY_LEN(items));
    // One that has a level only (of the first versions) goes on.
    command(f, (const char *const[4]){"DEL", cases[0].argv[1]});
    command(f, (const char *const[4]){"HSET", cases[0].argv[1], "v", "5"});
    ask(f, items, 1);
    assert_int_equal(f->n, 1);
    // The clock is made anew.
    command(f, (const char *const[4]){"HSET", "{sluice}:clock", "v", "x"});
    ask_and_listen(f, items, log);
    assert_int_equal(f->n, 1);
    assert_non_null(strstr(log, "leases.damaged key={sluice}:clock"));
    ask_and_listen(f, items, log);
    assert_string_equal(log, "");
    command(f, (const char *const[4]){"SET", "{sluice}:clock", "x"});
    command(f, cases[0].argv); // said again behind something else
    ask_and_listen(f, items, log);
    command(f, (const char *const[4]){"SET", "{sluice}:clock", "x"});
    ask_and_listen(f, items, log);
    assert_non_null(strstr(log, "leases.damaged key={sluice}:clock"));
}

// What was granted under another period goes back to nothing; the holder, not the proxy's name, is
// who has it.
static void another_period_is_not_given_back(void **state)
{
    struct fixture *f = *state;
    struct message_lease_item item = {
        .limit_id = "k:key1:1", .want = 5, .period = 86400 * MONO_SEC};
    uint64_t window;

    ask(f, &item, 1);
    assert_int_equal(f->grants[0].granted, 5);
    window = f->grants[0].window;
    item = (struct message_lease_item){.limit_id = "k:key1:1",
                                       .want = 1,
                                       .returned = 2,
                                       .window = window,
                                       .period = 7200 * MONO_SEC};
    ask(f, &item, 1);
    assert_int_equal(f->grants[0].granted, 0);
    item.no = 9;
    item.taken = 3;
    ask(f, &item, 1);
    assert_int_equal(f->grants[0].granted, 0);
    item.no = 10;
    item.period = 86400 * MONO_SEC; // but by now nothing is known of this holder
    ask(f, &item, 1);
    assert_int_equal(f->grants[0].granted, 0);
}

static void nobody_waits_for_a_redis_that_is_away(void **state)
{
    const struct message_lease_item item = {.limit_id = "r:prod:0:key1", .want = 10};
    struct fixture *f = *state;
    // Nothing to ask for is an answer, too.
    ask(f, &item, 0);
    assert_false(f->none);
    assert_int_equal(f->n, 0);
    assert_true(redis_server_freeze(&f->server));
    send_ask(f, &item, 1);
    loop_turn(f->loop, 0);
    fake_mono_advance(LEASES_TIMEOUT_US - 2 * MONO_MS);
    loop_turn(f->loop, 0);
    assert_int_equal(f->answers, 0);
    fake_mono_advance(3 * MONO_MS);
    loop_turn(f->loop, 0);
    assert_int_equal(f->answers, 1);
    assert_true(f->none);
    assert_true(redis_server_thaw(&f->server));
    redis_server_kill(&f->server);
    ask(f, &item, 1);
    assert_true(f->none);
}

// The first limit of a key counted money a moment ago: what is told of that is not taken for
// requests (or tokens).
static void debt_of_another_unit_is_not_taken(void **state)
{
    struct fixture *f = *state;
    const struct resource_limit *limit = leases_find(f->state, SLICE("k:key1:1"), NULL);
    struct message_lease_item item = {
        .limit_id = "k:key1:1", .debt = 1000000000, .unit = limit->unit == 1 ? 2 : 1};

    ask(f, &item, 1);
    assert_int_equal(f->n, 1);
    item = (struct message_lease_item){.limit_id = "k:key1:1", .want = 1, .unit = limit->unit};
    ask(f, &item, 1);
    assert_int_equal(f->grants[0].granted, 1);
    item.debt = 1000000000;
    ask(f, &item, 1);
    assert_int_equal(f->grants[0].granted, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(debt_of_another_unit_is_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(ids_name_limits, setup, teardown),
        cmocka_unit_test(lengths),
        cmocka_unit_test_setup_teardown(one_request_answers_many_questions, setup, teardown),
        cmocka_unit_test_setup_teardown(large_requests_are_cut_into_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_value_costs_its_limit_only, setup, teardown),
        cmocka_unit_test_setup_teardown(another_period_is_not_given_back, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_waits_for_a_redis_that_is_away, setup, teardown),
    };

    fake_mono_use_real_wall(); // windows of the calendar
    return cmocka_run_group_tests(tests, NULL, NULL);
}
