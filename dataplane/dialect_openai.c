// SPDX-License-Identifier: Apache-2.0
// OpenAI's wire format (providers/openai.md): Chat Completions, Completions, Embeddings and
// whatever else is JSON with a `model`. Also spoken by the OpenAI-compatible endpoints of other
// providers.
//
// A request is edited by splices only, an answer is only looked at. Stream events are looked at
// closely until the first content; after that a few substring searches decide whether an event can
// hold anything but text, so that a chunk in the middle of a stream costs well under a microsecond.
#include <string.h>

#include "common/base/mono.h"
#include "common/base/text.h"
#include "dataplane/dialect.h"

// --- request -----------------------------------------------------------------------------------

// Members that are ours or OpenRouter's and must not reach the provider.
static const char *const extensions[] = {"models", "provider", "route", "transforms", "usage"};

static bool is_extension(struct slice key)
{
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++) {
        if (slice_eq_str(key, extensions[i])) {
            return true;
        }
    }
    return false;
}

struct strings {
    struct arena *a;
    struct slice *items;
    size_t n, cap;
    bool bad;
};

static bool add_string(void *ctx, struct slice value, enum scan_type t)
{
    struct strings *s = ctx;

    if (t != SCAN_STRING || s->n == s->cap || !scan_string(value, s->a, &s->items[s->n])) {
        s->bad = true;
        return false;
    }
    s->n++;
    return true;
}

#define STRINGS_MAX 64u

// A list of strings, or nothing where the member is absent or null.
static bool read_strings(const struct scan_member *m, struct arena *a, const struct slice **ret,
                         size_t *ret_n)
{
    struct strings s = {a, NULL, 0, STRINGS_MAX, false};

    if (m == NULL || m->type == SCAN_NULL) {
        return true;
    }
    if (m->type != SCAN_ARRAY) {
        return false;
    }
    s.items = arena_alloc(a, STRINGS_MAX * sizeof(*s.items));
    scan_array(m->value, add_string, &s);
    *ret = s.items;
    *ret_n = s.n;
    return !s.bad;
}

static bool read_provider(const struct scan_member *m, struct arena *a, struct dialect_request *r,
                          const char **ret_param)
{
    struct scan_object o;
    const struct scan_member *fallbacks;

    if (m == NULL || m->type == SCAN_NULL) {
        return true;
    }
    *ret_param = "provider";
    if (m->type != SCAN_OBJECT || !scan_nested(m->value, a, &o)) {
        return false;
    }
    fallbacks = scan_find(&o, "allow_fallbacks");
    r->no_fallbacks = fallbacks != NULL && fallbacks->type == SCAN_FALSE;
    return read_strings(scan_find(&o, "order"), a, &r->order, &r->n_order) &&
           read_strings(scan_find(&o, "only"), a, &r->only, &r->n_only) &&
           read_strings(scan_find(&o, "ignore"), a, &r->ignore, &r->n_ignore);
}

static bool read_extensions(struct arena *a, struct dialect_request *r, const char **ret_param)
{
    const struct scan_member *usage = scan_find(&r->top, "usage");
    struct slice include;

    if (usage != NULL && scan_get(usage->value, "include", &include)) {
        r->usage_in_body = scan_type_of(include) == SCAN_TRUE;
    }
    *ret_param = "models";
    return read_strings(scan_find(&r->top, "models"), a, &r->models, &r->n_models) &&
           read_provider(scan_find(&r->top, "provider"), a, r, ret_param);
}

static bool read_stream(struct dialect_request *r, const char **ret_param)
{
    const struct scan_member *stream = scan_find(&r->top, "stream");
    struct slice include;

    r->stream_options = scan_find(&r->top, "stream_options");
    if (stream != NULL) {
        *ret_param = "stream";
        if (stream->type != SCAN_TRUE && stream->type != SCAN_FALSE && stream->type != SCAN_NULL) {
            return false;
        }
        r->stream = stream->type == SCAN_TRUE;
    }
    r->include_usage = r->stream_options != NULL &&
                       scan_get(r->stream_options->value, "include_usage", &include) &&
                       scan_type_of(include) == SCAN_TRUE;
    return true;
}

static uint64_t read_count(const struct scan_object *o, const char *key, uint64_t otherwise)
{
    const struct scan_member *m = scan_find(o, key);
    uint64_t v = 0;

    return m != NULL && m->type == SCAN_NUMBER && scan_u64(m->value, &v) ? v : otherwise;
}

