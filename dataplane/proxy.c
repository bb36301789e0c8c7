// SPDX-License-Identifier: Apache-2.0
// Who talks to whom:
//
//   link's thread ---- snapshots ---> make_tables, worker_publish ---> workers
//                 ---- grants ------> limit_store_granted    (which asks by link_lease)
//   main thread   ---- once a second: limit_store_tick, link_health; signals, drain, ops port
//
// Drain, a timer on the main loop:
//
//   SERVING --SIGTERM--> LEAVING --drain-delay--> DRAINING --nothing in flight,
//                                                            or shutdown-timeout--> ENDING, exit
//   a second signal goes to ENDING at once
#include "dataplane/proxy.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cidr.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/proc.h"
#include "dataplane/book.h"
#include "dataplane/limit_store.h"
#include "dataplane/link.h"
#include "dataplane/metrics.h"
#include "dataplane/ops.h"
#include "dataplane/req.h"
#include "dataplane/worker.h"

#ifndef SLUICE_VERSION
#define SLUICE_VERSION "0.1.0"
#endif

#define TARGETS_MAX        8192u
#define TARGETS_REPORTED   512u
#define LEASES_AT_ONCE     256u
#define PARK_US            (50 * MONO_MS)
#define FLUSH_US           (500 * MONO_MS) // for usage records, at the end
#define GIVE_BACK_US       (400 * MONO_MS) // for leases, before that: three questions that get lost
#define GIVE_BACK_POLL_US  (5 * MONO_MS)
#define READY_POLL_US      (2 * MONO_MS)
#define DRAIN_POLL_US      (10 * MONO_MS)
#define FDS_PER_CONNECTION 2u // a client's and its upstream's

struct proxy {
    const struct dp_conf_args *args;
    struct cidr allowed[BOOT_NETWORKS_MAX]; // egress.allowed-networks
    struct dp_conf *conf;                   // borrowed
    struct loop *loop;
    struct proc_signals *signals;
    struct keys *keys;
    struct ops *ops;
    struct worker_shared shared;
    struct book *book;
    struct metrics *metrics; // the main thread's slot
    struct loop_timer second, state;
    bool announced;       // ready file written
    uint64_t leave_at_us; // LEAVING ends
    uint64_t end_at_us;   // DRAINING ends
    uint64_t drain_delay_us, shutdown_timeout_us;
};

// --- link's thread -----------------------------------------------------------------------------

// The tables come with the first settings, the cache's size for good. Written before the snapshot
// is published, read by workers after they took it.
static void make_tables(struct worker_shared *s, const struct resource_settings *set)
{
    struct target_config c = {
        .default_rtt_us = set->default_rtt_us != 0 ? set->default_rtt_us : 250 * MONO_MS,
        .decay_us = set->decay_us != 0 ? set->decay_us : 30 * MONO_SEC,
        .ejection_us = set->ejection_us != 0 ? set->ejection_us : 30 * MONO_SEC,
        .cooldown_us = 30 * MONO_SEC,
    };

    if (s->targets == NULL) {
        s->targets = target_table_new(&c, TARGETS_MAX);
    } else {
        target_table_tune(s->targets, &c);
    }
    if (atomic_load(&s->cache) == NULL && set->cache_bytes > 0) {
        atomic_store(&s->cache, cache_new((size_t)set->cache_bytes));
    }
}

static void on_snapshot(void *arg, struct snapshot *snap)
{
    struct proxy *p = arg;

    make_tables(&p->shared, snapshot_settings(snap));
    worker_publish(&p->shared, snap);
}

static void on_lease(void *arg, const struct message_grant *grants, size_t n, uint64_t now_us)
{
    struct proxy *p = arg;

    for (size_t i = 0; i < n; i++) {
        struct limit_grant g = {
            .limit_id = slice_str(grants[i].limit_id),
            .granted = grants[i].granted,
            .lease_us = grants[i].lease_us,
            .remaining = grants[i].remaining,
            .limit = grants[i].amount,
            .empty_us = grants[i].empty_until_us,
            .reset_us = grants[i].reset_us,
            .window = grants[i].window,
            .batch = grants[i].batch,
        };

        limit_store_granted(p->shared.limits, &g, 1, now_us);
    }
}

