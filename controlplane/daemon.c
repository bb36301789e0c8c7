// SPDX-License-Identifier: Apache-2.0
// Start:  keys, master key, token -> loop -> store, publish, API (all at once: the API tells what
// is
//         missing) -> state current -> file applied -> READY (ready file, service manager)
// Then:   SIGHUP reads the file and the keys again; broken ones are refused and the old ones stay
// End:    SIGTERM/SIGINT -> API drained (at most DRAIN_US) -> everything freed, the store first, so
//         that whoever waits for Redis is answered while he still exists
//
// The file. It is applied once the state is current. At a start it is only applied if it was never
// applied before by anybody, or if it is not what this very data directory offered last (a person
// has changed it since): so a replica that restarts with an older file during a roll-out does not
// turn everything back, and a file that was changed back counts. SIGHUP applies it unless it is the
// latest already.
#include "controlplane/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "common/io/document.h"
#include "common/io/json.h"
#include "common/io/proc.h"
#include "controlplane/api.h"
#include "controlplane/egress.h"
#include "controlplane/leases.h"
#include "controlplane/master.h"
#include "controlplane/prober.h"
#include "controlplane/publish.h"
#include "controlplane/reader.h"
#include "controlplane/reseal.h"
#include "controlplane/usage.h"
#include "proto/keys.h"

#define DRAIN_US      (5 * MONO_SEC)
#define APPLY_TRIES   20
#define APPLY_WAIT_US (250 * MONO_MS)
#define TOKEN_CHARS   40u
#define WATCH_US      (1 * MONO_SEC)
#define MARK_CHARS    64u
#define PATIENCE      5u // times WATCH_US

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
    struct reading file;
    struct config *wanted; // to be applied; NULL: nothing
    bool by_signal;        // ... because of SIGHUP
    bool applying, ready;
    bool newer; // than what is being applied: the file is to be read again behind it
    int tries;
    unsigned watched; // times, without having reached Redis
    size_t changes;
    char hash[STORE_DIGEST_HEX];      // of what is being applied
    char mark[MARK_CHARS + 1];        // as it is in the data directory
    uint8_t epoch[STATE_EPOCH_BYTES]; // of the last CURRENT state
    bool has_epoch;
    struct loop_timer apply_timer, drain_timer, watch_timer;
    struct loop_task apply_task;
    bool draining;
    uint64_t drain_until_us;
};

// --- files --------------------------------------------------------------------------------------

static void path_in(const struct daemon_config *c, const char *name, char out[1024])
{
    (void)snprintf(out, 1024, "%s/%s", c->data_dir, name);
}

// Makes one when there is none yet.
static struct secret *read_token(const struct daemon_config *c, struct err *e)
{
    char standard[1024], made[TOKEN_CHARS + 1];
    const char *path = c->admin_token_file;
    struct secret *token = NULL;
    struct buf text;

    if (path == NULL) {
        path_in(c, "admin-token", standard);
        path = standard;
    }
    buf_init(&text, 4096);
    if (proc_read_file(path, 4096, &text, e)) {
        struct slice s = buf_slice(&text);

        s = slice_head(s, slice_find_char(s, '\n'));
        s = slice_trim(slice_head(s, slice_find_char(s, '\r')));
        if (s.n >= 8) {
            token = secret_new(s);
        } else {
            err_set(e, ERR_INVALID, "%s: an admin token has at least 8 characters", path);
        }
        mem_wipe(text.p, text.cap);
    } else if (e->code == ERR_NOT_FOUND) {
        crypto_random_id(made, TOKEN_CHARS);
        if (proc_write_file(path, slice_str(made), 0600, e)) {
            token = secret_new(slice_str(made));
        }
        mem_wipe(made, sizeof(made));
    }
    buf_done(&text);
    return token;
}

