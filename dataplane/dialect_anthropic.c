// SPDX-License-Identifier: Apache-2.0
// Anthropic's wire format: Messages and count_tokens, on both sides.
//
//   here                          the vtable, what passes through, error bodies
//   dialect_anthropic_answer.c    looking at answers and events that pass through
//   dialect_anthropic_strip.c     cutting signed reasoning out of a body that passes through
//   dialect_anthropic_client.c    client's body -> canonical request  (+ _blocks.c)
//   dialect_anthropic_reply.c     canonical answers and events -> client
//   dialect_anthropic_write.c     canonical request -> body  (+ _turns.c, _schema.c)
//   dialect_anthropic_read.c      answers, events, errors -> canonical
//
// The envelope of a request that passes through (model, stream, our extensions) is OpenAI's.
#include <string.h>

#include "common/base/check.h"
#include "common/base/text.h"
#include "dataplane/dialect.h"
#include "dataplane/dialect_anthropic_answer.h"
#include "dataplane/dialect_anthropic_client.h"
#include "dataplane/dialect_anthropic_read.h"
#include "dataplane/dialect_anthropic_reply.h"
#include "dataplane/dialect_anthropic_strip.h"
#include "dataplane/dialect_anthropic_write.h"
#include "dataplane/dialect_limits.h"

// --- what passes through -----------------------------------------------------------------------

static bool parse_request(struct slice body, enum dialect_endpoint ep, struct arena *a,
                          struct dialect_request *ret, const char **ret_code,
                          const char **ret_param, struct err *e)
{
    return dialect_openai.parse_request(body, ep, a, ret, ret_code, ret_param, e);
}

// Usage is in every stream: there is nothing to ask for.
static size_t edit_request(const struct dialect_request *r, struct slice body,
                           struct slice upstream_model, bool want_usage, struct arena *a,
                           struct dialect_splice *out, size_t max)
{
    (void)want_usage;
    return dialect_openai.edit_request(r, body, upstream_model, false, a, out, max);
}

static bool serves(enum dialect_endpoint ep)
{
    return ep == DIALECT_MESSAGES || ep == DIALECT_COUNT_TOKENS || ep == DIALECT_CHAT ||
           ep == DIALECT_COMPLETIONS;
}

static void write_path(const struct dialect_call *c, struct buf *out)
{
    buf_append_str(out, c->endpoint == DIALECT_COUNT_TOKENS ? "messages/count_tokens" : "messages");
}

// --- errors ------------------------------------------------------------------------------------

// By the status alone: a type that came from elsewhere is in another dialect's words.
static const char *error_type(unsigned status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 402:
        return "billing_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 409:
        return "conflict_error";
    case 413:
        return "request_too_large";
    case 429:
        return "rate_limit_error";
    case 503:
    case 529:
        return "overloaded_error";
    case 504:
        return "timeout_error";
    default:
        return status >= 500 ? "api_error" : "invalid_request_error";
    }
}

// Anthropic's own statuses for what other dialects say otherwise.
static unsigned error_status(const struct dialect_error *er)
{
    if (er->status == 503) {
        return 529;
    }
    if (er->status == 429 && er->code != NULL && strcmp(er->code, "insufficient_quota") == 0) {
        return 402;
    }
    return er->status == 422 ? 400 : er->status;
}

static bool is_own_error(unsigned status, struct slice body)
{
    static const char *const texts[] = {"type", "message"};
    struct slice type, error, text;

    (void)status;
    if (!scan_validate(body, NULL) || !scan_get(body, "type", &type) ||
        !slice_eq_str(type, "\"error\"") || !scan_get(body, "error", &error)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (!scan_get(error, texts[i], &text) || scan_type_of(text) != SCAN_STRING) {
            return false;
        }
    }
    return true;
}

static void write_error(const struct dialect_error *er, struct buf *out)
{
    buf_append_str(out, "{\"type\":\"error\",\"error\":{\"type\":");
    text_json_string(out, slice_str(error_type(error_status(er)))); // in streams it is not told
    buf_append_str(out, ",\"message\":");
    text_json_string(out, er->message);
    if (er->attempts > 1) {
        buf_printf(out, ",\"attempts\":%u", er->attempts);
    }
    if (er->code != NULL && strcmp(er->code, DIALECT_ANTHROPIC_THREADS) == 0) {
        buf_append_str(out, ",\"details\":{\"error_code\":\"" DIALECT_ANTHROPIC_THREADS
                            "\",\"unsupported\":[\"thread\"]}");
    }
    buf_append_char(out, '}');
    if (er->request_id.n > 0) {
        buf_append_str(out, ",\"request_id\":");
        text_json_string(out, er->request_id);
    }
    buf_append_char(out, '}');
}

#define KEEP_ALIVE "event: ping\ndata: {\"type\":\"ping\"}\n\n"

static void write_error_event(const struct dialect_error *er, struct buf *out)
{
    buf_append_str(out, "event: error\ndata: ");
    write_error(er, out);
    buf_append_str(out, "\n\n");
}

const struct dialect dialect_anthropic = {
    .name = "anthropic",
    .name_extra = "_-",
    .name_max = 64, // 128 in its newest version: not the one that we send
    .parse_request = parse_request,
    .edit_request = edit_request,
    .strip_request = dialect_anthropic_strip,
    .serves = serves,
    .write_path = write_path,
    .observe_event = dialect_anthropic_answer_event,
    .observe_answer = dialect_anthropic_answer_whole,
    .observe_limits = dialect_limits_read,
    .error_status = error_status,
    .is_own_error = is_own_error,
    .write_error = write_error,
    .write_error_event = write_error_event,
    .keep_alive = {KEEP_ALIVE, sizeof(KEEP_ALIVE) - 1},
    .read_request = dialect_anthropic_client_read,
    .write_answer = dialect_anthropic_reply_answer,
    .writer_size = sizeof(struct dialect_anthropic_writer),
    .write_event = dialect_anthropic_reply_event,
    .write_request = dialect_anthropic_write_request,
    .read_answer = dialect_anthropic_read_answer,
    .reader_size = sizeof(struct dialect_anthropic_reader),
    .read_event = dialect_anthropic_read_event,
    .read_end = dialect_anthropic_read_end,
    .read_error = dialect_anthropic_read_error,
};
