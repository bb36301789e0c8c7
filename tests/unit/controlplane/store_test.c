// SPDX-License-Identifier: Apache-2.0
// Two replicas over one real Redis: changes, conflicts, idempotency, the file, a Redis that goes
// away, forgets, and comes back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "controlplane/recovery.h"
#include "controlplane/store.h"
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

struct replica {
    struct state *state;
    struct store *store;
    enum follow_status status;
    int statuses;
};

struct fixture {
    struct redis_server server;
    struct loop *loop;
    struct replica a, b;
};

static void on_status(void *arg, enum follow_status s, const char *message)
{
    struct replica *r = arg;

    (void)message;
    r->status = s;
    r->statuses++;
}

static void replica_start_at(struct fixture *f, struct replica *r, bool init,
                             const uint8_t *mark_epoch, uint64_t mark_seq)
{
    struct err e;

    *r = (struct replica){.state = state_new()};
    r->store = store_new(&(const struct store_config){.loop = f->loop,
                                                      .redis_url = f->server.url,
                                                      .state = r->state,
                                                      .keys = master_keys(),
                                                      .init = init,
                                                      .mark_epoch = mark_epoch,
                                                      .mark_seq = mark_seq,
                                                      .on_status = on_status,
                                                      .arg = r},
                         &e);
    assert_non_null(r->store);
}

static void replica_start(struct fixture *f, struct replica *r, bool init)
{
    replica_start_at(f, r, init, NULL, 0);
}

static void replica_stop(struct replica *r)
{
    store_free(&r->store);
    state_free(&r->state);
}

#define WAIT(f, cond)  FAKE_MONO_UNTIL((f)->loop, cond)
#define LATER(f, cond) FAKE_MONO_LATER((f)->loop, cond)

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){0};
    f.loop = loop_new(NULL);
    assert_true(redis_server_start(&f.server, NULL, NULL));
    replica_start(&f, &f.a, true);
    WAIT(&f, f.a.status == FOLLOW_CURRENT);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    replica_stop(&f->a);
    if (f->b.store != NULL) {
        replica_stop(&f->b);
    }
    loop_free(&f->loop);
    redis_server_stop(&f->server);
    return 0;
}

struct got {
    int calls;
    struct store_result r;
    char payload[100], message[200];
};

static void on_result(void *arg, const struct store_result *r)
{
    struct got *g = arg;

    g->calls++;
    g->r = *r;
    (void)snprintf(g->payload, sizeof(g->payload), SLICE_FMT, SLICE_ARG(r->payload));
    (void)snprintf(g->message, sizeof(g->message), "%s", r->message);
}

static struct resource *team(const char *id, uint64_t version)
{
    struct resource *r = resource_new(RESOURCE_TEAM, slice_str(id), version);

    r->u.team->name = arena_strdup(&r->arena, id);
    return r;
}

// Sends it; *g lives until it is answered.
static void start_put(struct replica *on, const char *id, uint64_t version,
                      const struct store_change *with, struct got *g)
{
    struct resource *r = team(id, version);
    struct store_op op = {.res = r, .expected = version - 1, .origin = RECORD_API};
    struct store_change c = with == NULL ? (struct store_change){0} : *with;

    c.ops = &op;
    c.n = 1;
    store_commit(on->store, &c, on_result, g);
    assert_int_equal(g->calls, 0);
    resource_unref(&r);
}

static struct got put(struct fixture *f, struct replica *on, const char *id, uint64_t version,
                      const struct store_change *with)
{
    struct got g = {0};

    start_put(on, id, version, with, &g);
    WAIT(f, g.calls == 1);
    return g;
}

static struct resource *find(struct replica *r, const char *id)
{
    return state_find(r->state, RESOURCE_TEAM, slice_str(id));
}

