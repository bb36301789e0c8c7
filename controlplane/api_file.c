// SPDX-License-Identifier: Apache-2.0
// A whole configuration that came through the API: a text (PUT /config) or a revision brought back.
//
//   text --reader--> config -+                    +--> difference (?dry_run=1)
//                            +--> api_file: both -+
//   revision of Redis -------+                    +--> one change --> in force, or all as before
//
// A text is read and compiled in the reader's thread (reader.h), the rest happens in the loop's.
//
// The change is a difference to what is there. When another file was applied meanwhile, or the same
// resources were changed, it is made again from the newer state, a few times; with If-Match that is
// for the caller to decide: 412. It is not made again for a client that left.
#include <stdio.h>

#include "common/base/env.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "common/io/document.h"
#include "controlplane/api_priv.h"
#include "proto/config/config_render.h"

#define TRIES    12u
#define AGAIN_US (20 * MONO_MS)
#define SHOWN    1000u // changes that a dry run lists
#define NOTED    40u   // warnings of an answer

// --- parsing ------------------------------------------------------------------------------------

static bool has_provider(void *ctx, struct slice name)
{
    return state_find(ctx, RESOURCE_PROVIDER, name) != NULL;
}

struct config *api_file_parse(struct api_call *c, const char *name, struct slice text)
{
    struct env *env = env_new();
    const struct config_options o = {.env = env,
                                     .read = document_no_files,
                                     .demo = c->api->from.demo,
                                     .has_provider = has_provider,
                                     .has_ctx = store_state(c->api->store)};
    struct config *config = config_parse(name, text, &o);

    env_free(&env);
    return config;
}

// A text that is read in the reader's thread, with all that it needs.
struct text {
    struct reading reading;
    struct api_config_source from;
    char *bytes; // owned
    size_t n;
    char *name;           // owned
    struct map providers; // names of those that are there
    struct api_call *call;
    void (*then)(struct api_call *c, struct config *config);
};

static bool is_provider(void *ctx, struct slice name)
{
    return map_get(ctx, name) != NULL;
}

static bool note_provider(void *ctx, struct resource *r)
{
    (void)map_put(ctx, slice_str(r->id), r); // only that it is there counts
    return true;
}

static struct env *variables(const struct api_config_source *from)
{
    // What no text may ask for.
    static const char *const hidden[] = {"SLUICE_MASTER_KEY", "SLUICE_ADMIN_TOKEN"};
    struct env *env = from->read_env == NULL ? NULL : from->read_env(from->arg);

    if (env == NULL) {
        return env_new();
    }
    for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
        if (env_get(env, slice_str(hidden[i])).p != NULL) {
            (void)env_set(env, slice_str(hidden[i]), SLICE("")); // a good name: cannot fail
        }
    }
    return env;
}

static struct config *read_text(struct reading *g)
{
    struct text *t = container_of(g, struct text, reading);
    struct env *env = variables(&t->from);
    const struct config_options o = {.env = env,
                                     .read = document_no_files,
                                     .demo = t->from.demo,
                                     .has_provider = is_provider,
                                     .has_ctx = &t->providers};
    struct config *config = config_parse(t->name, SLICE_MAKE(t->bytes, t->n), &o);

    if (!t->from.strangers && config_ok(config) && config_lets_strangers_in(config)) {
        problem_add(&config->problems, PROBLEM_ERROR, (struct problem_place){0}, "auth.mode",
                    "must be `required` while a proxy can be reached by others (server.address); "
                    "--insecure-no-auth allows it");
    }
    env_free(&env);
    return config;
}

static void on_text(struct reading *g, struct config *config)
{
    struct text *t = container_of(g, struct text, reading);
    struct api_call *c = t->call;

    if (c->q == NULL) { // nothing was promised yet
        config_free(&config);
    } else if (config == NULL) {
        api_error(c, 503, "store_unavailable", "this control plane ends; nothing was changed");
    } else {
        t->then(c, config);
    }
    mem_wipe(t->bytes, t->n);
    mem_free(t->bytes);
    mem_free(t->name);
    map_done(&t->providers);
    mem_free(t);
    api_release(c);
}

void api_file_read(struct api_call *c, const char *name, struct slice text,
                   void (*then)(struct api_call *c, struct config *config))
{
    struct text *t = mem_zalloc(sizeof(*t));

    t->reading = (struct reading){.read = read_text, .done = on_text};
    t->from = c->api->from;
    t->bytes = mem_strndup(text.p, text.n);
    t->n = text.n;
    t->name = mem_strdup(name);
    map_init(&t->providers);
    state_each(store_state(c->api->store), RESOURCE_PROVIDER, SLICE_NULL, note_provider,
               &t->providers);
    t->call = c;
    t->then = then;
    api_hold(c);
    reader_start(c->api->reader, &t->reading);
}

static struct slice less_prefix(const char *path, const char *prefix)
{
    struct slice s = slice_str(path);

    if (slice_starts(s, slice_str(prefix))) {
        s = slice_from(s, strlen(prefix));
        return slice_starts(s, SLICE(".")) ? slice_from(s, 1) : s;
    }
    return s;
}