// Callers without a key on an address that others can reach: only when told so in as many words.
static bool opens_to_strangers(const struct config *config)
{
    if (boot_is_loopback(config_boot(config)->server.address.s)) {
        return false;
    }
    for (size_t i = 0; i < config->n_resources; i++) {
        const struct resource *r = config->resources[i];

        if (r->kind == RESOURCE_SETTINGS && (r->u.settings->auth_mode == RESOURCE_AUTH_OPTIONAL ||
                                             r->u.settings->auth_mode == RESOURCE_AUTH_OFF)) {
            return true;
        }
    }
    return false;
}

// For texts that come through the API; the reader's thread. Problems of the env file were told at
// the start.
static struct env *read_env(void *arg)
{
    const struct daemon *d = arg;
    struct problem_list problems;
    struct env *env = env_new();

    problem_list_init(&problems);
    (void)document_read_env(env, d->c->env_file, false, &problems);
    problem_list_done(&problems);
    return env;
}

struct config *daemon_read_config(const struct daemon_config *c, bool partial)
{
    struct config_options o = {.demo = c->demo};
    struct problem_list env_problems;
    struct env *env = env_new();
    struct config *config = NULL;
    struct buf text;

    problem_list_init(&env_problems);
    buf_init(&text, 1u << 20);
    o.env = env;
    if (document_read_env(env, c->env_file, c->env_file != NULL, &env_problems)) {
        config = config_load(c->config_file, &o);
        problem_render_all(&config->problems, &text);
    }
    problem_render_all(&env_problems, &text);
    if (!c->quiet || config == NULL || !config_ok(config)) {
        (void)fwrite(buf_slice(&text).p, 1, buf_slice(&text).n, stderr); // nowhere to report to
    }
    buf_done(&text);
    problem_list_done(&env_problems);
    env_free(&env);
    if (config != NULL && !config_ok(config) && !partial) {
        config_free(&config);
    }
    if (config != NULL && !c->insecure_no_auth && opens_to_strangers(config)) {
        (void)fprintf(
            stderr,
            "sluice-control: auth.mode is not `required` and server.address %s can be reached by "
            "others: refused without --insecure-no-auth\n",
            config_boot(config)->server.address.s);
        config_free(&config);
    }
    return config;
}

// --- readiness ----------------------------------------------------------------------------------

static void write_ready_file(struct daemon *d)
{
    struct json_out o;
    struct buf text;
    struct err e;

    buf_init(&text, 8192);
    o = json_out_to(&text);
    json_out_open(&o, '{');
    json_out_field_u64(&o, "pid", (uint64_t)getpid());
    json_out_field_str(&o, "admin_address", d->c->admin_address);
    json_out_field_u64(&o, "admin_port", api_port(d->api));
    json_out_field_str(&o, "listen", publish_endpoint(d->publish));
    json_out_field_u64(&o, "seq", state_seq(d->state));
    json_out_close(&o, '}');
    buf_append_char(&text, '\n');
    if (!proc_write_file(d->c->ready_file, buf_slice(&text), 0600, &e)) {
        LOG(ERROR, "control.ready_file", LOG_ERR(&e));
    }
    buf_done(&text);
}

static void become_ready(struct daemon *d)
{
    if (d->ready) {
        return;
    }
    d->ready = true;
    LOG(INFO, "control.ready", LOG_UINT("admin_port", api_port(d->api)),
        LOG_STR("listen", publish_endpoint(d->publish)), LOG_UINT("seq", state_seq(d->state)));
    if (d->c->ready_file != NULL) {
        write_ready_file(d);
    }
    (void)proc_notify("READY=1"); // without a service manager there is nobody to tell
}

// --- the file -----------------------------------------------------------------------------------

// Is this what this data directory offered last?
static bool offered_before(struct daemon *d)
{
    char path[1024];
    struct buf text;
    bool same;

    path_in(d->c, "applied-config", path);
    buf_init(&text, 4096);
    same = proc_read_file(path, 4096, &text, NULL) &&
           slice_eq(slice_head(buf_slice(&text), STORE_DIGEST_HEX - 1), slice_str(d->hash));
    buf_done(&text);
    return same;
}

