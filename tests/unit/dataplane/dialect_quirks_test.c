// SPDX-License-Identifier: Apache-2.0
// Bodies of OpenAI's dialect before and after the edits that a vendor or model asks for.
#include "dataplane/dialect_quirks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/cdefs.h"
#include "proto/resource.h"

static const char *const dropped_by_vllm[] = {"store", "metadata"};
static const char *const no_n[] = {"n", "tools"};
static const struct resource_pair seed_renamed[] = {{"seed", "random_seed"}};
static const char *const none_high[] = {"none", "high"};
static const char *const high_max[] = {"high", "max"};
static const char *const low_high_max[] = {"low", "high", "max"};
static const char *const openai_refuses[] = {"stop", "logprobs"};

static const struct resource_quirks plain = {.flags = 0};
static const struct resource_quirks vllm = {
    .drop = dropped_by_vllm, .n_drop = 2, .max_tokens_name = RESOURCE_MAX_TOKENS_EITHER};
static const struct resource_quirks refuses = {.refuse = no_n, .n_refuse = 2};
static const struct resource_quirks mistral = {.flags = RESOURCE_NO_DEVELOPER_ROLE |
                                                        RESOURCE_NO_TOOL_STRICT | RESOURCE_NO_FILES,
                                               .rename = seed_renamed,
                                               .n_rename = 1,
                                               .prefill = "prefix",
                                               .tool_id_length = 9,
                                               .tool_id_exact = true,
                                               .efforts = none_high,
                                               .n_efforts = 2,
                                               .reasoning_history = RESOURCE_HISTORY_PARTS};
static const struct resource_quirks zai = {.tool_choices = RESOURCE_CHOICE_AUTO,
                                           .stop_max = 1,
                                           .temperature_min = 10,
                                           .temperature_max = 1000,
                                           .top_p_max = 990,
                                           .reasoning = RESOURCE_REASONING_THINKING,
                                           .reasoning_history = RESOURCE_HISTORY_REASONING_CONTENT};
static const struct resource_quirks cohere = {
    .tool_choices = RESOURCE_CHOICE_AUTO | RESOURCE_CHOICE_NONE | RESOURCE_CHOICE_REQUIRED};
static const struct resource_quirks deepseek = {.formats = RESOURCE_FORMAT_TEXT |
                                                           RESOURCE_FORMAT_JSON_OBJECT,
                                                .reasoning = RESOURCE_REASONING_THINKING,
                                                .efforts = high_max,
                                                .n_efforts = 2,
                                                .max_tokens_name = RESOURCE_MAX_TOKENS_EITHER};
static const struct resource_quirks cerebras = {.flags =
                                                    RESOURCE_SCHEMA_STRICT | RESOURCE_NO_IMAGES,
                                                .max_tokens_name = RESOURCE_MAX_COMPLETION_TOKENS,
                                                .reasoning_history = RESOURCE_HISTORY_REASONING};
static const struct resource_quirks fireworks = {.plain_max_tokens = 4096};
static const struct resource_quirks perplexity = {.flags = RESOURCE_ALTERNATE_ROLES |
                                                           RESOURCE_LAST_USER};
static const struct resource_quirks cloudflare = {
    .flags = RESOURCE_FLATTEN_TEXT | RESOURCE_NO_MESSAGE_NAMES | RESOURCE_TAKES_CACHE_CONTROL};
static const struct resource_quirks ollama = {.flags = RESOURCE_IMAGE_DATA_ONLY};
static const struct resource_quirks short_ids = {.tool_id_length = 8, .tool_id_punctuation = "_"};
static const struct resource_quirks openrouter = {.reasoning = RESOURCE_REASONING_OBJECT,
                                                  .reasoning_history =
                                                      RESOURCE_HISTORY_REASONING_DETAILS};
static const struct resource_quirks dashscope = {.reasoning = RESOURCE_REASONING_ENABLE};
static const struct resource_quirks databricks = {.reasoning = RESOURCE_REASONING_THINKING_BUDGET};
static const struct resource_quirks sambanova = {.reasoning = RESOURCE_REASONING_TEMPLATE};
static const struct resource_quirks ai21 = {.reasoning = RESOURCE_REASONING_NONE};
static const struct resource_quirks minimax = {.reasoning = RESOURCE_REASONING_SPLIT};
static const struct resource_quirks kimi = {.efforts = low_high_max, .n_efforts = 3};

