// SPDX-License-Identifier: Apache-2.0
// The file is applied once the state is current:
//
//   first, or --> wanted --> store_file_apply --> done, or known before --> remembered, ready
//   reloaded       ^  ^             |
//                  |  `-- again, in APPLY_WAIT_US, APPLY_TRIES times; then not applied, ready
//                  `----- reloaded meanwhile: read once more behind it
//
// At a start it is only applied if it was never applied before by anybody, or if it is not what
// this very data directory offered last (a person has changed it since): so a replica that restarts
// with an older file during a roll-out does not turn everything back, and a file that was changed
// back counts. SIGHUP applies it unless it is the latest already.
#include "controlplane/conffile.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/crypto.h"
#include "common/io/document.h"

#define APPLY_TRIES   20
#define APPLY_WAIT_US (250 * MONO_MS)

struct conffile {
    struct conffile_config c;
    struct reading reading;
    struct config *wanted; // to be applied; NULL: nothing
    bool by_signal;        // ... because of SIGHUP
    bool applying;
    bool newer; // than what is being applied: the file is to be read again behind it
    bool stopped;
    int tries;
    size_t changes;
    char hash[STORE_DIGEST_HEX]; // of what is being applied
    struct loop_timer timer;     // the next try
    struct loop_task task;
};

// --- reading ------------------------------------------------------------------------------------

// Callers without a key on an address that others can reach: only when told so in as many words.
static bool opens_to_strangers(const struct config *config)
{
    return !boot_is_loopback(config_boot(config)->server.address.s) &&
           config_lets_strangers_in(config);
}

struct config *conffile_read(const struct conffile_options *o)
{
    struct config_options options = {.demo = o->demo};
    struct problem_list env_problems;
    struct env *env = env_new();
    struct config *config = NULL;
    struct buf text;

    problem_list_init(&env_problems);
    buf_init(&text, 1u << 20);
    options.env = env;
    if (document_read_env(env, o->env_path, o->env_path != NULL, &env_problems)) {
        config = config_load(o->path, &options);
        problem_render_all(&config->problems, &text);
    }
    problem_render_all(&env_problems, &text);
    if (!o->quiet || config == NULL || !config_ok(config)) {
        (void)fwrite(buf_slice(&text).p, 1, buf_slice(&text).n, stderr); // nowhere to report to
    }
    buf_done(&text);
    problem_list_done(&env_problems);
    env_free(&env);
    if (config != NULL && !config_ok(config)) {
        config_free(&config);
    }
    if (config != NULL && !o->insecure_no_auth && opens_to_strangers(config)) {
        (void)fprintf(
            stderr,
            "sluice-control: auth.mode is not `required` and server.address %s can be reached by "
            "others: refused without --insecure-no-auth\n",
            config_boot(config)->server.address.s);
        config_free(&config);
    }
    return config;
}

// --- applying -----------------------------------------------------------------------------------

static void apply_again(struct conffile *f, const char *why)
{
    if (++f->tries <= APPLY_TRIES) {
        loop_timer_set(f->c.loop, &f->timer, loop_now_us(f->c.loop) + APPLY_WAIT_US);
        return;
    }
    LOG(ERROR, "config.not_applied", LOG_STR("reason", why));
    config_free(&f->wanted);
    ready_tell(f->c.ready); // with what Redis has
}

static void on_applied(void *arg, const struct store_result *r)
{
    struct conffile *f = arg;

    f->applying = false;
    if (f->newer && !f->stopped) {
        f->newer = false;
        reader_start(f->c.reader, &f->reading);
    }
    switch (r->outcome) {
    case STORE_DONE:
        LOG(INFO, "config.applied", LOG_STR("file", f->c.options->path), LOG_UINT("seq", r->seq),
            LOG_UINT("changes", f->changes));
        break;
    case STORE_KNOWN:
        if (f->changes > 0) {
            LOG(WARN, "config.not_applied", LOG_STR("file", f->c.options->path),
                LOG_STR("reason", "it was applied before, and something newer since; change it, "
                                  "or send SIGHUP, to apply it again"));
        }
        break;
    case STORE_CONFLICT:
        apply_again(f, "others keep changing the same resources");
        return;
    case STORE_REGRESSED:
    case STORE_UNAVAILABLE:
    case STORE_UNKNOWN:
    case STORE_AGAIN:
    case STORE_REUSED:
        apply_again(f, r->message);
        return;
    }
    datadir_remember_offer(f->c.datadir, f->hash);
    config_free(&f->wanted);
    ready_tell(f->c.ready);
}

