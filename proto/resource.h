// SPDX-License-Identifier: Apache-2.0
// Resources: the small versioned objects that the control plane owns and the proxies serve from, as
// plain C structs. resource_encode/_decode turn them into the protobuf messages of sluice.proto and
// back; nobody else sees protobuf-c.
//
// A struct resource is immutable once built and ref-counted (atomic): snapshots of both planes
// share it. Everything it points to lives in its arena. Strings are NUL-terminated and valid UTF-8;
// arrays are (pointer, n_). Decoding checks every bound of this header before it allocates.
#ifndef SLUICE_PROTO_RESOURCE_H
#define SLUICE_PROTO_RESOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/secret.h"
#include "common/base/slice.h"

enum resource_kind {
    RESOURCE_PROVIDER = 1,
    RESOURCE_PROVIDER_KEY = 2,
    RESOURCE_ROUTER = 3,
    RESOURCE_KEY = 4, // virtual key
    RESOURCE_TEAM = 5,
    RESOURCE_MODEL = 6,
    RESOURCE_SETTINGS = 7, // exactly one, id "global"
    RESOURCE_USER = 8,     // who owns keys; its limits stack over them
};

#define RESOURCE_KIND_MAX   8
#define RESOURCE_ID_MAX     128u          // bytes of an id
#define RESOURCE_BYTES_MAX  (256u * 1024) // encoded size of one resource
#define RESOURCE_STRING_MAX 4096u
#define RESOURCE_LIMITS_MAX                                                                        \
    16u // limits of one key, team, user, router, of all: more are refused where
        // they are written
#define RESOURCE_ITEMS_MAX    1024u // elements of any repeated field
#define RESOURCE_ENDPOINT_MAX 8u    // balances of one router

enum resource_unit { RESOURCE_REQUESTS = 1, RESOURCE_TOKENS = 2, RESOURCE_USD = 3 };
enum resource_calendar {
    RESOURCE_ROLLING = 0,
    RESOURCE_DAY = 1,
    RESOURCE_WEEK = 2,
    RESOURCE_MONTH = 3
};

// A limit. `per_us` up to 1 h is a token bucket (capacity amount, refilled over per_us), longer
// ones and calendar ones are windows.
struct resource_limit {
    enum resource_unit unit;
    uint64_t amount; // requests, tokens, or nano-USD
    uint64_t per_us; // 0 for calendar windows
    enum resource_calendar calendar;
    const char *time_zone; // IANA name, NULL = UTC
    bool per_principal;  // one bucket for each (owner of the limit, principal); false: one for all
    int on_control_loss; // 0 = default by unit, 1 = open, 2 = closed
};

struct resource_pair {
    const char *name, *value;
};

enum resource_state { RESOURCE_ACTIVE = 0, RESOURCE_DISABLED = 1 };

enum resource_probe { RESOURCE_PROBE_OFF = 0, RESOURCE_PROBE_MODELS = 1, RESOURCE_PROBE_TCP = 2 };

// --- what a vendor's API does otherwise than the dialect it speaks. All zero: nothing. What each
// key means, and who needs it, is in the table of proto/config/schema_quirks.c, that is, in
// docs/configuration.md (providers.*.quirks).

// Bits of resource_quirks.flags.
enum resource_quirk {
    RESOURCE_NO_DEVELOPER_ROLE = 1 << 0,     // role developer becomes system
    RESOURCE_NO_MESSAGE_NAMES = 1 << 1,      // messages[].name goes
    RESOURCE_ALTERNATE_ROLES = 1 << 2,       // neighbours of one role are joined
    RESOURCE_LAST_USER = 1 << 3,             // the last message must be user's or a tool's
    RESOURCE_FLATTEN_TEXT = 1 << 4,          // content that is all text parts becomes one string
    RESOURCE_NO_IMAGES = 1 << 5,             // input parts it cannot take
    RESOURCE_NO_FILES = 1 << 6,              //
    RESOURCE_NO_AUDIO = 1 << 7,              //
    RESOURCE_IMAGE_DATA_ONLY = 1 << 8,       // images as data: URLs only
    RESOURCE_NO_TOOL_STRICT = 1 << 9,        // tools[].function.strict goes
    RESOURCE_SCHEMA_STRICT = 1 << 10,        // a json_schema needs strict: true
    RESOURCE_TAKES_CACHE_CONTROL = 1 << 11,  // cache_control marks on parts may stay
    RESOURCE_REASONING_CUMULATIVE = 1 << 13, // streamed reasoning_details repeat what came before
    RESOURCE_SPLIT_THINK = 1 << 14,          // <think>...</think> at the start of content
    RESOURCE_REPORTS_COST = 1 << 16,         // its own figure of what a request cost is believed
    RESOURCE_FORCED_UNREASONED = 1 << 17,    // a forced tool is refused while it reasons
    RESOURCE_NORMALIZE = 1 << 18,            // answers are written anew in OpenAI's own form
};