static const struct resource_quirks glm = {.greedy = "do_sample", .user_min = 6, .user_max = 8};
static const char *const switches[] = {"none", "default"};
static const char *const groqs[] = {"none", "default", "low", "medium", "high"};
static const struct resource_quirks groq = {.efforts = groqs, .n_efforts = 5};
static const struct resource_quirks forced = {.flags = RESOURCE_FORCED_UNREASONED,
                                              .reasoning = RESOURCE_REASONING_ENABLE};

static const char *const googles[] = {"extra_content"};
static const struct resource_quirks google = {.takes = googles, .n_takes = 1};
static const struct resource_traits level = {.thinking = RESOURCE_THINKING_LEVEL};
static const struct resource_traits streams = {.flags = RESOURCE_STREAM_ONLY};
static const struct resource_traits magistral = {.thinking = RESOURCE_THINKING_PROMPT};
static const struct resource_traits switched = {.thinking = RESOURCE_THINKING_MANUAL};
static const struct resource_traits thoughtless = {.thinking = RESOURCE_THINKING_NONE};
static const struct resource_traits always = {.thinking_off = RESOURCE_OFF_NEVER};
static const struct resource_traits qwen = {.efforts = switches, .n_efforts = 2};
static const struct resource_traits reasons = {
    .flags = RESOURCE_NO_SAMPLING | RESOURCE_SAMPLING_UNREASONED | RESOURCE_COMPLETION_TOKENS,
    .drop = openai_refuses,
    .n_drop = 2};
static const struct resource_traits no_tools = {.flags = RESOURCE_NO_TOOLS};
static const struct resource_traits unforced = {.flags = RESOURCE_NO_FORCED_TOOLS};
static const struct resource_traits unthinking = {.thinking = RESOURCE_THINKING_NONE};
static const struct resource_traits claude = {.flags = RESOURCE_ONE_SAMPLING | RESOURCE_NO_PREFILL};
static const struct resource_traits only_high = {.efforts = high_max, .n_efforts = 1};

#define M(m)      "{\"model\":\"m\",\"messages\":[" m "]}"
#define X(m)      "{\"model\":\"m\"," m "}"
#define SIGNED(s) ",\"extra_content\":{\"google\":{\"thought_signature\":\"" s "\"}}"
#define CALLS(i, more)                                                                             \
    "{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"" i "\"" more "},{\"id\":\"x" i "\"}]}"
#define STREAM    "\"stream\":true,\"stream_options\":{\"include_usage\":true}"
#define USER      "{\"role\":\"user\",\"content\":\"Hi\"}"
#define TOOL(n)   "{\"type\":\"function\",\"function\":{\"name\":\"" n "\"}}"
#define EFFORT(e) X("\"reasoning_effort\":\"" e "\"")

