// SPDX-License-Identifier: Apache-2.0
// Quirks and traits, the other way: config_quirks.c reads what this writes. Where there is any, all
// are written, also those that are off, since what is left out would be the catalogue's.
#include "proto/config/config_render.h"

struct word {
    const char *name;
    uint64_t bit;
};

static const struct word quirk_flags[] = {
    {"schema-strict", RESOURCE_SCHEMA_STRICT},
    {"no-tool-strict", RESOURCE_NO_TOOL_STRICT},
    {"no-developer-role", RESOURCE_NO_DEVELOPER_ROLE},
    {"no-message-names", RESOURCE_NO_MESSAGE_NAMES},
    {"alternate-roles", RESOURCE_ALTERNATE_ROLES},
    {"last-user", RESOURCE_LAST_USER},
    {"flatten-text", RESOURCE_FLATTEN_TEXT},
    {"no-images", RESOURCE_NO_IMAGES},
    {"image-data-only", RESOURCE_IMAGE_DATA_ONLY},
    {"no-files", RESOURCE_NO_FILES},
    {"no-audio", RESOURCE_NO_AUDIO},
    {"takes-cache-control", RESOURCE_TAKES_CACHE_CONTROL},
    {"reasoning-cumulative", RESOURCE_REASONING_CUMULATIVE},
    {"split-think", RESOURCE_SPLIT_THINK},
    {"reports-cost", RESOURCE_REPORTS_COST},
    {"forced-unreasoned", RESOURCE_FORCED_UNREASONED},
    {"normalize", RESOURCE_NORMALIZE},
};

static const struct word trait_flags[] = {
    {"no-tools", RESOURCE_NO_TOOLS},
    {"no-schema", RESOURCE_NO_SCHEMA},
    {"no-sampling", RESOURCE_NO_SAMPLING},
    {"sampling-unreasoned", RESOURCE_SAMPLING_UNREASONED},
    {"one-sampling", RESOURCE_ONE_SAMPLING},
    {"no-forced-tools", RESOURCE_NO_FORCED_TOOLS},
    {"no-prefill", RESOURCE_NO_PREFILL},
    {"completion-tokens", RESOURCE_COMPLETION_TOKENS},
    {"responses-only", RESOURCE_RESPONSES_ONLY},
    {"tools-by-responses", RESOURCE_TOOLS_BY_RESPONSES},
    {"system-anywhere", RESOURCE_SYSTEM_ANYWHERE},
    {"stream-only", RESOURCE_STREAM_ONLY},
    {"old-schema", RESOURCE_OLD_SCHEMA},
    {"tools-no-effort", RESOURCE_TOOLS_NO_EFFORT},
    {"no-completions", RESOURCE_NO_COMPLETIONS},
};

static void put_flags(struct json_out *o, const struct word *words, size_t n, uint64_t flags)
{
    for (size_t i = 0; i < n; i++) {
        json_out_field_bool(o, words[i].name, (flags & words[i].bit) != 0);
    }
}

static void put_bits(struct json_out *o, const char *name, uint32_t bits, const char *const *words,
                     size_t n)
{
    json_out_key(o, name);
    json_out_open(o, '[');
    for (size_t i = 0; i < n; i++) {
        if (bits & ((uint32_t)1 << i)) {
            json_out_text(o, slice_str(words[i]));
        }
    }
    json_out_close(o, ']');
}

// The word of an enum; one that this version does not know is left out.
static void put_word(struct json_out *o, const char *name, uint32_t value, const char *const *words,
                     size_t n)
{
    if (value < n && words[value] != NULL) {
        json_out_field_str(o, name, words[value]);
    }
}

static void put_thousandths(struct json_out *o, const char *name, uint32_t value)
{
    json_out_key(o, name);
    json_out_double(o, (double)value / 1000);
}

static void put_text(struct json_out *o, const char *name, const char *s)
{
    if (s != NULL) {
        json_out_field_str(o, name, s);
    }
}

// --- quirks -------------------------------------------------------------------------------------

static bool has_quirks(const struct resource_quirks *q)
{
    return q->flags != 0 || q->n_drop + q->n_refuse + q->n_takes + q->n_rename + q->n_efforts > 0 ||
           (q->tool_choices | q->formats | q->max_tokens_name | q->reasoning |
            q->reasoning_history | q->temperature_min | q->temperature_max | q->top_p_max |
            q->stop_max | q->plain_max_tokens | q->tool_id_length | q->user_min | q->user_max |
            q->price_flex | q->price_priority | q->price_batch | q->price_fast | q->price_us |
            q->price_peak | q->price_write | q->price_write_long | q->price_rate |
            q->price_search) != 0 ||
           q->n_peak_hours + q->n_takes_headers > 0 || q->tool_id_exact ||
           q->tool_id_punctuation != NULL || q->prefill != NULL || q->greedy != NULL;
}

