// SPDX-License-Identifier: Apache-2.0
// Quirks of providers and traits of models. Both are overlays: what the document gives for a key
// goes before what the catalogue gives for it.
//
//   quirks   providers.x.quirks of the document, of the catalogue
//   traits   models.x.traits (document or catalogue), then the first family whose globs match the
//            id; what stands in neither is nothing
//
// The families go to the proxies with the settings, for ids that no model lists.
#include <string.h>

#include "common/base/text.h"
#include "proto/config/config_compile.h"
#include "proto/hours.h"

struct flag {
    size_t offset; // of the int in the schema's struct
    uint64_t bit;
};

#define QUIRK(member, bit)                                                                         \
    {                                                                                              \
        offsetof(struct schema_quirks, member), (bit)                                              \
    }
static const struct flag quirk_flags[] = {
    QUIRK(no_developer_role, RESOURCE_NO_DEVELOPER_ROLE),
    QUIRK(no_message_names, RESOURCE_NO_MESSAGE_NAMES),
    QUIRK(alternate_roles, RESOURCE_ALTERNATE_ROLES),
    QUIRK(last_user, RESOURCE_LAST_USER),
    QUIRK(flatten_text, RESOURCE_FLATTEN_TEXT),
    QUIRK(no_images, RESOURCE_NO_IMAGES),
    QUIRK(no_files, RESOURCE_NO_FILES),
    QUIRK(no_audio, RESOURCE_NO_AUDIO),
    QUIRK(image_data_only, RESOURCE_IMAGE_DATA_ONLY),
    QUIRK(no_tool_strict, RESOURCE_NO_TOOL_STRICT),
    QUIRK(schema_strict, RESOURCE_SCHEMA_STRICT),
    QUIRK(takes_cache_control, RESOURCE_TAKES_CACHE_CONTROL),
    QUIRK(reasoning_cumulative, RESOURCE_REASONING_CUMULATIVE),
    QUIRK(split_think, RESOURCE_SPLIT_THINK),
    QUIRK(reports_cost, RESOURCE_REPORTS_COST),
    QUIRK(forced_unreasoned, RESOURCE_FORCED_UNREASONED),
    QUIRK(normalize, RESOURCE_NORMALIZE),
};

#define TRAIT(member, bit)                                                                         \
    {                                                                                              \
        offsetof(struct schema_traits, member), (bit)                                              \
    }
static const struct flag trait_flags[] = {
    TRAIT(no_tools, RESOURCE_NO_TOOLS),
    TRAIT(no_schema, RESOURCE_NO_SCHEMA),
    TRAIT(no_sampling, RESOURCE_NO_SAMPLING),
    TRAIT(no_forced_tools, RESOURCE_NO_FORCED_TOOLS),
    TRAIT(no_prefill, RESOURCE_NO_PREFILL),
    TRAIT(one_sampling, RESOURCE_ONE_SAMPLING),
    TRAIT(completion_tokens, RESOURCE_COMPLETION_TOKENS),
    TRAIT(responses_only, RESOURCE_RESPONSES_ONLY),
    TRAIT(tools_by_responses, RESOURCE_TOOLS_BY_RESPONSES),
    TRAIT(system_anywhere, RESOURCE_SYSTEM_ANYWHERE),
    TRAIT(sampling_unreasoned, RESOURCE_SAMPLING_UNREASONED),
    TRAIT(stream_only, RESOURCE_STREAM_ONLY),
    TRAIT(old_schema, RESOURCE_OLD_SCHEMA),
    TRAIT(tools_no_effort, RESOURCE_TOOLS_NO_EFFORT),
    TRAIT(no_completions, RESOURCE_NO_COMPLETIONS),
};

static int flag_value(const void *section, size_t offset)
{
    int v;

    memcpy(&v, (const char *)section + offset, sizeof(v));
    return v;
}

