// SPDX-License-Identifier: Apache-2.0
// The tables of providers and models: those of the document and of the catalogue's files.
#include "proto/config/schema.h"

#define SEC ((uint64_t)1000000)
#define DAY (86400 * SEC)

#define TABLE(x, type, ...)                                                                        \
    static const struct conf_table x##_table = {.name = #x,                                        \
                                                .size = sizeof(type),                              \
                                                .fields = x##_fields,                              \
                                                .n = ARRAY_LEN(x##_fields),                        \
                                                __VA_ARGS__}
#define AT(type, member) .offset = offsetof(struct type, member)

// One field, one paragraph: the tables are laid out by hand.
// clang-format off

// --- providers -----------------------------------------------------------------------------------

static const struct conf_field auth_header_fields[] = {
    {.key = "header", .type = CONF_STRING, AT(schema_auth_header, header), .reload = true,
     .help = "Header that carries the key. Default: `authorization`."},
    {.key = "scheme", .type = CONF_STRING, AT(schema_auth_header, scheme), .reload = true,
     .help = "Word in front of the key; `\"\"` for the key alone. Default: `Bearer`, with another "
     "header the key alone."},
};
TABLE(auth_header, struct schema_auth_header, .help = "How a key is sent to the provider.");

static const struct conf_field provider_key_fields[] = {
    {.key = "env", .type = CONF_STRING, AT(schema_provider_key, env), .reload = true,
     .help = "Environment variable that holds the key."},
    {.key = "file", .type = CONF_STRING, AT(schema_provider_key, file), .reload = true,
     .help = "File that holds the key."},
    {.key = "value", .type = CONF_SECRET, AT(schema_provider_key, value), .reload = true,
     .help = "The key itself, as `${NAME}` or `file:/path`; keys written into the file end up in "
     "backups."},
    {.key = "name", .type = CONF_STRING, AT(schema_provider_key, name), .reload = true,
     .help = "Name of this key in the admin API. Default: the variable or `key-N`."},
    {.key = "weight", .type = CONF_INT, AT(schema_provider_key, weight), .reload = true, .def = "1",
     .min = 1, .max = 1000000, .help = "Its share of the requests, relative to the other keys."},
};
TABLE(provider_key, struct schema_provider_key, .shorthand = "value",
      .help =
          "Keys of the provider, a pool: each has its own weight, health and cool-down. Exactly "
          "one of `env`, `file` and `value`. Without this list `<PROVIDER>_API_KEY` is taken "
          "from the environment (Gemini: `GEMINI_API_KEY` or `GOOGLE_API_KEY`).");

static const struct conf_word probes[] = {{"off", SCHEMA_PROBE_OFF},
                                          {"models", SCHEMA_PROBE_MODELS},
                                          {"tcp", SCHEMA_PROBE_TCP},
                                          {NULL, 0}};
static const struct conf_field probing_fields[] = {
    {.key = "probe", .type = CONF_ENUM, AT(schema_probing, probe), .reload = true, .words = probes,
     .help = "What the control plane asks to see if the provider is there: its list of models, or "
     "only a connection. Default: `models` for a provider of this file that needs no key "
     "(self-hosted), else `off`."},
    {.key = "interval", .type = CONF_DURATION, AT(schema_probing, interval_us), .reload = true,
     .def = "15s", .min = SEC, .max = DAY, .help = "Time between two probes."},
};
TABLE(probing, struct schema_probing,
      .help = "Active probes, by one control plane for all. They are hints: a good one ends the "
              "ejection of the provider's targets early, a bad one ejects nothing.");

static const struct conf_field limit_names_fields[] = {
    {.key = "limit", .type = CONF_STRING, AT(schema_limit_names, limit), .reload = true,
     .help = "Header with the whole limit."},
    {.key = "remaining", .type = CONF_STRING, AT(schema_limit_names, remaining), .reload = true,
     .help = "Header with what is left."},
    {.key = "reset", .type = CONF_STRING, AT(schema_limit_names, reset), .reload = true,
     .help = "Header with the time until it is whole again, in any usual form."},
};
TABLE(limit_names, struct schema_limit_names, .help = "Headers of one counter.");

