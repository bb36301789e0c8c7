// SPDX-License-Identifier: Apache-2.0
// Google's words. Every event of a stream is a whole answer with the new parts only; lines end with
// CR LF, there is no [DONE]; calls come whole, all in one event, the first with the signature.
#include "tests/mock/mock_embed.h"
#include "tests/mock/mock_gemini_check.h"
#include "tests/mock/mock_put.h"
#include "tests/mock/mock_shape.h"

static const char *finish_reason(const struct mock_subject *s)
{
    static const char *const names[] = {"STOP", "MAX_TOKENS", "STOP", "SAFETY"};

    return names[mock_answer_finish(s)];
}

// Members that are zero are left out, as Google does.
static void put_count(const char *name, uint64_t v, bool comma, struct buf *out)
{
    if (v > 0) {
        buf_append_str(out, comma ? ",\"" : "\"");
        buf_append_str(out, name);
        put(out, "\":");
        put_u64(out, v);
    }
}

static void put_usage(const struct mock_subject *s, struct buf *out)
{
    struct mock_usage u = mock_answer_usage(s);

    put(out, ",\"usageMetadata\":{\"promptTokenCount\":");
    put_u64(out, u.prompt);
    put_count("cachedContentTokenCount", u.cache_read, true, out);
    put_count("candidatesTokenCount", u.completion - u.think, true, out);
    put_count("thoughtsTokenCount", u.think, true, out);
    put_count("totalTokenCount", u.prompt + u.completion, true, out);
    put(out, ",\"promptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":");
    put_u64(out, u.prompt);
    put(out, "}]}");
}

static void put_tail(const struct mock_subject *s, bool usage, struct buf *out)
{
    if (usage && (s->behave->flags & MOCK_NO_USAGE) == 0) {
        put_usage(s, out);
    }
    put(out, ",\"modelVersion\":\"");
    buf_append(out, s->ask->model);
    put(out, "\",\"responseId\":\"gr_");
    put_hex(out, s->id);
    put(out, "\"}");
}

static void put_signature(const struct mock_subject *s, const char *signature, struct buf *out)
{
    if (mock_gemini_signs(s->ask->model) && !s->turn->unsigned_thinking) {
        put(out, ",\"thoughtSignature\":\"");
        buf_append_str(out, signature);
        put(out, "\"");
    }
}

static void put_calls(const struct mock_subject *s, struct buf *out)
{
    for (size_t k = 0; k < s->turn->n_calls; k++) {
        buf_append_str(out, k > 0 ? ",{" : "{");
        put(out, "\"functionCall\":{\"id\":\"fc_");
        put_hex(out, s->id);
        put_u64(out, k);
        put(out, "\",\"name\":");
        text_json_string(out, s->turn->calls[k].name);
        put(out, ",\"args\":");
        buf_append(out, mock_turn_args(s->turn, k));
        put(out, "}");
        if (k == 0) {
            put_signature(s, s->turn->calls[k].signature, out);
        }
        put(out, "}");
    }
}

static void put_finish(const struct mock_subject *s, struct buf *out)
{
    put(out, "\"finishReason\":\"");
    buf_append_str(out, finish_reason(s));
    put(out, "\",");
}

static uint64_t plain(const struct mock_subject *s, struct buf *pre, struct buf *post)
{
    const struct mock_turn *t = s->turn;

    put(pre, "{\"candidates\":[{\"content\":{\"parts\":[");
    if (t->think > 0) {
        put(pre, "{\"text\":\"");
        for (uint32_t i = 0; i < t->think; i++) {
            put(pre, " hmm");
        }
        put(pre, "\",\"thought\":true},");
    }
    if (!t->quiet) {
        put(pre, "{\"text\":\"");
        mock_answer_put_text(s, pre);
        buf_append_str(post, t->n_calls > 0 ? "\"}," : "\"}");
    }
    put_calls(s, post);
    put(post, "],\"role\":\"model\"},");
    put_finish(s, post);
    put(post, "\"index\":0}]");
    put_tail(s, true, post);
    return mock_answer_filler_size(s, pre, post);
}

static void open_event(struct buf *out)
{
    put(out, "data: {\"candidates\":[{\"content\":{\"parts\":[");
}

static void close_event(const struct mock_subject *s, bool finish, struct buf *out)
{
    put(out, "],\"role\":\"model\"},");
    if (finish) {
        put_finish(s, out);
    }
    put(out, "\"index\":0}]");
    put_tail(s, finish, out);
    put(out, "\r\n\r\n");
}

static void put_content(const struct mock_subject *s, uint64_t index, struct buf *out)
{
    struct mock_piece p = mock_answer_piece(s, index);

    if (p.call >= 0) {
        put_calls(s, out);
        return;
    }
    put(out, "{\"text\":\"");
    mock_answer_put_token(s, index, out);
    put(out, "\"}");
}

static void event(const struct mock_subject *s, enum mock_event kind, uint64_t index,
                  struct slice prefix, struct buf *out)
{
    (void)prefix;
    if (kind == MOCK_EVENT_ERROR) {
        put(out, "data: {\"error\":{\"code\":503,\"message\":\"The model is overloaded. Please try "
                 "again later.\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n");
    } else if (kind == MOCK_EVENT_BROKEN) {
        put(out, "data: {\"candidates\":[{\"content\":{\"pa\r\n\r\n");
    } else if (kind == MOCK_EVENT_EMPTY || kind == MOCK_EVENT_THINK || kind == MOCK_EVENT_CONTENT ||
               kind == MOCK_EVENT_FINISH) {
        open_event(out);
        if (kind == MOCK_EVENT_THINK) {
            put(out, "{\"text\":\" hmm\",\"thought\":true}");
        } else if (kind == MOCK_EVENT_CONTENT) {
            put_content(s, index, out);
        } else {
            put(out, "{\"text\":\"\"}");
        }
        close_event(s, kind == MOCK_EVENT_FINISH, out);
    }
}

static const struct {
    uint32_t status;
    const char *name, *message;
} errors[] = {
    {400, "INVALID_ARGUMENT", "Request contains an invalid argument."},
    {401, "UNAUTHENTICATED", "Request had invalid authentication credentials."},
    {403, "PERMISSION_DENIED", "The caller does not have permission."},
    {404, "NOT_FOUND", "models/x is not found for API version v1beta."},
    {429, "RESOURCE_EXHAUSTED", "You exceeded your current quota."},
    {499, "CANCELLED", "The operation was cancelled."},
    {500, "INTERNAL", "An internal error has occurred."},
    {503, "UNAVAILABLE", "The model is overloaded. Please try again later."},
    {504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."},
};

// A key that is not accepted is a 400 with a reason, not a 401.
static void error(uint32_t status, const char *kind, const char *code, const char *message,
                  struct buf *out)
{
    const char *name = status < 500 ? "INVALID_ARGUMENT" : "INTERNAL", *text = "Mock error.";
    bool key = status == 401 && message == NULL;

    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        if (errors[i].status == status) {
            name = errors[i].name;
            text = errors[i].message;
        }
    }
    put(out, "{\"error\":{\"code\":");
    put_u64(out, key ? 400 : status);
    put(out, ",\"message\":");
    text_json_string(out, slice_str(key               ? "API key not valid. Please pass a valid "
                                                        "API key."
                                    : message == NULL ? text
                                                      : message));
    put(out, ",\"status\":\"");
    buf_append_str(out, key ? "INVALID_ARGUMENT" : kind == NULL ? name : kind);
    put(out, "\"");
    if (key || code != NULL) {
        put(out, ",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":"
                 "\"");
        buf_append_str(out, key ? "API_KEY_INVALID" : code);
        put(out, "\",\"domain\":\"googleapis.com\"}]");
    } else if (status == 429) {
        put(out, ",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\","
                 "\"retryDelay\":\"2.4s\"}]");
    }
    put(out, "}}");
}

static void put_model(struct slice id, struct buf *out)
{
    put(out, "{\"name\":\"models/");
    text_json_escape(out, id);
    put(out, "\",\"version\":\"001\",\"displayName\":");
    text_json_string(out, id);
    put(out, ",\"inputTokenLimit\":1048576,\"outputTokenLimit\":65536,"
             "\"supportedGenerationMethods\":[\"generateContent\",\"countTokens\"]}");
}

static void put_embeddings(const struct mock_subject *s, struct buf *out)
{
    put(out, "{\"embeddings\":[");
    for (uint32_t i = 0; i < s->ask->inputs; i++) {
        buf_append_str(out, i > 0 ? ",{\"values\":" : "{\"values\":");
        mock_embed_vector(s, i, false, out);
        put(out, "}");
    }
    put(out, "]}");
}

static void other(const struct mock_subject *s, struct buf *out)
{
    if (s->api == MOCK_COUNT) {
        put(out, "{\"totalTokens\":");
        put_u64(out, mock_answer_usage(s).prompt);
        put(out, "}");
    } else if (s->api == MOCK_EMBEDDINGS) {
        put_embeddings(s, out);
    } else if (s->api == MOCK_EMBED_ONE) {
        put(out, "{\"embedding\":{\"values\":");
        mock_embed_vector(s, 0, false, out);
        put(out, "}}");
    } else if (s->api == MOCK_MODEL) {
        put_model(s->ask->model, out);
    } else {
        put(out, "{\"models\":[");
        put_model(SLICE("gemini-2.5-flash"), out);
        put(out, ",");
        put_model(SLICE("gemini-3.5-flash"), out);
        put(out, "]}");
    }
}

static void headers(uint64_t id, const struct mock_behave *b, struct buf *out)
{
    (void)id;
    (void)b;
    put(out, "vary: Origin\r\nserver-timing: gfet4t7; dur=12\r\n");
}

const struct mock_shape mock_gemini = {
    .name = "gemini",
    .stream_type = "text/event-stream",
    .whole_calls = true,
    .check = mock_gemini_check,
    .error = error,
    .plain = plain,
    .prefix = NULL,
    .event = event,
    .other = other,
    .headers = headers,
};