static void read_sizes(struct dialect_request *r)
{
    static const char *const prompts[] = {"messages", "prompt", "input", "tools", "system"};
    uint64_t n = read_count(&r->top, "n", 1);

    r->max_tokens = read_count(&r->top, "max_completion_tokens", 0);
    if (r->max_tokens == 0) {
        r->max_tokens = read_count(&r->top, "max_tokens", 0);
    }
    r->n = n < 1 ? 1 : (n > 128 ? 128 : (uint32_t)n);
    for (size_t i = 0; i < ARRAY_LEN(prompts); i++) {
        const struct scan_member *m = scan_find(&r->top, prompts[i]);

        r->prompt_bytes += m == NULL ? 0 : m->value.n;
    }
}

static bool read_model(struct arena *a, struct dialect_request *r, struct err *e)
{
    r->model_member = scan_find(&r->top, "model");
    if (r->model_member == NULL) {
        return err_set(e, ERR_INVALID, "you must provide a model parameter");
    }
    if (r->model_member->type != SCAN_STRING ||
        !scan_string(r->model_member->value, a, &r->model)) {
        return err_set(e, ERR_INVALID, "model must be a string");
    }
    if (r->model.n == 0 || r->model.n > 512) {
        return err_set(e, ERR_INVALID, "model must have 1 to 512 bytes");
    }
    return true;
}

static bool parse_request(struct slice body, enum dialect_endpoint ep, struct arena *a,
                          struct dialect_request *ret, const char **ret_code,
                          const char **ret_param, struct err *e)
{
    struct dialect_request r = {.endpoint = ep, .n = 1};
    const char *param = NULL;

    if (!scan_object(body, a, &r.top, e)) {
        *ret_code = "invalid_json";
        *ret_param = NULL;
        return err_prefix(e, "the request body is not valid JSON");
    }
    *ret_code = "missing_field";
    if (!read_model(a, &r, e)) {
        *ret_param = "model";
        return false;
    }
    if (!read_stream(&r, &param)) {
        *ret_param = param;
        return err_set(e, ERR_INVALID, "%s must be a boolean", param);
    }
    if (!read_extensions(a, &r, &param)) {
        *ret_param = param;
        return err_set(e, ERR_INVALID,
                       "%s has a value of the wrong type (lists of at most %u strings)", param,
                       STRINGS_MAX);
    }
    read_sizes(&r);
    *ret = r;
    return true;
}

// --- edits -------------------------------------------------------------------------------------

struct edits {
    struct arena *a;
    struct dialect_splice *out;
    size_t n, max;
};

static void edit(struct edits *ed, size_t begin, size_t end, struct slice text)
{
    if (ed->n < ed->max) {
        ed->out[ed->n++] = (struct dialect_splice){begin, end, text};
    }
}

static size_t offset_of(struct slice body, struct slice part)
{
    return (size_t)(part.p - body.p);
}

static void edit_model(struct edits *ed, const struct dialect_request *r, struct slice body,
                       struct slice model)
{
    struct buf quoted;
    size_t at = offset_of(body, r->model_member->value);

    if (slice_eq(model, r->model)) {
        return;
    }
    buf_init(&quoted, 8192);
    text_json_string(&quoted, model);
    edit(ed, at, at + r->model_member->value.n, arena_dup(ed->a, buf_slice(&quoted)));
    buf_done(&quoted);
}

// Removes a run of members [i, j] with the comma that belongs to it.
static void edit_remove(struct edits *ed, const struct scan_object *o, size_t i, size_t j)
{
    if (j + 1 < o->n) {
        edit(ed, o->members[i].begin, o->members[j + 1].begin, SLICE(""));
    } else if (i > 0) {
        edit(ed, o->members[i - 1].end, o->members[j].end, SLICE(""));
    } else {
        edit(ed, o->members[i].begin, o->members[j].end, SLICE(""));
    }
}

static void edit_include_usage(struct edits *ed, const struct dialect_request *r, struct slice body)
{
    const struct scan_member *m = r->stream_options;
    struct slice include;

    if (m == NULL) {
        edit(ed, r->top.open + 1, r->top.open + 1,
             SLICE("\"stream_options\":{\"include_usage\":true},"));
        return;
    }
    size_t at = offset_of(body, m->value);
    if (m->type != SCAN_OBJECT ||
        slice_trim(slice_head(slice_from(m->value, 1), m->value.n - 2)).n == 0) {
        edit(ed, at, at + m->value.n, SLICE("{\"include_usage\":true}"));
    } else if (scan_get(m->value, "include_usage", &include)) {
        size_t value = offset_of(body, include);

        edit(ed, value, value + include.n, SLICE("true"));
    } else {
        edit(ed, at + 1, at + 1, SLICE("\"include_usage\":true,"));
    }
}

