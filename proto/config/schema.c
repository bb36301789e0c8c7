// SPDX-License-Identifier: Apache-2.0
// The tables of the configuration document. Nothing is decided here: a key that has no effect says
// so in its `inert` sentence, everything else is given meaning by config_compile.
//
// A table near the top is used by one further down; the document's own is last. Those of providers
// and models are in schema_provider.c.
#include "proto/config/schema.h"

#include "proto/resource.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
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

// --- routers -------------------------------------------------------------------------------------

static const struct conf_field target_fields[] = {
    {.key = "provider", .type = CONF_STRING, AT(schema_target, provider), .reload = true,
     .help = "Name of a provider, or `provider/model`."},
    {.key = "model", .type = CONF_STRING, AT(schema_target, model), .reload = true,
     .help = "Model id at that provider, or `provider/model`. Default: the model the client asked "
     "for, or its equivalent there."},
    {.key = "weight", .type = CONF_DECIMAL, .scale = 3, AT(schema_target, weight), .def = "1",
     .min = 1, .max = 1000000000, .reload = true,
     .help = "Its share, relative to the others; they need not add up to 1."},
};
const struct conf_table schema_target_table = {
    .name = "target",
    .size = sizeof(struct schema_target),
    .fields = target_fields,
    .n = ARRAY_LEN(target_fields),
    .shorthand = "provider",
    .help = "A plain word is the name of a provider or `provider/model`.",
};

static const struct conf_word strategies[] = {
    {"latency", RESOURCE_LATENCY},
    {"balanced-latency", RESOURCE_LATENCY},
    {"weighted", RESOURCE_WEIGHTED},
    {"provider-weighted", RESOURCE_WEIGHTED},
    {"model-weighted", RESOURCE_MODEL_WEIGHTED},
    {"model-latency", RESOURCE_MODEL_LATENCY},
    {"priority", RESOURCE_PRIORITY},
    {"cost", RESOURCE_COST},
    {"least-busy", RESOURCE_LEAST_BUSY},
    {NULL, 0},
};
static const struct conf_field balance_fields[] = {
    {.key = "strategy", .type = CONF_ENUM, AT(schema_balance, strategy), .words = strategies,
     .required = true, .reload = true,
     .help = "`latency`: the better of two random targets by smoothed time to first byte and "
     "requests in flight. `weighted`: shares. `model-weighted`, `model-latency`: the same "
     "over `models`. `priority`: in order. `cost`: the cheapest. `least-busy`: fewest "
     "requests in flight."},
    {.key = "providers", .type = CONF_LIST, AT(schema_balance, providers), .aliases = "targets",
     .table = &schema_target_table, .reload = true, .help = ""},
    {.key = "models", .type = CONF_ANY, AT(schema_balance, models), .aliases = "inner",
     .reload = true,
     .help = "The same, for `model-weighted` and `model-latency`: a list of `provider/model` or "
     "`{model: provider/model, weight: 0.5}`."},
};
TABLE(balance, struct schema_balance,
      .help = "By endpoint: `chat`, `completions`, `embeddings`, `responses`, `messages`, ... or "
              "`any` for those not listed. Without this section: `latency` over `openai`, "
              "`anthropic`, `gemini`.");

static const struct conf_word store_types[] = {
    {"in-memory", SCHEMA_STORE_MEMORY}, {"redis", SCHEMA_STORE_REDIS}, {NULL, 0}};
#define CACHE_REDIS                                                                                \
    "a cache shared in Redis is not part of this version: each proxy caches in its own memory"
#define STORE_URL(text)                                                                            \
    {                                                                                              \
        .key = "host-url", .type = CONF_SECRET, AT(schema_store, url), .aliases = "url",           \
        .help = text                                                                               \
    }
#define STORE_TIMEOUT                                                                              \
    {                                                                                              \
        .key = "connection-timeout", .type = CONF_DURATION,                                        \
        AT(schema_store, connection_timeout_us), .max = DAY,                                       \
        .help = "Read; not used by this version."                                                  \
    }
