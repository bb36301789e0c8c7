// SPDX-License-Identifier: Apache-2.0
// Start:  keys, master key, token -> loop -> store, publish, API (all at once: the API tells what
//         is missing) -> state current -> file applied (conffile.c) -> READY (ready.c)
// Then:   SIGHUP reads the file and the keys again; broken ones are refused and the old ones stay
// End:    SIGTERM/SIGINT -> API drained (at most DRAIN_US) -> everything freed, the store first, so
//         that whoever waits for Redis is answered while he still exists
#include "controlplane/daemon.h"

#include <signal.h>
#include <stdio.h>

#include "common/base/log.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "common/io/document.h"
#include "common/io/proc.h"
#include "controlplane/api.h"
#include "controlplane/conffile.h"
#include "controlplane/datadir.h"
#include "controlplane/egress.h"
#include "controlplane/leases.h"
#include "controlplane/master.h"
#include "controlplane/prober.h"
#include "controlplane/publish.h"
#include "controlplane/reader.h"
#include "controlplane/ready.h"
#include "controlplane/reseal.h"
#include "controlplane/usage.h"
#include "proto/keys.h"

#define DRAIN_US (5 * MONO_SEC)
#define WATCH_US (1 * MONO_SEC)
#define PATIENCE 5u // times WATCH_US

struct daemon {
    const struct daemon_config *c;
    struct loop *loop;
    struct proc_signals *signals;
    struct keys *keys;
    struct state *state;
    struct store *store;
    struct reseal *reseal;
    struct fleet *fleet;
    struct publish *publish;
    struct meters *meters;
    struct leases *leases;
    struct usage *usage;
    struct egress egress; // of the file this was started with
    bool strangers;       // auth.mode may be what it likes
    struct upstream *upstream;
    struct prober *prober;
    struct api *api;
    struct reader *reader;
    struct datadir datadir;
    struct ready ready;
    struct config *first; // as read at the start; until the file has it
    struct conffile *file;
    unsigned watched;                 // times, without having reached Redis
    uint8_t epoch[STATE_EPOCH_BYTES]; // of the last CURRENT state
    bool has_epoch;
    struct loop_timer drain_timer, watch_timer;
    bool draining;
    uint64_t drain_until_us;
};

// --- keys ---------------------------------------------------------------------------------------

static struct keys_files key_files(const struct daemon_config *c)
{
    return (struct keys_files){.cluster_secret = c->cluster_secret_file,
                               .signing_key = c->signing_key_file};
}

static void say_keys(const struct daemon *d)
{
    struct buf text;

    buf_init(&text, 4096);
    keys_describe(d->keys, &text);
    LOG(INFO, "keys.loaded", LOG_SLICE("ids", buf_slice(&text)),
        LOG_UINT("master_keys", store_keys(d->store)->n));
    buf_done(&text);
}

// Both or neither: keys that are being rotated belong together in the mind of who does it.
static void reload_keys(struct daemon *d)
{
    const struct keys_files files = key_files(d->c);
    struct err e = {0};
    struct keys *fresh = keys_reload(&files, d->keys, &e);
    struct record_keys *master =
        fresh == NULL ? NULL : master_read(d->c->master_key_file, d->c->data_dir, &e);

    if (master == NULL) {
        LOG(ERROR, "keys.refused", LOG_ERR(&e), LOG_STR("effect", "the old ones stay"));
        keys_unref(&fresh);
        return;
    }
    publish_set_keys(d->publish, fresh);
    keys_unref(&d->keys);
    d->keys = fresh;
    store_set_keys(d->store, master);
    master_free(&master);
    say_keys(d);
    reseal_start(d->reseal);
}

// --- what happens -------------------------------------------------------------------------------

// So that a Redis that went back while this replica was not running is found out, too.
static void write_mark(struct daemon *d)
{
    const struct follow *f = store_follow(d->store);

    if (follow_status(f) == FOLLOW_CURRENT && follow_known_epoch(f) != NULL) {
        datadir_write_mark(&d->datadir, follow_known_epoch(f), follow_known_seq(f));
    }
}

static bool was_told_to_initialise(const struct daemon *d)
{
    return d->c->init || d->c->epoch_file != NULL;
}

static void on_current(struct daemon *d)
{
    bool adopted = d->has_epoch && memcmp(d->epoch, state_epoch(d->state), STATE_EPOCH_BYTES) != 0;

    memcpy(d->epoch, state_epoch(d->state), STATE_EPOCH_BYTES);
    d->has_epoch = true;
    datadir_remember_initialised(&d->datadir); // from now on --init has no effect on it
    write_mark(d);
    reseal_start(d->reseal);
    conffile_offer(d->file, adopted);
}