static const struct edit_case {
    const char *name;
    const struct resource_quirks *q;
    const struct resource_traits *tr;
    const char *body, *after; // after NULL: not edited; "400": refused
    const char *dropped;      // joined by commas
} cases[] = {
    {"nothing", &plain, NULL, X("\"x\" : [1, 2],\"temperature\":3,\"max_tokens\":5"), NULL, ""},
    {"no JSON", &zai, NULL, "{\"model\":", NULL, ""},
    {"no object", &zai, NULL, "[]", NULL, ""},
    {"unknown members keep their bytes", &vllm, NULL,
     "{ \"model\": \"m\", \"x\" : {\"b\": 1.50e+0 }, \"store\": true, \"y\":\"\\u00e9\"}",
     "{\"model\":\"m\",\"x\":{\"b\": 1.50e+0 },\"y\":\"\\u00e9\"}", "store"},
    {"null is nothing to drop", &vllm, NULL, X("\"store\":null"), NULL, ""},
    {"two go", &vllm, NULL, X("\"store\":true,\"metadata\":{}"), "{\"model\":\"m\"}",
     "store,metadata"},
    {"renamed", &mistral, NULL, X("\"seed\":5"), X("\"random_seed\":5"), ""},
    // refused
    {"n", &refuses, NULL, X("\"n\":2"), "400", ""},
    {"n of 1", &refuses, NULL, X("\"n\":1"), "{\"model\":\"m\"}", ""},
    {"tools", &refuses, NULL, X("\"tools\":[" TOOL("a") "]"), "400", ""},
    {"no tools", &refuses, NULL, X("\"tools\":[]"), "{\"model\":\"m\"}", ""},
    {"tools by model", &plain, &no_tools, X("\"tools\":[" TOOL("a") "]"), "400", ""},
    // Google's endpoint of this dialect: the first call of a message wants a signature
    {"unsigned", &google, &level, M(CALLS("1", "") "," CALLS("2", SIGNED("s"))),
     M(CALLS("1", SIGNED("skip_thought_signature_validator")) "," CALLS("2", SIGNED("s"))), ""},
    {"signed with nothing", &google, &level, M(CALLS("1", SIGNED(""))),
     M(CALLS("1", SIGNED("skip_thought_signature_validator"))), ""},
    {"signed", &google, &level, M(CALLS("1", SIGNED("s"))), NULL, ""},
    {"unsigned, before 3", &google, &always, M(CALLS("1", "")), NULL, ""},
    {"unsigned, elsewhere", &plain, &level, M(CALLS("1", "")), NULL, ""},
    // bounds
    {"max renamed", &plain, NULL, X("\"max_completion_tokens\":7"), X("\"max_tokens\":7"), ""},
    {"max stays", &vllm, NULL, X("\"max_completion_tokens\":7"), NULL, ""},
    {"max renamed back", &cerebras, NULL, X("\"max_tokens\":7"), X("\"max_completion_tokens\":7"),
     ""},
    {"one of two", &vllm, NULL, X("\"max_tokens\":1,\"max_completion_tokens\":7"),
     X("\"max_completion_tokens\":7"), ""},
    {"max of a model", &vllm, &reasons, X("\"max_tokens\":7"), X("\"max_completion_tokens\":7"),
     ""},
    {"max of a plain one", &fireworks, NULL, X("\"max_tokens\":9000"),
     X("\"max_tokens\":9000," STREAM), ""},
    {"max of a plain one, null", &fireworks, NULL,
     X("\"max_tokens\":9000,\"stream\":null,\"n\":null"),
     X("\"max_tokens\":9000,\"n\":null," STREAM), ""},
    {"less", &fireworks, NULL, X("\"max_tokens\":4096"), NULL, ""},
    {"streams only", &plain, &streams, X("\"stream\":false,\"x\":1"), X("\"x\":1," STREAM), ""},
    {"audio in a stream only", &plain, &streams, X("\"audio\":{\"voice\":\"a\"}"), "400", ""},
    {"a stream of its own", &plain, &streams, X("\"stream\":true"), NULL, ""},
    {"max of a stream", &fireworks, NULL, X("\"stream\":true,\"max_tokens\":9000"), NULL, ""},
    {"hot", &zai, NULL, X("\"temperature\":1.7,\"top_p\":1"), X("\"temperature\":1,\"top_p\":0.99"),
     ""},
    {"no bounds", &plain, NULL, X("\"temperature\":-0.3,\"top_p\":-1"), NULL, ""},
    {"cold", &zai, NULL, X("\"temperature\":0"), X("\"temperature\":0.01"), ""},
    {"greedy", &glm, NULL, X("\"temperature\":0"), X("\"do_sample\":false"), ""},
    {"greedy, as the client says", &glm, NULL, X("\"temperature\":0.0,\"do_sample\":true"),
     X("\"do_sample\":true"), ""},
    {"hardly greedy", &glm, NULL, X("\"temperature\":0.1"), NULL, ""},
    {"user too short", &glm, NULL, X("\"user\":\"\u00e9\u00e9u12\""), "{\"model\":\"m\"}", "user"},
    {"user", &glm, NULL, X("\"user\":\"user-1\""), NULL, ""},
    {"user too long", &glm, NULL, X("\"user\":\"user-1234\""), "{\"model\":\"m\"}", "user"},
    {"mild", &zai, NULL, X("\"temperature\":0.70,\"top_p\":0.5"), NULL, ""},
    {"sampling", &vllm, &reasons, X("\"temperature\":0.2,\"top_p\":1,\"stop\":\"x\""),
     X("\"top_p\":1"), "temperature,stop"},
    {"sampling without thought", &vllm, &reasons,
     X("\"temperature\":0.2,\"reasoning_effort\":\"none\""), NULL, ""},
    {"stops", &zai, NULL, X("\"stop\":[\"a\",\"b\"]"), X("\"stop\":[\"a\"]"), "stop"},
    {"stop", &zai, NULL, X("\"stop\":\"a\""), NULL, ""},
    // tools
    {"strict", &mistral, NULL,
     X("\"tools\":[{\"type\":\"function\",\"cache_control\":{},\"function\":{\"name\":\"a\","
       "\"strict\":true,\"x\":1}}]"),
     X("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"x\":1}}]"), ""},
    {"auto", &zai, NULL, X("\"tools\":[" TOOL("a") "],\"tool_choice\":\"auto\""), NULL, ""},
    {"required", &zai, NULL, X("\"tool_choice\":\"required\""), X("\"tool_choice\":\"auto\""),
     "tool_choice"},
    {"named", &zai, NULL, X("\"tools\":[" TOOL("a") "," TOOL("b") "],\"tool_choice\":" TOOL("b")),
     X("\"tools\":[" TOOL("b") "],\"tool_choice\":\"auto\""), "tool_choice"},
    {"named, required", &cohere, NULL,
     X("\"tools\":[" TOOL("a") "," TOOL("b") "],\"tool_choice\":" TOOL("b")),
     X("\"tools\":[" TOOL("b") "],\"tool_choice\":\"required\""), ""},
    {"none", &zai, NULL, X("\"tools\":[" TOOL("a") "],\"tool_choice\":\"none\""),
     "{\"model\":\"m\"}", ""},
    {"unforced", &plain, &unforced, X("\"tool_choice\":\"required\""),
     X("\"tool_choice\":\"auto\""), "tool_choice"},
    // form
    {"schema in words", &deepseek, NULL,
     "{\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"a\": \"b\"}}},"
     "\"messages\":[" USER "]}",
     "{\"response_format\":{\"type\":\"json_object\"},\"messages\":[{\"role\":\"system\","
     "\"content\":\"Respond with one valid JSON object and nothing else. It must follow this JSON "
     "schema: {\\\"a\\\":\\\"b\\\"}\"}," USER "]}",
     "response_format"},
    {"json", &deepseek, NULL, X("\"response_format\":{\"type\":\"json_object\"}"), NULL, ""},
    {"strict schema", &cerebras, NULL,
     X("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"strict\":false,"
       "\"schema\":{}}}"),
     X("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{},"
       "\"strict\":true}}"),
     ""},
    // reasoning
    {"prompt mode", &mistral, &magistral, EFFORT("low"), X("\"prompt_mode\":\"reasoning\""), ""},
    {"no words for how much", &deepseek, &switched, EFFORT("low"),
     X("\"thinking\":{\"type\":\"enabled\"}"), ""},
    {"thinking and effort, always", &deepseek, &always, EFFORT("none"),
     X("\"thinking\":{\"type\":\"enabled\"},\"reasoning_effort\":\"high\""), ""},
    {"never", &deepseek, &thoughtless, EFFORT("low"), "{\"model\":\"m\"}", "reasoning_effort"},
    {"default", &groq, &qwen, EFFORT("low"), EFFORT("default"), ""},
    {"default, off", &groq, &qwen, EFFORT("none"), NULL, ""},
    {"default elsewhere", &openrouter, &qwen, EFFORT("low"),
     X("\"reasoning\":{\"effort\":\"low\"}"), ""},
    {"forced and thinking", &forced, NULL,
     X("\"reasoning_effort\":\"high\",\"tool_choice\":\"required\""),
     X("\"enable_thinking\":false,\"tool_choice\":\"required\""), "reasoning_effort"},
    {"forced, and always thinking", &forced, &always,
     X("\"reasoning_effort\":\"low\",\"tool_choice\":\"required\""),
     X("\"enable_thinking\":true,\"thinking_budget\":1024,\"tool_choice\":\"auto\""),
     "tool_choice"},
    {"nearest", &mistral, NULL, EFFORT("low"), EFFORT("high"), ""},
    {"nearest none", &mistral, NULL, EFFORT("minimal"), EFFORT("none"), ""},
    {"near the higher", &kimi, NULL, EFFORT("medium"), EFFORT("high"), ""},
    {"taken", &kimi, NULL, EFFORT("low"), NULL, ""},
    {"taken by the model too", &kimi, &only_high, EFFORT("max"), EFFORT("high"), ""},
    {"own word", &kimi, NULL, EFFORT("default"), NULL, ""},
    {"thinking", &zai, NULL, EFFORT("low"), X("\"thinking\":{\"type\":\"enabled\"}"), ""},
    {"no thinking", &zai, NULL, EFFORT("none"), X("\"thinking\":{\"type\":\"disabled\"}"), ""},
    {"thinking and effort", &deepseek, NULL, EFFORT("low"),
     X("\"thinking\":{\"type\":\"enabled\"},\"reasoning_effort\":\"high\""), ""},
    {"thinking of the client", &zai, NULL,
     X("\"thinking\":{\"type\":\"x\"},\"reasoning_effort\":\"low\""),
     X("\"thinking\":{\"type\":\"x\"}"), ""},
    {"budget", &databricks, NULL, EFFORT("medium"),
     X("\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":8192}"), ""},
    {"enable", &dashscope, NULL, EFFORT("high"),
     X("\"enable_thinking\":true,\"thinking_budget\":24576"), ""},
    {"disable", &dashscope, NULL, EFFORT("none"), X("\"enable_thinking\":false"), ""},
    {"object", &openrouter, NULL, EFFORT("low"), X("\"reasoning\":{\"effort\":\"low\"}"), ""},
    {"object off", &openrouter, NULL, EFFORT("none"), X("\"reasoning\":{\"enabled\":false}"), ""},
    {"template", &sambanova, NULL, EFFORT("low"),
     X("\"chat_template_kwargs\":{\"enable_thinking\":true,\"thinking\":true}"), ""},
    {"not at all", &ai21, NULL, EFFORT("low"), "{\"model\":\"m\"}", "reasoning_effort"},
    {"not at all, off", &ai21, NULL, EFFORT("none"), "{\"model\":\"m\"}", ""},
    {"split", &minimax, NULL, EFFORT("low"), X("\"reasoning_split\":true"), ""},
    {"not split", &minimax, NULL, M(USER), NULL, ""},
    // messages
    {"developer", &mistral, NULL, M("{\"role\":\"developer\",\"content\":\"x\"}," USER),
     M("{\"role\":\"system\",\"content\":\"x\"}," USER), ""},
    {"names", &cloudflare, NULL, M("{\"role\":\"user\",\"name\":\"n\",\"content\":\"x\"}"),
     M("{\"role\":\"user\",\"content\":\"x\"}"), ""},
    {"flat", &cloudflare, NULL,
     M("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\","
       "\"text\":\"\\u00e9\",\"cache_control\":{}}]}"),
     M("{\"role\":\"user\",\"content\":\"a\\n\\u00e9\"}"), ""},
    {"marks", &plain, NULL,
     M("{\"role\":\"user\",\"cache_control\":{},\"content\":[{\"type\":\"text\",\"cache_control\":{"
       "\"type\":\"ephemeral\"},\"text\":\"a\"}]}"),
     M("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}"), ""},
    {"marks that stay", &cloudflare, NULL,
     M("{\"role\":\"user\",\"cache_control\":{},\"content\":\"a\"}"), NULL, ""},
    {"image", &cerebras, NULL,
     M("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":\"x\"}]}"), "400",
     ""},
    {"file", &mistral, NULL, M("{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{}}]}"),
     "400", ""},
    {"image by address", &ollama, NULL,
     M("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"http:x\"}}"
       "]}"),
     "400", ""},
    {"image by data", &ollama, NULL,
     M("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:x\"}}"
       "]}"),
     NULL, ""},
    {"ids", &mistral, NULL,
     M("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"toolu_01Abc-9\"},{\"id\":\"call_1\"},{"
       "\"id\":\"toolu_01Abc-8\"},{\"id\":\"abcDEF123\"}]},{\"role\":\"tool\",\"tool_call_id\":"
       "\"toolu_01Abc-8\"},{\"role\":\"tool\",\"tool_call_id\":\"toolu_01Abc-9\"}"),
     M("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"toolu01Ab\"},{\"id\":\"call10000\"},{"
       "\"id\":\"toolu01A2\"},{\"id\":\"abcDEF123\"}]},{\"role\":\"tool\",\"tool_call_id\":"
       "\"toolu01A2\"},{\"role\":\"tool\",\"tool_call_id\":\"toolu01Ab\"}"),
     ""},
    {"the id of a result alone", &mistral, NULL,
     M("{\"role\":\"tool\",\"tool_call_id\":\"toolu_01Abc-8\"}"),
     M("{\"role\":\"tool\",\"tool_call_id\":\"toolu01Ab\"}"), ""},
    {"ids that collide", &short_ids, NULL,
     M("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a.b\"},{\"id\":\"a:b\"},{\"id\":\"a;b\"},{"
       "\"id\":\"long_name_1\"},{\"id\":\"long_name_2\"},{\"id\":\"long_name_3\"}]}"),
     M("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a_b\"},{\"id\":\"a_b_2\"},{\"id\":\"a_b_3\"},"
       "{\"id\":\"long_nam\"},{\"id\":\"long_n_2\"},{\"id\":\"long_n_3\"}]}"),
     ""},
    {"prefill", &mistral, NULL, M(USER ",{\"role\":\"assistant\",\"content\":\"So\"}"),
     M(USER ",{\"role\":\"assistant\",\"content\":\"So\",\"prefix\":true}"), ""},
    {"history goes", &plain, NULL,
     M("{\"role\":\"assistant\",\"reasoning_content\":\"r\",\"thinking_blocks\":[],\"content\":"
       "\"a\"}"),
     M("{\"role\":\"assistant\",\"content\":\"a\"}"), ""},
    {"history stays", &zai, NULL,
     M("{\"role\":\"assistant\",\"reasoning_content\":\"r\",\"content\":\"a\"}"), NULL, ""},
    {"history renamed", &cerebras, NULL,
     M("{\"role\":\"assistant\",\"reasoning_content\":\"r\",\"content\":\"a\"}"),
     M("{\"role\":\"assistant\",\"content\":\"a\",\"reasoning\":\"r\"}"), ""},
    {"history of blocks", &zai, NULL,
     M("{\"role\":\"assistant\",\"thinking_blocks\":[{\"thinking\":\"a\"},{\"thinking\":\"b\"}]}"),
     M("{\"role\":\"assistant\",\"reasoning_content\":\"ab\"}"), ""},
    {"history as details", &openrouter, NULL,
     M("{\"role\":\"assistant\",\"reasoning_content\":\"r\",\"content\":\"a\"}"),
     M("{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_details\":[{\"type\":"
       "\"reasoning.text\",\"text\":\"r\"}]}"),
     ""},
    {"details that are there", &openrouter, NULL,
     M("{\"role\":\"assistant\",\"reasoning\":\"r\",\"reasoning_details\":[{\"id\":1}]}"),
     M("{\"role\":\"assistant\",\"reasoning_details\":[{\"id\":1}]}"), ""},
    {"history as parts", &mistral, NULL,
     M("{\"role\":\"assistant\",\"reasoning_content\":\"r\",\"content\":\"a\"}," USER),
     M("{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":"
       "\"text\",\"text\":\"r\"}]},{\"type\":\"text\",\"text\":\"a\"}]}," USER),
     ""},
    {"alternate", &perplexity, NULL,
     M("{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"system\",\"content\":\"t\"}," USER
       "," USER ",{\"role\":\"assistant\",\"content\":\"a\"}," USER),
     M("{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"system\",\"content\":\"t\"},{\"role\":"
       "\"user\",\"content\":\"Hi\\n\\nHi\"},{\"role\":\"assistant\",\"content\":\"a\"}," USER),
     ""},
    {"alternate, with parts", &perplexity, NULL,
     M(USER ",{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}"),
     M("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Hi\"},{\"type\":"
       "\"image_url\"}]}"),
     ""},
    {"last is the user's", &perplexity, NULL, M(USER ",{\"role\":\"assistant\",\"content\":\"a\"}"),
     M(USER ",{\"role\":\"assistant\",\"content\":\"a\"},{\"role\":\"user\",\"content\":"
            "\"Continue.\"}"),
     ""},
    // OpenRouter's reasoning object
    {"reasoning as effort", &plain, NULL, X("\"reasoning\":{\"effort\":\"low\"}"), EFFORT("low"),
     ""},
    {"reasoning in tokens", &plain, NULL, X("\"reasoning\":{\"max_tokens\":3000}"),
     EFFORT("medium"), ""},
    {"reasoning on", &plain, NULL, X("\"reasoning\":{\"enabled\":true,\"exclude\":true}"),
     EFFORT("medium"), ""},
    {"reasoning off", &zai, NULL, X("\"reasoning\":{\"enabled\":false}"),
     X("\"thinking\":{\"type\":\"disabled\"}"), ""},
    {"reasoning unsaid", &plain, NULL, X("\"reasoning\":{\"exclude\":true}"), "{\"model\":\"m\"}",
     ""},
    {"reasoning beside effort", &plain, NULL,
     X("\"reasoning\":{\"effort\":\"low\"},\"reasoning_effort\":\"high\""), EFFORT("high"), ""},
    {"reasoning known", &openrouter, NULL, X("\"reasoning\":{\"effort\":\"low\"}"), NULL, ""},
    {"reasoning, no thoughts", &ai21, NULL, X("\"reasoning\":{\"effort\":\"low\"}"),
     "{\"model\":\"m\"}", "reasoning"},
    {"reasoning, no thinker", &plain, &unthinking, X("\"reasoning\":{\"enabled\":true}"),
     "{\"model\":\"m\"}", "reasoning"},
    {"reasoning, odd", &plain, NULL, X("\"reasoning\":5"), NULL, ""},
    // Claude at a vendor of OpenAI's dialect
    {"one of sampling", &plain, &claude, X("\"temperature\":0.2,\"top_p\":0.5"),
     X("\"temperature\":0.2"), "top_p"},
    {"only top_p", &plain, &claude, X("\"top_p\":0.5,\"temperature\":null"), NULL, ""},
    {"no prefill", &plain, &claude, M(USER ",{\"role\":\"assistant\",\"content\":\"a\"}"),
     M(USER ",{\"role\":\"assistant\",\"content\":\"a\"},{\"role\":\"user\",\"content\":"
            "\"Continue.\"}"),
     ""},
    {"odd messages", &mistral, NULL, "{\"messages\":[1,null,\"x\",{}],\"tools\":{},\"stop\":5}",
     NULL, ""},
};

static void join_dropped(const struct canon_outcome *o, char out[200])
{
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < o->n_dropped; i++) {
        n += (size_t)snprintf(out + n, 200 - n, "%s%s", i == 0 ? "" : ",", o->dropped[i]);
    }
}