static const struct conf_field cache_store_fields[] = {
    {.key = "type", .type = CONF_ENUM, AT(schema_store, type), .def = "in-memory",
     .words = store_types, .inert = CACHE_REDIS, .reload = true,
     .help = "`in-memory`: each proxy has its own. `redis` is not part of this version."},
    {.key = "max-bytes", .type = CONF_SIZE, AT(schema_store, max_bytes), .def = "256MiB",
     .max = 1024 * GIB, .help = "Bound of the store of one proxy; 0: no cache."},
    {.key = "max-size", .type = CONF_INT, AT(schema_store, max_size), .max = UINT32_MAX,
     .inert = "is a number of answers in Helicone; taken as so many of 16 KiB each, at most 256 MiB: "
     "say max-bytes instead", .help = "Helicone's spelling: a number of answers."},
    STORE_URL("Read; not used by this version."),
    STORE_TIMEOUT,
};
TABLE(cache_store, struct schema_store, .shorthand = "type", .help = "Where answers are cached.");
static const struct conf_field limit_store_fields[] = {
    {.key = "type", .type = CONF_ENUM, AT(schema_store, type), .def = "in-memory",
     .words = store_types,
     .help = "Read; whatever it says, limits are counted in the control plane's Redis, exactly, over "
     "all proxies."},
    STORE_URL("Read; not used: see `redis.url`."),
    STORE_TIMEOUT,
};
TABLE(limit_store, struct schema_store, .shorthand = "type", .help = "Helicone's section.");

static const struct conf_word scopes[] = {{"team", 0}, {"key", 1}, {"router", 2}, {NULL, 0}};
static const struct conf_field cache_fields[] = {
    {.key = "enabled", .type = CONF_BOOL, AT(schema_cache, enabled), .def = "true", .reload = true,
     .help = "`false` turns it off here, also where `global.cache` turns it on."},
    {.key = "directive", .type = CONF_STRING, AT(schema_cache, directive), .reload = true,
     .help = "`Cache-Control` syntax: `max-age=3600, max-stale=1800`. A request's own "
     "`cache-control` goes before it."},
    {.key = "buckets", .type = CONF_INT, AT(schema_cache, buckets), .def = "1", .min = 1,
     .max = 100, .reload = true,
     .help = "Different answers kept for one request; one of them is picked at random."},
    {.key = "seed", .type = CONF_STRING, AT(schema_cache, seed), .reload = true,
     .help = "Routers with different seeds do not share answers."},
    {.key = "scope", .type = CONF_ENUM, AT(schema_cache, scope), .def = "team", .words = scopes,
     .reload = true, .help = "Who shares answers."},
    {.key = "store", .type = CONF_SECTION, AT(schema_cache, store), .table = &cache_store_table,
     .help = NULL},
};
TABLE(cache, struct schema_cache, .help = "Response cache.");

static const struct conf_field bucket_fields[] = {
    {.key = "capacity", .type = CONF_INT, AT(schema_bucket, capacity), .def = "500", .min = 1,
     .max = UINT32_MAX, .reload = true, .help = "Requests that may come at once."},
    {.key = "refill-frequency", .type = CONF_DURATION, AT(schema_bucket, refill_us), .def = "1s",
     .aliases = "refill_frequency", .min = 100000, .max = 30 * DAY, .reload = true,
     .help = "Time in which an empty bucket is full again; over one hour it is a window."},
};
TABLE(bucket, struct schema_bucket,
      .help = "A bucket for each virtual key; callers without one share one bucket.");

static const struct conf_word units[] = {
    {"requests", RESOURCE_REQUESTS}, {"tokens", RESOURCE_TOKENS}, {"usd", RESOURCE_USD}, {NULL, 0}};
static const struct conf_word limit_scopes[] = {
    {"per-key", SCHEMA_PER_KEY}, {"total", SCHEMA_TOTAL}, {NULL, 0}};
static const struct conf_word on_loss[] = {{"default", 0}, {"open", 1}, {"closed", 2}, {NULL, 0}};
static const struct conf_field limit_fields[] = {
    {.key = "unit", .type = CONF_ENUM, AT(schema_limit, unit), .def = "requests", .words = units,
     .reload = true, .help = "What is counted."},
    {.key = "amount", .type = CONF_STRING, AT(schema_limit, amount), .required = true,
     .reload = true, .help = "How much; a whole number, for `usd` with decimals."},
    {.key = "per", .type = CONF_STRING, AT(schema_limit, per), .required = true, .reload = true,
     .help = "`1s` to `1h`: a bucket that refills; up to `30d`: a window; `day`, `week`, `month`: a "
     "calendar window."},
    {.key = "time-zone", .type = CONF_STRING, AT(schema_limit, time_zone), .reload = true,
     .help = "IANA name, for calendar windows. Default: UTC."},
    {.key = "scope", .type = CONF_ENUM, AT(schema_limit, scope), .def = "per-key",
     .words = limit_scopes, .reload = true,
     .help = "`per-key`: for each virtual key; `total`: for all together."},
    {.key = "on-control-loss", .type = CONF_ENUM, AT(schema_limit, on_control_loss),
     .def = "default", .words = on_loss, .reload = true,
     .help = "Without a control plane: `open` lets requests through, `closed` refuses them. Default: "
     "the proxy's share of what was left, then open for requests and tokens, closed for `usd`."},
};
TABLE(limit, struct schema_limit, .help = "Limits; a request must fit into all of them.");