static void changes_reach_every_replica(void **state)
{
    struct fixture *f = *state;
    struct got g = put(f, &f->a, "one", 1, NULL), del = {0};
    struct store_op op = {.kind = RESOURCE_TEAM, .id = SLICE("one"), .expected = 2};

    assert_int_equal(g.r.outcome, STORE_DONE);
    assert_int_equal(g.r.seq, 1);
    assert_non_null(find(&f->a, "one")); // our own write is there when we are told

    replica_start(f, &f->b, false);
    LATER(f, f->b.status == FOLLOW_CURRENT);
    assert_non_null(find(&f->b, "one"));
    assert_memory_equal(state_epoch(f->a.state), state_epoch(f->b.state), STATE_EPOCH_BYTES);

    g = put(f, &f->b, "one", 2, NULL);
    assert_int_equal(g.r.outcome, STORE_DONE);
    LATER(f, state_seq(f->a.state) == 2);
    assert_int_equal(find(&f->a, "one")->version, 2);

    // Two writers: one wins, the other is told the version.
    g = put(f, &f->a, "one", 2, NULL);
    assert_int_equal(g.r.outcome, STORE_CONFLICT);
    assert_int_equal(g.r.version, 2);

    store_commit(f->a.store, &(const struct store_change){.ops = &op, .n = 1}, on_result, &del);
    WAIT(f, del.calls == 1);
    assert_int_equal(del.r.outcome, STORE_DONE);
    LATER(f, state_seq(f->b.state) == 3);
    assert_null(find(&f->b, "one"));
    assert_true(state_digest(f->a.state) == state_digest(f->b.state));
}

static void a_repeat_is_told_what_happened(void **state)
{
    struct fixture *f = *state;
    struct store_change with = {.idempotency = SLICE("admin:key-1"),
                                .digest = SLICE("d1"),
                                .payload = SLICE("salt"),
                                .audit = SLICE("{}")};
    struct got g = put(f, &f->a, "x", 1, &with);

    assert_int_equal(g.r.outcome, STORE_DONE);
    with.payload = SLICE("other salt");
    g = put(f, &f->a, "y", 1, &with);
    assert_int_equal(g.r.outcome, STORE_AGAIN);
    assert_string_equal(g.payload, "salt");
    assert_int_equal(g.r.seq, 1);
    assert_null(find(&f->a, "y"));
    with.digest = SLICE("d2");
    g = put(f, &f->a, "y", 1, &with);
    assert_int_equal(g.r.outcome, STORE_REUSED);
}

static struct got apply(struct fixture *f, struct resource *const *wanted, size_t n, bool only_new,
                        size_t *changes)
{
    const char *where[] = {"f.yaml:1", "f.yaml:2", "f.yaml:3"};
    struct got g = {0};

    store_file_apply(
        f->a.store,
        &(const struct store_file){.wanted = wanted, .n = n, .where = where, .only_new = only_new},
        on_result, &g, changes);
    WAIT(f, g.calls == 1);
    return g;
}

static void the_file_is_applied_as_a_difference(void **state)
{
    struct fixture *f = *state;
    struct resource *first[] = {resource_new(RESOURCE_SETTINGS, SLICE("global"), 1), team("a", 1),
                                team("b", 1)};
    struct resource *second[] = {resource_new(RESOURCE_SETTINGS, SLICE("global"), 1), team("a", 1)};
    const struct follow_owner *owner;
    uint8_t hash_key[32];
    size_t changes;
    struct got g;

    assert_int_equal(put(f, &f->a, "mine", 1, NULL).r.outcome, STORE_DONE);
    g = apply(f, first, 3, true, &changes);
    assert_int_equal(g.r.outcome, STORE_DONE);
    assert_int_equal(changes, 3);
    owner = follow_owner(store_follow(f->a.store), RESOURCE_TEAM, SLICE("b"));
    assert_non_null(owner);
    assert_string_equal(owner->where, "f.yaml:3");
    assert_null(follow_owner(store_follow(f->a.store), RESOURCE_TEAM, SLICE("mine")));
    memcpy(hash_key,
           state_find(f->a.state, RESOURCE_SETTINGS, SLICE("global"))->u.settings->key_hash_key,
           32);
    assert_true(hash_key[0] != 0 || hash_key[1] != 0 || hash_key[2] != 0);

    g = apply(f, first, 3, true, &changes);
    assert_int_equal(g.r.outcome, STORE_KNOWN);
    assert_int_equal(changes, 0);
    g = apply(f, second, 2, false, &changes);
    assert_int_equal(g.r.outcome, STORE_DONE);
    assert_int_equal(changes, 1); // only b goes
    assert_null(find(&f->a, "b"));
    assert_non_null(find(&f->a, "mine"));
    assert_memory_equal(
        state_find(f->a.state, RESOURCE_SETTINGS, SLICE("global"))->u.settings->key_hash_key,
        hash_key, 32);
    // An old file again: not at a start, but when a person says so.
    first[1]->version = first[2]->version = 1;
    g = apply(f, first, 3, true, &changes);
    assert_int_equal(g.r.outcome, STORE_KNOWN);
    g = apply(f, first, 3, false, &changes);
    assert_int_equal(g.r.outcome, STORE_DONE);
    assert_non_null(find(&f->a, "b"));

    for (size_t i = 0; i < 3; i++) {
        resource_unref(&first[i]);
    }
    resource_unref(&second[0]);
    resource_unref(&second[1]);
}