static void on_status(void *arg, enum follow_status s, const char *message)
{
    struct daemon *d = arg;
    bool silent = s == FOLLOW_REGRESSED || s == FOLLOW_EMPTY;

    if (silent && was_told_to_initialise(d) && follow_redis_epoch(store_follow(d->store)) == NULL) {
        message = "Redis is empty, but the file `initialised` in the data directory says that it "
                  "was not: bring its data back, go on without it (sluice recover --adopt), or "
                  "remove that file and restart to begin anew";
    }
    if (s == FOLLOW_CURRENT || s == FOLLOW_LOADING) {
        LOG(INFO, "store.status", LOG_STR("status", follow_status_name(s)));
    } else {
        LOG(ERROR, "store.status", LOG_STR("status", follow_status_name(s)),
            LOG_STR("reason", message));
    }
    publish_set_silent(d->publish, silent);
    publish_set_supersedes(d->publish, follow_superseded(store_follow(d->store)));
    if (s == FOLLOW_CURRENT) {
        on_current(d);
    } else if (silent) {
        ready_tell(&d->ready); // as ready as it gets: this waits for a person
    }
}

// A proxy that is ahead of Redis tells that Redis went back.
static void on_watch(struct loop_timer *t)
{
    struct daemon *d = container_of(t, struct daemon, watch_timer);

    if (state_ready(d->state)) {
        const uint8_t *epoch = state_epoch(d->state);

        follow_seen(store_follow(d->store), epoch, fleet_max_seq(d->fleet, epoch));
        write_mark(d);
    }
    if (!d->ready.told && follow_status(store_follow(d->store)) == FOLLOW_CONNECTING &&
        ++d->watched >= PATIENCE) {
        LOG(ERROR, "control.without_redis", LOG_STR("redis", redis_name(store_redis(d->store))),
            LOG_STR("effect", "answers what needs no state until it is reached"));
        ready_tell(&d->ready);
    }
    loop_timer_set(d->loop, t, loop_now_us(d->loop) + WATCH_US);
}

static void on_granted(void *arg, const struct message_lease_grant *g)
{
    struct publish_reply *reply = arg;

    if (g == NULL) {
        publish_reply_drop(&reply);
    } else {
        publish_reply_lease(&reply, g);
    }
}

static void on_lease(void *arg, const struct message_lease_request *r, struct publish_reply *reply)
{
    struct daemon *d = arg;

    leases_ask(d->leases, r, on_granted, reply);
}

static void on_counted(void *arg, bool ok, uint64_t last)
{
    struct publish_reply *reply = arg;

    if (ok) {
        publish_reply_usage(&reply, &(const struct message_usage_ack){last});
    } else {
        publish_reply_drop(&reply);
    }
}

static void on_usage(void *arg, const struct message_usage_report *r, struct publish_reply *reply)
{
    struct daemon *d = arg;

    usage_report(d->usage, r, on_counted, reply);
}

static void fill_gauges(void *arg, struct meters_gauges *g)
{
    struct daemon *d = arg;
    struct publish_stats s;

    publish_stats(d->publish, &s);
    g->deltas = s.deltas;
    g->snapshots = s.snapshots;
    g->heartbeats = s.heartbeats;
    g->refusals = s.refusals;
    g->unknown_messages = s.unknown;
    for (size_t i = 1; i < ENVELOPE_VERDICTS; i++) {
        g->bad_messages += s.verdicts[i];
        g->refused[i] = s.verdicts[i];
    }
    g->old_key_records = reseal_left(d->reseal);
}

// --- end ----------------------------------------------------------------------------------------

static void on_drain(struct loop_timer *t)
{
    struct daemon *d = container_of(t, struct daemon, drain_timer);

    if (api_active(d->api) == 0 || loop_now_us(d->loop) >= d->drain_until_us) {
        loop_stop(d->loop);
        return;
    }
    loop_timer_set(d->loop, t, loop_now_us(d->loop) + 10 * MONO_MS);
}

static void on_signal(void *arg, int signo)
{
    struct daemon *d = arg;

    if (signo == SIGHUP) {
        reload_keys(d);
        conffile_reload(d->file);
    } else if ((signo == SIGTERM || signo == SIGINT) && !d->draining) {
        LOG(INFO, "control.stopping", LOG_INT("signal", signo));
        (void)proc_notify("STOPPING=1"); // see ready_tell
        d->draining = true;
        d->drain_until_us = loop_now_us(d->loop) + DRAIN_US;
        api_drain(d->api);
        loop_timer_set(d->loop, &d->drain_timer, loop_now_us(d->loop));
    }
}