static const struct conf_field limit_redis_fields[] = {
    STORE_URL("Read; not used: see `redis.url`."),
};
TABLE(limit_redis, struct schema_store, .shorthand = "host-url", .help = "Helicone's section.");

static const struct conf_field rate_limit_fields[] = {
    {.key = "per-api-key", .type = CONF_SECTION, AT(schema_rate_limit, per_api_key),
     .table = &bucket_table, .reload = true, .help = ""},
    {.key = "limits", .type = CONF_LIST, AT(schema_rate_limit, limits), .table = &limit_table,
     .reload = true, .help = ""},
    {.key = "store", .type = CONF_SECTION, AT(schema_rate_limit, store),
     .table = &limit_store_table, .help = NULL},
    {.key = "redis", .type = CONF_SECTION, AT(schema_rate_limit, redis),
     .table = &limit_redis_table, .help = NULL},
    {.key = "cleanup-interval", .type = CONF_DURATION, AT(schema_rate_limit, cleanup_us), .max = 365
     * DAY, .help = NULL},
};
TABLE(rate_limit, struct schema_rate_limit,
      .help = "Limits are exact over all proxies. Helicone's `store`, `redis` and "
              "`cleanup-interval` are read and change nothing.");

static const struct conf_word backoffs[] = {{"default", SCHEMA_BACKOFF_DEFAULT},
                                            {"exponential", SCHEMA_BACKOFF_EXPONENTIAL},
                                            {"constant", SCHEMA_BACKOFF_CONSTANT},
                                            {NULL, 0}};
#define BACKOFF                                                                                    \
    "has no effect: the pause before another attempt is built in (full jitter, within the "        \
    "request's deadline)"
static const struct conf_field retries_fields[] = {
    {.key = "enabled", .type = CONF_BOOL, AT(schema_retries, enabled), .def = "true",
     .reload = true, .help = "`false`: one attempt only."},
    {.key = "max-attempts", .type = CONF_INT, AT(schema_retries, max_attempts), .max = 20,
     .reload = true, .help = "Attempts of one request over all targets. Default: 5."},
    {.key = "max-retries", .type = CONF_INT, AT(schema_retries, max_retries), .max = 19,
     .reload = true, .help = "Helicone's spelling: `max-attempts` less one."},
    {.key = "strategy", .type = CONF_ENUM, AT(schema_retries, strategy), .def = "default",
     .words = backoffs, .reload = true,
     .help = "Helicone's; read. The pause between attempts is built in."},
    {.key = "delay", .type = CONF_DURATION, AT(schema_retries, delay_us), .max = DAY,
     .inert = BACKOFF, .help = "Helicone's; no effect."},
    {.key = "min-delay", .type = CONF_DURATION, AT(schema_retries, min_delay_us), .max = DAY,
     .inert = BACKOFF, .help = "Helicone's; no effect."},
    {.key = "max-delay", .type = CONF_DURATION, AT(schema_retries, max_delay_us), .max = DAY,
     .inert = BACKOFF, .help = "Helicone's; no effect."},
    {.key = "factor", .type = CONF_DECIMAL, .scale = 3, AT(schema_retries, factor), .def = "2",
     .max = 1000000, .inert = BACKOFF, .help = "Helicone's; no effect."},
};
TABLE(retries, struct schema_retries,
      .help = "Failover before the first content of an answer: other targets first, then the same "
              "again.");