static void on_lease_lost(void *arg, const struct message_lease_item *items, size_t n,
                          bool answered)
{
    struct proxy *p = arg;

    for (size_t i = 0; i < n; i++) {
        struct limit_ask a = {
            .limit_id = items[i].limit_id,
            .want = items[i].want,
            .returned = items[i].returned,
            .debt = items[i].debt,
            .window = items[i].window,
            .batch = items[i].batch,
            .unit = items[i].unit,
            .period = items[i].period,
            .no = items[i].no,
            .since = items[i].since,
            .taken = items[i].taken,
        };

        if (answered) {
            limit_store_left_out(p->shared.limits, &a, 1);
        } else {
            limit_store_lost(p->shared.limits, &a, 1, mono_now_us());
        }
    }
}

static void on_probes(void *arg, const struct message_probe *probes, size_t n, uint64_t now_us)
{
    struct proxy *p = arg;

    for (size_t i = 0; i < n && p->shared.targets != NULL; i++) {
        target_probe_provider(p->shared.targets, slice_str(probes[i].provider), now_us,
                              probes[i].good);
    }
}

static void on_heard(void *arg, uint64_t now_us)
{
    struct proxy *p = arg;

    atomic_store(&p->shared.control_heard_us, now_us);
}

// Any thread.
static bool ask_leases(void *arg, const struct limit_ask *items, size_t n)
{
    struct proxy *p = arg;
    struct message_lease_item m[LEASES_AT_ONCE];

    if (p->shared.link == NULL || n > LEASES_AT_ONCE) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        m[i] = (struct message_lease_item){
            .limit_id = items[i].limit_id,
            .want = items[i].want,
            .returned = items[i].returned,
            .debt = items[i].debt,
            .window = items[i].window,
            .batch = items[i].batch,
            .unit = items[i].unit,
            .no = items[i].no,
            .taken = items[i].taken,
            .period = items[i].period,
            .since = items[i].since,
            .again = items[i].again,
        };
    }
    return link_lease(p->shared.link, m, n);
}

// --- once a second -----------------------------------------------------------------------------

struct health {
    struct message_target_health list[TARGETS_REPORTED];
    size_t n;
    uint64_t now_us;
    struct metrics *metrics;
};

static void add_target(void *ctx, const struct target_view *v)
{
    static const uint32_t states[] = {[TARGET_OK] = MESSAGE_TARGET_HEALTHY,
                                      [TARGET_TRIAL] = MESSAGE_TARGET_TRIAL,
                                      [TARGET_EJECTED] = MESSAGE_TARGET_EJECTED,
                                      [TARGET_COOLING] = MESSAGE_TARGET_COOLING,
                                      [TARGET_COOLING_GUESS] = MESSAGE_TARGET_COOLING,
                                      [TARGET_NO_QUOTA] = MESSAGE_TARGET_COOLING};
    struct health *h = ctx;

    metrics_target(h->metrics, v->provider, v->model, (unsigned)v->status);
    if (h->n == TARGETS_REPORTED) {
        return;
    }
    // The table's strings end in a NUL (target.h: borrowed from the table).
    h->list[h->n++] = (struct message_target_health){
        .provider = v->provider.p,
        .model = v->model.p,
        .key_id = v->key_id.p == NULL ? "" : v->key_id.p,
        .endpoint = "",
        .state = states[v->status],
        .ewma_us = v->ewma_us,
        .in_flight = v->in_flight,
        .requests = v->successes + v->failures,
        .failures = v->failures,
        .until_us = v->until_us > h->now_us ? v->until_us - h->now_us : 0,
        .reason = "",
    };
}

static void report_health(struct proxy *p, uint64_t now_us)
{
    struct health *h;

    if (atomic_load(&p->shared.config_seq) == 0) {
        return; // no table yet
    }
    h = mem_zalloc(sizeof(*h));
    h->now_us = now_us;
    h->metrics = p->metrics;
    target_each(p->shared.targets, now_us, add_target, h);
    link_health(p->shared.link, worker_in_flight(&p->shared), h->list, h->n);
    mem_free(h);
}

