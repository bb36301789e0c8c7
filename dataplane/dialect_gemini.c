// SPDX-License-Identifier: Apache-2.0
// Google's Gemini API, as a provider: generateContent, its stream, countTokens and
// batchEmbedContents. The request is in dialect_gemini_request.c, answers and events in
// dialect_gemini_answer.c; here are addresses and errors.
#include "dataplane/dialect_gemini.h"

#include <string.h>

#include "common/base/text.h"
#include "dataplane/dialect_error.h"
#include "dataplane/dialect_limits.h"

static bool serves(enum dialect_endpoint ep)
{
    switch (ep) {
    case DIALECT_CHAT:
    case DIALECT_COMPLETIONS:
    case DIALECT_MESSAGES:
    case DIALECT_EMBEDDINGS:
    case DIALECT_COUNT_TOKENS:
        return true;
    case DIALECT_RESPONSES:
    case DIALECT_OTHER:
        break;
    }
    return false;
}

// Is a part of it "." or "..", which a server would take for a way out of its folder?
static bool has_dots(struct slice path)
{
    while (path.n > 0) {
        struct slice part;

        path = slice_cut(path, '/', &part);
        if (slice_eq_str(part, ".") || slice_eq_str(part, "..")) {
            return true;
        }
    }
    return false;
}

// Everything but unreserved characters (RFC 3986) and '/', which separates "tunedModels/x".
static void put_encoded(struct buf *out, struct slice s)
{
    const char *safe = has_dots(s) ? "-_~" : "-._~/";

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                     (c != '\0' && strchr(safe, c) != NULL);

        if (plain) {
            buf_append_char(out, (char)c);
        } else {
            buf_printf(out, "%%%02X", c);
        }
    }
}

static void write_path(const struct dialect_call *c, struct buf *out)
{
    const char *verb = c->stream ? ":streamGenerateContent?alt=sse" : ":generateContent";

    if (c->endpoint == DIALECT_EMBEDDINGS) {
        verb = ":batchEmbedContents";
    } else if (c->endpoint == DIALECT_COUNT_TOKENS) {
        verb = ":countTokens";
    }
    if (slice_find_char(c->model, '/') == SIZE_MAX) {
        buf_append_str(out, "models/");
    }
    put_encoded(out, c->model);
    buf_append_str(out, verb);
}

// --- errors ------------------------------------------------------------------------------------

// "21.4s" -> microseconds.
static uint64_t read_delay(struct slice text)
{
    uint64_t us = 0, unit = 1000000;
    bool point = false;

    for (size_t i = 0; i < text.n && us < UINT64_MAX / 100; i++) {
        char c = text.p[i];

        if (c == '.' && !point) {
            point = true;
        } else if (c >= '0' && c <= '9') {
            unit = point ? unit / 10 : unit;
            us = point ? us + (uint64_t)(c - '0') * unit : us * 10 + (uint64_t)(c - '0') * 1000000;
        } else {
            break;
        }
    }
    return us;
}

struct details {
    bool bad_key, daily; // the key is none; a quota of a day is used up
    uint64_t wait_us;
};

static void read_details(const struct tape *t, uint32_t error, struct details *ret)
{
    TAPE_ITEMS(t, tape_get(t, error, "details"), i)
    {
        struct slice delay = tape_get_text(t, i, "retryDelay");

        if (tape_eq(t, tape_get(t, i, "reason"), "API_KEY_INVALID")) {
            ret->bad_key = true;
        }
        if (delay.n > 0) {
            ret->wait_us = read_delay(delay);
        }
        TAPE_ITEMS(t, tape_get(t, i, "violations"), k)
        {
            struct slice quota = tape_get_text(t, k, "quotaId");

            ret->daily = ret->daily || slice_find(quota, SLICE("PerDay")) != SIZE_MAX;
        }
    }
}

// The object that holds `error`: the body, or one of a list (a stream that is no SSE: maybe behind
// what came before it; and sometimes elsewhere). TAPE_NONE: there is none.
static uint32_t holder_of(const struct tape *t)
{
    if (!tape_is(t, 0, SCAN_ARRAY)) {
        return tape_given(t, 0, "error") == TAPE_NONE ? TAPE_NONE : 0;
    }
    TAPE_ITEMS(t, 0, i)
    {
        if (tape_given(t, i, "error") != TAPE_NONE) {
            return i;
        }
    }
    return TAPE_NONE;
}