#define TIMEOUTS(d_total, d_connect, d_hold) \
    {.key = "timeout", .type = CONF_DURATION, AT(schema_timeouts, total_us), .aliases = "total", \
     .def = d_total, .max = DAY, .reload = true, .help = "The whole request, all attempts."}, \
    {.key = "connection-timeout", .type = CONF_DURATION, AT(schema_timeouts, connect_us), \
     .aliases = "connection_timeout connect", .def = d_connect, .max = 3600 * SEC, \
     .reload = true, .help = "Connecting to a provider, TLS included."}, \
    {.key = "first-byte-timeout", .type = CONF_DURATION, AT(schema_timeouts, first_byte_us), \
     .aliases = "first_byte_timeout first-byte", .max = DAY, .reload = true, \
     .help = "From the request being sent to the first byte of the answer; 0s: no bound."}, \
    {.key = "idle-timeout", .type = CONF_DURATION, AT(schema_timeouts, idle_us), \
     .aliases = "idle_timeout idle", .max = DAY, .reload = true, \
     .help = "Between two pieces of an answer; 0s: no bound."}, \
    {.key = "hold", .type = CONF_DURATION, AT(schema_timeouts, hold_us), .def = d_hold, \
     .max = DAY, .reload = true, \
     .help = "How long a stream without content is held back so that another target can still " \
             "answer; then the client gets the head and keep-alive comments."}, \
    {.key = "per-attempt", .type = CONF_DURATION, AT(schema_timeouts, per_attempt_us), \
     .max = DAY, .reload = true, \
     .inert = "has no effect in this version: bound an attempt with connection-timeout, " \
              "first-byte-timeout and idle-timeout", \
     .help = "Read; not used by this version."},
static const struct conf_field timeouts_fields[] = {TIMEOUTS(NULL, NULL, NULL)};
TABLE(timeouts, struct schema_timeouts,
      .help = "Deadlines of this router; 0s or absent: those of `dispatcher`.");
static const struct conf_field dispatcher_fields[] = {TIMEOUTS("15m", "10s", "15s")};
TABLE(dispatcher, struct schema_timeouts, .help = "Deadlines of a request to providers.");

static const struct conf_word features[] = {{"none", 0}, {"auth", 1},      {"observability", 1},
                                            {"all", 1},  {"__prompts", 1}, {NULL, 0}};
#define HELICONE_AUTH                                                                                \
    "has no effect: callers are checked by Sluice itself (auth.mode and virtual keys), and nothing " \
    "is sent to Helicone"
static const struct conf_field helicone_fields[] = {
    {.key = "api-key", .type = CONF_SECRET, AT(schema_helicone, api_key), .reload = true,
     .help = "Read, kept secret, not used by this version."},
    {.key = "base-url", .type = CONF_STRING, AT(schema_helicone, base_url), .reload = true,
     .help = "Read; not used by this version."},
    {.key = "websocket-url", .type = CONF_STRING, AT(schema_helicone, websocket_url),
     .help = "Read; Sluice has its own control plane."},
    {.key = "features", .type = CONF_ENUM, AT(schema_helicone, features), .def = "none",
     .words = features, .inert = HELICONE_AUTH, .help = "Read; see `auth.mode`."},
    {.key = "authentication", .type = CONF_BOOL, AT(schema_helicone, authentication),
     .aliases = "enable-auth", .inert = HELICONE_AUTH, .help = NULL},
    {.key = "observability", .type = CONF_BOOL, AT(schema_helicone, observability),
     .aliases = "enable enabled", .help = NULL},
    {.key = "__prompts", .type = CONF_BOOL, AT(schema_helicone, prompts), .help = NULL},
};
TABLE(helicone, struct schema_helicone,
      .help =
          "Helicone's log exporter. Accepted; until the exporter exists it has no effect, nothing "
          "is sent anywhere, and one line at start says so.");