static void on_second(struct loop_timer *t)
{
    struct proxy *p = container_of(t, struct proxy, second);
    uint64_t now = loop_now_us(p->loop);
    struct link_stats ls;

    link_stats(p->shared.link, &ls);
    limit_store_set_live(p->shared.limits, ls.live);
    limit_store_tick(p->shared.limits, now);
    report_health(p, now);
    mem_trim();
    loop_timer_set(p->loop, t, now + MONO_SEC);
}

// Second number of /proc/self/statm, in pages.
static uint64_t resident_bytes(void)
{
    struct buf text;
    struct slice size, pages;
    uint64_t n = 0;

    buf_init(&text, 256);
    if (proc_read_file("/proc/self/statm", 256, &text, NULL)) {
        (void)slice_cut(slice_cut(buf_slice(&text), ' ', &size), ' ', &pages);
        if (!slice_to_u64(pages, &n)) {
            n = 0;
        }
    }
    buf_done(&text);
    return n * 4096;
}

static void refresh(void *arg)
{
    struct proxy *p = arg;
    struct cache *cache = atomic_load(&p->shared.cache);
    struct cache_stats cs = {.entries = 0};
    struct link_stats ls;
    uint64_t now = mono_now_us();

    link_stats(p->shared.link, &ls);
    if (cache != NULL) {
        cs = cache_stats(cache);
    }
    struct metrics_process m = {
        .config_seq = atomic_load(&p->shared.config_seq),
        .control_seq = ls.control_seq,
        .config_refused = ls.resource_errors,
        .config_from_file = ls.from_file ? 1 : 0,
        .proxies_live = ls.live,
        .heard_ago_us = ls.heard_us != 0 && now > ls.heard_us ? now - ls.heard_us : 0,
        .cache_entries = cs.entries,
        .cache_bytes = cs.bytes,
        .cache_evictions = cs.evictions,
        .usage_pending = ls.usage_pending,
        .usage_lost = ls.usage_lost,
        .usage_acked = ls.usage_acked,
        .rss_bytes = resident_bytes(),
        .body_bytes = atomic_load(&p->shared.budget.used),
        .ready = worker_is_ready(&p->shared) ? 1 : 0,
    };
    metrics_process(p->metrics, &m);
    struct metrics_link link = {
        .connected = ls.connected ? 1 : 0,
        .syncs = ls.syncs,
        .deltas = ls.deltas,
        .gaps = ls.gaps,
        .divergences = ls.divergences,
        .unknown = ls.unknown,
        .lease_timeouts = ls.lease_timeouts,
        .verdicts = ls.verdicts,
    };
    metrics_link(p->metrics, &link);
}

// --- start, reload, drain ----------------------------------------------------------------------

static void announce(struct proxy *p)
{
    struct buf line;
    struct err e;

    p->announced = true;
    LOG(INFO, "proxy.ready", LOG_UINT("port", worker_port(&p->shared)),
        LOG_UINT("ops_port", ops_port(p->ops)),
        LOG_UINT("seq", atomic_load(&p->shared.config_seq)));
    if (p->conf->ready_file != NULL) {
        buf_init(&line, 1024);
        buf_printf(&line, "{\"port\":%u,\"ops_port\":%u,\"pid\":%ld,\"tls\":%s}\n",
                   worker_port(&p->shared), ops_port(p->ops), (long)getpid(),
                   p->conf->tls_cert != NULL ? "true" : "false");
        if (!proc_write_file(p->conf->ready_file, buf_slice(&line), 0644, &e)) {
            LOG(ERROR, "proxy.ready_file", LOG_ERR(&e));
        }
        buf_done(&line);
    }
    if (!proc_notify("READY=1")) {
        LOG(WARN, "proxy.notify_failed");
    }
}

static void begin_draining(struct proxy *p, uint64_t now)
{
    worker_set_phase(&p->shared, WORKER_DRAINING);
    p->end_at_us = now + p->shutdown_timeout_us;
    LOG(INFO, "proxy.draining", LOG_UINT("in_flight", worker_in_flight(&p->shared)));
}