enum resource_max_tokens { // the name of the bound of an answer
    RESOURCE_MAX_TOKENS = 0,
    RESOURCE_MAX_COMPLETION_TOKENS = 1,
    RESOURCE_MAX_TOKENS_EITHER = 2,
};

enum resource_reasoning {                   // how reasoning is asked for
    RESOURCE_REASONING_EFFORT = 0,          // reasoning_effort
    RESOURCE_REASONING_NONE = 1,            // not at all
    RESOURCE_REASONING_THINKING = 2,        // thinking: {type: enabled | disabled}
    RESOURCE_REASONING_THINKING_BUDGET = 3, // the same with budget_tokens
    RESOURCE_REASONING_ENABLE = 4,          // enable_thinking, thinking_budget
    RESOURCE_REASONING_OBJECT = 5,          // reasoning: {effort | max_tokens | enabled}
    RESOURCE_REASONING_TEMPLATE = 6,        // chat_template_kwargs: {enable_thinking}
    RESOURCE_REASONING_SPLIT = 7,           // reasoning_split: true
};

enum resource_reasoning_history { // where earlier reasoning goes
    RESOURCE_HISTORY_DROP = 0,
    RESOURCE_HISTORY_REASONING_CONTENT = 1,
    RESOURCE_HISTORY_REASONING = 2,
    RESOURCE_HISTORY_REASONING_DETAILS = 3,
    RESOURCE_HISTORY_PARTS = 4, // {type: thinking} parts of content (Mistral)
};

// Bits of resource_quirks.tool_choices and .formats; 0 there: all.
enum resource_tool_choice {
    RESOURCE_CHOICE_AUTO = 1 << 0,
    RESOURCE_CHOICE_NONE = 1 << 1,
    RESOURCE_CHOICE_REQUIRED = 1 << 2,
    RESOURCE_CHOICE_NAMED = 1 << 3,
};
enum resource_format {
    RESOURCE_FORMAT_TEXT = 1 << 0,
    RESOURCE_FORMAT_JSON_OBJECT = 1 << 1,
    RESOURCE_FORMAT_JSON_SCHEMA = 1 << 2,
};

struct resource_quirks {
    uint64_t flags; // enum resource_quirk
    const char *const *drop;
    size_t n_drop; // members of a request that go, and are named to the client
    const char *const *refuse;
    size_t n_refuse; // members that are a 400 here (n: other than 1)
    const char *const *takes;
    size_t n_takes; // members beyond OpenAI's that it understands ("top_k")
    const struct resource_pair *rename;
    size_t n_rename; // members under another name: {"seed", "random_seed"}
    const char *const *efforts;
    size_t n_efforts;                // values of reasoning_effort it takes; none = all
    uint32_t tool_choices;           // enum resource_tool_choice; 0 = all
    uint32_t formats;                // enum resource_format; 0 = all
    uint32_t max_tokens_name;        // enum resource_max_tokens
    uint32_t reasoning;              // enum resource_reasoning
    uint32_t reasoning_history;      // enum resource_reasoning_history
    uint32_t temperature_min;        // thousandths; smaller ones are raised
    uint32_t temperature_max;        // thousandths; larger ones are lowered; 0 = no bound
    uint32_t top_p_max;              // thousandths; 0 = no bound
    uint32_t stop_max;               // most stop sequences; 0 = no bound
    uint32_t plain_max_tokens;       // most max_tokens of a request that is no stream; 0 = no bound
    uint32_t tool_id_length;         // most characters of a tool-call id; 0 = ids as they are
    bool tool_id_exact;              // exactly so many
    const char *tool_id_punctuation; // what an id may hold beyond [A-Za-z0-9]; NULL = nothing
    const char *prefill;             // set to true in a last message of the assistant; NULL
    const char *greedy;              // set to false in place of a temperature of 0; NULL
    uint32_t user_min, user_max;     // characters of `user`; others go. 0 = no bound
    // What a request costs in a tier of service, in thousandths of the standard one; 0 = nobody
    // knows. price_us: where it was bound to stay in the US, the same; price_peak: in peak_hours;
    // 0 = as ever.
    uint32_t price_flex, price_priority, price_batch, price_fast, price_us, price_peak;
    uint32_t price_write, price_write_long; // a token written to a cache, of input; 0 = as input
    uint32_t price_rate;   // all of the catalogue's prices, in thousandths; 0 = as they are
    uint32_t price_search; // 1000 web searches, thousandths of a USD; 0 = nobody knows
    const char *const *peak_hours;
    size_t n_peak_hours; // proto/hours.h
    const char *const *takes_headers;
    size_t n_takes_headers; // of the client's headers these reach it
};

