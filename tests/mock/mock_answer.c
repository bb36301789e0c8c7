// SPDX-License-Identifier: Apache-2.0
// Bodies. The text of an answer is a list of tokens: token 0 says what was asked, the others are
// words from a list; a plain answer and the events of a stream carry the same text.
//
//   plain:   pre: {"id":...,"content":"Mock answer to: hello alpha   filler ...   post:
//   "},...usage} stream:  prefix: data: {"id":...,"choices":[   event:
//   {"index":0,"delta":{...}}],"usage":null}
#include "tests/mock/mock_answer.h"

#include <stdio.h>
#include <time.h>

#include "common/base/mono.h"
#include "tests/mock/mock_put.h"

#define EXCERPT_MAX 80u

static const char *const word_list[] = {" alpha",   " bravo", " charlie", " delta", " echo",
                                        " foxtrot", " golf",  " hotel",   " india", " juliett"};

static const char *const tool_fragments[] = {"{\\\"ci", "ty\\\":\\\"Ro", "me\\\"}"};

struct slice mock_answer_filler(void)
{
    static const char line[] = "lorem ipsum dolor sit amet, consectetur adipiscing elit sed do ";
    static char text[16384];

    // The same bytes whoever writes them, so threads may race here.
    if (text[sizeof(text) - 1] == 0) {
        for (size_t i = 0; i < sizeof(text); i++) {
            text[i] = line[i % (sizeof(line) - 1)];
        }
    }
    return SLICE_MAKE(text, sizeof(text));
}

// The beginning of an escaped string, cut where neither an escape nor a character is broken.
static struct slice excerpt(struct slice s)
{
    size_t i = 0;

    while (i < s.n && i < EXCERPT_MAX) {
        unsigned char c = (unsigned char)s.p[i];
        size_t step = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

        if (c == '\\' && i + 1 < s.n) {
            step = s.p[i + 1] == 'u' ? 6 : 2;
            if (step == 6 && i + 3 < s.n && (s.p[i + 2] | 0x20) == 'd' && s.p[i + 3] > '7') {
                step = 12; // a surrogate pair
            }
        }
        if (i + step > s.n || i + step > EXCERPT_MAX) {
            break;
        }
        i += step;
    }
    return slice_head(s, i);
}

static uint64_t token_count(const struct mock_subject *s)
{
    uint64_t n = s->behave->tokens > 0 ? s->behave->tokens : MOCK_TOKENS_DEFAULT;

    return s->ask->max_tokens > 0 && s->ask->max_tokens < n && s->behave->tokens == 0
               ? s->ask->max_tokens
               : n;
}

static bool is_tool_call(const struct mock_subject *s)
{
    return (s->behave->flags & MOCK_TOOL_CALL) != 0 && s->api == MOCK_CHAT;
}

uint64_t mock_answer_events(const struct mock_subject *s)
{
    return is_tool_call(s) ? ARRAY_LEN(tool_fragments) : token_count(s);
}

static const char *finish_reason(const struct mock_subject *s)
{
    if (is_tool_call(s)) {
        return "tool_calls";
    }
    return s->ask->max_tokens > 0 && s->ask->max_tokens <= token_count(s) ? "length" : "stop";
}

// Bytes of each content event when the behaviour fixes them, else 0.
static uint64_t fixed_event_size(const struct mock_subject *s)
{
    if (s->behave->event_size > 0) {
        return s->behave->event_size;
    }
    return s->behave->size > 0 ? s->behave->size / token_count(s) + 1 : 0;
}

static void put_filler(struct buf *out, uint64_t n)
{
    struct slice filler = mock_answer_filler();

    while (n > 0) {
        struct slice part = slice_head(filler, n < filler.n ? (size_t)n : filler.n);

        buf_append(out, part);
        n -= part.n;
    }
}

static void put_token(const struct mock_subject *s, uint64_t index, struct buf *out)
{
    uint64_t fixed = fixed_event_size(s);
    size_t before = out->n;

    if (index == 0) {
        put(out, "Mock answer to: ");
        buf_append(out, excerpt(s->ask->user));
    } else {
        const char *w = word_list[index % ARRAY_LEN(word_list)];

        buf_append(out, SLICE_MAKE(w, strlen(w)));
    }
    if (fixed > out->n - before) {
        put_filler(out, fixed - (out->n - before));
    }
}

