// SPDX-License-Identifier: Apache-2.0
// Both ends of the plane protocol against each other in one process: the control plane's sockets in
// the test's own loop, each proxy's link in its thread. Over ipc, and over tcp on 127.0.0.1.
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/endpoint.h"
#include "common/io/loop.h"
#include "common/io/nnsock.h"
#include "controlplane/fleet.h"
#include "controlplane/publish.h"
#include "controlplane/state.h"
#include "dataplane/link.h"
#include "tests/unit/proto/keydir.h"

// nanomsg 1.1.5 leaks its endpoint when a bind is refused.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libnanomsg";
}

static const uint8_t epoch_one[16] = {1}, epoch_two[16] = {2};
static const char *const star[] = {"*"};

// ---- the control plane -------------------------------------------------------------------------

struct control {
    struct loop *loop;
    struct state *state;
    struct fleet *fleet;
    struct keys *keys;
    struct publish *publish;
    char dir[64], listen[ENDPOINT_TEXT_MAX];
};

static struct control c;

static struct resource *make_key(unsigned i, uint64_t version)
{
    struct resource *r;
    char id[32];

    (void)snprintf(id, sizeof(id), "key%05u", i);
    r = resource_new(RESOURCE_KEY, slice_str(id), version);
    r->u.key->name = "n";
    r->u.key->models = r->u.key->routers = star;
    r->u.key->n_models = r->u.key->n_routers = 1;
    r->u.key->origin = "api";
    return r;
}

static void load_keys(const uint8_t epoch[16], uint64_t seq, unsigned n, uint64_t version)
{
    struct resource **list = mem_zalloc_array(n + 1, sizeof(struct resource *));

    for (unsigned i = 0; i < n; i++) {
        list[i] = make_key(i, version);
    }
    state_load(c.state, epoch, seq, list, n);
    for (unsigned i = 0; i < n; i++) {
        resource_unref(&list[i]);
    }
    mem_free(list);
}

// One change: the resource (reference given up).
static void change(struct resource *r)
{
    struct state_change sc = {
        .prev_seq = state_seq(c.state),
        .seq = state_seq(c.state) + 1,
        .upserts = &r,
        .n_upserts = 1,
    };

    assert_true(state_apply(c.state, &sc));
    resource_unref(&r);
}

static void open_publish(void)
{
    struct publish_config pc = {
        .loop = c.loop, .state = c.state, .fleet = c.fleet, .keys = c.keys, .listen = c.listen};
    struct err e = {0};

    c.publish = publish_new(&pc, &e);
    if (c.publish == NULL) {
        fail_msg("%s", e.message);
    }
}

static void open_control(bool tcp)
{
    struct err e = {0};

    c = (struct control){.publish = NULL};
    keydir_make(c.dir);
    assert_true(keys_create(c.dir, &e));
    c.keys = keydir_load(c.dir, true);
    c.loop = loop_new(&e);
    c.state = state_new();
    c.fleet = fleet_new(c.loop);
    if (tcp) {
        struct endpoint ep;

        assert_true(endpoint_parse(SLICE("tcp://127.0.0.1:0"), &ep, &e));
        assert_true(endpoint_choose_port(&ep, &e));
        endpoint_format(&ep, c.listen);
    } else {
        (void)snprintf(c.listen, sizeof(c.listen), "ipc://%s/c", c.dir);
    }
}

static void close_control(void)
{
    publish_free(&c.publish);
    fleet_free(&c.fleet);
    state_free(&c.state);
    loop_free(&c.loop);
    keys_unref(&c.keys);
    keydir_remove(c.dir);
}

// ---- proxies -----------------------------------------------------------------------------------

struct proxy {
    struct link *link;
    struct keys *keys;
    pthread_mutex_t lock;
    struct snapshot *current; // one reference
    atomic_uint snapshots, grants, lost, left_out, heard;
    _Atomic uint64_t granted, no_apply;
    atomic_bool frozen; // does not come back from on_snapshot
};

static void on_snapshot(void *arg, struct snapshot *s)
{
    struct proxy *p = arg;
    struct snapshot *old;

    CHECK(pthread_mutex_lock(&p->lock) == 0);
    old = p->current;
    p->current = snapshot_ref(s);
    CHECK(pthread_mutex_unlock(&p->lock) == 0);
    snapshot_unref(&old);
    atomic_fetch_add(&p->snapshots, 1);
    while (atomic_load(&p->frozen)) {
        (void)usleep(1000);
    }
}

static void on_lease(void *arg, const struct message_grant *g, size_t n, uint64_t now_us)
{
    struct proxy *p = arg;

    (void)now_us;
    for (size_t i = 0; i < n; i++) {
        atomic_fetch_add(&p->granted, g[i].granted);
    }
    atomic_fetch_add(&p->grants, (unsigned)n);
}

static void on_lease_lost(void *arg, const struct message_lease_item *items, size_t n,
                          bool answered)
{
    struct proxy *p = arg;

    (void)items;
    atomic_fetch_add(&p->left_out, answered ? (unsigned)n : 0);
    atomic_fetch_add(&p->lost, (unsigned)n);
}

static void on_heard(void *arg, uint64_t now_us)
{
    struct proxy *p = arg;

    (void)now_us;
    atomic_fetch_add(&p->heard, 1);
}

static void open_proxy_to(struct proxy *p, const char *const *endpoints, size_t n,
                          const char *keys_dir, const char *data_dir)
{
    struct link_config lc = {
        .endpoints = endpoints,
        .n_endpoints = n,
        .data_dir = data_dir,
        .version = "test",
        .ops = "127.0.0.1:1",
        .n_workers = 1,
        .arg = p,
        .on_snapshot = on_snapshot,
        .on_lease = on_lease,
        .on_lease_lost = on_lease_lost,
        .on_heard = on_heard,
    };
    struct err e = {0};

    *p = (struct proxy){.lock = PTHREAD_MUTEX_INITIALIZER};
    p->keys = keydir_load(keys_dir, false);
    lc.keys = p->keys;
    p->link = link_new(&lc, &e);
    if (p->link == NULL || !link_start(p->link, &e)) {
        fail_msg("%s", e.message);
    }
}

