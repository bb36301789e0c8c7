// SPDX-License-Identifier: Apache-2.0
// /config: the configuration as a whole. What a file (or PUT /config) makes is one layer, what the
// API makes is the other; a PUT replaces the first, and each time it does that is a revision, kept
// (the last 20) with everything it consisted of, so that it can be brought back.
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "controlplane/api_priv.h"
#include "controlplane/names.h"
#include "proto/config/config_render.h"

#define REDIS_US (800 * MONO_MS)
#define NAME_MAX 100u

// --- reading ------------------------------------------------------------------------------------

static bool put_resource(void *ctx, struct resource *r)
{
    struct json_out *o = ctx;

    json_out_key(o, r->id);
    config_render(o, r);
    return true;
}

// What is in force, in the shape of a file. Keys of both sorts are at /keys and /provider-keys.
void api_config_get(struct api_call *c)
{
    static const enum resource_kind kinds[] = {RESOURCE_PROVIDER, RESOURCE_MODEL, RESOURCE_ROUTER};
    struct state *s = store_state(c->api->store);
    const struct resource *settings = state_find(s, RESOURCE_SETTINGS, SLICE("global"));
    struct json_out o;
    struct buf body;

    buf_init(&body, (size_t)512 << 20);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    json_out_field_u64(&o, "seq", state_seq(s));
    json_out_key(&o, "config");
    json_out_open(&o, '{');
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        json_out_key(&o, config_render_section(kinds[i]));
        json_out_open(&o, '{');
        state_each(s, kinds[i], SLICE_NULL, put_resource, &o);
        json_out_close(&o, '}');
    }
    if (settings != NULL) {
        config_render_settings(&o, settings->u.settings);
    }
    json_out_close(&o, '}');
    json_out_close(&o, '}');
    api_send(c, 200, &body, state_seq(s));
}

// --- a text -------------------------------------------------------------------------------------