// --- what a model can do, as far as requests must be written differently for it

// Bits of resource_traits.flags. All zero: it takes what its dialect has.
enum resource_trait {
    RESOURCE_NO_TOOLS = 1 << 0,
    RESOURCE_NO_SCHEMA = 1 << 1,            // no native JSON schema: by a tool instead
    RESOURCE_NO_SAMPLING = 1 << 2,          // refuses temperature, top_p (and top_k)
    RESOURCE_NO_FORCED_TOOLS = 1 << 3,      // tool_choice auto and none only
    RESOURCE_NO_PREFILL = 1 << 4,           // the last message cannot be the assistant's
    RESOURCE_ONE_SAMPLING = 1 << 5,         // temperature or top_p, not both
    RESOURCE_COMPLETION_TOKENS = 1 << 6,    // max_completion_tokens, never max_tokens
    RESOURCE_RESPONSES_ONLY = 1 << 7,       // not in Chat Completions
    RESOURCE_TOOLS_BY_RESPONSES = 1 << 8,   // with tools and reasoning: only by /responses
    RESOURCE_SYSTEM_ANYWHERE = 1 << 9,      // Anthropic: role system inside messages
    RESOURCE_SAMPLING_UNREASONED = 1 << 10, // takes sampling when reasoning_effort is none
    RESOURCE_STREAM_ONLY = 1 << 11,         // answers streams only
    RESOURCE_OLD_SCHEMA = 1 << 12,          // Gemini before 2.5: responseSchema, no JSON schema
    RESOURCE_TOOLS_NO_EFFORT = 1 << 13,     // with tools: no reasoning_effort but none
    RESOURCE_NO_COMPLETIONS = 1 << 14,      // not in Completions of old: they go as chats
};

enum resource_thinking {
    RESOURCE_THINKING_UNKNOWN = 0,
    RESOURCE_THINKING_NONE = 1,
    RESOURCE_THINKING_MANUAL = 2,   // {type: enabled}, at Anthropic with budget_tokens; no effort
    RESOURCE_THINKING_ADAPTIVE = 3, // Anthropic: {type: adaptive}, output_config.effort
    RESOURCE_THINKING_BUDGET = 4,   // Gemini 2.5: thinkingBudget
    RESOURCE_THINKING_LEVEL = 5,    // Gemini 3: thinkingLevel
    RESOURCE_THINKING_EFFORT = 6,   // reasoning_effort
    RESOURCE_THINKING_PROMPT = 7,   // Mistral's Magistral: prompt_mode: reasoning
};

enum resource_thinking_off { // how it is switched off
    RESOURCE_OFF_OMIT = 0,   // by not asking for it
    RESOURCE_OFF_DISABLED = 1,
    RESOURCE_OFF_BETWEEN_TOOLS = 2,
    RESOURCE_OFF_NEVER = 3, // always on: the lowest effort
};

struct resource_traits {
    uint64_t flags;        // enum resource_trait
    uint32_t thinking;     // enum resource_thinking
    uint32_t thinking_off; // enum resource_thinking_off
    const char *const *efforts;
    size_t n_efforts; // it takes, lowest first; none = all
    const char *const *drop;
    size_t n_drop;       // members of a request that it refuses
    uint32_t max_output; // tokens, of models that are not listed; 0 = unknown
};

// Traits by name, for models that the catalogue does not list one by one ("gpt-5-2025-08-07").
struct resource_family {
    const char *const *match;
    size_t n_match; // globs of ids
    struct resource_traits traits;
};

// A provider: id = its name ("openai").
struct resource_provider {
    const char *dialect;      // "openai", "anthropic", "gemini", ...
    const char *base_url;     // complete, ends in '/': "https://api.openai.com/v1/"
    const char *raw_url;      // base of /{provider}/REST, ends in '/'
    const char *auth_header;  // "authorization", "x-api-key", ...
    const char *auth_scheme;  // "Bearer" or "" (value alone)
    const char *key_variable; // "OPENAI_API_KEY": what to name when it has no key; may be NULL
    bool needs_key;           // false: local servers
    bool no_stream_options;   // quirk: refuses stream_options.include_usage
    const char *const *models;
    size_t n_models; // globs of model ids it takes; none = all
    const struct resource_pair *headers;
    size_t n_headers; // added to every request
    const struct resource_pair *query;
    size_t n_query;
    enum resource_probe probe; // what the control plane asks
    uint64_t probe_interval_us;
    struct resource_quirks quirks;
    const struct resource_pair *paths;
    size_t n_paths; // endpoint ("embeddings") -> path below base_url where it is not the dialect's;
                    // "" = it has no such endpoint
    const struct resource_pair *limit_headers;
    size_t n_limit_headers; // OpenAI's name of a limit header -> this vendor's, lower case
};