static void begin_ending(struct proxy *p)
{
    LOG(INFO, "proxy.ending", LOG_UINT("in_flight", worker_in_flight(&p->shared)));
    worker_set_phase(&p->shared, WORKER_ENDING);
    loop_stop(p->loop);
}

static void on_state(struct loop_timer *t)
{
    struct proxy *p = container_of(t, struct proxy, state);
    uint64_t now = loop_now_us(p->loop);

    switch (worker_phase(&p->shared)) {
    case WORKER_SERVING:
        if (worker_is_ready(&p->shared)) {
            announce(p);
            return;
        }
        loop_timer_set(p->loop, t, now + READY_POLL_US);
        return;
    case WORKER_LEAVING:
        if (now >= p->leave_at_us) {
            begin_draining(p, now);
        }
        break;
    case WORKER_DRAINING:
        if (worker_in_flight(&p->shared) == 0 || now >= p->end_at_us) {
            begin_ending(p);
            return;
        }
        break;
    case WORKER_ENDING:
        return;
    }
    loop_timer_set(p->loop, t, now + DRAIN_POLL_US);
}

static void leave(struct proxy *p)
{
    uint64_t now = loop_now_us(p->loop);

    if (worker_phase(&p->shared) != WORKER_SERVING) {
        begin_ending(p); // asked twice
        return;
    }
    (void)proc_notify("STOPPING=1"); // the manager will see us end
    worker_set_phase(&p->shared, WORKER_LEAVING);
    p->leave_at_us = now + p->drain_delay_us;
    LOG(INFO, "proxy.leaving", LOG_UINT("drain_delay_us", p->drain_delay_us));
    loop_timer_set(p->loop, &p->state, now);
}

static struct keys_files key_files(const struct proxy *p)
{
    return (struct keys_files){.cluster_secret = p->conf->cluster_secret_file,
                               .public_keys = p->conf->public_key_file};
}

static void say_keys(const struct proxy *p)
{
    struct buf text;

    buf_init(&text, 4096);
    keys_describe(p->keys, &text);
    LOG(INFO, "keys.loaded", LOG_SLICE("ids", buf_slice(&text)));
    buf_done(&text);
}

static void reload_keys(struct proxy *p)
{
    const struct keys_files files = key_files(p);
    struct err e = {0};
    struct keys *fresh = keys_reload(&files, p->keys, &e);

    if (fresh == NULL) {
        LOG(ERROR, "keys.refused", LOG_ERR(&e), LOG_STR("effect", "the old ones stay"));
        return;
    }
    link_set_keys(p->shared.link, fresh);
    keys_unref(&p->keys);
    p->keys = fresh;
    say_keys(p);
}

// What can change without a restart does; a broken file is refused as a whole.
static void reload(struct proxy *p)
{
    struct dp_conf fresh;
    struct buf keys;

    if (p->args->file == NULL) {
        return;
    }
    if (!dp_conf_load(p->args, p->args->file, &fresh)) {
        LOG(ERROR, "proxy.reload_refused", LOG_STR("file", p->args->file));
        dp_conf_done(&fresh);
        return;
    }
    buf_init(&keys, 4096);
    boot_restart_keys(&p->conf->boot, &fresh.boot, &keys);
    log_set_level((enum log_level)fresh.boot.logging.level);
    p->drain_delay_us = fresh.boot.server.drain_delay_us;
    p->shutdown_timeout_us = fresh.boot.server.shutdown_timeout_us;
    LOG(INFO, "proxy.reloaded", LOG_STR("file", p->args->file),
        LOG_SLICE("needs_restart", buf_slice(&keys)));
    buf_done(&keys);
    dp_conf_done(&fresh);
}

static void on_signal(void *arg, int signo)
{
    struct proxy *p = arg;

    if (signo == SIGTERM || signo == SIGINT) {
        leave(p);
    } else if (signo == SIGHUP) {
        reload_keys(p);
        reload(p);
    }
}