static size_t edit_request(const struct dialect_request *r, struct slice body,
                           struct slice upstream_model, bool want_usage, struct arena *a,
                           struct dialect_splice *out, size_t max)
{
    struct edits ed = {a, out, 0, max};
    const struct scan_object *o = &r->top;
    bool inject = want_usage && r->stream && !r->include_usage &&
                  (r->endpoint == DIALECT_CHAT || r->endpoint == DIALECT_COMPLETIONS);

    if (inject && r->stream_options == NULL) {
        edit_include_usage(&ed, r, body);
    }
    for (size_t i = 0; i < o->n; i++) {
        if (&o->members[i] == r->model_member) {
            edit_model(&ed, r, body, upstream_model);
        } else if (inject && &o->members[i] == r->stream_options) {
            edit_include_usage(&ed, r, body);
        } else if (is_extension(o->members[i].key)) {
            size_t j = i;

            while (j + 1 < o->n && is_extension(o->members[j + 1].key)) {
                j++;
            }
            edit_remove(&ed, o, i, j);
            i = j;
        }
    }
    return ed.n;
}

static const char *path(enum dialect_endpoint ep)
{
    switch (ep) {
    case DIALECT_CHAT:
        return "chat/completions";
    case DIALECT_COMPLETIONS:
        return "completions";
    case DIALECT_EMBEDDINGS:
        return "embeddings";
    case DIALECT_RESPONSES:
        return "responses";
    case DIALECT_MESSAGES:
        return "messages";
    case DIALECT_OTHER:
        break;
    }
    return NULL; // the request machine passes the client's own path on
}

// --- answers -----------------------------------------------------------------------------------

static uint64_t number_at(struct slice object, const char *key)
{
    struct slice v;
    uint64_t n = 0;

    return scan_get(object, key, &v) && scan_u64(v, &n) ? n : 0;
}

static uint64_t nested_number(struct slice object, const char *key, const char *inner)
{
    struct slice v;

    return scan_get(object, key, &v) ? number_at(v, inner) : 0;
}

static struct dialect_usage read_usage(struct slice usage)
{
    struct dialect_usage u = {.known = true};

    u.input = number_at(usage, "prompt_tokens");
    u.output = number_at(usage, "completion_tokens");
    u.cached = nested_number(usage, "prompt_tokens_details", "cached_tokens");
    u.cache_write = nested_number(usage, "prompt_tokens_details", "cache_write_tokens");
    u.reasoning = nested_number(usage, "completion_tokens_details", "reasoning_tokens");
    return u;
}

static struct dialect_usage observe_answer(struct slice body)
{
    struct slice usage;

    if (scan_get(body, "usage", &usage) && scan_type_of(usage) == SCAN_OBJECT) {
        return read_usage(usage);
    }
    return (struct dialect_usage){.known = false};
}

// "..." with at least one byte between the quotes.
static bool has_text(struct slice object, const char *key)
{
    struct slice v;

    return scan_get(object, key, &v) && scan_type_of(v) == SCAN_STRING && v.n > 2;
}

static bool tool_has_content(void *ctx, struct slice call, enum scan_type t)
{
    struct slice function;

    if (t == SCAN_OBJECT && scan_get(call, "function", &function) &&
        (has_text(function, "name") || has_text(function, "arguments"))) {
        *(bool *)ctx = true;
        return false;
    }
    return true;
}

static bool delta_has_content(struct slice delta)
{
    static const char *const texts[] = {"content", "reasoning_content", "reasoning", "refusal"};
    struct slice v;
    bool found = false;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (has_text(delta, texts[i])) {
            return true;
        }
    }
    if (scan_get(delta, "tool_calls", &v)) {
        scan_array(v, tool_has_content, &found);
    }
    if (!found && scan_get(delta, "function_call", &v)) {
        found = has_text(v, "name") || has_text(v, "arguments");
    }
    return found || (scan_get(delta, "audio", &v) && scan_type_of(v) == SCAN_OBJECT);
}

struct look {
    struct dialect_stream *s;
    struct dialect_event *ev;
    bool any;
};

static bool look_at_choice(void *ctx, struct slice choice, enum scan_type t)
{
    struct look *l = ctx;
    struct slice delta;
    uint64_t index = number_at(choice, "index");

    l->any = true;
    if (t != SCAN_OBJECT) {
        return true;
    }
    if (index < 32) {
        l->s->choices_seen |= 1u << index;
    }
    if (has_text(choice, "finish_reason")) {
        l->ev->finish = true;
        l->ev->content = true;
        if (index < 32) {
            l->s->choices_finished |= 1u << index;
        }
    }
    if (has_text(choice, "text") ||
        (scan_get(choice, "delta", &delta) && delta_has_content(delta))) {
        l->ev->content = true;
    }
    return true;
}