static void daemon_done(struct daemon *d)
{
    // First those that answer what is pending.
    conffile_stop(d->file);
    reader_free(&d->reader);
    prober_free(&d->prober);
    reseal_free(&d->reseal);
    store_free(&d->store);
    conffile_free(&d->file);
    if (d->loop != NULL) {
        loop_timer_cancel(d->loop, &d->drain_timer);
        loop_timer_cancel(d->loop, &d->watch_timer);
    }
    leases_free(&d->leases);
    usage_free(&d->usage);
    api_free(&d->api);
    publish_free(&d->publish);
    fleet_free(&d->fleet);
    upstream_free(&d->upstream);
    meters_free(&d->meters);
    state_free(&d->state);
    keys_unref(&d->keys);
    config_free(&d->first);
    proc_signals_free(&d->signals);
    if (d->loop != NULL) {
        loop_free(&d->loop);
    }
}

// --- start --------------------------------------------------------------------------------------

// The epoch that `sluice init` has made. A file that is none is no reason not to start.
static bool read_first_epoch(const char *path, uint8_t epoch[STATE_EPOCH_BYTES])
{
    struct buf text;
    struct err e;
    bool ok;

    buf_init(&text, 4096);
    ok = proc_read_file(path, 4096, &text, &e);
    if (!ok) {
        LOG(ERROR, "control.epoch_file", LOG_ERR(&e));
    } else if (!text_unhex(slice_trim(buf_slice(&text)), epoch, STATE_EPOCH_BYTES)) {
        LOG(ERROR, "control.epoch_file", LOG_STR("file", path),
            LOG_STR("reason", "expected 32 hexadecimal digits; another epoch is made"));
        ok = false;
    }
    buf_done(&text);
    return ok;
}

static bool may_initialise(const struct daemon *d)
{
    return was_told_to_initialise(d) && !datadir_is_initialised(&d->datadir);
}

static bool start_store(struct daemon *d, struct err *e)
{
    struct record_keys *master = master_read(d->c->master_key_file, d->c->data_dir, e);
    bool init = may_initialise(d);
    uint8_t epoch[STATE_EPOCH_BYTES], first[STATE_EPOCH_BYTES];
    // --init is for somebody who begins anew, with an epoch that nobody has seen.
    bool named = init && !d->c->init && read_first_epoch(d->c->epoch_file, first);
    uint64_t seq;
    bool marked =
        !init && datadir_read_mark(&d->datadir, epoch, &seq); // a new beginning has no past

    if (master != NULL) {
        d->store = store_new(&(const struct store_config){.loop = d->loop,
                                                          .redis_url = d->c->redis_url,
                                                          .state = d->state,
                                                          .keys = master,
                                                          .init = init,
                                                          .first_epoch = named ? first : NULL,
                                                          .mark_epoch = marked ? epoch : NULL,
                                                          .mark_seq = marked ? seq : 0,
                                                          .on_status = on_status,
                                                          .arg = d},
                             e);
    }
    if (d->store != NULL) {
        d->reseal = reseal_new(d->loop, d->store);
    }
    master_free(&master);
    return d->store != NULL;
}

static bool start_sockets(struct daemon *d, struct err *e)
{
    const struct keys_files files = key_files(d->c);
    const struct upstream_config uc = {.dial = d->egress.dial};

    d->keys = keys_load(&files, e);
    if (d->keys == NULL) {
        e->code = ERR_INVALID;
        return false;
    }
    d->fleet = fleet_new(d->loop);
    d->publish = publish_new(&(const struct publish_config){.loop = d->loop,
                                                            .state = d->state,
                                                            .fleet = d->fleet,
                                                            .keys = d->keys,
                                                            .listen = d->c->listen},
                             e);
    d->upstream = d->publish == NULL ? NULL : upstream_new(d->loop, &uc, e);
    return d->upstream != NULL;
}

static void on_probed(void *arg, const struct message_probe *probes, size_t n)
{
    struct daemon *d = arg;

    publish_probes(d->publish, probes, n);
}

static bool start_prober(struct daemon *d, struct err *e)
{
    d->prober = prober_new(&(const struct prober_config){.loop = d->loop,
                                                         .store = d->store,
                                                         .upstream = d->upstream,
                                                         .dial = d->egress.dial,
                                                         .meters = d->meters,
                                                         .publish = on_probed,
                                                         .arg = d},
                           e);
    return d->prober != NULL;
}