static void put_quirk_lists(struct json_out *o, const struct resource_quirks *q)
{
    static const char *const choices[] = {"auto", "none", "required", "named"};
    static const char *const formats[] = {"text", "json_object", "json_schema"};

    json_out_field_texts(o, "drop", q->drop, q->n_drop);
    json_out_field_texts(o, "refuse", q->refuse, q->n_refuse);
    json_out_field_texts(o, "takes", q->takes, q->n_takes);
    json_out_field_texts(o, "efforts", q->efforts, q->n_efforts);
    put_bits(o, "tool-choice", q->tool_choices, choices, ARRAY_LEN(choices));
    put_bits(o, "response-format", q->formats, formats, ARRAY_LEN(formats));
    json_out_key(o, "rename");
    json_out_open(o, '{');
    for (size_t i = 0; i < q->n_rename; i++) {
        json_out_field_str(o, q->rename[i].name, q->rename[i].value);
    }
    json_out_close(o, '}');
}

void config_render_quirks(struct json_out *o, const struct resource_quirks *q)
{
    static const char *const bounds[] = {"max_tokens", "max_completion_tokens", "either"};
    static const char *const reasoning[] = {
        "effort",          "none",   "thinking", "thinking-budget",
        "enable-thinking", "object", "template", "split"};
    static const char *const histories[] = {"drop", "reasoning_content", "reasoning",
                                            "reasoning_details", "parts"};

    if (!has_quirks(q)) {
        return;
    }
    json_out_key(o, "quirks");
    json_out_open(o, '{');
    put_quirk_lists(o, q);
    put_word(o, "max-tokens", q->max_tokens_name, bounds, ARRAY_LEN(bounds));
    put_word(o, "reasoning", q->reasoning, reasoning, ARRAY_LEN(reasoning));
    put_word(o, "reasoning-history", q->reasoning_history, histories, ARRAY_LEN(histories));
    json_out_field_u64(o, "max-tokens-plain", q->plain_max_tokens);
    json_out_field_u64(o, "stop-max", q->stop_max);
    put_thousandths(o, "temperature-min", q->temperature_min);
    put_thousandths(o, "temperature-max", q->temperature_max);
    put_thousandths(o, "top-p-max", q->top_p_max);
    put_text(o, "prefill", q->prefill);
    put_text(o, "greedy", q->greedy);
    json_out_field_u64(o, "user-min", q->user_min);
    json_out_field_u64(o, "user-max", q->user_max);
    put_thousandths(o, "price-flex", q->price_flex);
    put_thousandths(o, "price-priority", q->price_priority);
    put_thousandths(o, "price-batch", q->price_batch);
    put_thousandths(o, "price-fast", q->price_fast);
    put_thousandths(o, "price-us", q->price_us);
    put_thousandths(o, "price-peak", q->price_peak);
    put_thousandths(o, "price-write", q->price_write);
    put_thousandths(o, "price-write-long", q->price_write_long);
    put_thousandths(o, "price-rate", q->price_rate);
    put_thousandths(o, "price-search", q->price_search);
    json_out_field_texts(o, "peak-hours", q->peak_hours, q->n_peak_hours);
    json_out_field_texts(o, "takes-headers", q->takes_headers, q->n_takes_headers);
    json_out_field_u64(o, "tool-id-length", q->tool_id_length);
    json_out_field_bool(o, "tool-id-exact", q->tool_id_exact);
    put_text(o, "tool-id-punctuation", q->tool_id_punctuation);
    put_flags(o, quirk_flags, ARRAY_LEN(quirk_flags), q->flags);
    json_out_close(o, '}');
}

// --- traits -------------------------------------------------------------------------------------

void config_render_traits(struct json_out *o, const struct resource_traits *t)
{
    static const char *const thinking[] = {NULL,     "none",  "manual", "adaptive",
                                           "budget", "level", "effort", "prompt-mode"};
    static const char *const off[] = {"omit", "disabled", "between-tools", "never"};

    if (t->flags == 0 && t->thinking == 0 && t->thinking_off == 0 && t->n_efforts == 0 &&
        t->n_drop == 0 && t->max_output == 0) {
        return;
    }
    json_out_key(o, "traits");
    json_out_open(o, '{');
    put_word(o, "thinking", t->thinking, thinking, ARRAY_LEN(thinking));
    put_word(o, "thinking-off", t->thinking_off, off, ARRAY_LEN(off));
    json_out_field_texts(o, "efforts", t->efforts, t->n_efforts);
    json_out_field_texts(o, "drop", t->drop, t->n_drop);
    json_out_field_u64(o, "max-output", t->max_output);
    put_flags(o, trait_flags, ARRAY_LEN(trait_flags), t->flags);
    json_out_close(o, '}');
}