// A provider key: id random; parent = provider name.
struct resource_provider_key {
    const char *provider;
    const char *name;
    struct secret *value; // owned reference; NULL in listings
    uint32_t weight;      // >= 1
    enum resource_state state;
    const char *origin; // "api" "file" "env"
    const char *hint;   // "...abcd"
};

enum resource_strategy {
    RESOURCE_LATENCY = 1,
    RESOURCE_WEIGHTED = 2,
    RESOURCE_MODEL_WEIGHTED = 3,
    RESOURCE_MODEL_LATENCY = 4,
    RESOURCE_PRIORITY = 5,
    RESOURCE_COST = 6,
    RESOURCE_LEAST_BUSY = 7,
};

struct resource_target {
    const char *provider;
    const char *model; // provider's model id; NULL: the requested one, mapped where needed
    uint32_t weight;   // thousandths; 1000 by default
};

// How one endpoint type is balanced.
struct resource_balance {
    const char *endpoint; // "chat", "embeddings", "completions", "any"
    enum resource_strategy strategy;
    const struct resource_target *targets;
    size_t n_targets;
};

struct resource_cache {
    bool present; // the section exists
    bool enabled;
    const char *directive; // Cache-Control syntax, e.g. "max-age=3600"; may be NULL
    uint32_t buckets;      // >= 1
    const char *seed;      // may be NULL
    int scope;             // 0 team (default), 1 key, 2 router
};

// 0 in any field: the value of the settings.
struct resource_timeouts {
    uint64_t total_us, connect_us, first_byte_us, idle_us, hold_us;
};

struct resource_mapping {
    const char *from; // model as asked for
    const char *const *to;
    size_t n_to; // equivalents, best first ("provider/model" or bare)
};

// A router: id = its name.
struct resource_router {
    const struct resource_balance *balances;
    size_t n_balances; // <= RESOURCE_ENDPOINT_MAX
    const struct resource_target *fallbacks;
    size_t n_fallbacks;
    uint32_t max_attempts; // 0 = default
    struct resource_cache cache;
    const struct resource_limit *limits;
    size_t n_limits;
    struct resource_timeouts timeouts;
    const struct resource_mapping *mappings;
    size_t n_mappings;
    bool forward_unknown, drop_unsupported;
    const char *origin; // "file" or "api"
    const char *where;  // "ai-gateway-config.yaml:2" when from a file
};

// A virtual key: id = the public id inside sk-sluice-<id>-<secret>.
struct resource_key {
    uint8_t hash[32]; // keyed BLAKE2b of the secret part (key: settings.key_hash_key)
    const char *name, *owner, *team; // owner, team may be NULL
    enum resource_state state;
    uint64_t expires_wall_us; // 0 = never
    uint64_t created_wall_us;
    const char *const *models;
    size_t n_models; // globs; none = nothing allowed, "*" = all
    const char *const *routers;
    size_t n_routers; // globs of router names; unified API = "ai"
    const struct resource_limit *limits;
    size_t n_limits;
    const struct resource_pair *metadata;
    size_t n_metadata;
    const char *origin;
    // After a rotation with a grace period: the hash of the secret before it, accepted until then.
    struct slice previous_hash;      // 32 bytes or none
    uint64_t previous_until_wall_us; // 0 = there is none
};

// A team: id = what the keys in it have in `team`.
struct resource_team {
    const char *name;
    const struct resource_limit *limits;
    size_t n_limits;
};

// A user: id = what the keys of that user have in `owner`.
struct resource_user {
    const char *name;
    const struct resource_limit *limits;
    size_t n_limits;
};

// Prices that hold for the whole request when its prompt (cached part included) is longer.
// UINT64_MAX: unknown.
struct resource_price_tier {
    uint64_t above; // tokens of the prompt; strictly more
    uint64_t input, cached, cache_write, output;
    uint64_t cache_write_long; // 0: as in the record
};