static const struct conf_field limit_headers_fields[] = {
    {.key = "requests", .type = CONF_SECTION, AT(schema_limit_headers, requests),
     .table = &limit_names_table, .reload = true, .help = ""},
    {.key = "tokens", .type = CONF_SECTION, AT(schema_limit_headers, tokens),
     .table = &limit_names_table, .reload = true, .help = ""},
};
TABLE(limit_headers, struct schema_limit_headers,
      .help = "Headers of an answer that say what is left of the provider's own limits. OpenAI's, "
              "Anthropic's and other usual names are looked for in any case.");

static const struct conf_field dialect_fields[] = {
    {.key = "base-url", .type = CONF_STRING, AT(schema_dialect, base_url), .reload = true,
     .help = "As `base-url` of the provider."},
    {.key = "path", .type = CONF_STRING, AT(schema_dialect, path), .reload = true,
     .help = "As `path` of the provider."},
    {.key = "auth", .type = CONF_SECTION, AT(schema_dialect, auth), .table = &auth_header_table,
     .reload = true, .help = ""},
};
TABLE(dialect, struct schema_dialect,
      .help = "The provider's API in other dialects than its first: taken when `dialect` names one, "
              "so that `{deepseek: {dialect: anthropic}}` needs no address.");

static const struct conf_field provider_fields[] = {
    {.key = "dialect", .type = CONF_STRING, AT(schema_provider, dialect), .reload = true,
     .help = "Wire format: `openai`, `anthropic`, `gemini` or `ollama`. Default: the catalogue's, else "
     "`openai`."},
    {.key = "base-url", .type = CONF_STRING, AT(schema_provider, base_url), .reload = true,
     .help = "What `chat/completions` is appended to. If its path is empty or `/`, `path` is put "
     "in; a slash at the end does not matter. Needed for a provider that the catalogue does "
     "not know."},
    {.key = "raw-url", .type = CONF_STRING, AT(schema_provider, raw_url), .reload = true,
     .help = "What the rest of `/{provider}/REST` is appended to. Default: `base-url` less `path`."},
    {.key = "path", .type = CONF_STRING, AT(schema_provider, path), .reload = true,
     .help = "The path of the API below the host. Default: the catalogue's, else `v1/`."},
    {.key = "auth", .type = CONF_SECTION, AT(schema_provider, auth), .table = &auth_header_table,
     .reload = true, .help = ""},
    {.key = "keys", .type = CONF_LIST, AT(schema_provider, keys), .table = &provider_key_table,
     .reload = true, .help = ""},
    {.key = "key-variables", .type = CONF_STRINGS, AT(schema_provider, key_variables),
     .reload = true,
     .help = "Variables looked at when there is no `keys` list; the first that is set counts."},
    {.key = "key-required", .type = CONF_ENUM, AT(schema_provider, key_required), .words = schema_yes_no,
     .reload = true,
     .help = "Whether the provider is left out of routing while it has no key. Default: the "
     "catalogue's; for others true if `keys` is given."},
    {.key = "models", .type = CONF_STRINGS, AT(schema_provider, models), .reload = true,
     .help = "Models it takes, `*` in a name matches anything. Default: all."},
    {.key = "headers", .type = CONF_PAIRS, AT(schema_provider, headers), .reload = true,
     .help = "Headers added to every request."},
    {.key = "query", .type = CONF_PAIRS, AT(schema_provider, query), .reload = true,
     .help = "Query parameters added to every routed request; raw paths keep the client's as they are."},
    {.key = "version", .type = CONF_STRING, AT(schema_provider, version), .reload = true,
     .help = "API version; sent in `version-header`."},
    {.key = "version-header", .type = CONF_STRING, AT(schema_provider, version_header),
     .reload = true, .help = "Header for `version`. Default: the catalogue's."},
    {.key = "stream-options", .type = CONF_ENUM, AT(schema_provider, stream_options),
     .words = schema_yes_no, .reload = true,
     .help = "Whether it understands `stream_options.include_usage`. Default: the catalogue's, else "
     "true."},
    {.key = "health", .type = CONF_SECTION, AT(schema_provider, health), .table = &probing_table,
     .reload = true, .help = ""},
    {.key = "aliases", .type = CONF_STRINGS, AT(schema_provider, aliases), .reload = true,
     .help = "Other names for it in this file (the catalogue has `google` for `gemini`)."},
    {.key = "model-names", .type = CONF_STRINGS, AT(schema_provider, model_names), .reload = true,
     .help = "Bare model names that are this provider's although the catalogue does not list them; "
     "`*` matches anything."},
    {.key = "quirks", .type = CONF_SECTION, AT(schema_provider, quirks),
     .table = &schema_quirks_table, .reload = true, .help = ""},
    {.key = "paths", .type = CONF_PAIRS, AT(schema_provider, paths), .reload = true,
     .help = "Paths below `base-url` that are not the dialect's, by endpoint (`chat`, `completions`, "
     "`embeddings`, `responses`, `messages`, `rerank`, `count_tokens`: OpenAI's `responses/input_tokens`); "
     "`\"\"`: it has no such endpoint "
     "(completions then go as chats, where the dialect is OpenAI's)."},
    {.key = "limit-headers", .type = CONF_SECTION, AT(schema_provider, limit_headers),
     .table = &limit_headers_table, .reload = true, .help = ""},
    {.key = "dialects", .type = CONF_MAP, AT(schema_provider, dialects), .table = &dialect_table,
     .reload = true, .help = ""},
    {.key = "only-when-named", .type = CONF_BOOL, AT(schema_provider, only_when_named)},
    {.key = "only-with-key", .type = CONF_BOOL, AT(schema_provider, only_with_key)},
    {.key = "title", .type = CONF_STRING, AT(schema_provider, title)},
    {.key = "notes", .type = CONF_STRING, AT(schema_provider, notes)},
};
const struct conf_table schema_provider_table = {
    .name = "provider",
    .size = sizeof(struct schema_provider),
    .fields = provider_fields,
    .n = ARRAY_LEN(provider_fields),
    .help =
        "Providers by name. What the catalogue knows need not be said; a name of your own makes "
        "a new provider. A name must not be the first part of a path of the data plane (`v1`, "
        "`ai`, `router`, `api`, `health`, ...).",
};

