// SPDX-License-Identifier: Apache-2.0
// The tables of quirks (of a vendor) and traits (of a model): what a request must be written
// differently for. Pure data: a translator applies them without knowing whose they are. A key that
// is not given means nothing of the kind.
#include "proto/config/schema.h"

#include "proto/resource.h"

#define AT(type, member) .offset = offsetof(struct type, member)

// One field, one paragraph: the tables are laid out by hand.
// clang-format off

const struct conf_word schema_yes_no[] = {{"true", SCHEMA_TRUE},
                                          {"yes", SCHEMA_TRUE},
                                          {"false", SCHEMA_FALSE},
                                          {"no", SCHEMA_FALSE},
                                          {NULL, 0}};

// --- quirks --------------------------------------------------------------------------------------

static const struct conf_word max_tokens_names[] = {
    {"max_tokens", RESOURCE_MAX_TOKENS},
    {"max_completion_tokens", RESOURCE_MAX_COMPLETION_TOKENS},
    {"either", RESOURCE_MAX_TOKENS_EITHER},
    {NULL, 0}};
static const struct conf_word reasoning_forms[] = {
    {"effort", RESOURCE_REASONING_EFFORT},
    {"none", RESOURCE_REASONING_NONE},
    {"thinking", RESOURCE_REASONING_THINKING},
    {"thinking-budget", RESOURCE_REASONING_THINKING_BUDGET},
    {"enable-thinking", RESOURCE_REASONING_ENABLE},
    {"object", RESOURCE_REASONING_OBJECT},
    {"template", RESOURCE_REASONING_TEMPLATE},
    {"split", RESOURCE_REASONING_SPLIT},
    {NULL, 0}};
static const struct conf_word histories[] = {
    {"drop", RESOURCE_HISTORY_DROP},
    {"reasoning_content", RESOURCE_HISTORY_REASONING_CONTENT},
    {"reasoning", RESOURCE_HISTORY_REASONING},
    {"reasoning_details", RESOURCE_HISTORY_REASONING_DETAILS},
    {"parts", RESOURCE_HISTORY_PARTS},
    {NULL, 0}};

#define FLAG(k, m, h)                                                                              \
    {                                                                                              \
        .key = k, .type = CONF_ENUM, AT(schema_quirks, m), .words = schema_yes_no, .reload = true, \
        .help = h                                                                                  \
    }
#define LIST(k, m, h)                                                                              \
    {                                                                                              \
        .key = k, .type = CONF_STRINGS, AT(schema_quirks, m), .reload = true, .help = h            \
    }
#define NUMBER(k, m, h)                                                                            \
    {                                                                                              \
        .key = k, .type = CONF_INT, AT(schema_quirks, m), .max = UINT32_MAX, .reload = true,       \
        .help = h                                                                                  \
    }
#define SHARE(k, m, h)                                                                             \
    {                                                                                              \
        .key = k, .type = CONF_DECIMAL, .scale = 3, AT(schema_quirks, m), .max = 100000,           \
        .reload = true, .help = h                                                                  \
    }