static void put_usage(const struct mock_subject *s, struct buf *out)
{
    const struct mock_behave *b = s->behave;
    bool set = (b->flags & MOCK_USAGE) != 0;
    uint64_t prompt = set ? b->usage_prompt : 9 + s->body_length / 4;
    uint64_t completion = set ? b->usage_completion : token_count(s) + b->think;

    put(out, "{\"prompt_tokens\":");
    put_u64(out, prompt);
    put(out, ",\"completion_tokens\":");
    put_u64(out, completion);
    put(out, ",\"total_tokens\":");
    put_u64(out, prompt + completion);
    if (s->api == MOCK_CHAT) {
        put(out, ",\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
                 "\"completion_tokens_details\":{\"reasoning_tokens\":");
        put_u64(out, b->think);
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

static void put_reasoning(const struct mock_subject *s, struct buf *out)
{
    if (s->behave->think > 0) {
        put(out, "\",\"reasoning_content\":\"");
        for (uint32_t i = 0; i < s->behave->think; i++) {
            put(out, " hmm");
        }
    }
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

static void put_tool_message(struct buf *out)
{
    put(out, "null,\"refusal\":null,\"tool_calls\":[{\"id\":\"call_mock1\",\"type\":\"function\","
             "\"function\":{\"name\":\"get_weather\",\"arguments\":\"");
    for (size_t i = 0; i < ARRAY_LEN(tool_fragments); i++) {
        buf_append_str(out, tool_fragments[i]);
    }
    put(out, "\"}}]},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}");
}

static void put_plain_text(const struct mock_subject *s, struct buf *out)
{
    uint64_t n = s->behave->size > 0 ? 1 : token_count(s);

    for (uint64_t i = 0; i < n; i++) {
        if (i == 0 && s->behave->size > 0) {
            put(out, "Mock answer to: ");
            buf_append(out, excerpt(s->ask->user));
            put(out, " ");
        } else {
            put_token(s, i, out);
        }
    }
}

uint64_t mock_answer_plain(const struct mock_subject *s, struct buf *pre, struct buf *post)
{
    bool chat = s->api == MOCK_CHAT;
    uint64_t natural;

    put_envelope(s, chat ? "chat.completion" : "text_completion", pre);
    if (is_tool_call(s)) {
        put(pre, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
        put_tool_message(pre);
        put_plain_tail(s, pre);
        return 0;
    }
    if (chat) {
        put(pre, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"");
    } else {
        put(pre, ",\"choices\":[{\"text\":\"");
    }
    put_plain_text(s, pre);
    if (chat) {
        put_reasoning(s, post);
        put(post, "\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"");
    } else {
        put(post, "\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"");
    }
    buf_append_str(post, finish_reason(s));
    put(post, "\"}");
    put_plain_tail(s, post);
    natural = pre->n + post->n;
    return s->behave->size > natural ? s->behave->size - natural : 0;
}

void mock_answer_event_prefix(const struct mock_subject *s, struct buf *out)
{
    put(out, "data: ");
    put_envelope(s, s->api == MOCK_CHAT ? "chat.completion.chunk" : "text_completion", out);
    if (s->api == MOCK_CHAT) {
        put_fingerprint(s, out);
    }
    put(out, ",\"choices\":[");
}

static void put_role_delta(const struct mock_subject *s, struct buf *out)
{
    if (is_tool_call(s)) {
        put(out, "\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"index\":0,\"id\":"
                 "\"call_mock1\",\"type\":\"function\",\"function\":{\"name\":\"get_weather\","
                 "\"arguments\":\"\"}}],\"refusal\":null");
    } else {
        put(out, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
    }
}

static void put_content_delta(const struct mock_subject *s, uint64_t index, struct buf *out)
{
    if (is_tool_call(s)) {
        put(out, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"");
        buf_append_str(out, tool_fragments[index % ARRAY_LEN(tool_fragments)]);
        put(out, "\"}}]");
        return;
    }
    put(out, "\"content\":\"");
    put_token(s, index, out);
    put(out, "\"");
}

static void put_chat_choice(const struct mock_subject *s, enum mock_event kind, uint64_t index,
                            struct buf *out)
{
    put(out, "{\"index\":0,\"delta\":{");
    if (kind == MOCK_EVENT_ROLE) {
        put_role_delta(s, out);
    } else if (kind == MOCK_EVENT_EMPTY) {
        put(out, "\"content\":\"\"");
    } else if (kind == MOCK_EVENT_THINK) {
        put(out, "\"reasoning_content\":\" hmm\"");
    } else if (kind == MOCK_EVENT_CONTENT) {
        put_content_delta(s, index, out);
    }
    put(out, "},\"logprobs\":null,\"finish_reason\":");
}

static void put_text_choice(const struct mock_subject *s, enum mock_event kind, uint64_t index,
                            struct buf *out)
{
    put(out, "{\"text\":\"");
    if (kind == MOCK_EVENT_CONTENT) {
        put_token(s, index, out);
    }
    put(out, "\",\"index\":0,\"logprobs\":null,\"finish_reason\":");
}

void mock_answer_event(const struct mock_subject *s, enum mock_event kind, uint64_t index,
                       struct slice prefix, struct buf *out)
{
    if (kind == MOCK_EVENT_DONE) {
        put(out, "data: [DONE]\n\n");
        return;
    }
    if (kind == MOCK_EVENT_ERROR) {
        put(out, "data: {\"error\":{\"message\":\"The server had an error while processing your "
                 "request. Sorry about that!\",\"type\":\"server_error\",\"param\":null,\"code\":"
                 "null}}\n\n");
        return;
    }
    buf_append(out, prefix);
    if (kind == MOCK_EVENT_BROKEN) {
        put(out, "{\"index\":0,\"delta\":{\"content\":\"bro\n\n");
        return;
    }
    if (kind == MOCK_EVENT_USAGE) {
        put(out, "],\"usage\":");
        put_usage(s, out);
        put(out, "}\n\n");
        return;
    }
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
    if (s->ask->include_usage && (s->behave->flags & MOCK_NO_USAGE) == 0) {
        put(out, ",\"usage\":null");
    }
    if ((s->behave->flags & MOCK_STAMP) != 0) {
        put(out, ",\"x_mock_sent_us\":");
        put_u64(out, mono_now_us());
    }
    put(out, "}\n\n");
}

void mock_answer_model(struct slice id, uint64_t created_s, struct buf *out)
{
    put(out, "{\"id\":");
    text_json_string(out, id);
    put(out, ",\"object\":\"model\",\"created\":");
    put_u64(out, created_s);
    put(out, ",\"owned_by\":\"mock\"}");
}

void mock_answer_models(uint64_t created_s, struct buf *out)
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
        mock_answer_model(slice_str(ids[i]), created_s, out);
    }
    put(out, "]}");
}