// The settings' key for hashing virtual keys: the one in force, or a new one.
static void fill_hash_key(struct conffile *f)
{
    const struct resource *old = state_find(f->c.state, RESOURCE_SETTINGS, SLICE("global"));
    uint8_t key[32];

    if (old != NULL) {
        memcpy(key, old->u.settings->key_hash_key, sizeof(key));
    } else {
        crypto_random(key, sizeof(key));
    }
    config_hash_keys(f->wanted, key);
    for (size_t i = 0; i < f->wanted->n_resources; i++) {
        if (f->wanted->resources[i]->kind == RESOURCE_SETTINGS) {
            memcpy(f->wanted->resources[i]->u.settings->key_hash_key, key, sizeof(key));
        }
    }
    mem_wipe(key, sizeof(key));
}

static void apply(struct conffile *f)
{
    const char *path = f->c.options->path;
    struct store_file s;

    if (f->wanted == NULL || f->applying || !state_ready(f->c.state) ||
        follow_status(store_follow(f->c.store)) != FOLLOW_CURRENT) {
        return;
    }
    fill_hash_key(f);
    s = (struct store_file){.wanted = f->wanted->resources,
                            .n = f->wanted->n_resources,
                            .where = f->wanted->where,
                            .source = path == NULL ? "environment" : path,
                            .now_wall_us = loop_wall_us(f->c.loop)};
    store_file_hash(f->c.store, &s, f->hash);
    s.only_new = !f->by_signal && datadir_offered_before(f->c.datadir, f->hash);
    f->applying = true;
    store_file_apply(f->c.store, &s, on_applied, f, &f->changes);
}

static void on_timer(struct loop_timer *t)
{
    apply(container_of(t, struct conffile, timer));
}

static void on_task(struct loop_task *t)
{
    apply(container_of(t, struct conffile, task));
}

void conffile_offer(struct conffile *f, bool anew)
{
    if (anew && f->wanted == NULL) {
        f->wanted = conffile_read(f->c.options);
        f->by_signal = false;
        f->tries = 0;
    }
    loop_post(f->c.loop, &f->task);
}

// --- reloading ----------------------------------------------------------------------------------

// The reader's thread.
static struct config *read_config(struct reading *g)
{
    const struct conffile *f = container_of(g, struct conffile, reading);

    return conffile_read(f->c.options);
}

// SIGHUP: the file has been read.
static void on_config(struct reading *g, struct config *next)
{
    struct conffile *f = container_of(g, struct conffile, reading);

    if (next == NULL && f->stopped) {
        return;
    }
    if (next == NULL) {
        LOG(ERROR, "config.refused", LOG_STR("file", f->c.options->path),
            LOG_STR("effect", "the old one stays"));
        return;
    }
    log_set_level((enum log_level)config_boot(next)->logging.level);
    if (f->applying) {
        LOG(INFO, "config.busy", LOG_STR("effect", "the file is read again once it was applied"));
        f->newer = true;
        config_free(&next);
        return;
    }
    config_free(&f->wanted);
    f->wanted = next;
    f->by_signal = true;
    f->tries = 0;
    loop_post(f->c.loop, &f->task);
}

void conffile_reload(struct conffile *f)
{
    reader_start(f->c.reader, &f->reading);
}

// --- start and end ------------------------------------------------------------------------------

struct conffile *conffile_new(const struct conffile_config *c, struct config *first)
{
    struct conffile *f = mem_zalloc(sizeof(*f));

    f->c = *c;
    f->wanted = first;
    f->reading = (struct reading){.read = read_config, .done = on_config};
    f->timer.fn = on_timer;
    f->task.fn = on_task;
    return f;
}

void conffile_stop(struct conffile *f)
{
    if (f != NULL) {
        f->stopped = true;
    }
}

void conffile_free(struct conffile **fp)
{
    struct conffile *f = *fp;

    if (f == NULL) {
        return;
    }
    *fp = NULL;
    loop_timer_cancel(f->c.loop, &f->timer); // store_free has ended a try, which asks for another
    loop_unpost(f->c.loop, &f->task);
    config_free(&f->wanted);
    mem_free(f);
}