static void writes_fail_fast_without_redis(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};

    assert_int_equal(put(f, &f->a, "x", 1, NULL).r.outcome, STORE_DONE);
    assert_true(redis_server_freeze(&f->server));
    start_put(&f->a, "y", 1, NULL, &g);
    for (uint64_t passed = 0; passed <= STORE_COMMIT_US; passed += 10 * MONO_MS) {
        assert_true(g.calls == 0 || passed > STORE_COMMIT_US / 2);
        loop_turn(f->loop, 0);
        fake_mono_advance(10 * MONO_MS);
    }
    loop_turn(f->loop, 0);
    assert_int_equal(g.calls, 1);
    assert_int_equal(g.r.outcome, STORE_UNKNOWN);
    assert_non_null(find(&f->a, "x")); // reads go on
    assert_true(redis_server_thaw(&f->server));
    LATER(f, f->a.status == FOLLOW_CURRENT && state_seq(f->a.state) == 2);

    redis_server_kill(&f->server);
    LATER(f, f->a.status == FOLLOW_LOST);
    g = put(f, &f->a, "z", 1, NULL);
    assert_int_equal(g.r.outcome, STORE_UNAVAILABLE);

    // It comes back with nothing: never adopted by itself, said so, writes refused.
    assert_true(redis_server_start(&f->server, NULL, NULL));
    LATER(f, f->a.status == FOLLOW_REGRESSED);
    g = put(f, &f->a, "z", 1, NULL);
    assert_int_equal(g.r.outcome, STORE_REGRESSED);
    assert_non_null(find(&f->a, "x"));

    // And without being told, no replica makes an epoch.
    replica_start(f, &f->b, false);
    LATER(f, f->b.status == FOLLOW_EMPTY);
    g = put(f, &f->b, "z", 1, NULL);
    assert_int_equal(g.r.outcome, STORE_REGRESSED);
}

static void on_raw(void *arg, const struct redis_reply *r, const struct err *e)
{
    (void)r;
    assert_null(e);
    (*(int *)arg)++;
}

static void raw(struct fixture *f, const struct slice *argv, size_t n)
{
    int done = 0;

    redis_command(store_redis(f->a.store), argv, n, MONO_SEC, on_raw, &done);
    WAIT(f, done == 1);
}

static void an_emptied_redis_is_noticed_while_connected(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, &f->a, "x", 1, NULL).r.outcome, STORE_DONE);
    raw(f, &SLICE("FLUSHALL"), 1);
    LATER(f, f->a.status == FOLLOW_REGRESSED);
}

// Restored from an older dump while we were away: only the proxies know that there was more.
static void a_proxy_that_is_ahead_tells_of_a_regression(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, &f->a, "x", 1, NULL).r.outcome, STORE_DONE);
    follow_seen(store_follow(f->a.store), state_epoch(f->a.state), 1);
    follow_seen(store_follow(f->a.store), master, 99); // of another epoch
    follow_seen(store_follow(f->a.store), state_epoch(f->a.state), 7);
    LATER(f, f->a.status == FOLLOW_REGRESSED);
    assert_int_equal(put(f, &f->a, "y", 1, NULL).r.outcome, STORE_REGRESSED);
    assert_non_null(find(&f->a, "x"));
    // The newer data is there again.
    raw(f, (const struct slice[]){SLICE("SET"), SLICE("{sluice}:seq"), SLICE("7")}, 3);
    LATER(f, f->a.status == FOLLOW_CURRENT);
    assert_int_equal(put(f, &f->a, "y", 1, NULL).r.outcome, STORE_DONE);
}

struct adopted {
    int calls;
    struct recovery_result r;
    uint8_t first[STATE_EPOCH_BYTES]; // of the superseded ones
};

