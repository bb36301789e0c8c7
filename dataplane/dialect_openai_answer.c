// SPDX-License-Identifier: Apache-2.0
// Looking at answers in OpenAI's wire format and its vendors' variants of it.
//
// Stream events are looked at closely until the first content; after that a few substring searches
// decide whether an event can hold anything but text of the first choice, so that a chunk in the
// middle of a stream costs well under a microsecond.
#include "dataplane/dialect_openai_answer.h"

#include <string.h>

#include "dataplane/dialect_error.h"
#include "dataplane/price.h"

// --- members -----------------------------------------------------------------------------------

enum { TOP_USAGE, TOP_X_GROQ, TOP_ERROR, TOP_CHOICES, TOP_OBJECT, TOP_BASE_RESP, TOP_TIER, TOP_N };

static const struct slice top_names[TOP_N] = {
    [TOP_USAGE] = {"usage", 5},        [TOP_X_GROQ] = {"x_groq", 6},
    [TOP_ERROR] = {"error", 5},        [TOP_CHOICES] = {"choices", 7},
    [TOP_OBJECT] = {"object", 6},      [TOP_BASE_RESP] = {"base_resp", 9},
    [TOP_TIER] = {"service_tier", 12},
};

// False: malformed.
static bool read_top(struct slice text, struct slice top[TOP_N])
{

    return scan_named(text, top_names, top, TOP_N);
}

// --- usage -------------------------------------------------------------------------------------

#define COUNT_MAX ((uint64_t)1 << 40) // a provider's number is cut here

// In the order of preference where several name the same.
enum {
    U_PROMPT,
    U_INPUT,
    U_COMPLETION,
    U_OUTPUT,
    U_TOTAL,
    U_CACHE_HIT, // DeepSeek, Moonshot, Mistral
    U_CACHED,
    U_NUM_CACHED,
    U_PROMPT_DETAILS,
    U_INPUT_DETAILS,
    U_ODD_DETAILS,
    U_COMPLETION_DETAILS,
    U_OUTPUT_DETAILS,
    U_COST,
    U_ESTIMATED_COST,
    U_COST_TICKS,
    U_N
};

static const struct slice usage_names[U_N] = {
    [U_PROMPT] = {"prompt_tokens", 13},
    [U_INPUT] = {"input_tokens", 12},
    [U_COMPLETION] = {"completion_tokens", 17},
    [U_OUTPUT] = {"output_tokens", 13},
    [U_TOTAL] = {"total_tokens", 12},
    [U_CACHE_HIT] = {"prompt_cache_hit_tokens", 23},
    [U_CACHED] = {"cached_tokens", 13},
    [U_NUM_CACHED] = {"num_cached_tokens", 17},
    [U_PROMPT_DETAILS] = {"prompt_tokens_details", 21},
    [U_INPUT_DETAILS] = {"input_tokens_details", 20},
    [U_ODD_DETAILS] = {"prompt_token_details", 20},
    [U_COMPLETION_DETAILS] = {"completion_tokens_details", 25},
    [U_OUTPUT_DETAILS] = {"output_tokens_details", 21},
    [U_COST] = {"cost", 4},
    [U_ESTIMATED_COST] = {"estimated_cost", 14},
    [U_COST_TICKS] = {"cost_in_usd_ticks", 17},
};

// The first of the values that is a number; 0, and *ret_known stays as it is, when none is.
static uint64_t count_of(const struct slice *values, size_t n, bool *ret_known)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t v = 0;

        if (scan_u64(values[i], &v)) {
            *ret_known = true;
            return v < COUNT_MAX ? v : COUNT_MAX;
        }
    }
    return 0;
}

static uint64_t nested_count(const struct slice *outer, size_t n, const char *inner,
                             bool *ret_known)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n && !*ret_known; i++) {
        struct slice value;

        if (scan_get(outer[i], inner, &value)) {
            v = count_of(&value, 1, ret_known);
        }
    }
    return v;
}