static void remember_offer(struct daemon *d)
{
    char path[1024];
    struct err e;

    path_in(d->c, "applied-config", path);
    if (!proc_write_file(path, slice_str(d->hash), 0600, &e)) {
        LOG(WARN, "config.remember", LOG_ERR(&e));
    }
}

static void apply_again(struct daemon *d, const char *why)
{
    if (++d->tries <= APPLY_TRIES) {
        loop_timer_set(d->loop, &d->apply_timer, loop_now_us(d->loop) + APPLY_WAIT_US);
        return;
    }
    LOG(ERROR, "config.not_applied", LOG_STR("reason", why));
    config_free(&d->wanted);
    become_ready(d); // with what Redis has
}

static void on_applied(void *arg, const struct store_result *r)
{
    struct daemon *d = arg;

    d->applying = false;
    if (d->newer && d->reader != NULL) { // NULL: this is the end
        d->newer = false;
        reader_start(d->reader, &d->file);
    }
    switch (r->outcome) {
    case STORE_DONE:
        LOG(INFO, "config.applied", LOG_STR("file", d->c->config_file), LOG_UINT("seq", r->seq),
            LOG_UINT("changes", d->changes));
        break;
    case STORE_KNOWN:
        if (d->changes > 0) {
            LOG(WARN, "config.not_applied", LOG_STR("file", d->c->config_file),
                LOG_STR("reason", "it was applied before, and something newer since; change it, "
                                  "or send SIGHUP, to apply it again"));
        }
        break;
    case STORE_CONFLICT:
        apply_again(d, "others keep changing the same resources");
        return;
    case STORE_REGRESSED:
    case STORE_UNAVAILABLE:
    case STORE_UNKNOWN:
    case STORE_AGAIN:
    case STORE_REUSED:
        apply_again(d, r->message);
        return;
    }
    remember_offer(d);
    config_free(&d->wanted);
    become_ready(d);
}

// The settings' key for hashing virtual keys: the one in force, or a new one.
static void fill_hash_key(struct daemon *d)
{
    const struct resource *old = state_find(d->state, RESOURCE_SETTINGS, SLICE("global"));
    uint8_t key[32];

    if (old != NULL) {
        memcpy(key, old->u.settings->key_hash_key, sizeof(key));
    } else {
        crypto_random(key, sizeof(key));
    }
    config_hash_keys(d->wanted, key);
    for (size_t i = 0; i < d->wanted->n_resources; i++) {
        if (d->wanted->resources[i]->kind == RESOURCE_SETTINGS) {
            memcpy(d->wanted->resources[i]->u.settings->key_hash_key, key, sizeof(key));
        }
    }
    mem_wipe(key, sizeof(key));
}

static void apply(struct daemon *d)
{
    struct store_file f;

    if (d->wanted == NULL || d->applying || !state_ready(d->state) ||
        follow_status(store_follow(d->store)) != FOLLOW_CURRENT) {
        return;
    }
    fill_hash_key(d);
    f = (struct store_file){.wanted = d->wanted->resources,
                            .n = d->wanted->n_resources,
                            .where = d->wanted->where,
                            .source = d->c->config_file == NULL ? "environment" : d->c->config_file,
                            .now_wall_us = loop_wall_us(d->loop)};
    store_file_hash(d->store, &f, d->hash);
    f.only_new = !d->by_signal && offered_before(d);
    d->applying = true;
    store_file_apply(d->store, &f, on_applied, d, &d->changes);
}

static void on_apply_timer(struct loop_timer *t)
{
    apply(container_of(t, struct daemon, apply_timer));
}

static void on_apply_task(struct loop_task *t)
{
    apply(container_of(t, struct daemon, apply_task));
}

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

