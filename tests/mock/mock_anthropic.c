// SPDX-License-Identifier: Apache-2.0
// Anthropic's words. A content event is a delta; the first of a block has the block's start in
// front of it, the last one its stop behind it:
//
//   ROLE    message_start ping          THINK   [start] thinking_delta [signature_delta stop]
//   CONTENT [start] text_delta [stop]   or      start / input_json_delta [stop] of a tool_use
//   FINISH  message_delta               DONE    message_stop
#include "common/base/mono.h"
#include "tests/mock/mock_anthropic_check.h"
#include "tests/mock/mock_put.h"
#include "tests/mock/mock_shape.h"

static const char *stop_reason(const struct mock_subject *s)
{
    static const char *const names[] = {"end_turn", "max_tokens", "tool_use", "refusal"};

    return names[mock_answer_finish(s)];
}

static void put_stop(const struct mock_subject *s, struct buf *out)
{
    put(out, "\"stop_reason\":\"");
    buf_append_str(out, stop_reason(s));
    put(out, "\",\"stop_sequence\":null");
    if (s->turn->refusal) {
        put(out, ",\"stop_details\":{\"type\":\"refusal\",\"category\":\"general_harms\","
                 "\"explanation\":\"The mock will not answer this.\"}");
    }
}

// What came in: Anthropic counts the cached tokens beside the others.
static void put_input_counts(const struct mock_usage *u, struct buf *out)
{
    put(out, "\"input_tokens\":");
    put_u64(out, u->prompt - u->cache_read - u->cache_write);
    put(out, ",\"cache_creation_input_tokens\":");
    put_u64(out, u->cache_write);
    put(out, ",\"cache_read_input_tokens\":");
    put_u64(out, u->cache_read);
}

static void put_output_counts(const struct mock_usage *u, struct buf *out)
{
    put(out, ",\"output_tokens\":");
    put_u64(out, u->completion);
    put(out, ",\"output_tokens_details\":{\"thinking_tokens\":");
    put_u64(out, u->think);
    put(out, "}");
}

static void put_usage(const struct mock_subject *s, bool begin, struct buf *out)
{
    struct mock_usage u = mock_answer_usage(s);

    put(out, "{");
    put_input_counts(&u, out);
    if (begin) {
        put(out, ",\"cache_creation\":{\"ephemeral_5m_input_tokens\":");
        put_u64(out, u.cache_write);
        put(out, ",\"ephemeral_1h_input_tokens\":0},\"output_tokens\":1");
    } else {
        put_output_counts(&u, out);
    }
    if (begin) {
        put(out, ",\"service_tier\":\"standard\"");
    }
    put(out, "}");
}

// {"id":"msg_...","type":"message","role":"assistant","model":"...","content":[
static void put_envelope(const struct mock_subject *s, struct buf *out)
{
    put(out, "{\"id\":\"msg_01");
    put_hex(out, s->id);
    put(out, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"");
    buf_append(out, s->ask->model);
    put(out, "\",\"content\":[");
}

static void put_tool_head(const struct mock_subject *s, size_t k, struct buf *out)
{
    put(out, "{\"type\":\"tool_use\",\"id\":\"toolu_01");
    put_hex(out, s->id);
    put_u64(out, k);
    put(out, "\",\"name\":");
    text_json_string(out, s->turn->calls[k].name);
    put(out, ",\"input\":");
}

static const char *thinking_signature(const struct mock_subject *s)
{
    return s->turn->unsigned_thinking ? "" : s->turn->signature;
}

static void put_redacted_block(const struct mock_subject *s, struct buf *out)
{
    put(out, "{\"type\":\"redacted_thinking\",\"data\":\"");
    buf_append_str(out, s->turn->redacted_data);
    put(out, "\"}");
}

// With a comma behind each.
static void put_thinking_blocks(const struct mock_subject *s, struct buf *out)
{
    if (s->turn->think == 0) {
        return;
    }
    put(out, "{\"type\":\"thinking\",\"thinking\":\"");
    for (uint32_t i = 0; i < s->turn->think && !s->turn->think_hidden; i++) {
        put(out, " hmm");
    }
    put(out, "\",\"signature\":\"");
    buf_append_str(out, thinking_signature(s));
    put(out, "\"},");
    if (s->turn->redacted) {
        put_redacted_block(s, out);
        put(out, ",");
    }
}

static uint64_t plain(const struct mock_subject *s, struct buf *pre, struct buf *post)
{
    const struct mock_turn *t = s->turn;

    put_envelope(s, pre);
    put_thinking_blocks(s, pre);
    if (!t->quiet) {
        put(pre, "{\"type\":\"text\",\"text\":\"");
        mock_answer_put_text(s, pre);
        put(post, "\"}");
    }
    for (size_t k = 0; k < t->n_calls; k++) {
        buf_append_str(post, k > 0 || !t->quiet ? "," : "");
        put_tool_head(s, k, post);
        buf_append(post, mock_turn_args(t, k));
        put(post, "}");
    }
    put(post, "],");
    put_stop(s, post);
    if ((s->behave->flags & MOCK_NO_USAGE) == 0) {
        put(post, ",\"usage\":");
        put_usage(s, false, post);
    }
    put(post, "}");
    return mock_answer_filler_size(s, pre, post);
}