static void open_proxy_at(struct proxy *p, const char *endpoint, const char *keys_dir,
                          const char *data_dir)
{
    open_proxy_to(p, &endpoint, 1, keys_dir, data_dir);
}

static void open_proxy(struct proxy *p)
{
    open_proxy_at(p, c.listen, c.dir, NULL);
}

static void close_proxy(struct proxy *p)
{
    link_stop(&p->link, 0);
    snapshot_unref(&p->current);
    snapshot_reap();
    keys_unref(&p->keys);
}

static struct snapshot *take_current(struct proxy *p)
{
    struct snapshot *s;

    CHECK(pthread_mutex_lock(&p->lock) == 0);
    s = p->current == NULL ? NULL : snapshot_ref(p->current);
    CHECK(pthread_mutex_unlock(&p->lock) == 0);
    return s;
}

// Serves from exactly the control plane's state?
static bool in_step(struct proxy *p)
{
    struct snapshot *s = take_current(p);
    bool same = s != NULL && snapshot_seq(s) == state_seq(c.state) &&
                snapshot_digest(s) == state_digest(c.state) &&
                memcmp(snapshot_epoch(s), state_epoch(c.state), 16) == 0;

    snapshot_unref(&s);
    return same;
}

static uint64_t version_of(struct proxy *p, const char *id)
{
    struct snapshot *s = take_current(p);
    const struct resource *r = s == NULL ? NULL : snapshot_find(s, RESOURCE_KEY, slice_str(id));
    uint64_t version = r == NULL ? 0 : r->version;

    snapshot_unref(&s);
    return version;
}

static struct link_stats stats_of(struct proxy *p)
{
    struct link_stats s;

    link_stats(p->link, &s);
    return s;
}

// Turns the control plane's loop until the condition holds; what hangs is killed by ctest.
#define UNTIL(cond)                                                                                \
    while (!(cond)) {                                                                              \
        loop_turn(c.loop, 5 * MONO_MS);                                                            \
    }

static void turn_for(uint64_t us)
{
    uint64_t end = mono_now_us() + us;

    while (mono_now_us() < end) {
        loop_turn(c.loop, 5 * MONO_MS);
    }
}

// ---- tests -------------------------------------------------------------------------------------

static void either_start_order(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct proxy p = {.frozen = false};

        open_control(i % 2 == 1);
        load_keys(epoch_one, 10, 100, 1);
        if (i < 2) {
            open_publish();
            turn_for(20 * MONO_MS);
            open_proxy(&p);
        } else {
            open_proxy(&p);
            turn_for(150 * MONO_MS);
            open_publish();
        }
        UNTIL(in_step(&p));
        change(make_key(7, 2));
        UNTIL(in_step(&p));
        assert_int_equal(version_of(&p, "key00007"), 2);
        close_proxy(&p);
        close_control();
    }
}

static struct fleet_outcome outcome;
static char missing[64];
static bool outcome_known;

static void on_outcome(void *arg, const struct fleet_outcome *o)
{
    (void)arg;
    outcome = *o;
    outcome_known = true;
    missing[0] = '\0';
    if (o->n_missing > 0) {
        (void)snprintf(missing, sizeof(missing), "%s", o->missing[0]);
    }
}

static void changes_are_acknowledged(void **state)
{
    struct proxy p[3] = {{.frozen = false}};
    struct publish_stats before, after;
    uint64_t start, worst_us = 0;

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 100, 1);
    open_publish();
    for (int i = 0; i < 3; i++) {
        open_proxy(&p[i]);
    }
    UNTIL(in_step(&p[0]) && in_step(&p[1]) && in_step(&p[2]) && fleet_live(c.fleet) == 3);
    publish_stats(c.publish, &before);
    for (uint64_t v = 2; v < 102; v++) {
        start = mono_now_us();
        change(make_key((unsigned)v % 100, v));
        outcome_known = false;
        assert_non_null(fleet_wait(c.fleet, state_seq(c.state), 5 * MONO_SEC, on_outcome, NULL));
        UNTIL(outcome_known);
        assert_int_equal(outcome.live, 3);
        assert_int_equal(outcome.applied, 3);
        start = mono_now_us() - start;
        worst_us = start > worst_us ? start : worst_us;
        assert_true(in_step(&p[0]) && in_step(&p[1]) && in_step(&p[2]));
    }
    publish_stats(c.publish, &after);
    assert_int_equal(after.deltas - before.deltas, 100);
    assert_int_equal(after.announced, before.announced);
    assert_int_equal(after.snapshots, before.snapshots); // deltas alone did it
    UNTIL(stats_of(&p[1]).syncs == 1);
    print_message("change to acknowledged by three proxies: %lu us at worst of 100\n",
                  (unsigned long)worst_us);
    for (int i = 0; i < 3; i++) {
        close_proxy(&p[i]);
    }
    close_control();
}

static void a_frozen_proxy_is_named(void **state)
{
    struct proxy p[2] = {{.frozen = false}};

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 10, 1);
    open_publish();
    open_proxy(&p[0]);
    open_proxy(&p[1]);
    UNTIL(in_step(&p[0]) && in_step(&p[1]) && fleet_live(c.fleet) == 2);
    atomic_store(&p[1].frozen, true);
    change(make_key(1, 2));
    outcome_known = false;
    assert_non_null(fleet_wait(c.fleet, 11, 2 * MONO_SEC, on_outcome, NULL));
    UNTIL(outcome_known);
    atomic_store(&p[1].frozen, false);
    assert_int_equal(outcome.live, 2);
    assert_int_equal(outcome.applied, 1);
    assert_string_equal(missing, link_proxy_id(p[1].link));
    close_proxy(&p[0]);
    close_proxy(&p[1]);
    close_control();
}