static void on_adopted(void *arg, const struct recovery_result *r)
{
    struct adopted *a = arg;

    a->calls++;
    a->r = *r;
    if (r->superseded.n > 0) {
        memcpy(a->first, r->superseded.p, sizeof(a->first));
    }
}

static struct adopted adopt(struct fixture *f, struct replica *on)
{
    struct adopted a = {0};

    recovery_adopt(on->store, NULL, SLICE("{}"), on_adopted, &a);
    assert_int_equal(a.calls, 0);
    WAIT(f, a.calls == 1);
    return a;
}

// What Redis holds after it lost everything is taken when a person says so; every replica follows.
static void another_state_is_adopted_once(void **state)
{
    struct fixture *f = *state;
    uint8_t before[STATE_EPOCH_BYTES];
    struct adopted a;

    replica_start(f, &f->b, false);
    LATER(f, f->b.status == FOLLOW_CURRENT);
    assert_int_equal(put(f, &f->a, "x", 1, NULL).r.outcome, STORE_DONE);
    assert_int_equal(adopt(f, &f->a).r.outcome, RECOVERY_NOT_NEEDED);
    memcpy(before, state_epoch(f->a.state), sizeof(before));
    raw(f, &SLICE("FLUSHALL"), 1);
    LATER(f, f->a.status == FOLLOW_REGRESSED && f->b.status == FOLLOW_REGRESSED);
    a = adopt(f, &f->a);
    assert_int_equal(a.r.outcome, RECOVERY_DONE);
    assert_memory_equal(a.first, before, sizeof(before));
    assert_int_equal(adopt(f, &f->b).r.outcome, RECOVERY_CHANGED);
    LATER(f, f->a.status == FOLLOW_CURRENT && f->b.status == FOLLOW_CURRENT);
    assert_memory_equal(state_epoch(f->b.state), a.r.epoch, sizeof(before));
    assert_int_equal(follow_superseded(store_follow(f->b.store)).n, STATE_EPOCH_BYTES);
    assert_null(find(&f->b, "x"));
    assert_int_equal(put(f, &f->b, "x", 1, NULL).r.outcome, STORE_DONE);
    LATER(f, find(&f->a, "x") != NULL);
}

// Redis went back while no replica was running: what the data directory remembers tells.
static void a_mark_tells_of_a_regression(void **state)
{
    struct fixture *f = *state;
    uint8_t epoch[STATE_EPOCH_BYTES], foreign[STATE_EPOCH_BYTES] = {7};

    assert_int_equal(put(f, &f->a, "x", 1, NULL).r.outcome, STORE_DONE);
    memcpy(epoch, state_epoch(f->a.state), sizeof(epoch));
    replica_start_at(f, &f->b, false, epoch, 5);
    LATER(f, f->b.status == FOLLOW_REGRESSED && state_ready(f->b.state));
    assert_non_null(find(&f->b, "x")); // for reading
    assert_int_equal(put(f, &f->b, "y", 1, NULL).r.outcome, STORE_REGRESSED);
    assert_int_equal(adopt(f, &f->b).r.outcome, RECOVERY_DONE);
    LATER(f, f->b.status == FOLLOW_CURRENT);
    LATER(f, f->a.status == FOLLOW_CURRENT &&
                 memcmp(state_epoch(f->a.state), state_epoch(f->b.state), sizeof(epoch)) == 0);
    assert_non_null(find(&f->a, "x"));
    replica_stop(&f->b);
    // Its mark is an epoch that was superseded meanwhile: no harm. Another one: said so.
    replica_start_at(f, &f->b, false, epoch, 5);
    LATER(f, f->b.status == FOLLOW_CURRENT);
    replica_stop(&f->b);
    replica_start_at(f, &f->b, true, foreign, 1);
    LATER(f, f->b.status == FOLLOW_REGRESSED);
}