static const struct conf_field router_fields[] = {
    {.key = "load-balance", .type = CONF_MAP, AT(schema_router, load_balance),
     .table = &balance_table, .reload = true, .help = ""},
    {.key = "fallbacks", .type = CONF_LIST, AT(schema_router, fallbacks),
     .table = &schema_target_table, .reload = true, .help = ""},
    {.key = "model-mappings", .type = CONF_CHOICES, AT(schema_router, mappings), .reload = true,
     .help = "Model asked for: model or list of models that replace it at a provider that lacks it."},
    {.key = "cache", .type = CONF_SECTION, AT(schema_router, cache), .table = &cache_table,
     .reload = true, .help = ""},
    {.key = "retries", .type = CONF_SECTION, AT(schema_router, retries), .table = &retries_table,
     .reload = true, .help = ""},
    {.key = "rate-limit", .type = CONF_SECTION, AT(schema_router, rate_limit),
     .table = &rate_limit_table, .reload = true, .help = ""},
    {.key = "limits", .type = CONF_LIST, AT(schema_router, limits), .table = &limit_table,
     .reload = true, .help = ""},
    {.key = "timeouts", .type = CONF_SECTION, AT(schema_router, timeouts), .table = &timeouts_table,
     .reload = true, .help = ""},
    {.key = "providers", .type = CONF_ANY, AT(schema_router, providers),
     .inert = "has no effect: base URLs are the providers' (providers.<name>.base-url), not a "
     "router's", .help = "Helicone's; no effect."},
    {.key = "forward-unknown", .type = CONF_BOOL, AT(schema_router, forward_unknown),
     .def = "false", .reload = true,
     .help = "Keep fields that a translation between dialects does not know."},
    {.key = "drop-unsupported", .type = CONF_BOOL, AT(schema_router, drop_unsupported),
     .def = "false", .reload = true,
     .help = "Drop what the provider's dialect cannot express instead of answering 400."},
    {.key = "helicone", .type = CONF_SECTION, AT(schema_router, helicone), .table = &helicone_table,
     .reload = true, .help = ""},
};
TABLE(router, struct schema_router,
      .help = "Routers by name (`[A-Za-z0-9_-]{1,64}`), served at `/router/{name}/...`. The one "
              "called `default` serves the paths without a router; without it the unified API "
              "does.");

// --- the rest ------------------------------------------------------------------------------------

static const struct conf_field policy_fields[] = {
    {.key = "cache", .type = CONF_SECTION, AT(schema_policy, cache), .table = &cache_table,
     .reload = true, .help = ""},
    {.key = "rate-limit", .type = CONF_SECTION, AT(schema_policy, rate_limit),
     .table = &rate_limit_table, .reload = true, .help = ""},
    {.key = "limits", .type = CONF_LIST, AT(schema_policy, limits), .table = &limit_table,
     .reload = true, .help = ""},
    {.key = "retries", .type = CONF_SECTION, AT(schema_policy, retries), .table = &retries_table,
     .reload = true, .help = ""},
};
static const struct conf_table global_table = {
    .name = "global",
    .size = sizeof(struct schema_policy),
    .fields = policy_fields,
    .n = ARRAY_LEN(policy_fields),
    .help = "For all requests. The cache is for routers without their own; limits add up.",
};
static const struct conf_table unified_table = {
    .name = "unified-api",
    .size = sizeof(struct schema_policy),
    .fields = policy_fields,
    .n = ARRAY_LEN(policy_fields),
    .help = "For the unified API (`/ai/...`, and paths without a router).",
};

static const struct conf_field virtual_key_fields[] = {
    {.key = "key", .type = CONF_SECRET, AT(schema_virtual_key, key), .required = true,
     .reload = true,
     .help = "The whole key, `sk-sluice-<id>-<secret>`, as `${NAME}` or `file:/path`. Only a keyed "
     "hash of it is stored. id: 4 to 32, secret: 24 to 128 letters and digits."},
    {.key = "owner", .type = CONF_STRING, AT(schema_virtual_key, owner), .reload = true,
     .help = "Who it belongs to."},
    {.key = "team", .type = CONF_STRING, AT(schema_virtual_key, team), .reload = true,
     .help = "Team; shares the cache."},
    {.key = "expires-at", .type = CONF_STRING, AT(schema_virtual_key, expires_at), .reload = true,
     .help = "RFC 3339 time. Default: never."},
    {.key = "models", .type = CONF_STRINGS, AT(schema_virtual_key, models), .reload = true,
     .help = "Models it may use, `*` in a name matches anything. Default: `[\"*\"]`."},
    {.key = "routers", .type = CONF_STRINGS, AT(schema_virtual_key, routers), .reload = true,
     .help = "Routers it may use; `ai` is the unified API. Default: `[\"*\"]`."},
    {.key = "limits", .type = CONF_LIST, AT(schema_virtual_key, limits), .table = &limit_table,
     .reload = true, .help = ""},
    {.key = "metadata", .type = CONF_PAIRS, AT(schema_virtual_key, metadata), .reload = true,
     .help = "Your own labels."},
    {.key = "enabled", .type = CONF_BOOL, AT(schema_virtual_key, enabled), .def = "true",
     .reload = true, .help = "`false`: refused."},
};
TABLE(virtual_key, struct schema_virtual_key,
      .help =
          "Virtual keys by name, for set-ups where everything is in files; others are made with "
          "`sluice keys create`.");