// What the vendor says it cost: OpenRouter `cost`, Perplexity `cost.total_cost`, DeepInfra
// `estimated_cost`, xAI ticks of 1e-10 USD.
static void read_cost(const struct slice v[U_N], struct dialect_usage *u)
{
    struct slice total = v[U_COST];
    uint64_t ticks;

    if (scan_type_of(v[U_COST]) == SCAN_OBJECT && !scan_get(v[U_COST], "total_cost", &total)) {
        return;
    }
    u->has_cost = price_parse_usd(total, &u->cost_pico) ||
                  price_parse_usd(v[U_ESTIMATED_COST], &u->cost_pico);
    if (!u->has_cost && scan_u64(v[U_COST_TICKS], &ticks) && ticks < UINT64_MAX / 100) {
        u->has_cost = true;
        u->cost_pico = ticks * 100;
    }
}

static struct dialect_usage read_usage(struct slice usage)
{
    struct dialect_usage u = {.known = false};
    struct slice v[U_N] = {SLICE_NULL};
    bool audio_in = false, audio_out = false, image_out = false;
    uint64_t sum;

    (void)!scan_named(usage, usage_names, v, U_N); // what was found before an error counts
    u.input = count_of(&v[U_PROMPT], 2, &u.known);
    u.output = count_of(&v[U_COMPLETION], 2, &u.known);
    u.cached = nested_count(&v[U_PROMPT_DETAILS], 3, "cached_tokens", &u.has_cached);
    if (u.cached == 0) {
        u.cached = count_of(&v[U_CACHE_HIT], 3, &u.has_cached);
    }
    u.cache_write = nested_count(&v[U_PROMPT_DETAILS], 3, "cache_write_tokens", &u.has_cache_write);
    u.reasoning = nested_count(&v[U_COMPLETION_DETAILS], 2, "reasoning_tokens", &u.has_reasoning);
    u.audio_input = nested_count(&v[U_PROMPT_DETAILS], 3, "audio_tokens", &audio_in);
    u.audio_output = nested_count(&v[U_COMPLETION_DETAILS], 2, "audio_tokens", &audio_out);
    u.image_output = nested_count(&v[U_COMPLETION_DETAILS], 2, "image_tokens", &image_out);
    read_cost(v, &u);
    // xAI counts reasoning beside the completion; its total tells.
    sum = count_of(&v[U_TOTAL], 1, &u.known);
    if (u.reasoning > 0 && sum == u.input + u.output + u.reasoning) {
        u.output += u.reasoning;
    }
    return u;
}

// What is known stays known: a later object full of nulls says nothing. The tier is not in it.
bool dialect_openai_answer_usage(struct slice usage, struct dialect_usage *ret)
{
    struct dialect_usage u;

    if (scan_type_of(usage) != SCAN_OBJECT) {
        return false;
    }
    u = read_usage(usage);
    u.tier = ret->tier;
    if (u.known) {
        *ret = u;
    }
    return true;
}

void dialect_openai_answer_tier(struct slice service_tier, struct dialect_usage *ret)
{
    if (scan_type_of(service_tier) == SCAN_STRING) {
        ret->tier = dialect_tier_of((struct slice){service_tier.p + 1, service_tier.n - 2});
    }
}

static bool take_first(void *ctx, struct slice value, enum scan_type t)
{
    (void)t;
    *(struct slice *)ctx = value;
    return false;
}

// True: there is a usage object; Moonshot's is in the first choice.
static bool find_usage(const struct slice top[TOP_N], struct dialect_usage *ret)
{
    struct slice v, first = SLICE_NULL;

    dialect_openai_answer_tier(top[TOP_TIER], ret); // as it was really served
    if (dialect_openai_answer_usage(top[TOP_USAGE], ret) ||
        (scan_get(top[TOP_X_GROQ], "usage", &v) && dialect_openai_answer_usage(v, ret))) {
        return true;
    }
    scan_array(top[TOP_CHOICES], take_first, &first);
    return scan_get(first, "usage", &v) && dialect_openai_answer_usage(v, ret);
}

// --- whole answers -----------------------------------------------------------------------------