static const struct conf_field quirks_fields[] = {
    LIST("drop", drop,
         "Members of a request that the vendor refuses or ignores: they are left out and named to the "
         "client in `x-sluice-dropped-params`. Mistral: `logit_bias`, `user`; Groq: `logprobs`; most of "
         "the vendors that run vLLM: `store`, `metadata`."),
    LIST("refuse", refuse,
         "Members that change what is answered and that the vendor cannot do: the request is a 400 "
         "`unsupported_parameter`, or goes without them where the router says `drop-unsupported`. `n` is "
         "refused when it is more than 1. Perplexity: `tools`; Groq: `n`."),
    {.key = "rename", .type = CONF_PAIRS, AT(schema_quirks, rename), .reload = true,
     .help = "Members that have another name there. Mistral: `{seed: random_seed}`; Z.ai: `{user: user_id}`."},
    LIST("takes", takes,
         "Members beyond OpenAI's that the vendor understands, so that what another dialect says with "
         "them is not lost. vLLM and the vendors that run it: `top_k`, `min_p`, `repetition_penalty`. Also the "
         "suffixes of model names, of Sluice's own, that are left to it (OpenRouter: `:nitro`, `:floor`)."),
    LIST("takes-headers", takes_headers,
         "Headers of the client that reach the vendor, beside those that reach everybody (`traceparent`, "
         "`idempotency-key`). xAI: `x-grok-conv-id`; OpenRouter: `http-referer`, `x-title`; Hugging Face: "
         "`x-hf-bill-to`. None that carry keys, and none of the connection."),
    {.key = "max-tokens", .type = CONF_ENUM, AT(schema_quirks, max_tokens), .words = max_tokens_names,
     .reload = true,
     .help = "What the bound of an answer is called. Default: `max_tokens`. Cerebras: "
     "`max_completion_tokens`; Groq, xAI, vLLM: either (the client's name stays); OpenAI by model."},
    NUMBER("max-tokens-plain", max_tokens_plain,
           "Most `max_tokens` of a request that is no stream; for more a stream is asked for, and put together "
           "for the client. Fireworks: 4096."),
    LIST("tool-choice", tool_choice,
         "The kinds of `tool_choice` it takes: `auto`, `none`, `required`, `named`. Default: all. Z.ai, "
         "Meta: `auto`; Moonshot: `auto`, `none`; Cloudflare: no `named`."),
    LIST("response-format", response_format,
         "The kinds of `response_format` it takes: `text`, `json_object`, `json_schema`. Default: all. "
         "DeepSeek: no `json_schema`."),
    FLAG("schema-strict", schema_strict,
         "A `json_schema` is taken with `strict: true` only. Cerebras."),
    FLAG("no-tool-strict", no_tool_strict,
         "`strict` of a tool is refused and left out. Mistral."),
    NUMBER("stop-max", stop_max, "Most stop sequences. Z.ai: 1; Cohere: 5."),
    SHARE("temperature-min", temperature_min,
          "Smallest `temperature`; smaller ones are raised to it. MiniMax, Z.ai: 0.01 (0 is refused)."),
    SHARE("temperature-max", temperature_max,
          "Largest `temperature`; larger ones are lowered to it. Moonshot, Z.ai, MiniMax, Anthropic: 1."),
    SHARE("top-p-max", top_p_max, "Largest `top_p`. Z.ai: 0.99."),
    FLAG("no-developer-role", no_developer_role,
         "The role `developer` is unknown and becomes `system`. Mistral, Cerebras, DashScope, "
         "Cloudflare, DeepSeek and others."),
    FLAG("no-message-names", no_message_names, "`name` of a message is refused and left out. Groq."),
    FLAG("alternate-roles", alternate_roles,
         "After the system messages user and assistant must alternate: neighbours of one role are "
         "joined. Perplexity."),
    FLAG("last-user", last_user,
         "The last message must be the user's or a tool's. Perplexity, Mistral."),
    {.key = "prefill", .type = CONF_STRING, AT(schema_quirks, prefill), .reload = true,
     .help = "A last message of the assistant, which the answer goes on from, must say so with this "
     "member. Mistral: `prefix`; Moonshot: `partial`."},
    FLAG("flatten-text", flatten_text,
         "Content that is a list of text parts is refused and becomes one string. Cloudflare."),
    FLAG("no-images", no_images, "Images are refused: a 400. Perplexity's text models, AI21."),
    FLAG("image-data-only", image_data_only,
         "Images are taken as `data:` URLs only; one by address is a 400. Ollama."),
    FLAG("no-files", no_files, "`file` parts are refused: a 400. Everybody but OpenAI and OpenRouter."),
    FLAG("no-audio", no_audio, "`input_audio` parts are refused: a 400."),
    NUMBER("user-min", user_min,
           "Fewest characters of `user`; a shorter one is left out. Z.ai: 6."),
    NUMBER("user-max", user_max, "Most characters of `user`; a longer one is left out. Z.ai: 128."),
    {.key = "greedy", .type = CONF_STRING, AT(schema_quirks, greedy), .reload = true,
     .help = "The member that is `false` in place of a `temperature` of 0. Z.ai: `do_sample`."},
    {.key = "tool-id-length", .type = CONF_INT, AT(schema_quirks, tool_id_length), .max = 256,
     .reload = true,
     .help = "Most characters of a tool call's id; ids that do not fit are rewritten, in the call and "
     "its result alike. 0: ids stay as they are. Mistral: 9; Anthropic: 64."},
    FLAG("tool-id-exact", tool_id_exact, "An id has exactly that many characters. Mistral."),
    {.key = "tool-id-punctuation", .type = CONF_STRING, AT(schema_quirks, tool_id_punctuation),
     .reload = true,
     .help = "What an id may hold beyond letters and digits. Mistral: nothing; Anthropic: `_-`."},
    {.key = "reasoning", .type = CONF_ENUM, AT(schema_quirks, reasoning), .words = reasoning_forms,
     .reload = true,
     .help = "How reasoning is asked for. `effort` (default): `reasoning_effort`. `none`: it cannot be "
     "(AI21). `thinking`: `{type: enabled | disabled}` (DeepSeek, Z.ai, Moonshot, Volcengine). "
     "`thinking-budget`: the same with `budget_tokens` (Databricks). `enable-thinking`: "
     "`enable_thinking` and `thinking_budget` (DashScope, SiliconFlow). `object`: `reasoning: {effort}` "
     "(OpenRouter). `template`: `chat_template_kwargs` (SambaNova, NVIDIA). `split`: "
     "`reasoning_split: true` (MiniMax)."},
    LIST("efforts", efforts,
         "Values of `reasoning_effort` it takes; another one becomes the nearest. Default: all. DeepSeek: "
         "`high`, `max`; Mistral: `none`, `high`."),
    {.key = "reasoning-history", .type = CONF_ENUM, AT(schema_quirks, reasoning_history),
     .words = histories, .reload = true,
     .help = "What becomes of the reasoning in earlier messages of the assistant. `drop` (default): it is "
     "left out. Otherwise the member it must be sent back in: `reasoning_content` (DeepSeek, Moonshot), "
     "`reasoning` (Cerebras), `reasoning_details` (OpenRouter, MiniMax), `parts` of content (Mistral)."},
    FLAG("takes-cache-control", takes_cache_control,
         "`cache_control` marks on parts are understood and stay. OpenRouter, DashScope."),
    FLAG("reasoning-cumulative", reasoning_cumulative,
         "In a stream each piece of `reasoning_details` holds all that came before. MiniMax."),
    FLAG("split-think", split_think,
         "`<think>...</think>` at the start of an answer is split off as reasoning. Off everywhere in the "
         "catalogue; for a server of your own whose reasoning parser is off."),
    FLAG("normalize", normalize,
         "Chats are answered in OpenAI's own form also to clients of OpenAI's dialect, whatever the vendor's is: "
         "reasoning in `reasoning_content` (not `reasoning`, or parts of content), known finish reasons, usage at "
         "the end. What the vendor adds of its own is lost. Off everywhere in the catalogue: answers pass byte for "
         "byte."),
    FLAG("reports-cost", reports_cost,
         "The vendor's own figure of what a request cost is believed and goes before the catalogue's "
         "prices. OpenRouter, Perplexity, DeepInfra, xAI."),
    FLAG("forced-unreasoned", forced_unreasoned,
         "A forced `tool_choice` is refused while the model reasons: the reasoning is turned off, or, where "
         "it cannot be, the choice becomes `auto`. DashScope."),
    SHARE("price-flex", price_flex,
          "What a request costs that the vendor says it served in its tier `flex`, as a share of the "
          "catalogue's prices. Not given: unpriced. OpenAI, Gemini: 0.5."),
    SHARE("price-priority", price_priority,
          "The same of the tier `priority`. OpenAI: 2; Gemini: 1.8; Anthropic: 1."),
    SHARE("price-batch", price_batch, "The same of batches. OpenAI, Anthropic, Gemini: 0.5."),
    SHARE("price-fast", price_fast, "The same of Anthropic's fast mode (`speed`) and OpenAI's tier `fast`: 2."),
    SHARE("price-us", price_us,
          "The same of requests that had to stay in the US (`inference_geo`). Anthropic: 1.1."),
    SHARE("price-write", price_write,
          "What a token written to the vendor's cache costs where a model's price does not say, as a share of "
          "its `input`. Not given: as `input`. Anthropic: 1.25."),
    SHARE("price-write-long", price_write_long, "The same of one that is kept longer. Anthropic: 2."),
    SHARE("price-rate", price_rate,
          "What this provider's tokens cost, as a share of the catalogue's prices: 1.1 for a regional endpoint of "
          "a cloud (Azure's Data Zones, Vertex's and Bedrock's regions). Not given: 1."),
    SHARE("price-search", price_search,
          "USD for 1,000 web searches that the vendor counts in `usage` (Anthropic's `server_tool_use`). Not "
          "given: a request with searches is unpriced. Anthropic: 10."),
    SHARE("price-peak", price_peak, "The same within `peak-hours`. DeepSeek: 2."),
    LIST("peak-hours", peak_hours,
         "Hours of a working day (Monday to Friday, UTC) in which `price-peak` holds, by the time the "
         "request came. DeepSeek: `01:00-04:00`, `06:00-10:00` (Chinese holidays, on which they do not, "
         "are not known here)."),
};
const struct conf_table schema_quirks_table = {
    .name = "quirks",
    .size = sizeof(struct schema_quirks),
    .fields = quirks_fields,
    .n = ARRAY_LEN(quirks_fields),
    .help =
        "What the vendor's API does otherwise than the dialect it speaks. Names are those of OpenAI's "
        "requests. A key given here goes before the catalogue's for that key alone; a list replaces "
        "the catalogue's list.",
};

