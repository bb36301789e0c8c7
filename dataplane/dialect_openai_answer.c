// SPDX-License-Identifier: Apache-2.0
// Looking at answers in OpenAI's wire format and its vendors' variants of it
// (providers/openai-compatible.md section 3, providers/README.md section 5).
//
// Stream events are looked at closely until the first content; after that a few substring searches
// decide whether an event can hold anything but text of the first choice, so that a chunk in the
// middle of a stream costs well under a microsecond.
#include "dataplane/dialect_openai_answer.h"

#include <string.h>

// --- usage -------------------------------------------------------------------------------------

#define COUNT_MAX ((uint64_t)1 << 40) // a provider's number is cut here

// The first of the names that is a number; 0, and *ret_known stays as it is, when none is.
static uint64_t count_of(struct slice usage, const char *const *names, size_t n, bool *ret_known)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t v = 0;
        struct slice value;

        if (scan_get(usage, names[i], &value) && scan_u64(value, &v)) {
            *ret_known = true;
            return v < COUNT_MAX ? v : COUNT_MAX;
        }
    }
    return 0;
}

static uint64_t nested_count(struct slice usage, const char *const *outer, size_t n,
                             const char *inner)
{
    bool known = false;

    for (size_t i = 0; i < n && !known; i++) {
        struct slice details;
        uint64_t v;

        if (scan_get(usage, outer[i], &details)) {
            v = count_of(details, &inner, 1, &known);
            if (known) {
                return v;
            }
        }
    }
    return 0;
}

static struct dialect_usage read_usage(struct slice usage)
{
    static const char *const input[] = {"prompt_tokens", "input_tokens"};
    static const char *const output[] = {"completion_tokens", "output_tokens"};
    static const char *const in_details[] = {"prompt_tokens_details", "input_tokens_details",
                                             "prompt_token_details"};
    static const char *const out_details[] = {"completion_tokens_details", "output_tokens_details"};
    // DeepSeek, Moonshot, Mistral
    static const char *const cached[] = {"prompt_cache_hit_tokens", "cached_tokens",
                                         "num_cached_tokens"};
    static const char *const total[] = {"total_tokens"};
    struct dialect_usage u = {.known = false};
    bool any = false;
    uint64_t sum;

    u.input = count_of(usage, input, ARRAY_LEN(input), &u.known);
    u.output = count_of(usage, output, ARRAY_LEN(output), &u.known);
    u.cached = nested_count(usage, in_details, ARRAY_LEN(in_details), "cached_tokens");
    if (u.cached == 0) {
        u.cached = count_of(usage, cached, ARRAY_LEN(cached), &any);
    }
    u.cache_write = nested_count(usage, in_details, ARRAY_LEN(in_details), "cache_write_tokens");
    u.reasoning = nested_count(usage, out_details, ARRAY_LEN(out_details), "reasoning_tokens");
    // xAI counts reasoning beside the completion; its total tells.
    sum = count_of(usage, total, ARRAY_LEN(total), &u.known);
    if (u.reasoning > 0 && sum == u.input + u.output + u.reasoning) {
        u.output += u.reasoning;
    }
    return u;
}

// What is known stays known: a later object full of nulls says nothing.
static bool take_usage(struct slice usage, struct dialect_usage *ret)
{
    struct dialect_usage u;

    if (scan_type_of(usage) != SCAN_OBJECT) {
        return false;
    }
    u = read_usage(usage);
    if (u.known) {
        *ret = u;
    }
    return true;
}

// True: there is a usage object.
static bool find_usage(struct slice object, struct dialect_usage *ret)
{
    struct slice v;

    if (scan_get(object, "usage", &v) && take_usage(v, ret)) {
        return true;
    }
    return scan_get(object, "x_groq", &v) && scan_get(v, "usage", &v) && take_usage(v, ret);
}

struct dialect_usage dialect_openai_answer_usage(struct slice body)
{
    struct dialect_usage u = {.known = false};

    (void)find_usage(body, &u);
    return u;
}

// --- content -----------------------------------------------------------------------------------

// "..." with at least one byte between the quotes.
static bool has_text(struct slice object, const char *key)
{
    struct slice v;

    return scan_get(object, key, &v) && scan_type_of(v) == SCAN_STRING && v.n > 2;
}

static bool any_element(void *ctx, struct slice value, enum scan_type t)
{
    (void)value;
    (void)t;
    *(bool *)ctx = true;
    return false;
}

static bool has_elements(struct slice object, const char *key)
{
    struct slice v;
    bool any = false;

    if (scan_get(object, key, &v)) {
        scan_array(v, any_element, &any);
    }
    return any;
}