// Does the section give this key? NULL section: no.
static bool gives(const struct node *section, const char *key)
{
    return section != NULL && node_get(section, slice_str(key)) != NULL;
}

// --- quirks ----------------------------------------------------------------------------------

struct overlay {
    struct config_compile *k;
    struct resource *r;
    const struct schema_quirks *doc, *cat; // never NULL
};

// Whichever of the two gives the key; the catalogue's when none does.
static const struct schema_quirks *giver(const struct overlay *o, const char *key)
{
    return gives(o->doc->node, key) ? o->doc : o->cat;
}

static const char *const *list_of(const struct overlay *o, size_t offset, const char *key,
                                  size_t *ret_n)
{
    const struct conf_texts *t =
        (const struct conf_texts *)(const void *)((const char *)giver(o, key) + offset);

    return config_compile_strs(o->r, t, ret_n);
}
#define LIST(o, member, key, n) list_of((o), offsetof(struct schema_quirks, member), (key), (n))

// Words that stand for bits; anything else is a complaint where the document says it.
static uint32_t bits_of(const struct overlay *o, const struct conf_texts *t, const char *key,
                        const char *const *words, size_t n_words)
{
    uint32_t bits = 0;
    size_t top = conf_enter(o->k->ctx, key, SIZE_MAX);

    for (size_t i = 0; i < t->n; i++) {
        struct slice known[8];
        size_t w = 0, mark = conf_enter(o->k->ctx, NULL, i);

        for (size_t j = 0; j < n_words; j++) {
            known[j] = slice_str(words[j]);
        }
        while (w < n_words && !slice_eq_str(known[w], t->items[i].s)) {
            w++;
        }
        if (w < n_words) {
            bits |= (uint32_t)1 << w;
        } else {
            conf_complain(o->k->ctx, PROBLEM_ERROR, t->items[i].node, false, "unknown word%s",
                          conf_did_you_mean(o->k->ctx, slice_str(t->items[i].s), known, n_words));
        }
        conf_leave(o->k->ctx, mark);
    }
    conf_leave(o->k->ctx, top);
    return bits;
}

static uint64_t flags_of(const struct overlay *o)
{
    uint64_t flags = 0;

    for (size_t i = 0; i < ARRAY_LEN(quirk_flags); i++) {
        int v = flag_value(o->doc, quirk_flags[i].offset);

        v = v != SCHEMA_UNSET ? v : flag_value(o->cat, quirk_flags[i].offset);
        flags |= v == SCHEMA_TRUE ? quirk_flags[i].bit : 0;
    }
    return flags;
}

static void put_lists(const struct overlay *o, struct resource_quirks *q)
{
    static const char *const choices[] = {"auto", "none", "required", "named"};
    static const char *const formats[] = {"text", "json_object", "json_schema"};

    q->drop = LIST(o, drop, "drop", &q->n_drop);
    q->refuse = LIST(o, refuse, "refuse", &q->n_refuse);
    q->takes = LIST(o, takes, "takes", &q->n_takes);
    q->efforts = LIST(o, efforts, "efforts", &q->n_efforts);
    q->rename = config_compile_pairs(o->r, &giver(o, "rename")->rename, &q->n_rename);
    q->tool_choices = bits_of(o, &giver(o, "tool-choice")->tool_choice, "tool-choice", choices,
                              ARRAY_LEN(choices));
    q->formats = bits_of(o, &giver(o, "response-format")->response_format, "response-format",
                         formats, ARRAY_LEN(formats));
}