// Changes that are not published at all are found by the heartbeat.
static void a_gap_is_mended(void **state)
{
    struct proxy p = {.frozen = false};

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 100, 1);
    open_publish();
    open_proxy(&p);
    UNTIL(in_step(&p));
    publish_set_silent(c.publish, true);
    change(make_key(1, 2));
    change(make_key(2, 2));
    publish_set_silent(c.publish, false);
    change(make_key(3, 2)); // does not connect to what the proxy has
    UNTIL(in_step(&p));
    UNTIL(stats_of(&p).gaps >= 1);
    UNTIL(stats_of(&p).syncs == 2);

    publish_set_silent(c.publish, true);
    change(make_key(4, 2));
    publish_set_silent(c.publish, false);
    UNTIL(in_step(&p)); // by the heartbeat alone
    close_proxy(&p);
    close_control();
}

// Once the control plane has been there so long that it has heard everybody who lives.
static void proxies_are_told_how_many_they_are(void **state)
{
    struct proxy p = {.frozen = false}, q = {.frozen = false};
    uint64_t began = mono_now_us();

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 100, 1);
    open_publish();
    open_proxy(&p);
    open_proxy(&q);
    UNTIL(stats_of(&p).live == 2 && stats_of(&q).live == 2);
    assert_true(mono_now_us() - began >= FLEET_LIVE_US);
    close_proxy(&p);
    close_proxy(&q);
    close_control();
}

static void large_states_come_in_chunks(void **state)
{
    struct proxy p = {.frozen = false};
    struct publish_stats s;

    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        unsigned next = 0;

        open_control(tcp == 1);
        load_keys(epoch_one, 10, 20000, 1);
        open_publish();
        open_proxy(&p);
        while (!in_step(&p)) { // changes meanwhile are queued and applied on top
            loop_turn(c.loop, MONO_MS);
            if (next < 50) {
                change(make_key(next++, 2));
            }
        }
        publish_stats(c.publish, &s);
        assert_true(s.chunks >= 10);
        print_message("20000 keys: %lu chunks\n", (unsigned long)s.chunks);
        close_proxy(&p);
        close_control();
    }
}

// Larger than a delta may be: announced, then fetched.
static void large_changes_are_announced(void **state)
{
    struct resource *list[3000];
    struct state_change sc = {.prev_seq = 10, .seq = 11, .upserts = list, .n_upserts = 3000};
    struct proxy p = {.frozen = false};
    struct publish_stats s;

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 10, 1);
    open_publish();
    open_proxy(&p);
    UNTIL(in_step(&p));
    for (unsigned i = 0; i < 3000; i++) {
        list[i] = make_key(i, 2);
    }
    assert_true(state_apply(c.state, &sc));
    for (unsigned i = 0; i < 3000; i++) {
        resource_unref(&list[i]);
    }
    UNTIL(in_step(&p));
    publish_stats(c.publish, &s);
    assert_int_equal(s.announced, 1);
    close_proxy(&p);
    close_control();
}

static void the_publisher_restarts(void **state)
{
    struct proxy p = {.frozen = false};

    (void)state;
    for (int tcp = 0; tcp < 2; tcp++) {
        open_control(tcp == 1);
        load_keys(epoch_one, 10, 100, 1);
        open_publish();
        open_proxy(&p);
        UNTIL(in_step(&p));
        for (int i = 0; i < 2; i++) {
            publish_free(&c.publish);
            change(make_key(5, 2 + (uint64_t)i));
            turn_for((i == 0 ? 50 : 400) * MONO_MS);
            open_publish();
            UNTIL(in_step(&p));
            change(make_key(6, 2 + (uint64_t)i));
            UNTIL(in_step(&p));
        }
        UNTIL(fleet_live(c.fleet) == 1);
        close_proxy(&p);
        close_control();
    }
}

static void silence_ends_a_session(void **state)
{
    struct proxy p = {.frozen = false};

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 10, 1);
    open_publish();
    open_proxy(&p);
    UNTIL(stats_of(&p).connected && in_step(&p));
    publish_free(&c.publish);
    UNTIL(!stats_of(&p).connected); // 3 s
    // It serves on, and does not take leases it could not send.
    assert_int_equal(version_of(&p, "key00003"), 1);
    assert_false(
        link_lease(p.link, &(const struct message_lease_item){.limit_id = "l", .want = 1}, 1));
    open_publish();
    UNTIL(stats_of(&p).connected);
    close_proxy(&p);
    close_control();
}

// ---- leases and usage --------------------------------------------------------------------------

static struct publish_reply *parked[8];
static size_t n_parked;

static void grant_all(void *arg, const struct message_lease_request *r, struct publish_reply *reply)
{
    struct message_grant g[64];
    struct message_lease_grant answer = {g, r->n_items};

    (void)arg;
    assert_true(r->n_items <= 64);
    for (size_t i = 0; i < r->n_items; i++) {
        g[i] = (struct message_grant){
            .limit_id = r->items[i].limit_id, .granted = r->items[i].want, .lease_us = 600000};
    }
    publish_reply_lease(&reply, &answer);
}

// As where a limit is not known, or a part of the questions had no answer from Redis.
static void leave_out_b(void *arg, const struct message_lease_request *r,
                        struct publish_reply *reply)
{
    struct message_grant g[64];
    struct message_lease_grant answer = {.grants = g};