static void check_case(const struct edit_case *k)
{
    struct canon_target target = {.model = SLICE("m"), .quirks = k->q, .traits = k->tr};
    enum dialect_quirks_result result;
    struct canon_outcome o = {.n_dropped = 0};
    char dropped[200];
    struct scan_object top;
    struct arena a;
    struct buf out;

    arena_init(&a, 4096, 0);
    buf_init(&out, 1 << 20);
    o.arena = &a;
    result = dialect_quirks_edit(slice_str(k->body), DIALECT_CHAT, NULL, &target, &o, &out);
    join_dropped(&o, dropped);
    if (k->after == NULL || strcmp(k->after, "400") == 0) {
        if (result != (k->after == NULL ? DIALECT_QUIRKS_NONE : DIALECT_QUIRKS_REFUSED) ||
            out.n != 0) {
            fail_msg("%s: %d " SLICE_FMT, k->name, (int)result, SLICE_ARG(buf_slice(&out)));
        }
    } else if (result != DIALECT_QUIRKS_EDITED || !slice_eq_str(buf_slice(&out), k->after)) {
        fail_msg("%s: " SLICE_FMT, k->name, SLICE_ARG(buf_slice(&out)));
    }
    if (strcmp(dropped, k->dropped) != 0) {
        fail_msg("%s: dropped %s", k->name, dropped);
    }
    if (result == DIALECT_QUIRKS_REFUSED) {
        assert_string_equal(o.code, "unsupported_parameter");
        assert_true(o.param != NULL && o.message[0] != '\0');
    }
    // What changes was announced.
    if (result != DIALECT_QUIRKS_NONE && scan_object(slice_str(k->body), &a, &top, NULL) &&
        !dialect_quirks_may_touch(&top, slice_str(k->body), &target)) {
        fail_msg("%s: was not announced", k->name);
    }
    buf_done(&out);
    arena_done(&a);
}