void api_file_note(struct api_call *c, const struct config *config, const char *prefix)
{
    const struct json_at root = {0};

    for (const struct problem *p = config->problems.first; p != NULL; p = p->next) {
        struct slice path = less_prefix(p->path, prefix);
        struct json_at at = {.up = &root, .name = arena_strndup(&c->arena, path.p, path.n)};

        if (p->level != PROBLEM_ERROR) {
            continue;
        }
        if (prefix[0] == '\0' && p->place.line > 0) {
            json_note(&c->report, path.n == 0 ? &root : &at, "line %u, column %u: %s",
                      p->place.line, p->place.col, p->message);
        } else {
            json_note(&c->report, path.n == 0 ? &root : &at, "%s", p->message);
        }
    }
}

void api_file_put_warnings(struct json_out *o, const struct config *config)
{
    size_t n = 0;

    json_out_key(o, "warnings");
    json_out_open(o, '[');
    for (const struct problem *p = config == NULL ? NULL : config->problems.first;
         p != NULL && n < NOTED; p = p->next) {
        if (p->level == PROBLEM_WARNING) {
            json_out_open(o, '{');
            json_out_field_str(o, "field", p->path);
            json_out_field_u64(o, "line", p->place.line);
            json_out_field_str(o, "problem", p->message);
            json_out_close(o, '}');
            n++;
        }
    }
    json_out_close(o, ']');
}

// --- what is to be applied ----------------------------------------------------------------------

static void fill_hash_key(struct api_call *c, struct config *config)
{
    const struct resource *old =
        state_find(store_state(c->api->store), RESOURCE_SETTINGS, SLICE("global"));

    if (old != NULL) { // before the first file was applied no state is ready
        config_hash_keys(config, old->u.settings->key_hash_key);
    }
}

// The list with the values of `old` where only "(hidden)" stands.
static const struct resource_pair *keep_hidden(struct api_call *c, struct resource *r,
                                               const char *member, const struct resource_pair *list,
                                               size_t n, const struct resource_pair *old,
                                               size_t n_old)
{
    struct resource_pair *out = arena_zalloc(&r->arena, (n + 1) * sizeof(*out));
    const struct json_at root = {0}, at = {.up = &root, .name = member};

    for (size_t i = 0; i < n; i++) {
        bool hidden = strcmp(list[i].value, CONFIG_RENDER_HIDDEN) == 0;

        out[i] = list[i];
        for (size_t k = 0; k < n_old && hidden; k++) {
            if (slice_eq_nocase(slice_str(old[k].name), slice_str(list[i].name))) {
                out[i].value = arena_strdup(&r->arena, old[k].value);
                hidden = false;
            }
        }
        if (hidden) {
            json_note(&c->report, &at, "of provider %.64s: %.64s has no value that could stay",
                      r->id, list[i].name);
        }
    }
    return out;
}

bool api_file_keep_hidden(struct api_call *c, struct config *config)
{
    static const struct resource_provider none;

    for (size_t i = 0; i < config->n_resources; i++) {
        struct resource *r = config->resources[i];
        const struct resource_provider *old = &none;
        const struct resource *before;

        if (r->kind != RESOURCE_PROVIDER) {
            continue;
        }
        before = state_find(store_state(c->api->store), RESOURCE_PROVIDER, slice_str(r->id));
        old = before == NULL ? old : before->u.provider;
        r->u.provider->headers =
            keep_hidden(c, r, "headers", r->u.provider->headers, r->u.provider->n_headers,
                        old->headers, old->n_headers);
        r->u.provider->query = keep_hidden(c, r, "query", r->u.provider->query,
                                           r->u.provider->n_query, old->query, old->n_query);
    }
    return c->report.n == 0;
}

void api_file_take(struct api_call *c, struct config *config, struct revision *revision)
{
    struct api_file *f = mem_zalloc(sizeof(*f));

    c->w.file = f;
    f->config = config;
    if (config != NULL) {
        fill_hash_key(c, config);
        f->both = config->resources;
        f->where = config->where;
        f->n = config->n_resources;
    } else {
        f->revision = *revision;
        *revision = (struct revision){0};
        f->both = f->revision.resources;
        f->where = f->revision.where;
        f->n = f->revision.n;
        f->keep_env = true;
    }
}

void api_file_free(struct api_file **fp)
{
    struct api_file *f = *fp;

    if (f == NULL) {
        return;
    }
    *fp = NULL;
    if (f->config == NULL) {
        revision_done(&f->revision);
    }
    config_free(&f->config);
    mem_free(f);
}

static struct store_file store_file_of(struct api_call *c)
{
    const struct api_file *f = c->w.file;

    return (struct store_file){.wanted = f->both,
                               .n = f->n,
                               .where = f->where,
                               .now_wall_us = loop_wall_us(c->api->loop),
                               .keep_env = f->keep_env,
                               .source = f->source,
                               .actor = c->actor,
                               .exact = f->exact,
                               .at_seq = f->at_seq};
}

// --- the difference -----------------------------------------------------------------------------