// HTTP status an in-stream error object stands for.
static unsigned error_status(struct slice error)
{
    static const struct {
        const char *word;
        unsigned status;
    } words[] = {{"rate_limit", 429}, {"insufficient_quota", 429}, {"overloaded", 503},
                 {"timeout", 504},    {"invalid_request", 400},    {"authentication", 401},
                 {"permission", 403}, {"not_found", 404}};
    struct slice v;
    uint64_t n = 0;

    // Some vendors put the HTTP status into code as a number.
    if (scan_get(error, "code", &v) && scan_u64(v, &n) && n >= 400 && n < 600) {
        return (unsigned)n;
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        struct slice w = slice_str(words[i].word);

        if ((scan_get(error, "type", &v) && slice_find(v, w) != SIZE_MAX) ||
            (scan_get(error, "code", &v) && slice_find(v, w) != SIZE_MAX)) {
            return words[i].status;
        }
    }
    return 500;
}

static struct dialect_event look_closely(struct dialect_stream *s, struct slice data)
{
    struct dialect_event ev = {.content = false};
    struct look l = {s, &ev, false};
    struct slice v;

    if (!scan_validate(data, NULL) || scan_type_of(slice_trim(data)) != SCAN_OBJECT) {
        ev.malformed = true;
        return ev;
    }
    if (scan_get(data, "error", &v) && scan_type_of(v) != SCAN_NULL) {
        ev.error = true;
        ev.error_status = error_status(v);
        return ev;
    }
    if (scan_get(data, "choices", &v)) {
        scan_array(v, look_at_choice, &l);
    }
    if (scan_get(data, "usage", &v) && scan_type_of(v) == SCAN_OBJECT) {
        s->usage = read_usage(v);
        ev.usage_only = !l.any;
    }
    s->content_seen = s->content_seen || ev.content;
    return ev;
}

// True when `word` (a quoted member name) stands in data followed by ':' and a value that is not
// null.
static bool mentions(struct slice data, struct slice word)
{
    for (;;) {
        size_t at = slice_find(data, word);

        if (at == SIZE_MAX) {
            return false;
        }
        data = slice_from(data, at + word.n);
        size_t i = 0;
        while (i < data.n && (data.p[i] == ' ' || data.p[i] == ':')) {
            i++;
        }
        if (i < data.n && data.p[i] != 'n') {
            return true;
        }
    }
}

static struct dialect_event observe_event(struct dialect_stream *s, struct slice event,
                                          struct slice data)
{
    struct dialect_event ev = {.content = false};

    (void)event; // OpenAI's chat streams name no events
    if (slice_starts(data, SLICE("[DONE]"))) {
        ev.terminator = true;
        s->terminated = true;
        return ev;
    }
    if (data.n == 0) {
        return ev;
    }
    if (s->content_seen && !mentions(data, SLICE("\"finish_reason\"")) &&
        !mentions(data, SLICE("\"usage\"")) && !mentions(data, SLICE("\"error\""))) {
        ev.content = true;
        return ev;
    }
    return look_closely(s, data);
}

// --- limit headers -----------------------------------------------------------------------------

struct headers {
    struct slice (*get)(void *ctx, const char *name);
    void *ctx;
    uint64_t wall_us;
};

static bool header_u64(const struct headers *h, const char *name, uint64_t *ret)
{
    return slice_to_u64(slice_trim(h->get(h->ctx, name)), ret);
}

// "1m30.5s", "17ms", seconds, or RFC 3339.
static uint64_t header_reset(const struct headers *h, const char *name)
{
    struct slice v = slice_trim(h->get(h->ctx, name));
    uint64_t us = 0;

    if (v.n == 0) {
        return 0;
    }
    if (text_parse_duration_us(v, &us)) {
        return us;
    }
    if (text_parse_rfc3339(v, &us)) {
        return us > h->wall_us ? us - h->wall_us : 1;
    }
    // "1m30.5s": drop the fraction, round up.
    size_t dot = slice_find_char(v, '.');
    size_t unit = dot;
    while (unit < v.n && (v.p[unit] == '.' || (v.p[unit] >= '0' && v.p[unit] <= '9'))) {
        unit++;
    }
    char whole[64];
    if (dot == SIZE_MAX || dot == 0 || v.n >= sizeof(whole)) {
        return 0;
    }
    memcpy(whole, v.p, dot);
    memcpy(whole + dot, v.p + unit, v.n - unit);
    struct slice cut = {whole, dot + v.n - unit};
    bool ms = slice_ends(cut, SLICE("ms"));
    return text_parse_duration_us(cut, &us) ? us + (ms ? MONO_MS : MONO_SEC) : 0;
}

