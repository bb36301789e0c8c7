// SPDX-License-Identifier: Apache-2.0
// OpenAI's words, which most other providers use too.
//
//   plain:  pre: {"id":...,"content":"Mock answer to: hello alpha   filler   post: "},...usage}
//   stream: prefix: data: {"id":...,"choices":[   event: {"index":0,"delta":{...}}],"usage":null}
#include "common/base/mono.h"
#include "tests/mock/mock_embed.h"
#include "tests/mock/mock_openai_check.h"
#include "tests/mock/mock_put.h"
#include "tests/mock/mock_reply.h"
#include "tests/mock/mock_shape.h"

// Deviates as vendors of this shape do: calls come whole and without index, their finish reason is
// "stop", thinking is called `reasoning`, usage is in the last chunk of the choice, no space
// follows "data:".
static bool is_vendor(const struct mock_subject *s)
{
    return (s->behave->wishes & MOCK_WISH_VENDOR) != 0;
}

static const char *finish_reason(const struct mock_subject *s)
{
    static const char *const names[] = {"stop", "length", "tool_calls", "stop"};
    enum mock_finish f = mock_answer_finish(s);

    return names[f == MOCK_FINISH_CALLS && is_vendor(s) ? MOCK_FINISH_STOP : f];
}

static const char *thinking_name(const struct mock_subject *s)
{
    return is_vendor(s) ? "\"reasoning\":\"" : "\"reasoning_content\":\"";
}