// The reader's thread.
static struct config *read_config(struct reading *g)
{
    const struct daemon *d = container_of(g, struct daemon, file);

    return daemon_read_config(d->c, false);
}

// SIGHUP: the file has been read.
static void on_config(struct reading *g, struct config *next)
{
    struct daemon *d = container_of(g, struct daemon, file);

    if (next == NULL && d->reader == NULL) {
        return; // this is the end
    }
    if (next == NULL) {
        LOG(ERROR, "config.refused", LOG_STR("file", d->c->config_file),
            LOG_STR("effect", "the old one stays"));
        return;
    }
    log_set_level((enum log_level)config_boot(next)->logging.level);
    if (d->applying) {
        LOG(INFO, "config.busy", LOG_STR("effect", "the file is read again once it was applied"));
        d->newer = true;
        config_free(&next);
        return;
    }
    config_free(&d->wanted);
    d->wanted = next;
    d->by_signal = true;
    d->tries = 0;
    loop_post(d->loop, &d->apply_task);
}

// --- the mark -----------------------------------------------------------------------------------

// DATA_DIR/state-mark holds epoch and sequence, so that a Redis that went back while this replica
// was not running is found out, too.
static void write_mark(struct daemon *d)
{
    const struct follow *f = store_follow(d->store);
    char path[1024], text[MARK_CHARS + 1], epoch[2 * STATE_EPOCH_BYTES + 1];
    struct err e;

    if (follow_status(f) != FOLLOW_CURRENT || follow_known_epoch(f) == NULL) {
        return;
    }
    text_hex(follow_known_epoch(f), STATE_EPOCH_BYTES, epoch);
    (void)snprintf(text, sizeof(text), "%s %llu\n", epoch, // fits
                   (unsigned long long)follow_known_seq(f));
    if (strcmp(text, d->mark) == 0) {
        return;
    }
    path_in(d->c, "state-mark", path);
    if (proc_write_file(path, slice_str(text), 0600, &e)) {
        memcpy(d->mark, text, sizeof(text));
    } else {
        LOG(WARN, "control.remember", LOG_ERR(&e));
    }
}

static bool read_mark(const struct daemon_config *c, uint8_t epoch[STATE_EPOCH_BYTES],
                      uint64_t *ret_seq)
{
    char path[1024];
    struct slice hex, rest;
    struct buf text;
    bool ok;

    path_in(c, "state-mark", path);
    buf_init(&text, 4096);
    ok = proc_read_file(path, 4096, &text, NULL);
    rest = slice_cut(buf_slice(&text), ' ', &hex);
    ok = ok && rest.n > 0 && text_unhex(hex, epoch, STATE_EPOCH_BYTES) &&
         slice_to_u64(slice_head(rest, slice_find_char(rest, '\n')), ret_seq);
    buf_done(&text);
    return ok;
}

// --- what happens -------------------------------------------------------------------------------

// Redis has an epoch: from now on --init has no effect on this data directory.
static void remember_initialised(struct daemon *d)
{
    char path[1024];
    struct err e;

    path_in(d->c, "initialised", path);
    if (access(path, F_OK) != 0 && !proc_write_file(path, SLICE(""), 0600, &e)) {
        LOG(ERROR, "control.remember", LOG_ERR(&e));
    }
}

static bool was_told_to_initialise(const struct daemon *d)
{
    return d->c->init || d->c->epoch_file != NULL;
}

static bool may_initialise(const struct daemon *d)
{
    char path[1024];

    path_in(d->c, "initialised", path);
    return was_told_to_initialise(d) && access(path, F_OK) != 0;
}

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