    (void)arg;
    assert_true(r->n_items <= 64);
    for (size_t i = 0; i < r->n_items; i++) {
        if (strcmp(r->items[i].limit_id, "b") != 0) {
            g[answer.n_grants++] = (struct message_grant){
                .limit_id = r->items[i].limit_id, .granted = 1, .lease_us = 600000};
        }
    }
    publish_reply_lease(&reply, &answer);
}

static void park(void *arg, const struct message_lease_request *r, struct publish_reply *reply)
{
    (void)arg;
    (void)r;
    parked[n_parked++] = reply;
}

static void drop_request(void *arg, const struct message_lease_request *r,
                         struct publish_reply *reply)
{
    (void)arg;
    (void)r;
    publish_reply_drop(&reply);
}

static void leases_go_round(void **state)
{
    const struct message_lease_item items[] = {
        {.limit_id = "a", .want = 10}, {.limit_id = "b", .want = 5, .returned = 1, .debt = 2}};
    struct proxy p = {.frozen = false};

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 10, 1);
    open_publish();
    publish_on_lease(c.publish, grant_all, NULL);
    open_proxy(&p);
    UNTIL(stats_of(&p).connected);
    for (unsigned i = 0; i < 20; i++) {
        assert_true(link_lease(p.link, items, 2));
    }
    UNTIL(atomic_load(&p.grants) == 40);
    assert_int_equal(atomic_load(&p.granted), 300);

    publish_on_lease(c.publish, leave_out_b, NULL);
    for (unsigned i = 0; i < 3; i++) { // may travel together
        assert_true(link_lease(p.link, items, 2));
    }
    UNTIL(atomic_load(&p.left_out) == 3);
    assert_int_equal(atomic_load(&p.lost), 3);
    assert_int_equal(atomic_load(&p.grants), 43);
    atomic_store(&p.lost, 0);

    // Refused: told at once. Nobody answers: told after the deadline. Nobody serves: told.
    publish_on_lease(c.publish, drop_request, NULL);
    assert_true(link_lease(p.link, items, 2));
    UNTIL(atomic_load(&p.lost) == 2);
    publish_on_lease(c.publish, park, NULL);
    n_parked = 0;
    assert_true(link_lease(p.link, items, 1));
    UNTIL(atomic_load(&p.lost) == 3);
    assert_int_equal(n_parked, 1);
    UNTIL(stats_of(&p).lease_timeouts == 1);
    publish_on_lease(c.publish, NULL, NULL);
    assert_true(link_lease(p.link, items, 1));
    UNTIL(atomic_load(&p.lost) == 4);
    // A reply kept past the end of publish goes nowhere.
    publish_free(&c.publish);
    publish_reply_drop(&parked[0]);
    close_proxy(&p);
    close_control();
}

struct ledger {
    uint64_t last, applied, records, refused, duplicates;
    bool down;
};

// As the store's script does it.
static void apply_usage(void *arg, const struct message_usage_report *r,
                        struct publish_reply *reply)
{
    struct ledger *l = arg;
    struct message_usage_ack ack;

    if (l->down) {
        l->refused++;
        publish_reply_drop(&reply);
        return;
    }
    if (r->number == l->last + 1) {
        l->last++;
        l->applied++;
        l->records += r->n_records;
        assert_string_equal(r->records[0].provider, "openai");
    } else if (r->number != 0) { // 0: only asks
        l->duplicates++;
    }
    ack.last = l->last;
    publish_reply_usage(&reply, &ack);
}

static void usage_arrives_once(void **state)
{
    const struct message_usage_record record = {.request_id = "r",
                                                .key = "k",
                                                .router = "production",
                                                .provider = "openai",
                                                .model = "gpt-4o-mini",
                                                .status = 200,
                                                .input = 3,
                                                .output = 4};
    struct ledger ledger = {.last = 0};
    struct proxy p = {.frozen = false};

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 10, 1);
    open_publish();
    publish_on_usage(c.publish, apply_usage, &ledger);
    open_proxy(&p);
    UNTIL(stats_of(&p).connected);
    for (unsigned i = 0; i < 5000; i++) { // many reports at once
        assert_true(link_usage(p.link, &record));
    }
    UNTIL(ledger.records == 5000);
    UNTIL(stats_of(&p).usage_pending == 0);
    UNTIL(stats_of(&p).usage_acked == 5000);
    assert_int_equal(stats_of(&p).usage_lost, 0);
    assert_true(ledger.applied > 10);

    // What clients put into a field cannot make a report unreadable.
    assert_true(link_usage(
        p.link, &(const struct message_usage_record){.provider = "openai", .user = "\xff\xfe"}));
    UNTIL(ledger.records == 5001);
    ledger.records = 5000;

    // The store is away for a while: nothing is lost, nothing comes twice.
    ledger.down = true;
    assert_true(link_usage(p.link, &record));
    UNTIL(ledger.refused >= 1);
    ledger.down = false;
    UNTIL(ledger.records == 5001);

    // The store has lost its tail: the last two reports are sent again.
    ledger.last -= 2;
    assert_true(link_usage(p.link, &record));
    UNTIL(ledger.duplicates == 1 && stats_of(&p).usage_pending == 0);
    assert_true(ledger.records > 5002);

    close_proxy(&p);
    close_control();
}

static void *stop_with_flush(void *arg)
{
    struct proxy *p = arg;

    link_stop(&p->link, 5 * MONO_SEC);
    return arg;
}