// --- making ------------------------------------------------------------------------------------

static void fill_worker_config(struct proxy *p, uint64_t nofile)
{
    const struct boot_server *s = &p->conf->boot.server;
    struct worker_config *c = &p->shared.conf;
    bool loopback = boot_is_loopback(s->address.s);
    uint64_t most = nofile > 512 ? (nofile - 256) / FDS_PER_CONNECTION : 128;

    *c = (struct worker_config){
        .address = s->address.s,
        .port = (uint16_t)s->port,
        .max_body = (size_t)s->max_body,
        .max_buffered = (size_t)s->max_buffered,
        .header_memory = (size_t)s->header_memory,
        .max_connections = (size_t)(s->max_connections != 0 ? s->max_connections : most),
        .tls_cert_pem = p->conf->tls_cert,
        .tls_key_pem = p->conf->tls_key,
        .auth_default = loopback ? RESOURCE_AUTH_OPTIONAL : RESOURCE_AUTH_REQUIRED,
        .drop_trace = !p->conf->boot.telemetry.propagate,
        .auth_may_be_open = loopback || p->conf->insecure_no_auth,
    };
    c->upstream.dial.proxy =
        p->conf->boot.egress.proxy.s != NULL ? p->conf->boot.egress.proxy.s : "";
    c->upstream.dial.ca_file = p->conf->ca_file;
    c->upstream.dial.allowed = p->allowed;
    for (size_t i = 0; i < p->conf->boot.egress.allowed_networks.n && i < BOOT_NETWORKS_MAX; i++) {
        // Was checked with the file: a text that is none would not have come so far.
        if (cidr_parse(slice_str(p->conf->boot.egress.allowed_networks.items[i].s),
                       &p->allowed[c->upstream.dial.n_allowed])) {
            c->upstream.dial.n_allowed++;
        }
    }
}

static bool make_link(struct proxy *p, struct err *e)
{
    struct keys_files files = key_files(p);
    char ops[64];

    if (p->conf->n_endpoints == 0) {
        return err_set(e, ERR_INVALID, "no control plane: give --control or control.endpoints");
    }
    if (files.cluster_secret == NULL || files.public_keys == NULL) {
        return err_set(e, ERR_INVALID,
                       "no secrets: give --data-dir, or --cluster-secret-file and "
                       "--control-public-key-file");
    }
    p->keys = keys_load(&files, e);
    if (p->keys == NULL) {
        e->code = ERR_INVALID; // as the control plane says it: for the user to mend
        return false;
    }
    if (p->conf->data_dir != NULL && !proc_mkdirs(p->conf->data_dir, e)) {
        return false;
    }
    (void)snprintf(ops, sizeof(ops), "%s:%u", p->conf->boot.server.ops_address.s,
                   ops_port(p->ops)); // an address fits
    struct link_config c = {
        .endpoints = p->conf->endpoints,
        .n_endpoints = p->conf->n_endpoints,
        .keys = p->keys,
        .data_dir = p->conf->data_dir,
        .version = SLUICE_VERSION,
        .ops = ops,
        .n_workers = p->conf->workers,
        .arg = p,
        .on_snapshot = on_snapshot,
        .on_lease = on_lease,
        .on_lease_lost = on_lease_lost,
        .holder = limit_store_holder(p->shared.limits),
        .on_probes = on_probes,
        .on_heard = on_heard,
    };
    say_keys(p);
    p->shared.link = link_new(&c, e);
    return p->shared.link != NULL;
}

// Without one a death costs units of windows until they end; that is no reason not to serve.
static struct book *open_book(const char *data_dir)
{
    struct book *b = NULL;
    struct buf boot;
    struct err e;

    if (data_dir == NULL) {
        return NULL;
    }
    buf_init(&boot, 256);
    if (proc_mkdirs(data_dir, &e) &&
        proc_read_file("/proc/sys/kernel/random/boot_id", 256, &boot, &e)) {
        b = book_open(data_dir, buf_cstr(&boot), &e);
    }
    buf_done(&boot);
    if (b == NULL) {
        LOG(WARN, "proxy.no_book", LOG_ERR(&e),
            LOG_STR("meaning", "leases in hand are lost when this process is killed"));
    }
    return b;
}