static void put_prices(const struct overlay *o, struct resource_quirks *q)
{
    size_t top = conf_enter(o->k->ctx, "peak-hours", SIZE_MAX);

    q->price_flex = (uint32_t)giver(o, "price-flex")->price_flex;
    q->price_priority = (uint32_t)giver(o, "price-priority")->price_priority;
    q->price_batch = (uint32_t)giver(o, "price-batch")->price_batch;
    q->price_fast = (uint32_t)giver(o, "price-fast")->price_fast;
    q->price_us = (uint32_t)giver(o, "price-us")->price_us;
    q->price_peak = (uint32_t)giver(o, "price-peak")->price_peak;
    q->price_write = (uint32_t)giver(o, "price-write")->price_write;
    q->price_write_long = (uint32_t)giver(o, "price-write-long")->price_write_long;
    q->price_rate = (uint32_t)giver(o, "price-rate")->price_rate;
    q->price_search = (uint32_t)giver(o, "price-search")->price_search;
    q->peak_hours = LIST(o, peak_hours, "peak-hours", &q->n_peak_hours);
    for (size_t i = 0; i < q->n_peak_hours; i++) {
        struct hours_span span;
        size_t mark = conf_enter(o->k->ctx, NULL, i);

        if (!hours_parse(slice_str(q->peak_hours[i]), &span)) {
            conf_complain(o->k->ctx, PROBLEM_ERROR,
                          giver(o, "peak-hours")->peak_hours.items[i].node, false,
                          "not hours of a day: \"01:00-04:00\"");
        }
        conf_leave(o->k->ctx, mark);
    }
    conf_leave(o->k->ctx, top);
}