// --- stream -------------------------------------------------------------------------------------

static void open_event(const char *type, struct buf *out)
{
    put(out, "event: ");
    buf_append_str(out, type);
    put(out, "\ndata: {\"type\":\"");
    buf_append_str(out, type);
    put(out, "\"");
}

static void close_event(const struct mock_subject *s, struct buf *out)
{
    if ((s->behave->flags & MOCK_STAMP) != 0) {
        put(out, ",\"x_mock_sent_us\":");
        put_u64(out, mono_now_us());
    }
    put(out, "}\n\n");
}

static void put_ping(struct buf *out)
{
    put(out, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
}

static void put_message_start(const struct mock_subject *s, struct buf *out)
{
    open_event("message_start", out);
    put(out, ",\"message\":");
    put_envelope(s, out);
    put(out, "],\"stop_reason\":null,\"stop_sequence\":null");
    if ((s->behave->flags & MOCK_NO_USAGE) == 0) {
        put(out, ",\"usage\":");
        put_usage(s, true, out);
    }
    put(out, "}");
    close_event(s, out);
    put_ping(out);
}

// Opens block_start up to the content block, which the caller writes and ends with '}'.
static void open_block(uint64_t index, struct buf *out)
{
    open_event("content_block_start", out);
    put(out, ",\"index\":");
    put_u64(out, index);
    put(out, ",\"content_block\":");
}

static void open_delta(uint64_t index, const char *type, struct buf *out)
{
    open_event("content_block_delta", out);
    put(out, ",\"index\":");
    put_u64(out, index);
    put(out, ",\"delta\":{\"type\":\"");
    buf_append_str(out, type);
    put(out, "\",");
}

static void put_block_stop(const struct mock_subject *s, uint64_t index, struct buf *out)
{
    open_event("content_block_stop", out);
    put(out, ",\"index\":");
    put_u64(out, index);
    close_event(s, out);
}

static uint64_t thinking_block_count(const struct mock_subject *s)
{
    return s->turn->think == 0 ? 0 : s->turn->redacted ? 2 : 1;
}

static void put_think(const struct mock_subject *s, uint64_t index, struct buf *out)
{
    if (index == 0) {
        open_block(0, out);
        put(out, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}");
        close_event(s, out);
    }
    if (!s->turn->think_hidden) {
        open_delta(0, "thinking_delta", out);
        put(out, "\"thinking\":\" hmm\"}");
        close_event(s, out);
    }
    if (index + 1 < s->turn->think) {
        return;
    }
    if (!s->turn->unsigned_thinking) {
        open_delta(0, "signature_delta", out);
        put(out, "\"signature\":\"");
        buf_append_str(out, thinking_signature(s));
        put(out, "\"}");
        close_event(s, out);
    }
    put_block_stop(s, 0, out);
    if (s->turn->redacted) {
        open_block(1, out);
        put_redacted_block(s, out);
        close_event(s, out);
        put_block_stop(s, 1, out);
    }
}

static void put_text(const struct mock_subject *s, uint64_t index, uint64_t block, struct buf *out)
{
    if (index == 0) {
        open_block(block, out);
        put(out, "{\"type\":\"text\",\"text\":\"\"}");
        close_event(s, out);
    }
    open_delta(block, "text_delta", out);
    put(out, "\"text\":\"");
    mock_answer_put_token(s, index, out);
    put(out, "\"}");
    close_event(s, out);
}

static void put_call(const struct mock_subject *s, const struct mock_piece *p, uint64_t block,
                     struct buf *out)
{
    if (p->part == 0) {
        open_block(block, out);
        put_tool_head(s, (size_t)p->call, out);
        put(out, "{}}");
        close_event(s, out);
    }
    open_delta(block, "input_json_delta", out); // the first is empty
    put(out, "\"partial_json\":\"");
    mock_answer_put_args(s, p, out);
    put(out, "\"}");
    close_event(s, out);
}

static void put_content(const struct mock_subject *s, uint64_t index, struct buf *out)
{
    struct mock_piece p = mock_answer_piece(s, index);
    uint64_t block = thinking_block_count(s);

    if (p.call < 0) {
        put_text(s, index, block, out);
    } else {
        block += (s->turn->quiet ? 0u : 1u) + (uint64_t)p.call;
        put_call(s, &p, block, out);
    }
    if (p.last) {
        put_block_stop(s, block, out);
    }
}

static void put_finish(const struct mock_subject *s, struct buf *out)
{
    open_event("message_delta", out);
    put(out, ",\"delta\":{");
    put_stop(s, out);
    put(out, "}");
    if ((s->behave->flags & MOCK_NO_USAGE) == 0) {
        put(out, ",\"usage\":");
        put_usage(s, false, out);
    }
    close_event(s, out);
}

static void event(const struct mock_subject *s, enum mock_event kind, uint64_t index,
                  struct slice prefix, struct buf *out)
{
    (void)prefix;
    switch (kind) {
    case MOCK_EVENT_ROLE:
        put_message_start(s, out);
        return;
    case MOCK_EVENT_EMPTY:
        put_ping(out);
        return;
    case MOCK_EVENT_THINK:
        put_think(s, index, out);
        return;
    case MOCK_EVENT_CONTENT:
        put_content(s, index, out);
        return;
    case MOCK_EVENT_FINISH:
        put_finish(s, out);
        return;
    case MOCK_EVENT_USAGE:
        return;
    case MOCK_EVENT_DONE:
        put(out, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
        return;
    case MOCK_EVENT_ERROR:
        put(out, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
                 "\"message\":\"Overloaded\"}}\n\n");
        return;
    case MOCK_EVENT_BROKEN:
        put(out, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"del\n\n");
        return;
    }
}

// --- the rest -----------------------------------------------------------------------------------

static const struct {
    uint32_t status;
    const char *type, *message;
} errors[] = {
    {400, "invalid_request_error", "Invalid request (mock)."},
    {401, "authentication_error", "invalid x-api-key"},
    {402, "billing_error", "Your credit balance is too low to access the Anthropic API."},
    {403, "permission_error", "Your API key does not have permission to use the resource."},
    {404, "not_found_error", "model: not found"},
    {409, "conflict_error", "Conflict."},
    {413, "request_too_large", "Request exceeds the maximum size"},
    {429, "rate_limit_error", "This request would exceed your organization's rate limit."},
    {500, "api_error", "Internal server error"},
    {504, "timeout_error", "Request timed out."},
    {529, "overloaded_error", "Overloaded"},
};

static void error(uint32_t status, const char *kind, const char *code, const char *message,
                  struct buf *out)
{
    const char *type = status < 500 ? "invalid_request_error" : "api_error", *text = "Mock error.";

    for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
        if (errors[i].status == status) {
            type = errors[i].type;
            text = errors[i].message;
        }
    }
    put(out, "{\"type\":\"error\",\"error\":{\"type\":\"");
    buf_append_str(out, kind == NULL ? type : kind);
    put(out, "\",\"message\":");
    text_json_string(out, slice_str(message == NULL ? text : message));
    if (code != NULL) {
        put(out, ",\"details\":{\"error_code\":\"");
        buf_append_str(out, code);
        put(out, "\",\"unsupported\":[]}");
    }
    put(out, "},\"request_id\":\"req_011mock\"}");
}

static void put_model(struct slice id, struct slice date, struct buf *out)
{
    put(out, "{\"type\":\"model\",\"id\":");
    text_json_string(out, id);
    put(out, ",\"display_name\":");
    text_json_string(out, id);
    put(out, ",\"created_at\":");
    text_json_string(out, date);
    put(out, "}");
}

static void other(const struct mock_subject *s, struct buf *out)
{
    static const char *const ids[] = {"claude-haiku-4-5", "claude-sonnet-4-5"};

    if (s->api == MOCK_COUNT) {
        put(out, "{\"input_tokens\":");
        put_u64(out, mock_answer_usage(s).prompt);
        put(out, "}");
        return;
    }
    if (s->api == MOCK_MODEL) {
        put_model(s->ask->model, s->date, out);
        return;
    }
    put(out, "{\"data\":[");
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        buf_append_str(out, i > 0 ? "," : "");
        put_model(slice_str(ids[i]), s->date, out);
    }
    put(out, "],\"has_more\":false,\"first_id\":\"claude-haiku-4-5\",\"last_id\":"
             "\"claude-sonnet-4-5\"}");
}