static void the_end_flushes_usage(void **state)
{
    const struct message_usage_record record = {.provider = "openai"};
    struct ledger ledger = {.last = 0};
    struct proxy p = {.frozen = false};
    pthread_t stopper;

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 10, 1);
    open_publish();
    publish_on_usage(c.publish, apply_usage, &ledger);
    open_proxy(&p);
    UNTIL(stats_of(&p).connected);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(link_usage(p.link, &record));
    }
    assert_int_equal(pthread_create(&stopper, NULL, stop_with_flush, &p), 0);
    UNTIL(ledger.records == 3);
    while (pthread_tryjoin_np(stopper, NULL) == EBUSY) {
        loop_turn(c.loop, MONO_MS);
    }
    close_proxy(&p);
    close_control();
}

// ---- health ------------------------------------------------------------------------------------

static struct fleet_proxy seen_proxy;
static struct fleet_target seen_target;
static char seen_error[256];

static bool see_proxy(void *ctx, const struct fleet_proxy *p)
{
    (void)ctx;
    seen_proxy = *p;
    seen_error[0] = '\0';
    if (p->n_errors > 0) {
        (void)snprintf(seen_error, sizeof(seen_error), "%s: %s", p->errors[0].id,
                       p->errors[0].message);
    }
    return true;
}

static bool see_target(void *ctx, const struct fleet_target *t)
{
    (void)ctx;
    seen_target = *t;
    return true;
}

static void health_reaches_the_fleet(void **state)
{
    const struct message_target_health up = {"openai", "m", "k", "", MESSAGE_TARGET_HEALTHY, 200, 1,
                                             10,       0,   0,   ""};
    const struct message_target_health down = {
        "openai", "m", "k", "", MESSAGE_TARGET_EJECTED, 400, 2, 20, 5, MONO_SEC, "timeouts"};
    struct proxy p[2] = {{.frozen = false}};

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 10, 1);
    open_publish();
    open_proxy(&p[0]);
    open_proxy(&p[1]);
    link_health(p[0].link, 3, &up, 1);
    link_health(p[1].link, 4, &down, 1);
    seen_target.proxies = 0;
    while (seen_target.proxies != 2) {
        loop_turn(c.loop, 5 * MONO_MS);
        fleet_targets(c.fleet, see_target, NULL);
    }
    assert_int_equal(seen_target.state, MESSAGE_TARGET_EJECTED);
    assert_int_equal(seen_target.unhealthy, 1);
    assert_int_equal(seen_target.requests, 30);
    assert_int_equal(seen_target.ewma_us, 300);
    fleet_each(c.fleet, see_proxy, NULL);
    assert_string_equal(seen_proxy.version, "test");
    assert_true(seen_proxy.live);
    close_proxy(&p[0]);
    close_proxy(&p[1]);
    close_control();
}

static void a_bad_resource_costs_only_itself(void **state)
{
    static char too_long[RESOURCE_STRING_MAX + 10];
    struct proxy p = {.frozen = false};
    struct resource *bad;

    (void)state;
    memset(too_long, 'x', sizeof(too_long) - 1);
    open_control(false);
    load_keys(epoch_one, 10, 10, 1);
    open_publish();
    open_proxy(&p);
    UNTIL(in_step(&p));
    bad = make_key(3, 2);
    bad->u.key->name = too_long;
    change(bad);
    change(make_key(4, 2));
    UNTIL(version_of(&p, "key00004") == 2);
    assert_int_equal(version_of(&p, "key00003"), 1); // kept
    UNTIL((fleet_each(c.fleet, see_proxy, NULL), seen_proxy.n_errors == 1));
    assert_non_null(strstr(seen_error, "key00003: key: name: longer than"));
    UNTIL(stats_of(&p).resource_errors == 1);
    // The digest of what was announced still matches: no endless asking for snapshots.
    turn_for(2200 * MONO_MS);
    assert_int_equal(stats_of(&p).syncs, 1);
    assert_int_equal(stats_of(&p).divergences, 0);
    // Mended by the next version.
    change(make_key(3, 3));
    UNTIL(version_of(&p, "key00003") == 3);
    UNTIL(stats_of(&p).resource_errors == 0 && in_step(&p));
    close_proxy(&p);
    close_control();
}

static void divergence_is_repaired(void **state)
{
    struct proxy p = {.frozen = false};

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 100, 1);
    open_publish();
    open_proxy(&p);
    UNTIL(in_step(&p));
    load_keys(epoch_one, 10, 101, 1); // the same sequence, other content
    assert_false(in_step(&p));
    UNTIL(in_step(&p));
    UNTIL(stats_of(&p).divergences >= 1);
    close_proxy(&p);
    close_control();
}

static void a_new_epoch_needs_a_word(void **state)
{
    struct proxy p = {.frozen = false}, q = {.frozen = false};

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 10, 1);
    open_publish();
    open_proxy(&p);
    UNTIL(in_step(&p));
    load_keys(epoch_two, 3, 10, 1);
    turn_for(1500 * MONO_MS);
    assert_false(in_step(&p));
    open_proxy(&q); // one that has nothing takes what there is
    UNTIL(in_step(&q));
    publish_set_supersedes(c.publish, SLICE_MAKE((const char *)epoch_one, sizeof(epoch_one)));
    UNTIL(in_step(&p));
    change(make_key(1, 2));
    UNTIL(in_step(&p) && in_step(&q));
    outcome_known = false;
    assert_non_null(fleet_wait(c.fleet, 4, 5 * MONO_SEC, on_outcome, NULL));
    UNTIL(outcome_known);
    assert_int_equal(outcome.applied, 2);
    close_proxy(&p);
    close_proxy(&q);
    close_control();
}

// ---- several control planes --------------------------------------------------------------------

// A name is resolved by us, to all its addresses.
static void names_are_resolved(void **state)
{
    struct proxy p = {.frozen = false};
    struct endpoint ep;
    char name[ENDPOINT_TEXT_MAX];

    (void)state;
    open_control(true);
    load_keys(epoch_one, 10, 10, 1);
    open_publish();
    assert_true(endpoint_parse(slice_str(c.listen), &ep, NULL));
    (void)snprintf(name, sizeof(name), "tcp://localhost:%u", ep.port);
    open_proxy_at(&p, name, c.dir, NULL);
    UNTIL(in_step(&p));
    close_proxy(&p);
    close_control();
}