static void a_trimmed_stream_is_read_from_the_beginning(void **state)
{
    struct fixture *f = *state;
    int loads = 0;

    replica_start(f, &f->b, false);
    LATER(f, f->b.status == FOLLOW_CURRENT);
    assert_int_equal(put(f, &f->a, "x", 1, NULL).r.outcome, STORE_DONE);
    LATER(f, state_seq(f->b.state) == 1);
    loads = f->b.statuses;
    // What b has not seen is cut away under it: the sequence says more than the stream has.
    raw(f, (const struct slice[]){SLICE("SET"), SLICE("{sluice}:seq"), SLICE("5")}, 3);
    LATER(f, state_seq(f->b.state) == 5 && f->b.status == FOLLOW_CURRENT);
    assert_true(f->b.statuses > loads);
    assert_non_null(find(&f->b, "x"));
    LATER(f, state_seq(f->a.state) == 5);
    assert_int_equal(put(f, &f->a, "y", 1, NULL).r.seq, 6);
    LATER(f, find(&f->b, "y") != NULL);
}

// Loads and follows a few thousand resources, changes going on meanwhile.
static void loading_under_change_ends_in_the_same_state(void **state)
{
    struct fixture *f = *state;
    struct resource *many[3000];
    struct store_op ops[3000] = {{0}};
    struct got g = {0};

    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "t%zu", i);
        many[i] = team(id, 1);
        ops[i] = (struct store_op){.res = many[i], .origin = RECORD_API};
    }
    store_commit(f->a.store, &(const struct store_change){.ops = ops, .n = ARRAY_LEN(many)},
                 on_result, &g);
    WAIT(f, g.calls == 1);
    assert_int_equal(g.r.outcome, STORE_DONE);
    replica_start(f, &f->b, false);
    for (uint64_t v = 2; v < 40; v++) {
        assert_int_equal(put(f, &f->a, "t1", v, NULL).r.outcome, STORE_DONE);
    }
    LATER(f, f->b.status == FOLLOW_CURRENT && state_seq(f->b.state) == state_seq(f->a.state));
    assert_true(state_digest(f->a.state) == state_digest(f->b.state));
    assert_int_equal(state_count(f->b.state, RESOURCE_TEAM), ARRAY_LEN(many));
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        resource_unref(&many[i]);
    }
}

// Two files that have nothing in common, from two replicas at once: each alone would be written.
static void files_do_not_add_up(void **state)
{
    struct fixture *f = *state;
    struct resource *one[] = {team("one", 1)}, *two[] = {team("two", 1)};
    const struct store_file first = {.wanted = one, .n = 1}, second = {.wanted = two, .n = 1};
    struct resource *mine = team("mine", 1);
    struct store_op op = {.res = mine, .origin = RECORD_API};
    struct got a = {0}, b = {0}, key = {0};
    size_t changes;

    replica_start(f, &f->b, false);
    LATER(f, f->b.status == FOLLOW_CURRENT);
    store_file_apply(f->a.store, &first, on_result, &a, &changes);
    store_file_apply(f->b.store, &second, on_result, &b, &changes);
    WAIT(f, a.calls == 1 && b.calls == 1);
    assert_true((a.r.outcome == STORE_DONE && b.r.outcome == STORE_CONFLICT) ||
                (b.r.outcome == STORE_DONE && a.r.outcome == STORE_CONFLICT));
    assert_int_equal(state_count(f->a.state, RESOURCE_TEAM), 1);
    // A change of the API beside it is none of a file's business, but for If-Match.
    a = b = (struct got){0};
    LATER(f, state_seq(f->b.state) == state_seq(f->a.state));
    store_commit(f->a.store, &(const struct store_change){.ops = &op, .n = 1}, on_result, &key);
    WAIT(f, key.calls == 1);
    store_file_apply(
        f->a.store,
        &(const struct store_file){.wanted = two, .n = 1, .exact = true, .at_seq = key.r.seq - 1},
        on_result, &a, &changes);
    WAIT(f, a.calls == 1);
    assert_int_equal(a.r.outcome, STORE_CONFLICT);
    a = (struct got){0};
    LATER(f, state_seq(f->b.state) == state_seq(f->a.state));
    assert_int_equal(put(f, &f->a, "other", 1, NULL).r.outcome, STORE_DONE);
    store_file_apply(f->b.store, &first, on_result, &b, &changes); // b may not have seen that yet
    WAIT(f, b.calls == 1);
    assert_true(b.r.outcome == STORE_DONE || b.r.outcome == STORE_KNOWN);
    resource_unref(&one[0]);
    resource_unref(&two[0]);
    resource_unref(&mine);
}