// ?name=: what the lines of the text are named after ("gw.yaml:12"). False: replied.
static bool read_name(struct api_call *c, const char **ret)
{
    struct slice name = api_query(c, "name");
    bool ok = name.n >= 1 && name.n <= NAME_MAX;

    *ret = "config";
    for (size_t i = 0; i < name.n && ok; i++) {
        char b = name.p[i];

        ok = (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9') ||
             b == '.' || b == '_' || b == '-' || b == '/';
    }
    if (name.p != NULL && !ok) {
        api_note_query(c, "name", "must be 1 to 100 of A-Z a-z 0-9 . _ - /");
        api_invalid(c);
        return false;
    }
    *ret = name.p == NULL ? *ret : arena_strndup(&c->arena, name.p, name.n);
    return true;
}

// Reads the body; then is called with what it says unless it replied.
static void read_text(struct api_call *c, void (*then)(struct api_call *c, struct config *config))
{
    struct slice text = httpd_body(c->q);
    const char *name;

    if (!read_name(c, &name)) {
        return;
    }
    if (slice_trim(text).n == 0) {
        const struct json_at root = {0};

        json_note(&c->report, &root, "is required: the text of a configuration file");
        api_invalid(c);
        return;
    }
    api_file_read(c, name, text, then);
}

static void put_errors(struct json_out *o, const struct config *config)
{
    json_out_key(o, "errors");
    json_out_open(o, '[');
    for (const struct problem *p = config->problems.first; p != NULL; p = p->next) {
        if (p->level == PROBLEM_ERROR) {
            json_out_open(o, '{');
            json_out_field_str(o, "field", p->path);
            json_out_field_u64(o, "line", p->place.line);
            json_out_field_u64(o, "column", p->place.col);
            json_out_field_str(o, "problem", p->message);
            json_out_close(o, '}');
        }
    }
    json_out_close(o, ']');
}

static void tell_problems(struct api_call *c, struct config *config)
{
    struct json_out o;
    struct buf body;

    buf_init(&body, API_ANSWER_MAX);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    json_out_field_bool(&o, "valid", config_ok(config));
    put_errors(&o, config);
    api_file_put_warnings(&o, config);
    json_out_close(&o, '}');
    config_free(&config);
    api_send(c, 200, &body, 0);
}

void api_config_validate(struct api_call *c)
{
    read_text(c, tell_problems);
}

// ?dry_run=1 or true. False: replied.
static bool read_dry_run(struct api_call *c, bool *ret)
{
    struct slice s = api_query(c, "dry_run");

    *ret = slice_eq_str(s, "1") || slice_eq_str(s, "true");
    if (s.p != NULL && !*ret && !slice_eq_str(s, "0") && !slice_eq_str(s, "false")) {
        api_note_query(c, "dry_run", "must be 1 or 0");
        api_invalid(c);
        return false;
    }
    return true;
}

// If-Match names the sequence: nothing at all has changed since it was read.
static bool take_match(struct api_call *c)
{
    uint64_t seq = state_seq(store_state(c->api->store));
    struct slice match = slice_trim(httpd_header(c->q, "if-match"));

    if (match.p == NULL || slice_eq_str(match, "*")) {
        return true;
    }
    if (c->w.idempotency.p == NULL && !api_write_matches(c, seq)) {
        return false;
    }
    c->w.file->exact = true;
    // Perhaps the repeat of what made it stale: the script knows. Else it finds no such sequence.
    c->w.file->at_seq = api_write_names(match, seq) ? seq : UINT64_MAX - 1;
    c->w.expected = seq == 0 ? 1 : seq; // what a conflict is told against
    return true;
}

static void apply_or_show(struct api_call *c, bool dry_run)
{
    if (!take_match(c)) {
        return;
    }
    if (dry_run) {
        api_file_diff(c);
    } else {
        api_file_commit(c);
    }
}

static void put(struct api_call *c, struct config *config)
{
    bool dry_run;

    if (!config_ok(config)) {
        api_file_note(c, config, "");
        config_free(&config);
        api_invalid(c);
        return;
    }
    if (!api_file_keep_hidden(c, config)) {
        config_free(&config);
        api_invalid(c);
        return;
    }
    api_file_take(c, config, NULL);
    c->w.file->source = "PUT /config";
    c->w.action = "config.put";
    if (read_dry_run(c, &dry_run)) { // as before it was read
        apply_or_show(c, dry_run);
    }
}

void api_config_put(struct api_call *c)
{
    bool dry_run;

    if (read_dry_run(c, &dry_run) && api_write_begin(c, NULL)) {
        read_text(c, put);
    }
}

// --- revisions ----------------------------------------------------------------------------------

// "42 {...}" --> {"seq":42, ...}
static void put_revision(struct json_out *o, struct slice line, bool newest)
{
    struct slice seq, rest = slice_cut(line, ' ', &seq);
    uint64_t n;

    if (!slice_to_u64(seq, &n) || rest.n < 2 || rest.p[0] != '{') {
        return;
    }
    json_out_open(o, '{');
    json_out_field_u64(o, "seq", n);
    json_out_field_bool(o, "current", newest);
    json_out_raw(o, SLICE_MAKE(rest.p + 1, rest.n - 2));
    json_out_close(o, '}');
}

static void on_revisions(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct api_call *c = arg;
    struct json_out o;
    struct buf body;

    if (e != NULL) {
        api_error(c, 503, "store_unavailable", "%s", e->message);
        api_release(c);
        return;
    }
    buf_init(&body, API_ANSWER_MAX);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    json_out_key(&o, "data");
    json_out_open(&o, '[');
    for (size_t i = 0; i < redis_count(r); i++) {
        put_revision(&o, redis_text(redis_item(r, i)), i == 0);
    }
    json_out_close(&o, ']');
    json_out_field_str(&o, "next_cursor", NULL);
    json_out_close(&o, '}');
    api_send(c, 200, &body, 0);
    api_release(c);
}

void api_config_revisions(struct api_call *c)
{
    api_hold(c);
    redis_command(
        store_redis(c->api->store),
        (const struct slice[]){SLICE("LRANGE"), SLICE(NAMES_REVISION_LOG), SLICE("0"), SLICE("-1")},
        4, REDIS_US, on_revisions, c);
}

static void on_revision(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct api_call *c = arg;
    struct slice bytes = redis_text(r);
    struct revision revision;
    bool dry_run = c->w.status == 1;
    struct err why;

    if (e != NULL) {
        api_error(c, 503, "store_unavailable", "%s; nothing was changed", e->message);
    } else if (bytes.p == NULL) {
        api_not_found(c, "revision (any more): the last 20 are kept");
    } else if (!revision_read(bytes, store_keys(c->api->store), &revision, &why)) {
        api_error(c, 409, "not_readable", "%s", why.message);
    } else if (c->q != NULL) {
        api_file_take(c, NULL, &revision);
        c->w.file->source =
            arena_printf(&c->arena, "rollback to %s", c->param[0] == '\0' ? "?" : c->param);
        c->w.action = "config.rollback";
        apply_or_show(c, dry_run);
    } else {
        revision_done(&revision);
    }
    api_release(c);
}

void api_config_rollback(struct api_call *c)
{
    struct json_at body = json_root(c->doc);
    bool dry_run;
    uint64_t seq;

    if (!read_dry_run(c, &dry_run) || !api_write_begin(c, NULL)) {
        return;
    }
    if (json_present(&body) && json_want_map(&body, 16, &c->report)) {
        json_known(&body, NULL, 0, &c->report);
    }
    if (c->report.n > 0) {
        api_invalid(c);
        return;
    }
    if (!slice_to_u64(slice_str(c->param), &seq)) {
        api_not_found(c, "revision");
        return;
    }
    c->w.status = dry_run ? 1 : 0; // until the answer is known
    api_hold(c);
    redis_command(
        store_redis(c->api->store),
        (const struct slice[]){SLICE("HGET"), SLICE(NAMES_REVISION_SETS), slice_str(c->param)}, 3,
        REDIS_US, on_revision, c);
}
