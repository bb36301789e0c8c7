// SPDX-License-Identifier: Apache-2.0
// OpenAI's wire format: Chat Completions, Completions, Embeddings and whatever else is JSON with a
// `model`. Also spoken by the OpenAI-compatible endpoints of other providers.
//
// Between equal dialects a request is edited by splices only (here) and an answer is only looked at
// (dialect_openai_answer.c). Translation, to and from the canonical model (canon.h):
//
//   client    request, message, part, tool    bodies -> canon_request
//             write, event                    canon_answer, canon_event -> bodies, chunks
//   provider  send, history                   canon_request -> bodies
//             read, stream, piece, call       bodies, chunks -> canon_answer, canon_event
#include <string.h>

#include "common/base/check.h"
#include "common/base/text.h"
#include "dataplane/dialect.h"
#include "dataplane/dialect_error.h"
#include "dataplane/dialect_limits.h"
#include "dataplane/dialect_openai_answer.h"
#include "dataplane/dialect_openai_event.h"
#include "dataplane/dialect_openai_read.h"
#include "dataplane/dialect_openai_request.h"
#include "dataplane/dialect_openai_send.h"
#include "dataplane/dialect_openai_stream.h"
#include "dataplane/dialect_openai_write.h"

// --- request -----------------------------------------------------------------------------------

// Members that are ours or OpenRouter's and must not reach the provider.
static const char *const extensions[] = {"models", "provider", "route", "transforms", "usage"};