// Two large files that have nothing in common come to more than one change may have.
// A router of a file names a provider that the other replica has deleted just now.
static void what_a_file_needs_must_be_there(void **state)
{
    struct fixture *f = *state;
    const struct resource_target target = {.provider = "mine", .weight = 1};
    const struct resource_balance balance = {
        .endpoint = "chat", .strategy = RESOURCE_PRIORITY, .targets = &target, .n_targets = 1};
    struct resource *provider = resource_new(RESOURCE_PROVIDER, SLICE("mine"), 1);
    struct resource *wanted[] = {resource_new(RESOURCE_ROUTER, SLICE("prod"), 1)};
    const struct store_file file = {.wanted = wanted, .n = 1};
    struct store_op make = {.res = provider, .origin = RECORD_API};
    struct store_op drop = {.kind = RESOURCE_PROVIDER, .id = SLICE("mine"), .expected = 1};
    struct got made = {0}, dropped = {0}, applied = {0};
    size_t changes;

    *provider->u.provider = (struct resource_provider){.dialect = "openai",
                                                       .base_url = "http://127.0.0.1:1/v1/",
                                                       .raw_url = "http://127.0.0.1:1/",
                                                       .auth_header = "authorization",
                                                       .auth_scheme = "Bearer"};
    *wanted[0]->u.router = (struct resource_router){
        .balances = &balance, .n_balances = 1, .origin = "file", .where = "gw.yaml:2"};
    replica_start(f, &f->b, false);
    LATER(f, f->b.status == FOLLOW_CURRENT);
    store_commit(f->a.store, &(const struct store_change){.ops = &make, .n = 1}, on_result, &made);
    LATER(f, made.calls == 1 && state_seq(f->b.state) == 1);
    assert_int_equal(made.r.outcome, STORE_DONE);
    // Both as of the same state; the deletion is sent first.
    store_commit(f->b.store, &(const struct store_change){.ops = &drop, .n = 1}, on_result,
                 &dropped);
    store_file_apply(f->b.store, &file, on_result, &applied, &changes);
    WAIT(f, applied.calls == 1 && dropped.calls == 1);
    assert_int_equal(dropped.r.outcome, STORE_DONE);
    assert_int_equal(applied.r.outcome, STORE_CONFLICT);
    assert_int_equal(state_count(f->b.state, RESOURCE_ROUTER), 0);
    // It is there: what is needed is not written.
    make.res = provider;
    made = applied = (struct got){0};
    store_commit(f->b.store, &(const struct store_change){.ops = &make, .n = 1}, on_result, &made);
    WAIT(f, made.calls == 1);
    store_file_apply(f->b.store, &file, on_result, &applied, &changes);
    WAIT(f, applied.calls == 1);
    assert_int_equal(applied.r.outcome, STORE_DONE);
    assert_int_equal(changes, 1);
    LATER(f, state_seq(f->a.state) == state_seq(f->b.state));
    assert_int_equal(state_find(f->a.state, RESOURCE_PROVIDER, SLICE("mine"))->version, 1);
    assert_int_equal(state_count(f->a.state, RESOURCE_ROUTER), 1);
    resource_unref(&provider);
    resource_unref(&wanted[0]);
}

static struct got drop_unnamed(struct fixture *f, struct replica *on, uint64_t at_seq)
{
    struct store_op drop = {.kind = RESOURCE_PROVIDER, .id = SLICE("mine"), .expected = 1};
    struct got g = {0};

    store_commit(on->store,
                 &(const struct store_change){
                     .ops = &drop, .n = 1, .at_seq = at_seq, .unnamed = SLICE("mine")},
                 on_result, &g);
    WAIT(f, g.calls == 1);
    return g;
}

static void put_one(struct fixture *f, struct resource *r)
{
    struct store_op op = {.res = r, .origin = RECORD_API};
    struct got g = {0};

    store_commit(f->a.store, &(const struct store_change){.ops = &op, .n = 1}, on_result, &g);
    WAIT(f, g.calls == 1);
    assert_int_equal(g.r.outcome, STORE_DONE);
    resource_unref(&r);
}

static struct resource *router_to(const char *id, const char *provider)
{
    struct resource *r = resource_new(RESOURCE_ROUTER, slice_str(id), 1);
    struct resource_target *target = arena_zalloc(&r->arena, sizeof(*target));
    struct resource_balance *balance = arena_zalloc(&r->arena, sizeof(*balance));