static void another_takes_over(void **state)
{
    const struct message_lease_item item = {.limit_id = "a", .want = 1};
    struct ledger ledger = {.last = 0};
    struct proxy p = {.frozen = false};
    struct publish *both[2];
    char bases[2][ENDPOINT_TEXT_MAX];
    const char *endpoints[] = {bases[0], bases[1]};
    struct publish_stats before, after;
    uint64_t start;

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 100, 1);
    for (int i = 0; i < 2; i++) { // two replicas of one state
        (void)snprintf(bases[i], sizeof(bases[i]), "ipc://%s/c%d", c.dir, i);
        memcpy(c.listen, bases[i], sizeof(c.listen));
        open_publish();
        both[i] = c.publish;
        publish_on_lease(both[i], grant_all, NULL);
        publish_on_usage(both[i], apply_usage, &ledger);
    }
    c.publish = NULL;
    open_proxy_to(&p, endpoints, 2, c.dir, NULL);
    UNTIL(in_step(&p) && stats_of(&p).connected);
    turn_for(300 * MONO_MS); // sessions with both
    publish_stats(both[0], &before);
    for (uint64_t v = 2; v < 52; v++) { // every change comes twice and counts once
        change(make_key((unsigned)v, v));
        UNTIL(in_step(&p));
    }
    UNTIL(stats_of(&p).deltas == 50); // stats are shown at the end of a turn
    UNTIL(stats_of(&p).verdicts[ENVELOPE_OLD] >= 40);

    // Whichever is asked goes away: leases and usage go to the other at once, nothing is missed.
    for (int dead = 0; dead < 2; dead++) {
        publish_free(&both[dead]);
        start = mono_now_us();
        while (atomic_load(&p.grants) == (unsigned)dead) {
            if (link_lease(p.link, &item, 1)) {
                turn_for(5 * MONO_MS);
            }
            assert_true(mono_now_us() - start < 3 * MONO_SEC);
        }
        atomic_store(&p.grants, (unsigned)dead + 1);
        assert_true(link_usage(p.link, &(const struct message_usage_record){.provider = "openai"}));
        UNTIL(ledger.records == (uint64_t)dead + 1);
        change(make_key(3, 100 + (uint64_t)dead));
        UNTIL(in_step(&p));
        memcpy(c.listen, bases[dead], sizeof(c.listen));
        open_publish();
        both[dead] = c.publish;
        c.publish = NULL;
        publish_on_lease(both[dead], grant_all, NULL);
        publish_on_usage(both[dead], apply_usage, &ledger);
        do { // until the one that came back is known again
            loop_turn(c.loop, 5 * MONO_MS);
            publish_stats(both[dead], &after);
        } while (after.reports == 0);
    }
    assert_int_equal(stats_of(&p).syncs, 1);
    publish_free(&both[0]);
    publish_free(&both[1]);
    close_proxy(&p);
    close_control();
}

// ---- last known good ---------------------------------------------------------------------------

static void starts_without_a_control_plane(void **state)
{
    struct proxy p = {.frozen = false};
    char data[64], other[64], path[256], id[80];
    struct err e;

    (void)state;
    open_control(false);
    keydir_make(data);
    load_keys(epoch_one, 10, 1000, 1);
    open_publish();
    open_proxy_at(&p, c.listen, c.dir, data);
    UNTIL(in_step(&p));
    change(make_key(5, 2));
    UNTIL(in_step(&p));
    (void)snprintf(id, sizeof(id), "%s", link_proxy_id(p.link));
    close_proxy(&p); // what is not yet written is written now
    publish_free(&c.publish);

    open_proxy_at(&p, c.listen, c.dir, data);
    assert_string_equal(link_proxy_id(p.link), id);
    UNTIL(in_step(&p));
    UNTIL(stats_of(&p).from_file);
    assert_int_equal(version_of(&p, "key00005"), 2);
    // The control plane comes back with more: it goes on from there.
    change(make_key(6, 2));
    open_publish();
    UNTIL(in_step(&p));
    UNTIL(!stats_of(&p).from_file);
    close_proxy(&p);
    publish_free(&c.publish);

    // With another cluster's secret it is refused, not misread.
    keydir_make(other);
    assert_true(keys_create(other, &e));
    open_proxy_at(&p, c.listen, other, data);
    turn_for(300 * MONO_MS);
    assert_int_equal(atomic_load(&p.snapshots), 0);
    close_proxy(&p);
    // No secret of the state is in the file.
    keydir_path(path, data, "last-known-good");
    assert_int_equal(access(path, R_OK), 0);
    keydir_remove(data);
    keydir_remove(other);
    close_control();
}

// ---- strangers and recordings ------------------------------------------------------------------

static void a_foreign_cluster_is_not_believed(void **state)
{
    struct proxy p = {.frozen = false};
    struct publish_stats s;
    char other[64];
    struct err e;

    (void)state;
    open_control(false);
    load_keys(epoch_one, 10, 10, 1);
    open_publish();
    keydir_make(other);
    assert_true(keys_create(other, &e));
    open_proxy_at(&p, c.listen, other, NULL);
    UNTIL((publish_stats(c.publish, &s), s.verdicts[ENVELOPE_FOREIGN_CLUSTER] > 0));
    UNTIL(stats_of(&p).verdicts[ENVELOPE_FOREIGN_CLUSTER] > 0); // the heartbeat
    assert_int_equal(atomic_load(&p.snapshots), 0);
    assert_int_equal(fleet_live(c.fleet), 0);
    close_proxy(&p);
    keydir_remove(other);
    close_control();
}