// --- traits --------------------------------------------------------------------------------------

static const struct conf_word thinking_kinds[] = {
    {"none", RESOURCE_THINKING_NONE},         {"manual", RESOURCE_THINKING_MANUAL},
    {"adaptive", RESOURCE_THINKING_ADAPTIVE}, {"budget", RESOURCE_THINKING_BUDGET},
    {"level", RESOURCE_THINKING_LEVEL},       {"effort", RESOURCE_THINKING_EFFORT},
    {"prompt-mode", RESOURCE_THINKING_PROMPT}, {NULL, 0}};
static const struct conf_word thinking_offs[] = {
    {"omit", RESOURCE_OFF_OMIT},
    {"disabled", RESOURCE_OFF_DISABLED},
    {"between-tools", RESOURCE_OFF_BETWEEN_TOOLS},
    {"never", RESOURCE_OFF_NEVER},
    {NULL, 0}};

#define TRAIT(k, m, h)                                                                             \
    {                                                                                              \
        .key = k, .type = CONF_ENUM, AT(schema_traits, m), .words = schema_yes_no, .reload = true, \
        .help = h                                                                                  \
    }
static const struct conf_field traits_fields[] = {
    {.key = "thinking", .type = CONF_ENUM, AT(schema_traits, thinking), .words = thinking_kinds,
     .reload = true,
     .help = "How it thinks: `none`; `manual`: on or off, at Anthropic with a budget of tokens, without words "
     "for how much; Anthropic's `adaptive`; Gemini's `budget` (2.5) and `level` (3 and later); `effort`: as "
     "`reasoning_effort` says; `prompt-mode`: Mistral's `prompt_mode: reasoning`."},
    {.key = "thinking-off", .type = CONF_ENUM, AT(schema_traits, thinking_off), .words = thinking_offs,
     .reload = true,
     .help = "How thinking is turned off: `omit` (default; by not asking for it), `disabled`, "
     "`between-tools`, `never` (it cannot be: the lowest effort instead)."},
    {.key = "efforts", .type = CONF_STRINGS, AT(schema_traits, efforts), .reload = true,
     .help = "Efforts it takes, lowest first; another one becomes the nearest. Default: all."},
    {.key = "drop", .type = CONF_STRINGS, AT(schema_traits, drop), .reload = true,
     .help = "Members of a request that it refuses; they are left out and named to the client."},
    {.key = "max-output", .type = CONF_INT, AT(schema_traits, max_output), .max = UINT32_MAX,
     .reload = true,
     .help = "Most tokens it generates, where `max-output` beside the traits does not say so; 0: unknown."},
    TRAIT("no-tools", no_tools, "It takes no tools."),
    TRAIT("no-schema", no_schema,
          "It has no structured output of its own: a JSON schema goes as a tool."),
    TRAIT("no-sampling", no_sampling, "`temperature`, `top_p` and `top_k` are refused."),
    TRAIT("sampling-unreasoned", sampling_unreasoned,
          "With `no-sampling`: taken all the same when the effort is `none`."),
    TRAIT("one-sampling", one_sampling, "`temperature` or `top_p`, not both."),
    TRAIT("no-forced-tools", no_forced_tools, "`tool_choice` is `auto` or `none` only."),
    TRAIT("no-prefill", no_prefill, "The last message cannot be the assistant's."),
    TRAIT("completion-tokens", completion_tokens,
          "`max_tokens` is refused: `max_completion_tokens`."),
    TRAIT("responses-only", responses_only,
          "OpenAI serves it through `/v1/responses` only: a chat is a 400 there, or goes to the route's next "
          "target."),
    TRAIT("tools-by-responses", tools_by_responses,
          "Tools while it reasons are served through `/responses` only."),
    TRAIT("tools-no-effort", tools_no_effort,
          "Tools are refused beside a `reasoning_effort` other than `none`."),
    TRAIT("no-completions", no_completions,
          "`/completions` of old does not serve it: a completion goes as a chat."),
    TRAIT("system-anywhere", system_anywhere,
          "Anthropic: system messages in the middle stay where they are, in place of going to `system`. "
          "Opus 4.8 and later take them. Off everywhere in the catalogue."),
    TRAIT("stream-only", stream_only,
          "It answers streams only: for a client that wants a plain answer its stream is put together."),
    TRAIT("old-schema", old_schema,
          "Gemini before 2.5: `responseSchema` in place of a JSON schema."),
};
const struct conf_table schema_traits_table = {
    .name = "traits",
    .size = sizeof(struct schema_traits),
    .fields = traits_fields,
    .n = ARRAY_LEN(traits_fields),
    .help =
        "What the model takes, as far as requests must be written differently for it. Default: what "
        "the catalogue says of models of that name.",
};

static const struct conf_field family_fields[] = {
    {.key = "match", .type = CONF_STRINGS, AT(schema_family, match), .required = true},
    {.key = "traits", .type = CONF_SECTION, AT(schema_family, traits), .table = &schema_traits_table},
};
const struct conf_table schema_family_table = {
    .name = "family",
    .size = sizeof(struct schema_family),
    .fields = family_fields,
    .n = ARRAY_LEN(family_fields),
};