// The client's key is ours, not the vendor's; the connection's headers are the proxy's.
static bool may_pass(const char *name)
{
    static const char *const never[] = {
        "authorization",  "x-api-key",    "api-key",           "x-goog-api-key",
        "cookie",         "host",         "content-length",    "connection",
        "keep-alive",     "te",           "transfer-encoding", "upgrade",
        "trailer",        "content-type", "content-encoding",  "accept",
        "accept-encoding"};

    for (const char *c = name; *c != '\0'; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');

        if (!letter && (*c < '0' || *c > '9') && *c != '-') {
            return false;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(never); i++) {
        if (slice_eq_nocase(slice_str(name), slice_str(never[i]))) {
            return false;
        }
    }
    return !slice_starts_nocase(slice_str(name), SLICE("x-sluice-")) &&
           !slice_starts_nocase(slice_str(name), SLICE("proxy-"));
}

static void put_headers(const struct overlay *o, struct resource_quirks *q)
{
    size_t top = conf_enter(o->k->ctx, "takes-headers", SIZE_MAX);

    q->takes_headers = LIST(o, takes_headers, "takes-headers", &q->n_takes_headers);
    for (size_t i = 0; i < q->n_takes_headers; i++) {
        size_t mark = conf_enter(o->k->ctx, NULL, i);

        if (!may_pass(q->takes_headers[i])) {
            conf_complain(o->k->ctx, PROBLEM_ERROR,
                          giver(o, "takes-headers")->takes_headers.items[i].node, false,
                          "this header is never passed on");
        }
        conf_leave(o->k->ctx, mark);
    }
    conf_leave(o->k->ctx, top);
}

void config_quirks_put(struct config_compile *k, const struct config_provider *p,
                       struct resource *r)
{
    static const struct schema_quirks nothing;
    struct overlay o = {k, r, p->doc == NULL ? &nothing : &p->doc->quirks,
                        p->cat == NULL ? &nothing : &p->cat->quirks};
    struct resource_quirks *q = &r->u.provider->quirks;
    size_t mark = conf_enter(k->ctx, "quirks", SIZE_MAX);

    q->flags = flags_of(&o);
    put_lists(&o, q);
    put_prices(&o, q);
    put_headers(&o, q);
    q->max_tokens_name = (uint32_t)giver(&o, "max-tokens")->max_tokens;
    q->reasoning = (uint32_t)giver(&o, "reasoning")->reasoning;
    q->reasoning_history = (uint32_t)giver(&o, "reasoning-history")->reasoning_history;
    q->temperature_min = (uint32_t)giver(&o, "temperature-min")->temperature_min;
    q->temperature_max = (uint32_t)giver(&o, "temperature-max")->temperature_max;
    q->top_p_max = (uint32_t)giver(&o, "top-p-max")->top_p_max;
    q->stop_max = (uint32_t)giver(&o, "stop-max")->stop_max;
    q->plain_max_tokens = (uint32_t)giver(&o, "max-tokens-plain")->max_tokens_plain;
    q->tool_id_length = (uint32_t)giver(&o, "tool-id-length")->tool_id_length;
    q->tool_id_exact = flag_value(giver(&o, "tool-id-exact"),
                                  offsetof(struct schema_quirks, tool_id_exact)) == SCHEMA_TRUE;
    q->tool_id_punctuation =
        config_compile_str(r, &giver(&o, "tool-id-punctuation")->tool_id_punctuation);
    q->prefill = config_compile_str(r, &giver(&o, "prefill")->prefill);
    q->greedy = config_compile_str(r, &giver(&o, "greedy")->greedy);
    q->user_min = (uint32_t)giver(&o, "user-min")->user_min;
    q->user_max = (uint32_t)giver(&o, "user-max")->user_max;
    if (q->temperature_max != 0 && q->temperature_min > q->temperature_max) {
        conf_complain(k->ctx, PROBLEM_ERROR, o.doc->node, true,
                      "temperature-min is above temperature-max");
    }
    conf_leave(k->ctx, mark);
}

// --- traits ----------------------------------------------------------------------------------

static const struct schema_traits *family_of(const struct config_compile *k, struct slice id)
{
    static const struct schema_traits nothing;

    for (size_t i = 0; i < k->catalog->families.n; i++) {
        const struct schema_family *f = k->catalog->families.items[i].value;

        for (size_t j = 0; j < f->match.n; j++) {
            if (text_glob(slice_str(f->match.items[j].s), id)) {
                return &f->traits;
            }
        }
    }
    return &nothing;
}

static struct resource_traits traits_of(struct resource *r, const struct schema_traits *own,
                                        const struct schema_traits *family)
{
    struct resource_traits t = {.flags = 0};

    for (size_t i = 0; i < ARRAY_LEN(trait_flags); i++) {
        int v = flag_value(own, trait_flags[i].offset);

        v = v != SCHEMA_UNSET ? v : flag_value(family, trait_flags[i].offset);
        t.flags |= v == SCHEMA_TRUE ? trait_flags[i].bit : 0;
    }
    t.thinking = (uint32_t)(gives(own->node, "thinking") ? own : family)->thinking;
    t.thinking_off = (uint32_t)(gives(own->node, "thinking-off") ? own : family)->thinking_off;
    t.efforts = config_compile_strs(
        r, gives(own->node, "efforts") ? &own->efforts : &family->efforts, &t.n_efforts);
    t.drop =
        config_compile_strs(r, gives(own->node, "drop") ? &own->drop : &family->drop, &t.n_drop);
    t.max_output = (uint32_t)(gives(own->node, "max-output") ? own : family)->max_output;
    return t;
}

void config_traits_put(struct config_compile *k, const struct schema_traits *own,
                       struct resource *r)
{
    r->u.model->traits = traits_of(r, own, family_of(k, slice_str(r->id)));
}

void config_families_put(struct config_compile *k, struct resource *r)
{
    static const struct schema_traits nothing;
    const struct conf_entries *all = &k->catalog->families;
    struct resource_family *out = arena_zalloc(&r->arena, (all->n + 1) * sizeof(*out));

    for (size_t i = 0; i < all->n; i++) {
        const struct schema_family *f = all->items[i].value;

        out[i].match = config_compile_strs(r, &f->match, &out[i].n_match);
        out[i].traits = traits_of(r, &f->traits, &nothing);
    }
    r->u.settings->families = out;
    r->u.settings->n_families = all->n;
    r->u.settings->prices_as_of = arena_strdup(&r->arena, k->catalog->as_of);
}