// Lines of c.dir/cluster-secret as `order` names them: "ab" = the first key, then the second.
static void write_secrets(const char *order)
{
    static const char *const secrets[] = {"YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=\n",
                                          "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=\n"};
    char text[256];

    (void)snprintf(text, sizeof(text), "cluster=rotating\n%s%s", secrets[order[0] - 'a'],
                   order[1] == '\0' ? "" : secrets[order[1] - 'a']);
    keydir_write(c.dir, "cluster-secret", text);
}

static void give_keys(struct proxy *p, const char *order)
{
    write_secrets(order);
    keys_unref(&p->keys);
    p->keys = keydir_load(c.dir, false);
    link_set_keys(p->link, p->keys);
}

static void give_control_keys(const char *order)
{
    struct keys *old = c.keys;

    write_secrets(order);
    c.keys = keydir_load(c.dir, true);
    publish_set_keys(c.publish, c.keys);
    keys_unref(&old);
}

static void keys_change_under_way(void **state)
{
    static const char *const steps[] = {"ab", "ba", "b"};
    struct proxy p = {.frozen = false};
    struct publish_stats s;
    unsigned i = 0;

    (void)state;
    open_control(false);
    keys_unref(&c.keys);
    write_secrets("a");
    c.keys = keydir_load(c.dir, true);
    load_keys(epoch_one, 10, 10, 1);
    open_publish();
    open_proxy(&p);
    UNTIL(in_step(&p));
    for (; i < ARRAY_LEN(steps); i++) {
        // Each side is the first to know by turns.
        if (i % 2 == 0) {
            give_keys(&p, steps[i]);
            change(make_key(i, 2));
            UNTIL(in_step(&p));
            give_control_keys(steps[i]);
        } else {
            give_control_keys(steps[i]);
            change(make_key(i, 2));
            UNTIL(in_step(&p));
            give_keys(&p, steps[i]);
        }
        turn_for(50 * MONO_MS);
        change(make_key(i, 3));
        UNTIL(in_step(&p));
    }
    publish_stats(c.publish, &s);
    assert_int_equal(s.verdicts[ENVELOPE_UNKNOWN_KEY], 0);
    assert_int_equal(stats_of(&p).verdicts[ENVELOPE_UNKNOWN_KEY], 0);
    assert_int_equal(stats_of(&p).syncs, 1);

    // In the wrong order: refused and counted, and all is well when the file has arrived.
    give_control_keys("ab");
    change(make_key(5, 2));
    UNTIL(stats_of(&p).verdicts[ENVELOPE_UNKNOWN_KEY] > 0);
    assert_false(in_step(&p));
    give_keys(&p, "ab");
    UNTIL(in_step(&p));
    close_proxy(&p);
    close_control();
}

// Between the two: passes everything on, keeps copies, plays them again or changed.
struct middle {
    struct nnsock *pub, *rep, *pull; // towards the proxy
    struct nnsock *sub, *req, *push; // towards the control plane
    char listen[128];
    struct nnsock_route asker;
    struct buf published[256];
    size_t n_published;
    struct buf requests[64], reports[64];
    size_t n_requests, n_reports;
};

static void copy_into(struct buf *list, size_t *n, size_t max, struct slice body)
{
    if (*n < max) {
        buf_init(&list[*n], 1 << 20);
        buf_append(&list[(*n)++], body);
    }
}

static void pass_published(void *arg, struct slice body, const struct nnsock_route *r)
{
    struct middle *m = arg;

    (void)r;
    copy_into(m->published, &m->n_published, 256, body);
    assert_true(nnsock_send(m->pub, body, NULL));
}

static void pass_request(void *arg, struct slice body, const struct nnsock_route *r)
{
    struct middle *m = arg;

    m->asker = *r;
    copy_into(m->requests, &m->n_requests, 64, body);
    (void)!nnsock_send(m->req, body, NULL);
}

static void pass_answer(void *arg, struct slice body, const struct nnsock_route *r)
{
    struct middle *m = arg;

    (void)r;
    assert_true(nnsock_send(m->rep, body, &m->asker));
}

static void pass_report(void *arg, struct slice body, const struct nnsock_route *r)
{
    struct middle *m = arg;

    (void)r;
    copy_into(m->reports, &m->n_reports, 64, body);
    (void)!nnsock_send(m->push, body, NULL);
}

static struct nnsock *middle_socket(struct middle *m, enum nnsock_kind kind, const char *base,
                                    const char *suffix, bool bind,
                                    void (*fn)(void *, struct slice, const struct nnsock_route *))
{
    const struct nnsock_config nc = {
        .loop = c.loop, .receive_max = ENVELOPE_BYTES_MAX, .arg = m, .on_message = fn};
    struct err e = {0};
    struct nnsock *s = nnsock_new(kind, &nc, &e);
    char at[160];

    assert_non_null(s);
    (void)snprintf(at, sizeof(at), "%s%s", base, suffix);
    assert_true(bind ? nnsock_bind(s, at, &e) : nnsock_connect(s, at, &e));
    return s;
}

static void open_middle(struct middle *m)
{
    (void)snprintf(m->listen, sizeof(m->listen), "ipc://%s/m", c.dir);
    m->pub = middle_socket(m, NNSOCK_PUB, m->listen, ".pub", true, NULL);
    m->rep = middle_socket(m, NNSOCK_REP, m->listen, ".rep", true, pass_request);
    m->pull = middle_socket(m, NNSOCK_PULL, m->listen, ".pull", true, pass_report);
    m->sub = middle_socket(m, NNSOCK_SUB, c.listen, ".pub", false, pass_published);
    m->req = middle_socket(m, NNSOCK_REQ, c.listen, ".rep", false, pass_answer);
    m->push = middle_socket(m, NNSOCK_PUSH, c.listen, ".pull", false, NULL);
}