// --- models --------------------------------------------------------------------------------------

#define PRICE(of, k, m, h)                                                                         \
    {                                                                                              \
        .key = k, .type = CONF_DECIMAL, .scale = 6, AT(of, m), .max = 1000000000000,             \
        .reload = true, .help = h                                                                  \
    }
static const struct conf_field tier_fields[] = {
    {.key = "above", .type = CONF_INT, AT(schema_tier, above), .required = true, .min = 1,
     .max = UINT32_MAX, .reload = true,
     .help = "Tokens of the prompt, the cached ones included; strictly more."},
    PRICE(schema_tier, "input", input, "As above."),
    PRICE(schema_tier, "cached", cached, "As above."),
    PRICE(schema_tier, "cache-write", cache_write, "As above."),
    PRICE(schema_tier, "cache-write-long", cache_write_long, "As above."),
    PRICE(schema_tier, "output", output, "As above."),
};
TABLE(tier, struct schema_tier,
      .help = "Prices of the whole request when its prompt is longer than `above`.");

static const struct conf_field price_fields[] = {
    PRICE(schema_price, "input", input, "USD for 1,000,000 prompt tokens."),
    PRICE(schema_price, "cached", cached,
          "The same, for tokens read from the provider's cache. Default: `input`."),
    PRICE(schema_price, "cache-write", cache_write,
          "The same, for tokens written to it. Default: `input`."),
    PRICE(schema_price, "cache-write-long", cache_write_long,
          "The same, where they are kept longer (Anthropic: 1 h). Default: `cache-write`."),
    PRICE(schema_price, "output", output, "USD for 1,000,000 generated tokens."),
    PRICE(schema_price, "reasoning", reasoning,
          "The same, for tokens of reasoning. Default: `output`."),
    PRICE(schema_price, "audio-input", audio_input,
          "The same, for audio in the prompt. Default: `input`."),
    PRICE(schema_price, "audio-output", audio_output,
          "The same, for generated audio. Default: `output`."),
    PRICE(schema_price, "image-output", image_output,
          "The same, for generated images. Default: `output`."),
    {.key = "tiers", .type = CONF_LIST, AT(schema_price, tiers), .table = &tier_table, .max = 8,
     .reload = true, .help = ""},
};
TABLE(price, struct schema_price,
      .help = "`input` or `output` that is not given is unknown, not free: a request that uses it is "
              "unpriced.");

