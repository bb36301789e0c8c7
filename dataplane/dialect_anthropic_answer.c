// SPDX-License-Identifier: Apache-2.0
// Looking at answers in Anthropic's wire format.
//
//   message_start  ( content_block_start  content_block_delta*  content_block_stop )*
//        |                    |                    |
//      usage              tool's name      text, reasoning, arguments    message_delta message_stop
//                                                                             |              |
//                                                                     finish, usage     terminator
//
// Until the first content every event is read by its `type`; after that a delta that is named by
// its `event:` line is taken for content unread, so that the middle of a stream costs next to
// nothing.
#include "dataplane/dialect_anthropic_answer.h"

#include <string.h>

#include "common/base/cdefs.h"

#define COUNT_MAX ((uint64_t)1 << 40) // a provider's number is cut here

// --- members -----------------------------------------------------------------------------------

static bool is_text(struct slice value, const char *text)
{
    return value.n >= 2 && scan_type_of(value) == SCAN_STRING &&
           slice_eq_str((struct slice){value.p + 1, value.n - 2}, text);
}

// A string with at least one byte between its quotes.
static bool has_text(struct slice object, const char *key)
{
    struct slice v;

    return scan_get(object, key, &v) && scan_type_of(v) == SCAN_STRING && v.n > 2;
}

// --- usage -------------------------------------------------------------------------------------

enum {
    U_INPUT,
    U_WRITE,
    U_READ,
    U_OUTPUT,
    U_CREATION,
    U_DETAILS,
    U_TIER,
    U_SPEED,
    U_GEO,
    U_TOOLS,
    U_N
};

static const struct slice usage_names[U_N] = {
    [U_INPUT] = {"input_tokens", 12},
    [U_WRITE] = {"cache_creation_input_tokens", 27},
    [U_READ] = {"cache_read_input_tokens", 23},
    [U_OUTPUT] = {"output_tokens", 13},
    [U_CREATION] = {"cache_creation", 14},
    [U_DETAILS] = {"output_tokens_details", 21},
    [U_TIER] = {"service_tier", 12},
    [U_SPEED] = {"speed", 5},
    [U_GEO] = {"inference_geo", 13},
    [U_TOOLS] = {"server_tool_use", 15},
};

static bool take_count(struct slice value, uint64_t *ret)
{
    uint64_t v = 0;

    if (!scan_u64(value, &v)) {
        return false;
    }
    *ret = v < COUNT_MAX ? v : COUNT_MAX;
    return true;
}

// What decides on the prices, where it is said.
static void take_tier(const struct slice v[U_N], struct dialect_usage *u)
{
    if (v[U_TIER].n > 2 && scan_type_of(v[U_TIER]) == SCAN_STRING) {
        u->tier = dialect_tier_of((struct slice){v[U_TIER].p + 1, v[U_TIER].n - 2});
    }
    if (is_text(v[U_SPEED], "fast")) {
        u->tier = DIALECT_TIER_FAST;
    }
    u->us_only = u->us_only || is_text(v[U_GEO], "us");
}

void dialect_anthropic_answer_usage(struct slice usage, struct dialect_usage *u)
{
    struct slice v[U_N] = {SLICE_NULL}, inner;
    // Anthropic counts cached tokens beside the input, we within it.
    uint64_t fresh = u->input - u->cached - u->cache_write;

    if (scan_type_of(usage) != SCAN_OBJECT) {
        return;
    }
    (void)!scan_named(usage, usage_names, v, U_N); // what was found before an error counts
    u->known = take_count(v[U_INPUT], &fresh) || u->known;
    u->known = take_count(v[U_OUTPUT], &u->output) || u->known;
    u->has_cached = take_count(v[U_READ], &u->cached) || u->has_cached;
    u->has_cache_write = take_count(v[U_WRITE], &u->cache_write) || u->has_cache_write;
    if (scan_get(v[U_CREATION], "ephemeral_1h_input_tokens", &inner)) {
        (void)take_count(inner, &u->cache_write_1h);
    }
    if (scan_get(v[U_DETAILS], "thinking_tokens", &inner)) {
        u->has_reasoning = take_count(inner, &u->reasoning) || u->has_reasoning;
    }
    if (scan_get(v[U_TOOLS], "web_search_requests", &inner)) {
        (void)take_count(inner, &u->searches);
    }
    u->input = fresh + u->cached + u->cache_write;
    take_tier(v, u);
}

// --- errors ------------------------------------------------------------------------------------

unsigned dialect_anthropic_answer_status(struct slice type)
{
    static const struct {
        struct slice type;
        unsigned status;
    } types[] = {
        {{"invalid_request_error", 21}, 400},
        {{"authentication_error", 20}, 401},
        {{"billing_error", 13}, 402},
        {{"permission_error", 16}, 403},
        {{"not_found_error", 15}, 404},
        {{"conflict_error", 14}, 409},
        {{"request_too_large", 17}, 413},
        {{"rate_limit_error", 16}, 429},
        {{"api_error", 9}, 500},
        {{"timeout_error", 13}, 504},
        {{"overloaded_error", 16}, 529},
    };

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (slice_eq(type, types[i].type)) {
            return types[i].status;
        }
    }
    return 500;
}

