// SPDX-License-Identifier: Apache-2.0
// The configuration document as structs, and the tables that fill them (common/base/conf.h). The
// catalogue's files use the tables of providers and models, too. Strings and nodes live in the
// arena the document was read with. What fields mean is in the tables' help texts, that is, in
// docs/configuration.md.
#ifndef SLUICE_PROTO_CONFIG_SCHEMA_H
#define SLUICE_PROTO_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/boot.h"
#include "common/base/conf.h"

// --- providers and models
// -------------------------------------------------------------------------

struct schema_auth_header {
    const struct node *node;
    struct conf_text header, scheme;
};

struct schema_provider_key { // one of env, file, value
    const struct node *node;
    struct conf_text env, file, value, name;
    uint64_t weight;
};

enum schema_probe { SCHEMA_PROBE_DEFAULT, SCHEMA_PROBE_OFF, SCHEMA_PROBE_MODELS, SCHEMA_PROBE_TCP };

struct schema_probing {
    const struct node *node;
    int probe;
    uint64_t interval_us;
};

enum schema_bool { SCHEMA_UNSET, SCHEMA_FALSE, SCHEMA_TRUE };
extern const struct conf_word schema_yes_no[];

struct schema_quirks { // int: enum schema_bool where it is no enum of resource.h
    const struct node *node;
    struct conf_texts drop, refuse, takes, tool_choice, response_format, efforts, peak_hours,
        takes_headers;
    struct conf_entries rename; // conf_text
    int max_tokens, reasoning, reasoning_history;
    uint64_t max_tokens_plain, stop_max, tool_id_length, user_min, user_max;
    uint64_t temperature_min, temperature_max, top_p_max; // thousandths
    uint64_t price_flex, price_priority, price_batch, price_fast, price_us, price_peak, price_write,
        price_write_long, price_rate, price_search;
    struct conf_text prefill, greedy, tool_id_punctuation;
    int schema_strict, no_tool_strict, no_developer_role, no_message_names, alternate_roles,
        last_user, flatten_text, no_images, image_data_only, no_files, no_audio, tool_id_exact,
        takes_cache_control, reasoning_cumulative, split_think, reports_cost, forced_unreasoned,
        normalize;
};

struct schema_traits {
    const struct node *node;
    int thinking, thinking_off;
    struct conf_texts efforts, drop;
    uint64_t max_output;
    int no_tools, no_schema, no_sampling, sampling_unreasoned, one_sampling, no_forced_tools,
        no_prefill, completion_tokens, responses_only, tools_by_responses, system_anywhere,
        stream_only, old_schema, tools_no_effort, no_completions;
};

struct schema_family { // catalogue
    const struct node *node;
    struct conf_texts match;
    struct schema_traits traits;
};

struct schema_limit_names {
    const struct node *node;
    struct conf_text limit, remaining, reset;
};

struct schema_limit_headers {
    const struct node *node;
    struct schema_limit_names requests, tokens;
};

// The same provider in another dialect.
struct schema_dialect {
    const struct node *node;
    struct conf_text base_url, path;
    struct schema_auth_header auth;
};

struct schema_provider {
    const struct node *node;
    struct conf_text dialect, base_url, raw_url, path;
    struct schema_auth_header auth;
    struct conf_entries keys; // schema_provider_key
    struct conf_texts key_variables;
    int key_required; // enum schema_bool
    struct conf_texts models;
    struct conf_entries headers, query; // conf_text
    struct conf_text version, version_header;
    int stream_options; // enum schema_bool
    struct schema_probing health;
    struct conf_texts aliases;     // catalogue: other names of the provider
    struct conf_texts model_names; // catalogue: globs of bare model names that are this vendor's
    struct schema_quirks quirks;
    struct conf_entries paths;                 // conf_text by endpoint
    struct schema_limit_headers limit_headers; //
    struct conf_entries dialects;              // schema_dialect by dialect
    bool only_when_named; // catalogue: left out unless the configuration names it
    bool only_with_key;   // catalogue: left out unless it is named or its key is in the environment
    struct conf_text title, notes; // catalogue: for docs/providers.md
};

struct schema_tier {
    const struct node *node;
    uint64_t above, input, cached, cache_write, cache_write_long, output;
};

struct schema_price { // 1e-12 USD per token
    const struct node *node;
    uint64_t input, cached, cache_write, cache_write_long, output, reasoning, audio_input,
        audio_output, image_output;
    struct conf_entries tiers; // schema_tier
};

struct schema_price_change {
    const struct node *node;
    struct conf_text from; // a day
    struct schema_price price;
};

struct schema_model_at {
    const struct node *node;
    struct conf_text provider, id;
    struct schema_price price;
    struct conf_entries changes; // schema_price_change
};

struct schema_model {
    const struct node *node;
    struct conf_entries at; // schema_model_at
    struct conf_texts equivalents, aliases, modalities, outputs;
    uint64_t context, max_output;
    struct conf_text kind, released;
    struct schema_traits traits;
};