static void edits(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        check_case(&cases[i]);
    }
}

// An edited body needs no further edit.
static void edits_are_final(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct edit_case *k = &cases[i];
        struct edit_case again = {k->name, k->q, k->tr, k->after, NULL, ""};

        if (k->after != NULL && strcmp(k->after, "400") != 0 &&
            strncmp(k->name, "thinking and effort", 19) != 0) {
            check_case(&again);
        }
    }
}

static void refusals_can_be_drops(void **state)
{
    struct canon_target target = {
        .model = SLICE("m"), .quirks = &refuses, .drop_unsupported = true};
    struct canon_outcome o = {.n_dropped = 0};
    struct arena a;
    struct buf out;

    (void)state;
    arena_init(&a, 4096, 0);
    buf_init(&out, 1 << 20);
    o.arena = &a;
    assert_int_equal(
        dialect_quirks_edit(SLICE(X("\"n\":2,\"x\":1")), DIALECT_CHAT, NULL, &target, &o, &out),
        DIALECT_QUIRKS_EDITED);
    assert_true(slice_eq_str(buf_slice(&out), X("\"x\":1")));
    assert_int_equal(o.n_dropped, 1);
    assert_string_equal(o.dropped[0], "n");
    buf_done(&out);
    arena_done(&a);
}