static bool make(struct proxy *p, struct err *e)
{
    struct limit_config limits = {.ask = ask_leases, .arg = p, .park_us = PARK_US};
    uint64_t nofile = proc_raise_nofile();

    p->loop = loop_new(e);
    if (p->loop == NULL) {
        return false;
    }
    p->signals = proc_signals_new(p->loop, on_signal, p, e);
    if (p->signals == NULL) {
        return false;
    }
    p->shared.metrics = metrics_registry_new();
    p->metrics = metrics_new(p->shared.metrics);
    p->book = limits.book = open_book(p->conf->data_dir);
    p->shared.limits = limit_store_new(&limits);
    fill_worker_config(p, nofile);
    if (!worker_setup(&p->shared, p->conf->workers, e)) {
        return false;
    }
    struct ops_config ops = {.address = p->conf->boot.server.ops_address.s,
                             .port = (uint16_t)p->conf->boot.server.ops_port,
                             .shared = &p->shared,
                             .refresh = refresh,
                             .arg = p};
    p->ops = ops_new(p->loop, &ops, e);
    return p->ops != NULL && make_link(p, e);
}

static bool start(struct proxy *p, struct err *e)
{
    p->second.fn = on_second;
    p->state.fn = on_state;
    loop_timer_set(p->loop, &p->second, loop_now_us(p->loop) + MONO_SEC);
    loop_timer_set(p->loop, &p->state, loop_now_us(p->loop));
    return worker_start(&p->shared, e) && link_start(p->shared.link, e);
}

// Of a window a question is often open: it says how much there is to be given back.
static void give_back(struct proxy *p)
{
    const struct timespec poll = {.tv_nsec = (long)(GIVE_BACK_POLL_US * 1000)};
    uint64_t until_us = mono_now_us() + GIVE_BACK_US;

    while (!limit_store_end(p->shared.limits, mono_now_us()) && mono_now_us() < until_us) {
        (void)nanosleep(&poll, NULL); // a signal may end it early
    }
}

// In this order: no worker may outlive what it calls. Works on what is half made.
static void unmake(struct proxy *p)
{
    link_mute(p->shared.link); // no snapshot for workers that are going
    if (p->shared.limits != NULL) {
        limit_store_hush(p->shared.limits);
    }
    if (p->shared.workers != NULL) {
        atomic_store(&p->shared.phase, WORKER_LEAVING);
        worker_set_phase(&p->shared, WORKER_ENDING);
        worker_teardown(&p->shared);
    }
    ops_free(&p->ops);
    if (p->shared.link != NULL && p->shared.limits != NULL) {
        give_back(p);
    }
    link_stop(&p->shared.link, FLUSH_US);
    snapshot_reap();
    limit_store_free(&p->shared.limits);
    book_close(&p->book);
    struct cache *cache = atomic_load(&p->shared.cache);
    cache_free(&cache);
    target_table_free(&p->shared.targets);
    metrics_free(&p->metrics);
    metric_registry_free(&p->shared.metrics);
    keys_unref(&p->keys);
    proc_signals_free(&p->signals);
    if (p->loop != NULL) {
        loop_timer_cancel(p->loop, &p->second);
        loop_timer_cancel(p->loop, &p->state);
        loop_free(&p->loop);
    }
}

bool proxy_run(const struct dp_conf_args *args, struct dp_conf *conf,
               const struct proxy_parts *parts, struct err *e)
{
    struct proxy *p = mem_zalloc(sizeof(*p));
    bool ok;

    p->args = args;
    p->conf = conf;
    p->shared.validate = parts->check_router;
    p->drain_delay_us = conf->boot.server.drain_delay_us;
    p->shutdown_timeout_us = conf->boot.server.shutdown_timeout_us;
    req_install_panic_hook();
    ok = make(p, e) && start(p, e);
    if (ok) {
        loop_run(p->loop);
    }
    unmake(p);
    mem_free(p);
    return ok;
}