static bool tool_has_content(void *ctx, struct slice call, enum scan_type t)
{
    struct slice inner;

    if (t == SCAN_OBJECT && ((scan_get(call, "function", &inner) &&
                              (has_text(inner, "name") || has_text(inner, "arguments"))) ||
                             (scan_get(call, "custom", &inner) &&
                              (has_text(inner, "name") || has_text(inner, "input"))))) {
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
    // Mistral's content may be a list of parts; OpenRouter's reasoning is one.
    if (has_elements(delta, "content") || has_elements(delta, "reasoning_details")) {
        return true;
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
    struct slice v;
    uint64_t index = 0;

    l->any = true;
    if (t != SCAN_OBJECT) {
        return true;
    }
    if (scan_get(choice, "index", &v) && !scan_u64(v, &index)) {
        index = 0;
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
    if (has_text(choice, "text") || (scan_get(choice, "delta", &v) && delta_has_content(v))) {
        l->ev->content = true;
    }
    return true;
}

// --- errors ------------------------------------------------------------------------------------

static bool mentions_word(struct slice error, const char *key, const char *word)
{
    struct slice v;

    return scan_get(error, key, &v) && scan_type_of(v) == SCAN_STRING &&
           slice_find(v, slice_str(word)) != SIZE_MAX;
}

// HTTP status an error object inside a stream stands for.
static unsigned error_status(struct slice error)
{
    static const struct {
        const char *word;
        unsigned status;
    } words[] = {{"rate_limit", 429},
                 {"insufficient_quota", 429},
                 {"RateLimit", 429},
                 {"exceeded_current_quota", 429},
                 {"RESOURCE_EXHAUSTED", 429},
                 {"overloaded", 503},
                 {"unavailable", 503},
                 {"UNAVAILABLE", 503},
                 {"timeout", 504},
                 {"invalid_request", 400},
                 {"context_length", 400},
                 {"content_filter", 400},
                 {"authentication", 401},
                 {"invalid_api_key", 401},
                 {"permission", 403},
                 {"not_found", 404}};
    static const char *const keys[] = {"code", "type", "status"};
    struct slice v;
    uint64_t n = 0;

    // Some vendors put the HTTP status into code or status, as a number or as text.
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (scan_get(error, keys[i], &v)) {
            if (scan_type_of(v) == SCAN_STRING) {
                v = (struct slice){v.p + 1, v.n - 2};
            }
            if (scan_u64(v, &n) && n >= 400 && n < 600) {
                return (unsigned)n;
            }
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
            if (mentions_word(error, keys[k], words[i].word)) {
                return words[i].status;
            }
        }
    }
    return 500;
}

// {"error": ...} or the flat {"object":"error", ...}.
static bool find_error(struct slice data, struct slice *ret)
{
    struct slice v;

    if (scan_get(data, "error", &v) && scan_type_of(v) != SCAN_NULL) {
        // Text where an object should be: what else there is stands beside it.
        *ret = scan_type_of(v) == SCAN_OBJECT ? v : data;
        return true;
    }
    if (scan_get(data, "object", &v) && slice_eq(v, SLICE("\"error\""))) {
        *ret = data;
        return true;
    }
    return false;
}

// --- events ------------------------------------------------------------------------------------

static bool is_object(struct slice data)
{
    while (data.n > 0 && strchr(" \t\r\n", data.p[0]) != NULL) {
        data = slice_from(data, 1);
    }
    return data.n > 0 && data.p[0] == '{';
}

static struct dialect_event look_closely(struct dialect_stream *s, struct slice data)
{
    struct dialect_event ev = {.content = false};
    struct look l = {s, &ev, false};
    struct slice v;

    if (!scan_validate(data, NULL) || !is_object(data)) {
        ev.malformed = true;
        return ev;
    }
    if (find_error(data, &v)) {
        ev.error = true;
        ev.error_status = error_status(v);
        return ev;
    }
    if (scan_get(data, "choices", &v)) {
        scan_array(v, look_at_choice, &l);
    }
    if (find_usage(data, &s->usage)) {
        ev.usage_only = !l.any;
    }
    s->content_seen = s->content_seen || ev.content;
    return ev;
}

// Is the quoted text at p, `left` bytes before the end, a name that may say more than text? It does
// not where a value follows that begins with `dull`.
static bool is_telling(const char *p, size_t left)
{
    static const struct {
        struct slice name;
        char dull;
    } names[] = {{{"\"finish_reason\"", 15}, 'n'},
                 {{"\"usage\"", 7}, 'n'},
                 {{"\"error\"", 7}, 'n'},
                 {{"\"index\"", 7}, '0'}};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t at = names[i].name.n;

        if (p[1] == names[i].name.p[1] && left > at && memcmp(p, names[i].name.p, at) == 0) {
            while (at < left && (p[at] == ' ' || p[at] == ':')) {
                at++;
            }
            return at < left && p[at] != names[i].dull;
        }
    }
    return false;
}

// Nothing but text of a choice that was seen already, by the names that are there.
static bool is_plain(const struct dialect_stream *s, struct slice data)
{
    const char *end = data.p + data.n;

    if (!s->content_seen) {
        return false;
    }
    for (const char *p = data.p; end - p > 1; p++) {
        p = memchr(p, '"', (size_t)(end - p) - 1);
        if (p == NULL) {
            break;
        }
        if (is_telling(p, (size_t)(end - p))) {
            return false;
        }
    }
    return true;
}

struct dialect_event dialect_openai_answer_event(struct dialect_stream *s, struct slice event,
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
    if (is_plain(s, data)) {
        ev.content = true;
        return ev;
    }
    return look_closely(s, data);
}