    *target = (struct resource_target){.provider = provider, .weight = 1};
    *balance = (struct resource_balance){
        .endpoint = "chat", .strategy = RESOURCE_PRIORITY, .targets = target, .n_targets = 1};
    *r->u.router = (struct resource_router){.balances = balance, .n_balances = 1, .origin = "api"};
    return r;
}

// What depends on nobody's using a provider is not disturbed by other writes.
static void only_who_names_it_keeps_a_provider(void **state)
{
    struct fixture *f = *state;
    struct resource *provider = resource_new(RESOURCE_PROVIDER, SLICE("mine"), 1);
    struct resource *key = resource_new(RESOURCE_PROVIDER_KEY, SLICE("k"), 1);
    uint64_t at;

    *provider->u.provider = (struct resource_provider){.dialect = "openai",
                                                       .base_url = "http://127.0.0.1:1/v1/",
                                                       .raw_url = "http://127.0.0.1:1/",
                                                       .auth_header = "authorization",
                                                       .auth_scheme = "Bearer"};
    *key->u.provider_key =
        (struct resource_provider_key){.provider = "other",
                                       .name = "k",
                                       .value = secret_new(SLICE("sk-0123456789")),
                                       .weight = 1,
                                       .origin = "api",
                                       .hint = "...789"};
    put_one(f, resource_ref(provider));
    at = state_seq(f->a.state);
    put_one(f, router_to("one", "mine"));
    assert_int_equal(drop_unnamed(f, &f->a, at).r.outcome, STORE_CONFLICT);
    at = state_seq(f->a.state); // it was looked at again (and says no, but not here)
    put_one(f, key);
    assert_int_equal(drop_unnamed(f, &f->a, at).r.outcome, STORE_CONFLICT);
    at = state_seq(f->a.state);
    for (int i = 0; i < 30; i++) {
        char id[8];

        (void)snprintf(id, sizeof(id), "t%d", i);
        assert_int_equal(put(f, &f->a, id, 1, NULL).r.outcome, STORE_DONE);
    }
    put_one(f, router_to("two", "other"));
    assert_int_equal(drop_unnamed(f, &f->a, at).r.outcome, STORE_DONE);
    // What the stream has not got any more may have been anything.
    put_one(f, provider);
    at = state_seq(f->a.state);
    assert_int_equal(put(f, &f->a, "late", 1, NULL).r.outcome, STORE_DONE);
    raw(f,
        (const struct slice[]){SLICE("XTRIM"), SLICE("{sluice}:changes"), SLICE("MAXLEN"),
                               SLICE("0")},
        4);
    assert_int_equal(drop_unnamed(f, &f->a, at).r.outcome, STORE_CONFLICT);
}

static void a_change_that_is_too_large_is_refused(void **state)
{
    struct fixture *f = *state;
    struct store_op *ops = mem_zalloc_array(STORE_OPS_MAX + 1, sizeof(*ops));
    struct got g = {0};

    for (size_t i = 0; i <= STORE_OPS_MAX; i++) {
        ops[i] = (struct store_op){.kind = RESOURCE_TEAM, .id = SLICE("x"), .expected = 1};
    }
    store_commit(f->a.store, &(const struct store_change){.ops = ops, .n = STORE_OPS_MAX + 1},
                 on_result, &g);
    WAIT(f, g.calls == 1);
    assert_int_equal(g.r.outcome, STORE_UNAVAILABLE);
    mem_free(ops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changes_reach_every_replica, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_file_needs_must_be_there, setup, teardown),
        cmocka_unit_test_setup_teardown(only_who_names_it_keeps_a_provider, setup, teardown),
        cmocka_unit_test_setup_teardown(a_change_that_is_too_large_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_repeat_is_told_what_happened, setup, teardown),
        cmocka_unit_test_setup_teardown(the_file_is_applied_as_a_difference, setup, teardown),
        cmocka_unit_test_setup_teardown(files_do_not_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_fail_fast_without_redis, setup, teardown),
        cmocka_unit_test_setup_teardown(an_emptied_redis_is_noticed_while_connected, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_proxy_that_is_ahead_tells_of_a_regression, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(another_state_is_adopted_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_mark_tells_of_a_regression, setup, teardown),
        cmocka_unit_test_setup_teardown(a_trimmed_stream_is_read_from_the_beginning, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(loading_under_change_ends_in_the_same_state, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