static void put_usage(const struct mock_subject *s, struct buf *out)
{
    struct mock_usage u = mock_answer_usage(s);

    put(out, "{\"prompt_tokens\":");
    put_u64(out, u.prompt);
    put(out, ",\"completion_tokens\":");
    put_u64(out, u.completion);
    put(out, ",\"total_tokens\":");
    put_u64(out, u.prompt + u.completion);
    if (s->api == MOCK_CHAT) {
        put(out, ",\"prompt_tokens_details\":{\"cached_tokens\":");
        put_u64(out, u.cache_read);
        if (u.cache_write > 0) {
            put(out, ",\"cache_write_tokens\":");
            put_u64(out, u.cache_write);
        }
        put(out, ",\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":");
        put_u64(out, u.think);
        put(out, ",\"audio_tokens\":0,\"accepted_prediction_tokens\":0,"
                 "\"rejected_prediction_tokens\":0}");
    }
    put(out, "}");
}

// {"id":"chatcmpl-...","object":"...","created":N,"model":"..."
static void put_envelope(const struct mock_subject *s, const char *object, struct buf *out)
{
    put(out, "{\"id\":\"");
    buf_append_str(out, s->api == MOCK_CHAT ? "chatcmpl-" : "cmpl-");
    put_hex(out, s->id);
    put(out, "\",\"object\":\"");
    buf_append_str(out, object);
    put(out, "\",\"created\":");
    put_u64(out, s->created_s);
    put(out, ",\"model\":\"");
    buf_append(out, s->ask->model);
    put(out, "\"");
}

static void put_fingerprint(const struct mock_subject *s, struct buf *out)
{
    put(out, ",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock_");
    put_u64(out, s->port);
    put(out, "\"");
}

// {"id":"call_...","type":"function","function":{"name":"...","arguments":"
static void put_call_head(const struct mock_subject *s, size_t k, struct buf *out)
{
    put(out, "\"id\":\"call_");
    put_hex(out, s->id);
    put_u64(out, k);
    put(out, "\",\"type\":\"function\",\"function\":{\"name\":\"");
    text_json_escape(out, s->turn->calls[k].name);
    put(out, "\",\"arguments\":\"");
}

static void put_token_logprob(const struct mock_subject *s, uint64_t index, struct buf *out)
{
    put(out, "{\"token\":\"");
    mock_answer_put_token(s, index, out);
    put(out, "\",\"logprob\":-0.25,\"bytes\":null,\"top_logprobs\":[{\"token\":\"");
    mock_answer_put_token(s, index, out);
    put(out, "\",\"logprob\":-0.25,\"bytes\":null}]}");
}

static void put_logprobs(const struct mock_subject *s, uint64_t from, uint64_t n, struct buf *out)
{
    if (!s->turn->logprobs || s->turn->quiet) {
        put(out, "null");
        return;
    }
    put(out, "{\"content\":[");
    for (uint64_t i = 0; i < n; i++) {
        buf_append_str(out, i > 0 ? "," : "");
        put_token_logprob(s, from + i, out);
    }
    put(out, "],\"refusal\":null}");
}

// The members behind the choice, to the end of the body.
static void put_plain_tail(const struct mock_subject *s, struct buf *out)
{
    put(out, "]");
    if ((s->behave->flags & MOCK_NO_USAGE) == 0) {
        put(out, ",\"usage\":");
        put_usage(s, out);
    }
    if (s->api == MOCK_CHAT) {
        put_fingerprint(s, out);
    }
    put(out, "}\n");
}

static void put_calls(const struct mock_subject *s, struct buf *out)
{
    for (size_t k = 0; k < s->turn->n_calls; k++) {
        buf_append_str(out, k > 0 ? ",{" : "\"tool_calls\":[{");
        put_call_head(s, k, out);
        text_json_escape(out, mock_turn_args(s->turn, k));
        put(out, "\"}}");
    }
    buf_append_str(out, s->turn->n_calls > 0 ? "]" : "");
}

// From behind the text to the end of the body.
static void put_chat_tail(const struct mock_subject *s, struct buf *out)
{
    bool refusal = s->turn->refusal;

    buf_append_str(out, s->turn->quiet ? "" : "\"");
    if (s->behave->think > 0) {
        put(out, ",");
        buf_append_str(out, thinking_name(s));
        for (uint32_t i = 0; i < s->behave->think; i++) {
            put(out, " hmm");
        }
        put(out, "\"");
    }
    buf_append_str(out, refusal ? ",\"content\":null,\"annotations\":[]"
                                : ",\"refusal\":null,\"annotations\":[]");
    buf_append_str(out, s->turn->n_calls > 0 ? "," : "");
    put_calls(s, out);
    put(out, "},\"logprobs\":");
    put_logprobs(s, 0, mock_answer_tokens(s), out);
    put(out, ",\"finish_reason\":\"");
    buf_append_str(out, finish_reason(s));
    put(out, "\"}");
    put_plain_tail(s, out);
}

static uint64_t plain(const struct mock_subject *s, struct buf *pre, struct buf *post)
{
    bool chat = s->api == MOCK_CHAT;

    put_envelope(s, chat ? "chat.completion" : "text_completion", pre);
    if (!chat) {
        put(pre, ",\"choices\":[{\"text\":\"");
        mock_answer_put_text(s, pre);
        put(post, "\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"");
        buf_append_str(post, finish_reason(s));
        put(post, "\"}");
        put_plain_tail(s, post);
        return mock_answer_filler_size(s, pre, post);
    }
    put(pre, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"");
    buf_append_str(pre, s->turn->refusal ? "refusal\":" : "content\":");
    if (s->turn->quiet) {
        put(pre, "null");
    } else {
        put(pre, "\"");
        mock_answer_put_text(s, pre);
    }
    put_chat_tail(s, post);
    return mock_answer_filler_size(s, pre, post);
}

static void prefix(const struct mock_subject *s, struct buf *out)
{
    buf_append_str(out, is_vendor(s) ? "data:" : "data: ");
    put_envelope(s, s->api == MOCK_CHAT ? "chat.completion.chunk" : "text_completion", out);
    if (s->api == MOCK_CHAT) {
        put_fingerprint(s, out);
    }
    put(out, ",\"choices\":[");
}

static void put_content_delta(const struct mock_subject *s, uint64_t index, struct buf *out)
{
    struct mock_piece p = mock_answer_piece(s, index);

    if (p.call < 0) {
        buf_append_str(out, s->turn->refusal ? "\"refusal\":\"" : "\"content\":\"");
        mock_answer_put_token(s, index, out);
        put(out, "\"");
        return;
    }
    if (mock_answer_whole_calls(s)) {
        put_calls(s, out);
        return;
    }
    put(out, "\"tool_calls\":[{\"index\":");
    put_u64(out, (uint64_t)p.call);
    if (p.part == 0) {
        put(out, ",");
        put_call_head(s, (size_t)p.call, out);
    } else {
        put(out, ",\"function\":{\"arguments\":\"");
        mock_answer_put_args(s, &p, out);
    }
    put(out, "\"}}]");
}

static void put_chat_choice(const struct mock_subject *s, enum mock_event kind, uint64_t index,
                            struct buf *out)
{
    put(out, "{\"index\":0,\"delta\":{");
    if (kind == MOCK_EVENT_ROLE) {
        buf_append_str(out, s->turn->quiet
                                ? "\"role\":\"assistant\",\"content\":null,\"refusal\":null"
                                : "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
    } else if (kind == MOCK_EVENT_EMPTY) {
        put(out, "\"content\":\"\"");
    } else if (kind == MOCK_EVENT_THINK) {
        buf_append_str(out, thinking_name(s));
        put(out, " hmm\"");
    } else if (kind == MOCK_EVENT_CONTENT) {
        put_content_delta(s, index, out);
    }
    put(out, "},\"logprobs\":");
    if (kind == MOCK_EVENT_CONTENT && index < mock_answer_tokens(s)) {
        put_logprobs(s, index, 1, out);
    } else {
        put(out, "null");
    }
    put(out, ",\"finish_reason\":");
}

static void put_text_choice(const struct mock_subject *s, enum mock_event kind, uint64_t index,
                            struct buf *out)
{
    put(out, "{\"text\":\"");
    if (kind == MOCK_EVENT_CONTENT) {
        mock_answer_put_token(s, index, out);
    }
    put(out, "\",\"index\":0,\"logprobs\":null,\"finish_reason\":");
}

// The events that are no choice. True: written.
static bool put_other_event(const struct mock_subject *s, enum mock_event kind, struct slice prefix,
                            struct buf *out)
{
    if (kind == MOCK_EVENT_DONE) {
        put(out, "data: [DONE]\n\n");
        return true;
    }
    if (kind == MOCK_EVENT_ERROR) {
        put(out, "data: {\"error\":{\"message\":\"The server had an error while processing your "
                 "request. Sorry about that!\",\"type\":\"server_error\",\"param\":null,\"code\":"
                 "null}}\n\n");
        return true;
    }
    if (kind == MOCK_EVENT_ROLE && s->api != MOCK_CHAT) {
        return true;
    }
    if (kind == MOCK_EVENT_USAGE && (!s->ask->include_usage || is_vendor(s))) {
        return true;
    }
    if (kind != MOCK_EVENT_BROKEN && kind != MOCK_EVENT_USAGE) {
        return false;
    }
    buf_append(out, prefix);
    if (kind == MOCK_EVENT_BROKEN) {
        put(out, "{\"index\":0,\"delta\":{\"content\":\"bro\n\n");
        return true;
    }
    put(out, "],\"usage\":");
    put_usage(s, out);
    put(out, "}\n\n");
    return true;
}

static void event(const struct mock_subject *s, enum mock_event kind, uint64_t index,
                  struct slice prefix, struct buf *out)
{
    if (put_other_event(s, kind, prefix, out)) {
        return;
    }
    buf_append(out, prefix);
    if (s->api == MOCK_CHAT) {
        put_chat_choice(s, kind, index, out);
    } else {
        put_text_choice(s, kind, index, out);
    }
    if (kind == MOCK_EVENT_FINISH) {
        put(out, "\"");
        buf_append_str(out, finish_reason(s));
        put(out, "\"}]");
    } else {
        put(out, "null}]");
    }
    if (is_vendor(s) && kind == MOCK_EVENT_FINISH) {
        put(out, ",\"usage\":");
        put_usage(s, out);
    } else if (s->ask->include_usage && (s->behave->flags & MOCK_NO_USAGE) == 0) {
        put(out, ",\"usage\":null");
    }
    if ((s->behave->flags & MOCK_STAMP) != 0) {
        put(out, ",\"x_mock_sent_us\":");
        put_u64(out, mono_now_us());
    }
    put(out, "}\n\n");
}

static void put_model(struct slice id, uint64_t created_s, struct buf *out)
{
    put(out, "{\"id\":");
    text_json_string(out, id);
    put(out, ",\"object\":\"model\",\"created\":");
    put_u64(out, created_s);
    put(out, ",\"owned_by\":\"mock\"}");
}

static void put_models(uint64_t created_s, struct buf *out)
{
    static const char *const ids[] = {"gpt",
                                      "gpt-4o",
                                      "gpt-4o-mini",
                                      "gpt-5.4",
                                      "claude-haiku-4-5",
                                      "claude-sonnet-4-5",
                                      "gemini-2.5-flash",
                                      "gemini-2.5-pro",
                                      "text-embedding-3-small"};

    put(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        buf_append_str(out, i > 0 ? "," : "");
        put_model(slice_str(ids[i]), created_s, out);
    }
    put(out, "]}");
}

static void put_embeddings(const struct mock_subject *s, struct buf *out)
{
    uint64_t tokens = s->body_length / 4 + 1;
    bool base64 = slice_eq(s->ask->encoding_format, SLICE("base64"));

    put(out, "{\"object\":\"list\",\"data\":[");
    for (uint32_t i = 0; i < s->ask->inputs; i++) {
        buf_append_str(out, i > 0 ? "," : "");
        put(out, "{\"object\":\"embedding\",\"index\":");
        put_u64(out, i);
        put(out, ",\"embedding\":");
        mock_embed_vector(s, i, base64, out);
        put(out, "}");
    }
    put(out, "],\"model\":\"");
    buf_append(out, s->ask->model);
    put(out, "\",\"usage\":{\"prompt_tokens\":");
    put_u64(out, tokens);
    put(out, ",\"total_tokens\":");
    put_u64(out, tokens);
    put(out, "}}\n");
}

static void other(const struct mock_subject *s, struct buf *out)
{
    if (s->api == MOCK_EMBEDDINGS) {
        put_embeddings(s, out);
    } else if (s->api == MOCK_COUNT) {
        put(out, "{\"object\":\"response.input_tokens\",\"input_tokens\":");
        put_u64(out, mock_answer_usage(s).prompt);
        put(out, "}");
    } else if (s->api == MOCK_MODELS) {
        put_models(s->created_s, out);
    } else {
        put_model(s->ask->model, s->created_s, out);
    }
}

static void error(uint32_t status, const char *kind, const char *code, const char *message,
                  struct buf *out)
{
    if (message == NULL) {
        mock_reply_error(status, out);
    } else {
        mock_reply_error_text(kind == NULL ? "invalid_request_error" : kind, code, message, out);
    }
}

static void headers(uint64_t id, const struct mock_behave *b, struct buf *out)
{
    put(out, "x-request-id: req_");
    put_hex(out, id * 0x9e3779b97f4a7c15u);
    put_hex(out, id);
    put(out, "\r\nopenai-organization: org-mock\r\nopenai-processing-ms: 12\r\n"
             "openai-version: 2020-10-01\r\n");
    mock_reply_openai_limits(b, out);
}

const struct mock_shape mock_openai = {
    .name = "openai",
    .stream_type = "text/event-stream; charset=utf-8",
    .whole_calls = false,
    .check = mock_openai_check,
    .error = error,
    .plain = plain,
    .prefix = prefix,
    .event = event,
    .other = other,
    .headers = headers,
};