static void headers(uint64_t id, const struct mock_behave *b, struct buf *out)
{
    bool set = (b->flags & MOCK_LIMIT_HEADERS) != 0;
    uint64_t remaining = set ? b->limit_remaining : 3999;
    char reset[32];

    text_format_rfc3339(mono_wall_us() + (set ? b->limit_reset_us : 1000000), reset);
    put(out, "request-id: req_011");
    put_hex(out, id);
    put(out, "\r\nanthropic-organization-id: org-mock\r\n"
             "anthropic-ratelimit-requests-limit: 4000\r\n"
             "anthropic-ratelimit-requests-remaining: ");
    put_u64(out, remaining);
    put(out, "\r\nanthropic-ratelimit-requests-reset: ");
    buf_append_str(out, reset);
    put(out,
        "\r\nanthropic-ratelimit-tokens-limit: 400000\r\nanthropic-ratelimit-tokens-remaining: ");
    put_u64(out, remaining * 100);
    put(out, "\r\nanthropic-ratelimit-tokens-reset: ");
    buf_append_str(out, reset);
    put(out, "\r\n");
}

const struct mock_shape mock_anthropic = {
    .name = "anthropic",
    .stream_type = "text/event-stream; charset=utf-8",
    .whole_calls = false,
    .check = mock_anthropic_check,
    .error = error,
    .plain = plain,
    .prefix = NULL,
    .event = event,
    .other = other,
    .headers = headers,
};