// Prices in 1e-12 USD per token; UINT64_MAX = unknown (unpriced), never 0 for unknown. Those that
// are 0 where it says so have no price of their own. dataplane/price.h says what a request costs.
struct resource_price {
    uint64_t input, cached, cache_write, output;
    uint64_t cache_write_long; // kept longer (Anthropic 1 h, OpenAI 12 h); 0: as cache_write
    uint64_t reasoning;        // 0: as output
    uint64_t audio_input, audio_output, image_output; // 0: as text
    const struct resource_price_tier *tiers;
    size_t n_tiers; // by `above`, rising
};

// The prices from a day on.
struct resource_price_change {
    uint64_t from_wall_us;
    struct resource_price price;
};

struct resource_model_at {
    const char *provider; // provider name
    const char *id;       // its id there
    struct resource_price price;
    const struct resource_price_change *changes;
    size_t n_changes; // by time, rising
};

// A model of the catalogue: id = its canonical bare name ("gpt-4o-mini").
struct resource_model {
    const struct resource_model_at *at;
    size_t n_at; // where it is served, best first
    const char *const *equivalents;
    size_t n_equivalents; // canonical names, best first
    const char *const *aliases;
    size_t n_aliases;
    const char *const *modalities;
    size_t n_modalities;          // "text", "image", ...
    uint32_t context, max_output; // tokens; 0 = unknown
    const char *kind;             // "chat", "embeddings", ...
    const char *const *outputs;
    size_t n_outputs;              // "text", "image", ...; none = text
    uint64_t released_wall_us;     // 0 = unknown
    struct resource_traits traits; // its family's, and its own
};

enum resource_auth_mode {
    RESOURCE_AUTH_DEFAULT = 0,
    RESOURCE_AUTH_OPTIONAL = 1,
    RESOURCE_AUTH_REQUIRED = 2,
    RESOURCE_AUTH_OFF = 3
};

struct resource_settings {
    enum resource_auth_mode auth_mode; // DEFAULT: by the proxy's listening address
    uint8_t key_hash_key[32];          // secret; keys the hashes of virtual keys
    struct resource_timeouts
        timeouts; // total 15 m, connect 10 s, first byte 0 = none, idle 0 = none, hold 15 s
    uint64_t default_rtt_us, decay_us; // latency strategy: 250 ms, 30 s
    uint64_t ejection_us;              // 30 s
    uint32_t max_attempts;             // per request, default 5
    const struct resource_mapping *mappings;
    size_t n_mappings;           // default-model-mapping
    struct resource_cache cache; // global: for every router without its own
    uint64_t cache_bytes;        // in-memory store, bytes; 0 = off
    const struct resource_limit *limits;
    size_t n_limits; // global: per principal over everything
    struct resource_cache unified_cache;
    const struct resource_limit *unified_limits;
    size_t n_unified_limits;
    const char *default_router; // NULL: the unified API
    uint64_t max_stale_us;      // control.max-stale; 0 = never
    const struct resource_family *families;
    size_t n_families;        // the first that matches an id counts
    const char *prices_as_of; // "2026-11-22"; NULL = unknown
};

struct resource {
    _Atomic uint32_t refs;
    enum resource_kind kind;
    const char *id;     // <= RESOURCE_ID_MAX bytes
    const char *parent; // id of the parent or NULL
    uint64_t version;   // counts changes of this resource from 1
    union {             // by kind
        struct resource_provider *provider;
        struct resource_provider_key *provider_key;
        struct resource_router *router;
        struct resource_key *key;
        struct resource_team *team;
        struct resource_model *model;
        struct resource_settings *settings;
        struct resource_user *user;
    } u;
    uint64_t reserved;  // zero; what follows begins at a multiple of 16
    struct arena arena; // owns everything above that does not lie behind the struct itself
};

// A resource with a zeroed payload of its kind and one reference; fill it from its arena, then
// treat it as const.
struct resource *resource_new(enum resource_kind kind, struct slice id, uint64_t version);
struct resource *resource_ref(struct resource *r);
// Frees at the last reference (a provider key's secret and the hash key are wiped). *r becomes
// NULL; NULL allowed. Any thread.
void resource_unref(struct resource **r);

// Appends the protobuf encoding. The caller wipes the buffer where the kind holds secrets.
void resource_encode(const struct resource *r, struct buf *out);
// One reference, or NULL with *e naming the field. Enforces every bound above.
MUST_CHECK struct resource *resource_decode(struct slice bytes, struct err *e);
// Order-free contribution to a state digest: a 64-bit hash of kind, id and version; digests are
// XORs.
uint64_t resource_digest(enum resource_kind kind, struct slice id, uint64_t version);
// "provider", "provider_key", ...: static.
const char *resource_kind_name(enum resource_kind kind);

#endif