static void close_middle(struct middle *m)
{
    nnsock_free(&m->pub);
    nnsock_free(&m->rep);
    nnsock_free(&m->pull);
    nnsock_free(&m->sub);
    nnsock_free(&m->req);
    nnsock_free(&m->push);
    for (size_t i = 0; i < m->n_published; i++) {
        buf_done(&m->published[i]);
    }
    for (size_t i = 0; i < m->n_requests; i++) {
        buf_done(&m->requests[i]);
    }
    for (size_t i = 0; i < m->n_reports; i++) {
        buf_done(&m->reports[i]);
    }
}

static void recordings_and_forgeries_are_counted(void **state)
{
    static struct middle m;
    struct proxy p = {.frozen = false};
    struct publish_stats before, after;
    struct link_stats was, is;

    (void)state;
    m = (struct middle){.n_published = 0};
    open_control(false);
    load_keys(epoch_one, 10, 10, 1);
    open_publish();
    open_middle(&m);
    open_proxy_at(&p, m.listen, c.dir, NULL);
    UNTIL(in_step(&p) && m.n_published >= 2 && m.n_reports >= 2);
    change(make_key(1, 2));
    UNTIL(in_step(&p));
    turn_for(100 * MONO_MS);
    was = stats_of(&p);

    // Everything published so far once more, then with a byte changed in each.
    for (size_t i = 0; i < m.n_published; i++) {
        assert_true(nnsock_send(m.pub, buf_slice(&m.published[i]), NULL));
    }
    for (size_t i = 0; i < m.n_published; i++) {
        m.published[i].p[m.published[i].n / 2] ^= 0x10;
        assert_true(nnsock_send(m.pub, buf_slice(&m.published[i]), NULL));
        m.published[i].p[m.published[i].n / 2] ^= 0x10;
    }
    assert_true(nnsock_send(m.pub, SLICE("hello"), NULL));
    UNTIL((is = stats_of(&p), is.verdicts[ENVELOPE_REPLAYED] + is.verdicts[ENVELOPE_OLD] -
                                      was.verdicts[ENVELOPE_REPLAYED] -
                                      was.verdicts[ENVELOPE_OLD] >=
                                  m.n_published));
    UNTIL(stats_of(&p).verdicts[ENVELOPE_NOT_AUTHENTIC] +
              stats_of(&p).verdicts[ENVELOPE_MALFORMED] + stats_of(&p).verdicts[ENVELOPE_OLD] >=
          m.n_published);
    assert_true(in_step(&p));
    assert_int_equal(stats_of(&p).syncs, was.syncs);

    // The same upwards.
    publish_stats(c.publish, &before);
    for (size_t i = 0; i < m.n_requests; i++) {
        (void)!nnsock_send(m.req, buf_slice(&m.requests[i]), NULL);
    }
    for (size_t i = 0; i < m.n_reports; i++) {
        (void)!nnsock_send(m.push, buf_slice(&m.reports[i]), NULL);
    }
    UNTIL((publish_stats(c.publish, &after),
           after.verdicts[ENVELOPE_REPLAYED] - before.verdicts[ENVELOPE_REPLAYED] >=
               m.n_requests + m.n_reports - 2));
    m.requests[0].p[m.requests[0].n / 2] ^= 1;
    (void)!nnsock_send(m.req, buf_slice(&m.requests[0]), NULL);
    UNTIL((publish_stats(c.publish, &after),
           after.verdicts[ENVELOPE_NOT_AUTHENTIC] + after.verdicts[ENVELOPE_MALFORMED] >= 1));

    // A recording played after a restart: the new process is not the one it was meant for.
    publish_free(&c.publish);
    open_publish();
    turn_for(300 * MONO_MS);
    publish_stats(c.publish, &before);
    for (size_t i = 0; i < m.n_reports; i++) {
        (void)!nnsock_send(m.push, buf_slice(&m.reports[i]), NULL);
    }
    UNTIL((publish_stats(c.publish, &after), after.verdicts[ENVELOPE_REPLAYED] > 0));
    change(make_key(2, 2));
    UNTIL(in_step(&p)); // and the proxy has found the new one
    close_proxy(&p);
    close_middle(&m);
    close_control();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(either_start_order),
        cmocka_unit_test(changes_are_acknowledged),
        cmocka_unit_test(a_frozen_proxy_is_named),
        cmocka_unit_test(a_gap_is_mended),
        cmocka_unit_test(proxies_are_told_how_many_they_are),
        cmocka_unit_test(large_states_come_in_chunks),
        cmocka_unit_test(large_changes_are_announced),
        cmocka_unit_test(the_publisher_restarts),
        cmocka_unit_test(silence_ends_a_session),
        cmocka_unit_test(leases_go_round),
        cmocka_unit_test(usage_arrives_once),
        cmocka_unit_test(the_end_flushes_usage),
        cmocka_unit_test(health_reaches_the_fleet),
        cmocka_unit_test(a_bad_resource_costs_only_itself),
        cmocka_unit_test(divergence_is_repaired),
        cmocka_unit_test(a_new_epoch_needs_a_word),
        cmocka_unit_test(names_are_resolved),
        cmocka_unit_test(another_takes_over),
        cmocka_unit_test(starts_without_a_control_plane),
        cmocka_unit_test(a_foreign_cluster_is_not_believed),
        cmocka_unit_test(recordings_and_forgeries_are_counted),
        cmocka_unit_test(keys_change_under_way),
    };

    log_setup("planes_test", getenv("VERBOSE") != NULL ? LOG_DEBUG : LOG_ERROR, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