struct shown {
    struct json_out o;
    size_t n;
    struct api_file *f;
};

// Of what is written anew only for its line or the name of the file nothing is told.
static void count(struct api_file *f, const struct store_file_change *change)
{
    if (change->moved) {
        return;
    }
    size_t *which = change->before == NULL  ? &f->creates
                    : change->after == NULL ? &f->deletes
                                            : &f->updates;

    (*which)++;
}

static void put_side(struct json_out *o, const char *name, const struct resource *r)
{
    if (r == NULL || (config_render_section(r->kind) == NULL && r->kind != RESOURCE_SETTINGS)) {
        return;
    }
    json_out_key(o, name);
    if (r->kind == RESOURCE_SETTINGS) {
        json_out_open(o, '{');
        config_render_settings(o, r->u.settings);
        json_out_close(o, '}');
    } else {
        config_render(o, r);
    }
}

static void show(void *ctx, const struct store_file_change *change)
{
    struct shown *s = ctx;

    count(s->f, change);
    if (change->moved || s->n++ >= SHOWN) {
        return;
    }
    json_out_open(&s->o, '{');
    json_out_field_str(&s->o, "action",
                       change->before == NULL  ? "create"
                       : change->after == NULL ? "delete"
                                               : "update");
    json_out_field_str(&s->o, "kind", resource_kind_name(change->kind));
    json_out_field(&s->o, "id", change->id);
    if (change->takes_over) {
        json_out_field_bool(&s->o, "takes_over", true);
    }
    put_side(&s->o, "before", change->before);
    put_side(&s->o, "after", change->after);
    json_out_close(&s->o, '}');
}

static void put_counts(struct json_out *o, const struct api_file *f)
{
    json_out_field_u64(o, "creates", f->creates);
    json_out_field_u64(o, "updates", f->updates);
    json_out_field_u64(o, "deletes", f->deletes);
}

void api_file_diff(struct api_call *c)
{
    struct store_file f = store_file_of(c);
    struct shown s = {.f = c->w.file};
    struct buf body;

    buf_init(&body, (size_t)512 << 20);
    s.o = json_out_to(&body);
    json_out_open(&s.o, '{');
    json_out_field_bool(&s.o, "dry_run", true);
    json_out_key(&s.o, "changes");
    json_out_open(&s.o, '[');
    (void)store_file_diff(c->api->store, &f, show, &s); // how many: counted by show
    json_out_close(&s.o, ']');
    put_counts(&s.o, c->w.file);
    api_file_put_warnings(&s.o, c->w.file->config);
    json_out_field_u64(&s.o, "seq", state_seq(store_state(c->api->store)));
    json_out_close(&s.o, '}');
    api_send(c, 200, &body, 0);
}

// --- the change ---------------------------------------------------------------------------------

static void count_only(void *ctx, const struct store_file_change *change)
{
    count(ctx, change);
}

static void render(struct api_call *c, struct json_out *o)
{
    put_counts(o, c->w.file);
    api_file_put_warnings(o, c->w.file->config);
}

// A repeat under an idempotency key: the counts of the first time.
static void again(struct api_call *c)
{
    struct slice rest = slice_str(c->w.salt), one;
    size_t *counts[] = {&c->w.file->creates, &c->w.file->updates, &c->w.file->deletes};

    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        uint64_t n;

        rest = slice_cut(rest, ',', &one);
        *counts[i] = slice_to_u64(one, &n) ? (size_t)n : 0;
    }
}

void api_file_commit(struct api_call *c)
{
    struct store_file f = store_file_of(c);
    struct api_file *file = c->w.file;
    struct store_change common = {0};
    struct buf audit;
    size_t changes;

    file->creates = file->updates = file->deletes = 0;
    (void)store_file_diff(c->api->store, &f, count_only, file); // how many: counted
    c->w.status = 200;
    c->w.render = render;
    c->w.again = again;
    (void)snprintf(c->w.id, sizeof(c->w.id), "config"); // fits
    (void)snprintf(c->w.salt, sizeof(c->w.salt), "%u,%u,%u", (unsigned)file->creates,
                   (unsigned)file->updates, (unsigned)file->deletes); // fits
    buf_init(&audit, 65536);
    api_write_common(c, &audit, &common);
    f.audit = common.audit;
    f.idempotency = common.idempotency;
    f.digest = common.digest;
    f.payload = common.payload;
    api_hold(c);
    store_file_apply(c->api->store, &f, api_write_on_commit, c, &changes);
    buf_done(&audit);
}

static void on_again(struct loop_timer *t)
{
    struct api_file *f = container_of(t, struct api_file, again);
    struct api_call *c = f->again_arg;

    api_file_commit(c);
    api_release(c);
}

bool api_file_again(struct api_call *c)
{
    struct api_file *f = c->w.file;

    if (f->exact || ++f->tries > TRIES) {
        return false;
    }
    f->again.fn = on_again;
    f->again_arg = c;
    api_hold(c);
    loop_timer_set(c->api->loop, &f->again, loop_now_us(c->api->loop) + AGAIN_US);
    return true;
}