void dialect_gemini_read_error(unsigned status, struct slice body, struct arena *a,
                               struct dialect_error *ret)
{
    struct tape t = {.tokens = NULL};
    struct details d = {.wait_us = 0};
    uint64_t code = 0;
    struct err e;

    if (tape_parse(&t, body, &e)) {
        uint32_t holder = holder_of(&t), error = tape_given(&t, holder, "error");

        body = holder == TAPE_NONE ? body : tape_raw(&t, holder);
        read_details(&t, error, &d);
        if (status < 400 && tape_u64(&t, tape_get(&t, error, "code"), &code) && code >= 400 &&
            code < 600) {
            status = (unsigned)code;
        }
    }
    tape_done(&t);
    status = d.bad_key ? 401 : status;
    dialect_error_read(status, body, a, ret);
    // Google's status words (INVALID_ARGUMENT) say no more than the HTTP status.
    if (status != 400) {
        dialect_error_classify(status, SLICE_NULL, a, ret);
    }
    if (status == 404) {
        ret->code = "model_not_found"; // there is nothing else in the address
    }
    if (slice_find(ret->message, SLICE("exceeds the maximum number of tokens")) != SIZE_MAX) {
        dialect_error_context_length(ret);
    }
    ret->retry_after_us = d.wait_us;
    ret->no_retry = d.daily && ret->status == 429;
}

#define ERROR_HEAD 64u // an error is the first member, if there is one

// An error where an answer was due, as an object or in the list it comes in.
static struct dialect_answer observe_answer(struct slice body)
{
    struct dialect_answer a = {.malformed = false};
    struct tape t = {.tokens = NULL};
    uint64_t code = 0;

    if ((slice_find(slice_head(body, ERROR_HEAD), SLICE("\"error\"")) != SIZE_MAX ||
         slice_starts(slice_trim(body), SLICE("["))) &&
        tape_parse(&t, body, NULL) && holder_of(&t) != TAPE_NONE) {
        (void)!tape_u64(&t, tape_get(&t, tape_get(&t, holder_of(&t), "error"), "code"), &code);
        a.error_status = code >= 400 && code < 600 ? (unsigned)code : 500;
    }
    tape_done(&t);
    return a;
}

// Google's word for a status (google.rpc.Code).
static const char *status_word(unsigned status)
{
    switch (status) {
    case 401:
        return "UNAUTHENTICATED";
    case 403:
        return "PERMISSION_DENIED";
    case 404:
        return "NOT_FOUND";
    case 409:
        return "ABORTED";
    case 429:
        return "RESOURCE_EXHAUSTED";
    case 501:
        return "UNIMPLEMENTED";
    case 504:
        return "DEADLINE_EXCEEDED";
    default:
        return status >= 502 ? "UNAVAILABLE" : status == 500 ? "INTERNAL" : "INVALID_ARGUMENT";
    }
}

// Our own errors on raw paths, where the client speaks this dialect.
static void write_error(const struct dialect_error *er, struct buf *out)
{
    buf_printf(out, "{\"error\":{\"code\":%u,\"message\":", er->status);
    text_json_string(out, er->message);
    buf_printf(out, ",\"status\":\"%s\"", status_word(er->status));
    if (er->attempts > 1) {
        buf_printf(out, ",\"attempts\":%u", er->attempts);
    }
    buf_append_str(out, "}}");
}

const struct dialect dialect_gemini = {
    .name = "gemini",
    .name_extra = "_.:-",
    .name_max = 128,
    .name_letter = true,
    .serves = serves,
    .write_path = write_path,
    .write_request = dialect_gemini_write_request,
    .read_answer = dialect_gemini_read_answer,
    .reader_size = sizeof(struct dialect_gemini_reader),
    .read_event = dialect_gemini_read_event,
    .read_end = dialect_gemini_read_end,
    .read_error = dialect_gemini_read_error,
    .observe_answer = observe_answer,
    .observe_limits = dialect_limits_read,
    .write_error = write_error,
};