// Another epoch than before: what the file says may not be there any more.
static void on_current(struct daemon *d)
{
    bool adopted = d->has_epoch && memcmp(d->epoch, state_epoch(d->state), STATE_EPOCH_BYTES) != 0;

    memcpy(d->epoch, state_epoch(d->state), STATE_EPOCH_BYTES);
    d->has_epoch = true;
    remember_initialised(d);
    write_mark(d);
    reseal_start(d->reseal);
    if (adopted && d->wanted == NULL) {
        d->wanted = daemon_read_config(d->c, false);
        d->by_signal = false;
        d->tries = 0;
    }
    loop_post(d->loop, &d->apply_task);
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
        become_ready(d); // as ready as it gets: this waits for a person
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
    if (!d->ready && follow_status(store_follow(d->store)) == FOLLOW_CONNECTING &&
        ++d->watched >= PATIENCE) {
        LOG(ERROR, "control.without_redis", LOG_STR("redis", redis_name(store_redis(d->store))),
            LOG_STR("effect", "answers what needs no state until it is reached"));
        become_ready(d);
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
        reader_start(d->reader, &d->file);
    } else if ((signo == SIGTERM || signo == SIGINT) && !d->draining) {
        LOG(INFO, "control.stopping", LOG_INT("signal", signo));
        (void)proc_notify("STOPPING=1"); // see become_ready
        d->draining = true;
        d->drain_until_us = loop_now_us(d->loop) + DRAIN_US;
        api_drain(d->api);
        loop_timer_set(d->loop, &d->drain_timer, loop_now_us(d->loop));
    }
}

static void daemon_done(struct daemon *d)
{
    // First those that answer what is pending; the commit of the file sets its timer to try again.
    reader_free(&d->reader);
    prober_free(&d->prober);
    reseal_free(&d->reseal);
    store_free(&d->store);
    if (d->loop != NULL) {
        loop_timer_cancel(d->loop, &d->apply_timer);
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
    config_free(&d->wanted);
    proc_signals_free(&d->signals);
    if (d->loop != NULL) {
        loop_unpost(d->loop, &d->apply_task);
        loop_free(&d->loop);
    }
}

// --- start --------------------------------------------------------------------------------------

static bool start_store(struct daemon *d, struct err *e)
{
    struct record_keys *master = master_read(d->c->master_key_file, d->c->data_dir, e);
    bool init = may_initialise(d);
    uint8_t epoch[STATE_EPOCH_BYTES], first[STATE_EPOCH_BYTES];
    // --init is for somebody who begins anew, with an epoch that nobody has seen.
    bool named = init && !d->c->init && read_first_epoch(d->c->epoch_file, first);
    uint64_t seq;
    bool marked = !init && read_mark(d->c, epoch, &seq); // a new beginning has no past

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

static bool start_api(struct daemon *d, struct err *e)
{
    struct secret *token = read_token(d->c, e);

    if (token == NULL) {
        return err_prefix(e, "admin token");
    }
    d->api = api_new(
        &(const struct api_config){
            .loop = d->loop,
            .address = d->c->admin_address,
            .port = d->c->admin_port,
            .token = token,
            .store = d->store,
            .fleet = d->fleet,
            .upstream = d->upstream,
            .meters = d->meters,
            .reader = d->reader,
            .from = {.read_env = read_env, .arg = d, .demo = d->c->demo, .strangers = d->strangers},
            .fill_gauges = fill_gauges,
            .fill_arg = d},
        e);
    secret_free(&token);
    return d->api != NULL;
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
    d->file = (struct reading){.read = read_config, .done = on_config};
    egress_init(&d->egress, &config_boot(d->wanted)->egress);
    d->strangers =
        d->c->insecure_no_auth || boot_is_loopback(config_boot(d->wanted)->server.address.s);
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
    d->apply_timer.fn = on_apply_timer;
    d->apply_task.fn = on_apply_task;
    d->drain_timer.fn = on_drain;
    d->watch_timer.fn = on_watch;
    loop_timer_set(d->loop, &d->watch_timer, loop_now_us(d->loop) + WATCH_US);
    return true;
}

bool daemon_run(const struct daemon_config *c, struct config *first, struct err *e)
{
    struct daemon d = {.c = c, .wanted = first};
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