static void on_empty(void *arg, const char *limit_id, bool empty)
{
    struct daemon *d = arg;

    api_limit_event(d->api, limit_id, empty);
}

// For texts that come through the API; the reader's thread. Problems of the env file were told at
// the start.
static struct env *read_env(void *arg)
{
    const struct daemon *d = arg;
    struct problem_list problems;
    struct env *env = env_new();

    problem_list_init(&problems);
    (void)document_read_env(env, d->c->file.env_path, false, &problems);
    problem_list_done(&problems);
    return env;
}

static bool start_api(struct daemon *d, struct err *e)
{
    struct secret *token = datadir_admin_token(&d->datadir, d->c->admin_token_file, e);

    if (token == NULL) {
        return err_prefix(e, "admin token");
    }
    d->api = api_new(&(const struct api_config){.loop = d->loop,
                                                .address = d->c->admin_address,
                                                .port = d->c->admin_port,
                                                .token = token,
                                                .store = d->store,
                                                .fleet = d->fleet,
                                                .upstream = d->upstream,
                                                .meters = d->meters,
                                                .reader = d->reader,
                                                .from = {.read_env = read_env,
                                                         .arg = d,
                                                         .demo = d->c->file.demo,
                                                         .strangers = d->strangers},
                                                .fill_gauges = fill_gauges,
                                                .fill_arg = d},
                     e);
    secret_free(&token);
    return d->api != NULL;
}

static void start_file(struct daemon *d)
{
    d->ready = (struct ready){.file = d->c->ready_file,
                              .admin_address = d->c->admin_address,
                              .admin_port = api_port(d->api),
                              .listen = publish_endpoint(d->publish),
                              .state = d->state};
    d->file = conffile_new(&(const struct conffile_config){.options = &d->c->file,
                                                           .datadir = &d->datadir,
                                                           .ready = &d->ready,
                                                           .loop = d->loop,
                                                           .state = d->state,
                                                           .store = d->store,
                                                           .reader = d->reader},
                           d->first);
    d->first = NULL; // taken over
}

// Names this machine's monotonic clock: it starts anew with each boot.
static void boot_id(char out[64])
{
    struct buf text;

    out[0] = '\0';
    buf_init(&text, 256);
    if (proc_read_file("/proc/sys/kernel/random/boot_id", 256, &text, NULL)) {
        (void)snprintf(out, 64, SLICE_FMT, SLICE_ARG(slice_head(buf_slice(&text), 36)));
    }
    buf_done(&text);
}

static bool start(struct daemon *d, struct err *e)
{
    char machine[64];

    d->loop = loop_new(e);
    d->signals = d->loop == NULL ? NULL : proc_signals_new(d->loop, on_signal, d, e);
    d->reader = d->signals == NULL ? NULL : reader_new(d->loop, e);
    if (d->reader == NULL || !proc_mkdirs(d->c->data_dir, e)) {
        return false;
    }
    egress_init(&d->egress, &config_boot(d->first)->egress);
    d->strangers =
        d->c->file.insecure_no_auth || boot_is_loopback(config_boot(d->first)->server.address.s);
    d->state = state_new();
    d->meters = meters_new();
    if (!start_sockets(d, e) || !start_store(d, e) || !start_api(d, e)) {
        return false;
    }
    say_keys(d);
    boot_id(machine);
    if (!start_prober(d, e)) {
        return false;
    }
    d->leases = leases_new(d->loop, d->store, d->meters, machine);
    leases_on_empty(d->leases, on_empty, d);
    d->usage = usage_new(d->loop, d->store, d->meters);
    publish_on_lease(d->publish, on_lease, d);
    publish_on_usage(d->publish, on_usage, d);
    start_file(d);
    d->drain_timer.fn = on_drain;
    d->watch_timer.fn = on_watch;
    loop_timer_set(d->loop, &d->watch_timer, loop_now_us(d->loop) + WATCH_US);
    return true;
}

bool daemon_run(const struct daemon_config *c, struct config *first, struct err *e)
{
    struct daemon d = {.c = c, .datadir.path = c->data_dir, .first = first};
    bool ok = start(&d, e);

    if (ok) {
        LOG(INFO, "control.started", LOG_UINT("admin_port", api_port(d.api)),
            LOG_STR("listen", publish_endpoint(d.publish)));
        loop_run(d.loop);
        LOG(INFO, "control.stopped");
    }
    daemon_done(&d);
    return ok;
}