static uint64_t retry_after(const struct headers *h)
{
    struct slice v = slice_trim(h->get(h->ctx, "retry-after"));
    uint64_t n = 0;

    if (header_u64(h, "retry-after-ms", &n)) {
        return n > 86400000 ? 86400 * MONO_SEC : n * MONO_MS;
    }
    if (slice_to_u64(v, &n)) {
        return n > 86400 ? 86400 * MONO_SEC : n * MONO_SEC;
    }
    if (v.n > 0 && text_parse_http_date(v, &n)) {
        return n > h->wall_us ? n - h->wall_us : MONO_SEC;
    }
    return header_reset(h, "retry-after"); // fractions of seconds exist in the wild
}

static uint64_t first_reset(const struct headers *h, const char *a, const char *b)
{
    uint64_t us = header_reset(h, a);

    return us != 0 ? us : header_reset(h, b);
}

static struct dialect_limits observe_limits(struct slice (*get)(void *ctx, const char *name),
                                            void *ctx, uint64_t wall_us)
{
    struct headers h = {get, ctx, wall_us};
    struct dialect_limits l = {.has_requests = false};

    l.has_requests =
        header_u64(&h, "x-ratelimit-remaining-requests", &l.remaining_requests) ||
        header_u64(&h, "anthropic-ratelimit-requests-remaining", &l.remaining_requests);
    l.has_tokens = header_u64(&h, "x-ratelimit-remaining-tokens", &l.remaining_tokens) ||
                   header_u64(&h, "anthropic-ratelimit-tokens-remaining", &l.remaining_tokens);
    if (!header_u64(&h, "x-ratelimit-limit-requests", &l.limit_requests)) {
        (void)header_u64(&h, "anthropic-ratelimit-requests-limit",
                         &l.limit_requests); // absent: stays 0
    }
    if (!header_u64(&h, "x-ratelimit-limit-tokens", &l.limit_tokens)) {
        (void)header_u64(&h, "anthropic-ratelimit-tokens-limit",
                         &l.limit_tokens); // absent: stays 0
    }
    uint64_t requests =
        first_reset(&h, "x-ratelimit-reset-requests", "anthropic-ratelimit-requests-reset");
    uint64_t tokens =
        first_reset(&h, "x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-reset");
    // The reset that matters is that of the counter that is nearer to its end.
    bool tokens_nearer =
        l.has_tokens && (!l.has_requests || l.remaining_tokens * (l.limit_requests + 1) <
                                                l.remaining_requests * (l.limit_tokens + 1));
    l.reset_us = tokens_nearer ? tokens : requests;
    l.retry_after_us = retry_after(&h);
    return l;
}

// --- errors ------------------------------------------------------------------------------------

static const char *error_type(const struct dialect_error *er)
{
    if (er->type != NULL) {
        return er->type;
    }
    switch (er->status) {
    case 403:
        return "permission_error";
    case 429:
        return "rate_limit_error";
    case 504:
        return "timeout_error";
    default:
        return er->status >= 500 ? "server_error" : "invalid_request_error";
    }
}

static void put_nullable(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, ",\"%s\":", name);
    if (value == NULL) {
        buf_append_str(out, "null");
    } else {
        text_json_string(out, slice_str(value));
    }
}

static void write_error(const struct dialect_error *er, struct buf *out)
{
    buf_append_str(out, "{\"error\":{\"message\":");
    text_json_string(out, er->message);
    put_nullable(out, "type", error_type(er));
    put_nullable(out, "param", er->param);
    put_nullable(out, "code", er->code);
    if (er->attempts > 1) {
        buf_printf(out, ",\"attempts\":%u", er->attempts);
    }
    buf_append_str(out, "}}");
}

static void write_error_event(const struct dialect_error *er, struct buf *out)
{
    buf_append_str(out, "data: ");
    write_error(er, out);
    buf_append_str(out, "\n\n");
}

const struct dialect dialect_openai = {
    .name = "openai",
    .parse_request = parse_request,
    .edit_request = edit_request,
    .path = path,
    .observe_event = observe_event,
    .observe_answer = observe_answer,
    .observe_limits = observe_limits,
    .write_error = write_error,
    .write_error_event = write_error_event,
};