static void completions_of_old(void **state)
{
    struct canon_target target = {.model = SLICE("m"), .quirks = &cerebras};
    struct canon_outcome o = {.n_dropped = 0};
    struct arena a;
    struct buf out;

    (void)state;
    arena_init(&a, 4096, 0);
    buf_init(&out, 1 << 20);
    o.arena = &a;
    assert_int_equal(dialect_quirks_edit(SLICE(X("\"max_tokens\":2")), DIALECT_COMPLETIONS, NULL,
                                         &target, &o, &out),
                     DIALECT_QUIRKS_NONE);
    buf_done(&out);
    arena_done(&a);
}

// Vectors are no stream, whatever the model or the vendor wants of chats.
static void embeddings_never_stream(void **state)
{
    static const struct resource_traits *const traits[] = {&streams, NULL};
    struct canon_target target = {.model = SLICE("m"), .quirks = &fireworks};
    struct canon_outcome o = {.n_dropped = 0};
    struct arena a;
    struct buf out;

    (void)state;
    arena_init(&a, 4096, 0);
    buf_init(&out, 1 << 20);
    o.arena = &a;
    for (size_t i = 0; i < ARRAY_LEN(traits); i++) {
        target.traits = traits[i];
        assert_int_equal(dialect_quirks_edit(SLICE(X("\"input\":\"a\",\"max_tokens\":9000")),
                                             DIALECT_EMBEDDINGS, NULL, &target, &o, &out),
                         DIALECT_QUIRKS_EDITED);
        assert_true(slice_eq_str(buf_slice(&out), X("\"input\":\"a\",\"max_tokens\":4096")));
        assert_false(o.streams);
        buf_clear(&out);
    }
    buf_done(&out);
    arena_done(&a);
}