// MiniMax's base_resp in place of an answer; 0: there is none, or it says all is well.
static unsigned base_resp_status(const struct slice top[TOP_N])
{
    struct slice code;
    uint64_t n = 0;

    return (top[TOP_CHOICES].p == NULL || scan_type_of(top[TOP_CHOICES]) == SCAN_NULL) &&
                   scan_get(top[TOP_BASE_RESP], "status_code", &code) && scan_u64(code, &n)
               ? dialect_error_base_resp(n)
               : 0;
}

// Neither null nor false, 0 or an empty text, with which some say that nothing is wrong.
static bool says_something(struct slice v)
{
    enum scan_type t = v.p == NULL ? SCAN_NULL : scan_type_of(v);

    return t == SCAN_OBJECT || t == SCAN_ARRAY || (t == SCAN_STRING && v.n > 2);
}

// {"error": ...} or the flat {"object":"error", ...}.
static bool find_error(struct slice data, const struct slice top[TOP_N], struct slice *ret)
{
    struct slice v = top[TOP_ERROR];

    if (says_something(v)) {
        // Text where an object should be: what else there is stands beside it.
        *ret = scan_type_of(v) == SCAN_OBJECT ? v : data;
        return true;
    }
    if (slice_eq(top[TOP_OBJECT], SLICE("\"error\""))) {
        *ret = data;
        return true;
    }
    return false;
}

// Some vendors put an error into a 200.
static unsigned error_in_answer(struct slice body, const struct slice top[TOP_N])
{
    struct slice error;

    if (base_resp_status(top) != 0) {
        return base_resp_status(top);
    }
    if (top[TOP_CHOICES].p != NULL || !find_error(body, top, &error)) {
        return 0;
    }
    return dialect_openai_answer_error_status(error);
}

struct dialect_answer dialect_openai_answer_whole(struct slice body)
{
    struct slice top[TOP_N] = {SLICE_NULL};
    struct dialect_answer a = {.malformed = !read_top(body, top)};

    if (!a.malformed) {
        a.error_status = error_in_answer(body, top);
        (void)find_usage(top, &a.usage);
    }
    return a;
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

// The provider ended the answer, not the model, and nothing was said yet.
static bool gave_up(struct slice choice)
{
    static const char *const reasons[] = {"\"insufficient_system_resource\"", "\"network_error\"",
                                          "\"error\""};
    struct slice v, delta = SLICE_NULL;

    if (!scan_get(choice, "finish_reason", &v) ||
        (scan_get(choice, "delta", &delta) && delta_has_content(delta))) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (slice_eq_str(v, reasons[i])) {
            return true;
        }
    }
    return false;
}

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
    if (!l->s->content_seen && !l->ev->content &&
        gave_up(choice)) { // translated: dialect_openai_piece_finish
        l->ev->error = true;
        l->ev->error_status = 503;
        return true;
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

unsigned dialect_openai_answer_error_status(struct slice error)
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

// --- events ------------------------------------------------------------------------------------

static bool is_object(struct slice data)
{
    while (data.n > 0 && strchr(" \t\r\n", data.p[0]) != NULL) {
        data = slice_from(data, 1);
    }
    return data.n > 0 && data.p[0] == '{';
}

// An error in a list (Google) is that error; else as it is.
static struct slice unlisted(struct slice data)
{
    struct slice first = SLICE_NULL, error;

    if (!is_object(data)) {
        scan_array(data, take_first, &first);
    }
    return scan_get(first, "error", &error) ? first : data;
}

static struct dialect_event look_closely(struct dialect_stream *s, struct slice data)
{
    struct dialect_event ev = {.content = false};
    struct look l = {s, &ev, false};
    struct slice top[TOP_N] = {SLICE_NULL}, v;

    data = unlisted(data);
    if (!read_top(data, top) || !is_object(data)) {
        ev.malformed = true;
        return ev;
    }
    if (find_error(data, top, &v)) {
        ev.error = true;
        ev.error_status = dialect_openai_answer_error_status(v);
        return ev;
    }
    ev.error_status = base_resp_status(top);
    if (ev.error_status != 0) {
        ev.error = true;
        return ev;
    }
    scan_array(top[TOP_CHOICES], look_at_choice, &l);
    if (find_usage(top, &s->usage)) {
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