static const struct conf_word modes[] = {{"default", RESOURCE_AUTH_DEFAULT},
                                         {"optional", RESOURCE_AUTH_OPTIONAL},
                                         {"required", RESOURCE_AUTH_REQUIRED},
                                         {"off", RESOURCE_AUTH_OFF},
                                         {NULL, 0}};
static const struct conf_field auth_fields[] = {
    {.key = "mode", .type = CONF_ENUM, AT(schema_auth, mode), .def = "default", .words = modes,
     .reload = true,
     .help = "`optional`: a caller without a virtual key is `anonymous`; `required`: refused; `off`: "
     "nobody is checked. `default`: optional where a proxy listens on loopback, else " "required."},
};
TABLE(auth, struct schema_auth, .shorthand = "mode", .help = "Who may call.");

#define BUILT_IN                                                                                   \
    "has no effect in this version: a target is taken out after 5 failures in a row or more than " \
    "10 % errors of at least 20 requests within 60 s"
static const struct conf_word health_types[] = {{"error-ratio", 0}, {NULL, 0}};
static const struct conf_field grace_fields[] = {
    {.key = "min-requests", .type = CONF_INT, AT(schema_grace, min_requests), .def = "20",
     .aliases = "min_requests", .max = 1000000, .inert = BUILT_IN,
     .help = "Requests before the ratio counts."},
};
TABLE(grace, struct schema_grace, .help = "When a ratio means something.");
static const struct conf_field health_fields[] = {
    {.key = "type", .type = CONF_ENUM, AT(schema_health, type), .def = "error-ratio",
     .words = health_types, .help = "The only one."},
    {.key = "ratio", .type = CONF_DECIMAL, .scale = 3, AT(schema_health, ratio), .def = "0.1",
     .max = 1000, .inert = BUILT_IN, .help = "Share of errors that takes a target out."},
    {.key = "window", .type = CONF_DURATION, AT(schema_health, window_us), .def = "60s", .max = DAY,
     .inert = BUILT_IN, .help = "Time the ratio is measured over."},
    {.key = "buckets", .type = CONF_INT, AT(schema_health, buckets), .def = "10", .max = 1000,
     .help = "Helicone's; no effect."},
    {.key = "interval", .type = CONF_DURATION, AT(schema_health, interval_us), .def = "5s",
     .max = DAY, .help = "Helicone's; no effect: every answer counts at once."},
    {.key = "grace-period", .type = CONF_SECTION, AT(schema_health, grace),
     .aliases = "grace_period", .table = &grace_table, .help = ""},
    {.key = "ejection", .type = CONF_DURATION, AT(schema_health, ejection_us), .def = "30s",
     .min = SEC, .max = 300 * SEC, .reload = true,
     .help = "How long a target is out the first time; longer each further time, up to 300s."},
};
TABLE(health, struct schema_health, .help = "Passive health of targets.");
static const struct conf_field monitor_fields[] = {
    {.key = "health", .type = CONF_SECTION, AT(schema_monitor, health), .table = &health_table,
     .help = NULL},
};
TABLE(monitor, struct schema_monitor, .help = "Helicone's place for `health`.");
static const struct conf_field discover_fields[] = {
    {.key = "decay", .type = CONF_DURATION, AT(schema_discover, decay_us), .def = "30s",
     .aliases = "discover-decay", .min = 1000, .max = DAY, .reload = true,
     .help = "`latency`: time in which an old measurement loses its weight."},
    {.key = "default-rtt", .type = CONF_DURATION, AT(schema_discover, default_rtt_us),
     .def = "250ms", .min = 1000, .max = 3600 * SEC, .reload = true,
     .help = "`latency`: what is assumed of a target before its first answer."},
    {.key = "health", .type = CONF_SECTION, AT(schema_discover, health), .table = &health_table,
     .help = ""},
    {.key = "monitor", .type = CONF_SECTION, AT(schema_discover, monitor), .table = &monitor_table,
     .help = NULL},
};
TABLE(discover, struct schema_discover,
      .help = "How targets are judged. Helicone's `monitor.health` is the same as `health`.");