static const struct conf_field price_change_fields[] = {
    {.key = "from", .type = CONF_STRING, AT(schema_price_change, from), .required = true,
     .reload = true, .help = "Day (UTC) from which they hold, as `2026-12-01`."},
    {.key = "price", .type = CONF_SECTION, AT(schema_price_change, price), .table = &price_table,
     .reload = true, .help = ""},
};
TABLE(price_change, struct schema_price_change, .help = "Prices from a day on, in order of days.");

static const struct conf_field model_at_fields[] = {
    {.key = "provider", .type = CONF_STRING, AT(schema_model_at, provider), .required = true,
     .reload = true, .help = "Name of the provider."},
    {.key = "id", .type = CONF_STRING, AT(schema_model_at, id), .reload = true,
     .help = "Its id there. Default: the model's name."},
    {.key = "price", .type = CONF_SECTION, AT(schema_model_at, price), .table = &price_table,
     .reload = true, .help = ""},
    {.key = "changes", .type = CONF_LIST, AT(schema_model_at, changes),
     .table = &price_change_table, .max = 8, .reload = true, .help = ""},
};
TABLE(model_at, struct schema_model_at, .shorthand = "provider",
      .help = "Where the model is served, best first. Required for a model that the catalogue does not "
              "have.");

static const struct conf_field model_fields[] = {
    {.key = "at", .type = CONF_LIST, AT(schema_model, at), .table = &model_at_table,
     .reload = true, .help = ""},
    {.key = "equivalents", .type = CONF_STRINGS, AT(schema_model, equivalents), .reload = true,
     .help = "Models that stand in for it at providers that lack it, best first."},
    {.key = "aliases", .type = CONF_STRINGS, AT(schema_model, aliases), .reload = true,
     .help = "Other names that clients may use."},
    {.key = "modalities", .type = CONF_STRINGS, AT(schema_model, modalities), .reload = true,
     .help = "What it takes: `text`, `image`, `audio`, `video`, `file`."},
    {.key = "outputs", .type = CONF_STRINGS, AT(schema_model, outputs), .reload = true,
     .help = "What it answers with. Default: `text`."},
    {.key = "context", .type = CONF_INT, AT(schema_model, context), .max = UINT32_MAX,
     .reload = true, .help = "Context window in tokens; 0: unknown."},
    {.key = "max-output", .type = CONF_INT, AT(schema_model, max_output), .max = UINT32_MAX,
     .reload = true, .help = "Most tokens it generates; 0: unknown."},
    {.key = "kind", .type = CONF_STRING, AT(schema_model, kind), .def = "chat", .reload = true,
     .help = "`chat`, `embeddings`, ..."},
    {.key = "released", .type = CONF_STRING, AT(schema_model, released), .reload = true,
     .help = "Day of its release, as `2026-11-17`; shown as `created`."},
    {.key = "traits", .type = CONF_SECTION, AT(schema_model, traits), .table = &schema_traits_table,
     .reload = true, .help = ""},
};
const struct conf_table schema_model_table = {
    .name = "model",
    .size = sizeof(struct schema_model),
    .fields = model_fields,
    .n = ARRAY_LEN(model_fields),
    .help =
        "Models by name, in addition to the catalogue's. A key that is given here goes before the "
        "catalogue's of a model of the same name, a list replaces its list; a new model needs `at`.",
};