static bool is_extension(const struct dialect_request *r, struct slice key)
{
    bool ours = false;

    for (size_t i = 0; i < ARRAY_LEN(extensions) && !ours; i++) {
        ours = slice_eq_str(key, extensions[i]);
    }
    for (size_t i = 0; i < r->n_keep && ours; i++) {
        ours = !slice_eq_str(key, r->keep[i]);
    }
    return ours;
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

// The last one counts where a name occurs several times, as with most readers of JSON.
static const struct scan_member *find_last(const struct scan_object *o, const char *key)
{
    for (size_t i = o->n; i > 0; i--) {
        if (slice_eq_str(o->members[i - 1].key, key)) {
            return &o->members[i - 1];
        }
    }
    return NULL;
}

static bool read_stream(struct dialect_request *r, struct arena *a, const char **ret_param)
{
    const struct scan_member *stream = scan_find(&r->top, "stream"), *include;
    struct scan_object options;

    if (stream != NULL) {
        *ret_param = "stream";
        if (stream->type != SCAN_TRUE && stream->type != SCAN_FALSE && stream->type != SCAN_NULL) {
            return false;
        }
        r->stream = stream->type == SCAN_TRUE;
    }
    r->stream_options = scan_find(&r->top, "stream_options");
    if (r->stream_options != NULL && scan_nested(r->stream_options->value, a, &options)) {
        include = find_last(&options, "include_usage");
        r->include_usage = include != NULL && include->type == SCAN_TRUE;
    }
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
    static const char *const prompts[] = {"messages", "prompt", "input",        "tools",
                                          "system",   "query",  "instructions", "documents"};
    static const char *const outputs[] = {"max_completion_tokens", "max_tokens",
                                          "max_output_tokens"};
    uint64_t n = read_count(&r->top, "n", 1);

    for (size_t i = 0; i < ARRAY_LEN(outputs) && r->max_tokens == 0; i++) {
        r->max_tokens = read_count(&r->top, outputs[i], 0);
    }
    r->n = n < 1 ? 1 : (n > 128 ? 128 : (uint32_t)n);
    for (size_t i = 0; i < ARRAY_LEN(prompts); i++) {
        const struct scan_member *m = scan_find(&r->top, prompts[i]);

        r->prompt_bytes += m == NULL ? 0 : m->value.n;
    }
}

// OpenRouter's clients may leave the model out where they give a list of models.
static bool read_model(struct arena *a, struct dialect_request *r, struct err *e)
{
    r->model_member = scan_find(&r->top, "model");
    if (r->model_member == NULL && r->n_models > 0) {
        r->model = r->models[0];
    } else if (r->model_member == NULL) {
        return err_set(e, ERR_INVALID, "you must provide a model parameter");
    } else if (r->model_member->type != SCAN_STRING ||
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
    if (!read_extensions(a, &r, &param)) {
        *ret_param = param;
        return err_set(e, ERR_INVALID,
                       "%s has a value of the wrong type (lists of at most %u strings)", param,
                       STRINGS_MAX);
    }
    if (!read_model(a, &r, e)) {
        *ret_param = "model";
        return false;
    }
    if (!read_stream(&r, a, &param)) {
        *ret_param = param;
        return err_set(e, ERR_INVALID, "%s must be a boolean", param);
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
    CHECK(ed->n < ed->max); // DIALECT_SPLICES_MAX covers every request
    ed->out[ed->n++] = (struct dialect_splice){begin, end, text};
}

static size_t offset_of(struct slice body, struct slice part)
{
    return (size_t)(part.p - body.p);
}

static struct slice quoted(struct arena *a, const char *before, struct slice text)
{
    struct slice out;
    struct buf b;

    buf_init(&b, 6 * text.n + 64);
    buf_append_str(&b, before);
    text_json_string(&b, text);
    out = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return out;
}

static void edit_model(struct edits *ed, const struct dialect_request *r, struct slice body,
                       struct slice model)
{
    size_t at = offset_of(body, r->model_member->value);

    if (!slice_eq(model, r->model)) {
        edit(ed, at, at + r->model_member->value.n, quoted(ed->a, "", model));
    }
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

#define INCLUDE_USAGE "\"include_usage\":true"

static void edit_stream_options(struct edits *ed, const struct scan_member *m, struct slice body)
{
    size_t at = offset_of(body, m->value);
    const struct scan_member *include;
    struct scan_object o;

    if (!scan_nested(m->value, ed->a, &o) || o.n == 0) {
        edit(ed, at, at + m->value.n, SLICE("{" INCLUDE_USAGE "}"));
        return;
    }
    include = find_last(&o, "include_usage");
    if (include != NULL) {
        size_t value = offset_of(body, include->value);

        edit(ed, value, value + include->value.n, SLICE("true"));
    } else {
        edit(ed, at + 1, at + 1, SLICE(INCLUDE_USAGE ","));
    }
}

static bool all_extensions(const struct dialect_request *r)
{
    const struct scan_object *o = &r->top;

    for (size_t i = 0; i < o->n; i++) {
        if (!is_extension(r, o->members[i].key)) {
            return false;
        }
    }
    return true;
}

// New members go to the front, in one splice.
static void edit_insert(struct edits *ed, const struct dialect_request *r, struct slice model,
                        bool inject)
{
    bool add_model = r->model_member == NULL;
    const char *options = "\"stream_options\":{" INCLUDE_USAGE "}";
    const char *text;

    if (!add_model && !inject) {
        return;
    }
    text = arena_printf(ed->a, SLICE_FMT "%s%s%s",
                        SLICE_ARG(add_model ? quoted(ed->a, "\"model\":", model) : SLICE("")),
                        add_model && inject ? "," : "", inject ? options : "",
                        all_extensions(r) ? "" : ",");
    edit(ed, r->top.open + 1, r->top.open + 1, slice_str(text));
}

static size_t edit_request(const struct dialect_request *r, struct slice body,
                           struct slice upstream_model, bool want_usage, struct arena *a,
                           struct dialect_splice *out, size_t max)
{
    struct edits ed = {a, out, 0, max};
    const struct scan_object *o = &r->top;
    bool inject = want_usage && r->stream && !r->include_usage &&
                  (r->endpoint == DIALECT_CHAT || r->endpoint == DIALECT_COMPLETIONS);

    edit_insert(&ed, r, upstream_model, inject && r->stream_options == NULL);
    for (size_t i = 0; i < o->n; i++) {
        if (&o->members[i] == r->model_member) {
            edit_model(&ed, r, body, upstream_model);
        } else if (inject && r->stream_options != NULL && &o->members[i] == r->stream_options) {
            edit_stream_options(&ed, &o->members[i], body);
        } else if (is_extension(r, o->members[i].key)) {
            size_t j = i;

            while (j + 1 < o->n && is_extension(r, o->members[j + 1].key)) {
                j++;
            }
            edit_remove(&ed, o, i, j);
            i = j;
        }
    }
    return ed.n;
}

static const char *const paths[] = {
    [DIALECT_CHAT] = "chat/completions",     [DIALECT_COMPLETIONS] = "completions",
    [DIALECT_EMBEDDINGS] = "embeddings",     [DIALECT_RESPONSES] = "responses",
    [DIALECT_MESSAGES] = "chat/completions",
};

static bool serves(enum dialect_endpoint ep)
{
    return ep != DIALECT_COUNT_TOKENS;
}

static void write_path(const struct dialect_call *c, struct buf *out)
{
    if (c->endpoint < ARRAY_LEN(paths) && paths[c->endpoint] != NULL) {
        buf_append_str(out, paths[c->endpoint]);
    } else {
        buf_append(out, c->client_path); // moderations, images, ...: the same path everywhere
    }
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
    .name_extra = "_-",
    .name_max = 64,
    .parse_request = parse_request,
    .edit_request = edit_request,
    .serves = serves,
    .read_error = dialect_error_read,
    .is_own_error = dialect_error_is_openai,
    .write_path = write_path,
    .observe_event = dialect_openai_answer_event,
    .observe_answer = dialect_openai_answer_whole,
    .observe_limits = dialect_limits_read,
    .write_error = write_error,
    .write_error_event = write_error_event,
    .keep_alive = {": keep-alive\n\n", 14},
    .read_request = dialect_openai_request_read,
    .write_answer = dialect_openai_write_answer,
    .writer_size = DIALECT_OPENAI_EVENT_WRITER_SIZE,
    .write_event = dialect_openai_event_write,
    .write_request = dialect_openai_send_request,
    .read_answer = dialect_openai_read_answer,
    .reader_size = DIALECT_OPENAI_STREAM_READER_SIZE,
    .read_event = dialect_openai_stream_event,
    .read_end = dialect_openai_stream_end,
};