#define HEADERS_INERT "has no effect in this version: the headers are always sent"
static const struct conf_field headers_fields[] = {
    {.key = "provider", .type = CONF_BOOL, AT(schema_headers, provider), .def = "true",
     .inert = HEADERS_INERT, .help = "`helicone-provider`, `x-sluice-provider`."},
    {.key = "provider-request-id", .type = CONF_BOOL, AT(schema_headers, provider_request_id),
     .def = "true", .inert = HEADERS_INERT, .help = "`helicone-provider-req-id`."},
};
TABLE(headers, struct schema_headers, .help = "Headers that say who answered.");

#define NO_EFFECT(what) "has no effect: " what
#define BOOT(member)    .type = CONF_SECTION, AT(schema, boot.member), .help = ""
static const struct conf_field schema_fields[] = {
    {.key = "routers", .type = CONF_MAP, AT(schema, routers), .table = &router_table, .max = 65536,
     .reload = true, .help = ""},
    {.key = "providers", .type = CONF_MAP, AT(schema, providers), .table = &schema_provider_table,
     .reload = true, .help = ""},
    {.key = "models", .type = CONF_MAP, AT(schema, models), .table = &schema_model_table,
     .max = 4096, .reload = true, .help = ""},
    {.key = "default-model-mapping", .type = CONF_CHOICES, AT(schema, mappings), .reload = true,
     .help = "As `model-mappings` of a router, for all of them. Then the catalogue's equivalents "
     "are looked at."},
    {.key = "unified-api", .type = CONF_SECTION, AT(schema, unified_api), .table = &unified_table,
     .reload = true, .help = ""},
    {.key = "global", .type = CONF_SECTION, AT(schema, global), .table = &global_table,
     .reload = true, .help = ""},
    {.key = "auth", .type = CONF_SECTION, AT(schema, auth), .table = &auth_table, .reload = true,
     .help = ""},
    {.key = "keys", .type = CONF_MAP, AT(schema, keys), .table = &virtual_key_table, .max = 16384,
     .reload = true, .help = ""},
    {.key = "dispatcher", .type = CONF_SECTION, AT(schema, dispatcher), .table = &dispatcher_table,
     .reload = true, .help = ""},
    {.key = "discover", .type = CONF_SECTION, AT(schema, discover), .table = &discover_table,
     .reload = true, .help = ""},
    {.key = "cache-store", .type = CONF_SECTION, AT(schema, cache_store),
     .table = &cache_store_table, .reload = true, .help = ""},
    {.key = "rate-limit-store", .type = CONF_SECTION, AT(schema, rate_limit_store),
     .table = &limit_store_table, .help = ""},
    {.key = "response-headers", .type = CONF_SECTION, AT(schema, response_headers),
     .table = &headers_table, .help = ""},
    {.key = "helicone", .type = CONF_SECTION, AT(schema, helicone), .table = &helicone_table,
     .aliases = "helicone-observability", .reload = true, .help = ""},
    {.key = "server", BOOT(server), .table = &boot_server_table},
    {.key = "control", BOOT(control), .table = &boot_control_table},
    {.key = "redis", BOOT(redis), .table = &boot_redis_table},
    {.key = "admin", BOOT(admin), .table = &boot_admin_table},
    {.key = "logging", BOOT(logging), .table = &boot_logging_table},
    {.key = "telemetry", BOOT(telemetry), .table = &boot_telemetry_table},
    {.key = "egress", BOOT(egress), .table = &boot_egress_table},
    {.key = "minio", .type = CONF_ANY, AT(schema, minio),
     .inert = NO_EFFECT("Sluice stores no request or response bodies"),
     .help = "Helicone's; accepted, no effect."},
    {.key = "database", .type = CONF_ANY, AT(schema, database),
     .inert = NO_EFFECT("Sluice keeps its state in Redis (see redis)"),
     .help = "Helicone's; accepted, no effect."},
    {.key = "control-plane", .type = CONF_ANY, AT(schema, control_plane),
     .inert = NO_EFFECT("Sluice has its own control plane (see control)"),
     .help = "Helicone's; accepted, no effect."},
    {.key = "deployment-target", .type = CONF_ANY, AT(schema, deployment_target),
     .inert = NO_EFFECT("Sluice is deployed one way"), .help = "Helicone's; accepted, no effect."},
};
const struct conf_table schema_table = {
    .name = "document",
    .size = sizeof(struct schema),
    .fields = schema_fields,
    .n = ARRAY_LEN(schema_fields),
};