static unsigned error_status(struct slice error)
{
    struct slice type;

    if (!scan_get(error, "type", &type) || scan_type_of(type) != SCAN_STRING) {
        return 500;
    }
    return dialect_anthropic_answer_status((struct slice){type.p + 1, type.n - 2});
}

// --- whole answers -----------------------------------------------------------------------------

enum { TOP_TYPE, TOP_ERROR, TOP_USAGE, TOP_CONTENT, TOP_INPUT, TOP_N };

static const struct slice top_names[TOP_N] = {
    [TOP_TYPE] = {"type", 4},       [TOP_ERROR] = {"error", 5},         [TOP_USAGE] = {"usage", 5},
    [TOP_CONTENT] = {"content", 7}, [TOP_INPUT] = {"input_tokens", 12},
};

struct dialect_answer dialect_anthropic_answer_whole(struct slice body)
{
    struct slice top[TOP_N] = {SLICE_NULL};
    struct dialect_answer a = {.malformed = !scan_named(body, top_names, top, TOP_N)};

    if (a.malformed) {
        return a;
    }
    if (is_text(top[TOP_TYPE], "error") ||
        (scan_type_of(top[TOP_ERROR]) == SCAN_OBJECT && top[TOP_CONTENT].p == NULL)) {
        a.error_status = error_status(top[TOP_ERROR]);
    }
    dialect_anthropic_answer_usage(top[TOP_USAGE], &a.usage);
    if (top[TOP_INPUT].p != NULL && top[TOP_CONTENT].p == NULL) {
        a.usage.known = true; // count_tokens: it used none
    }
    return a;
}

// --- events ------------------------------------------------------------------------------------

enum { EV_TYPE, EV_MESSAGE, EV_BLOCK, EV_DELTA, EV_USAGE, EV_ERROR, EV_N };

static const struct slice event_names[EV_N] = {
    [EV_TYPE] = {"type", 4},   [EV_MESSAGE] = {"message", 7}, [EV_BLOCK] = {"content_block", 13},
    [EV_DELTA] = {"delta", 5}, [EV_USAGE] = {"usage", 5},     [EV_ERROR] = {"error", 5},
};

static bool delta_has_content(struct slice delta)
{
    return has_text(delta, "text") || has_text(delta, "partial_json") ||
           has_text(delta, "thinking");
}

static bool block_has_content(struct slice block)
{
    return has_text(block, "text") || has_text(block, "name") || has_text(block, "thinking") ||
           has_text(block, "data");
}

static void look_at_message_delta(struct dialect_stream *s, struct dialect_event *ev,
                                  const struct slice v[EV_N])
{
    dialect_anthropic_answer_usage(v[EV_USAGE], &s->usage);
    if (has_text(v[EV_DELTA], "stop_reason")) {
        ev->finish = true;
        ev->content = true;
        s->choices_seen |= 1;
        s->choices_finished |= 1;
    }
}

static bool is_object(struct slice data)
{
    while (data.n > 0 && strchr(" \t\r\n", data.p[0]) != NULL) {
        data = slice_from(data, 1);
    }
    return data.n > 0 && data.p[0] == '{';
}

static struct dialect_event look_closely(struct dialect_stream *s, struct slice event,
                                         struct slice data)
{
    struct dialect_event ev = {.content = false};
    struct slice v[EV_N] = {SLICE_NULL}, usage;
    struct slice type;

    if (!scan_named(data, event_names, v, EV_N) || !is_object(data)) {
        ev.malformed = true;
        return ev;
    }
    type = scan_type_of(v[EV_TYPE]) == SCAN_STRING
               ? (struct slice){v[EV_TYPE].p + 1, v[EV_TYPE].n - 2}
               : event;
    if (slice_eq_str(type, "content_block_delta")) {
        ev.content = delta_has_content(v[EV_DELTA]);
    } else if (slice_eq_str(type, "content_block_start")) {
        ev.content = block_has_content(v[EV_BLOCK]);
    } else if (slice_eq_str(type, "message_start")) {
        if (scan_get(v[EV_MESSAGE], "usage", &usage)) {
            dialect_anthropic_answer_usage(usage, &s->usage);
        }
    } else if (slice_eq_str(type, "message_delta")) {
        look_at_message_delta(s, &ev, v);
    } else if (slice_eq_str(type, "message_stop")) {
        ev.terminator = true;
        s->terminated = true;
    } else if (slice_eq_str(type, "error") || scan_type_of(v[EV_ERROR]) == SCAN_OBJECT) {
        ev.error = true;
        ev.error_status = error_status(v[EV_ERROR]);
    }
    s->content_seen = s->content_seen || ev.content;
    return ev;
}

struct dialect_event dialect_anthropic_answer_event(struct dialect_stream *s, struct slice event,
                                                    struct slice data)
{
    struct dialect_event ev = {.content = false};

    if (data.n == 0 || slice_starts(data, SLICE("[DONE]"))) { // other servers' word, behind the end
        return ev;
    }
    if (s->content_seen && slice_eq_str(event, "content_block_delta")) {
        ev.content = true;
        return ev;
    }
    return look_closely(s, event, data);
}