// --- routers
// --------------------------------------------------------------------------------------

struct schema_target { // "provider", "provider/model", or a map
    const struct node *node;
    struct conf_text provider, model;
    uint64_t weight; // thousandths
};

struct schema_balance {
    const struct node *node;
    int strategy;                  // enum resource_strategy
    struct conf_entries providers; // schema_target
    const struct node *models;     // list of schema_target, or Helicone's map name -> list of ids
};

struct schema_store {
    const struct node *node;
    int type; // enum schema_store_type
    uint64_t max_bytes, max_size;
    struct conf_text url;
    uint64_t connection_timeout_us;
};

enum schema_store_type { SCHEMA_STORE_MEMORY, SCHEMA_STORE_REDIS };

struct schema_cache {
    const struct node *node;
    bool enabled;
    struct conf_text directive, seed;
    uint64_t buckets;
    int scope;
    struct schema_store store;
};

struct schema_bucket {
    const struct node *node;
    uint64_t capacity, refill_us;
};

struct schema_limit {
    const struct node *node;
    int unit; // enum resource_unit
    struct conf_text amount, per, time_zone;
    int scope; // enum schema_limit_scope
    int on_control_loss;
};

enum schema_limit_scope { SCHEMA_PER_KEY, SCHEMA_TOTAL };

struct schema_rate_limit {
    const struct node *node;
    struct schema_bucket per_api_key;
    struct conf_entries limits; // schema_limit
    struct schema_store store;
    struct schema_store redis;
    uint64_t cleanup_us;
};

enum schema_backoff { SCHEMA_BACKOFF_DEFAULT, SCHEMA_BACKOFF_EXPONENTIAL, SCHEMA_BACKOFF_CONSTANT };

struct schema_retries {
    const struct node *node;
    bool enabled;
    uint64_t max_attempts, max_retries; // 0 = not set
    int strategy;
    uint64_t delay_us, min_delay_us, max_delay_us, factor;
};

struct schema_timeouts {
    const struct node *node;
    uint64_t total_us, connect_us, first_byte_us, idle_us, hold_us, per_attempt_us;
};

struct schema_helicone {
    const struct node *node;
    struct conf_text api_key, base_url, websocket_url;
    int features; // 0 none
    bool authentication, observability, prompts;
};

struct schema_router {
    const struct node *node;
    struct conf_entries load_balance; // schema_balance by endpoint
    struct conf_entries fallbacks;    // schema_target
    struct conf_entries mappings;     // conf_texts
    struct schema_cache cache;
    struct schema_retries retries;
    struct schema_rate_limit rate_limit;
    struct conf_entries limits; // schema_limit
    struct schema_timeouts timeouts;
    const struct node *providers; // Helicone: base URLs by router
    bool forward_unknown, drop_unsupported;
    struct schema_helicone helicone;
};

// --- the document
// ---------------------------------------------------------------------------------

struct schema_policy { // global, unified-api
    const struct node *node;
    struct schema_cache cache;
    struct schema_rate_limit rate_limit;
    struct conf_entries limits;
    struct schema_retries retries;
};

struct schema_virtual_key {
    const struct node *node;
    struct conf_text key; // secret: sk-sluice-<id>-<secret>
    struct conf_text owner, team, expires_at;
    struct conf_texts models, routers;
    struct conf_entries limits, metadata;
    bool enabled;
};

struct schema_auth {
    const struct node *node;
    int mode; // enum resource_auth_mode
};

struct schema_grace {
    const struct node *node;
    uint64_t min_requests;
};

struct schema_health {
    const struct node *node;
    int type;
    uint64_t ratio, window_us, buckets, interval_us; // ratio in thousandths
    struct schema_grace grace;
    uint64_t ejection_us;
};

struct schema_monitor {
    const struct node *node;
    struct schema_health health;
};

struct schema_discover {
    const struct node *node;
    uint64_t decay_us, default_rtt_us;
    struct schema_health health;
    struct schema_monitor monitor;
};

struct schema_headers {
    const struct node *node;
    bool provider, provider_request_id;
};

struct schema {
    const struct node *node;
    struct boot boot; // its sections; boot.node is not used
    struct conf_entries providers, models, routers, keys;
    struct schema_policy global, unified_api;
    struct conf_entries mappings; // default-model-mapping: conf_texts
    struct schema_store cache_store, rate_limit_store;
    struct schema_auth auth;
    struct schema_discover discover;
    struct schema_timeouts dispatcher;
    struct schema_headers response_headers;
    struct schema_helicone helicone;
    const struct node *minio, *database, *control_plane, *deployment_target;
};

// The document, and what the catalogue's two files are: maps of these.
extern const struct conf_table schema_table;
extern const struct conf_table schema_provider_table, schema_model_table, schema_target_table;
extern const struct conf_table schema_quirks_table, schema_traits_table, schema_family_table;

#endif