// Of a request that was translated the client's own words are named.
static void names_of_the_client(void **state)
{
    static const char *const drop[] = {"stop", "user", "parallel_tool_calls"};
    static const struct resource_quirks q = {
        .drop = drop, .n_drop = 3, .reasoning = RESOURCE_REASONING_NONE};
    struct canon_request r = {.endpoint = DIALECT_MESSAGES,
                              .stop_name = "stop_sequences",
                              .user = {SLICE("\"u\""), "metadata.user_id"},
                              .effort_name = "thinking"};
    struct canon_target target = {.model = SLICE("m"), .quirks = &q};
    struct canon_outcome o = {.n_dropped = 0};
    char dropped[200];
    struct arena a;
    struct buf out;

    (void)state;
    arena_init(&a, 4096, 0);
    buf_init(&out, 1 << 20);
    o.arena = &a;
    assert_int_equal(
        dialect_quirks_edit(SLICE(X("\"stop\":[],\"user\":\"u\",\"parallel_tool_calls\":false,"
                                    "\"reasoning_effort\":\"low\"")),
                            DIALECT_MESSAGES, &r, &target, &o, &out),
        DIALECT_QUIRKS_EDITED);
    join_dropped(&o, dropped);
    assert_string_equal(dropped, "stop_sequences,metadata.user_id,"
                                 "tool_choice.disable_parallel_tool_use,thinking");
    buf_done(&out);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits),
        cmocka_unit_test(edits_are_final),
        cmocka_unit_test(refusals_can_be_drops),
        cmocka_unit_test(completions_of_old),
        cmocka_unit_test(embeddings_never_stream),
        cmocka_unit_test(names_of_the_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
