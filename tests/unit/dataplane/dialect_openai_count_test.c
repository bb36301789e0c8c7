// SPDX-License-Identifier: Apache-2.0
// A prompt of Anthropic's words in those of the Responses API.
#include "dataplane/dialect_openai_count.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/cdefs.h"
#include "dataplane/xlate.h"

static struct arena arena;
static struct rng rng;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 0);
    rng_init(&rng, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

// What is sent of these members beside "model".
static const char *sent(const char *members)
{
    struct canon_target t = {.model = SLICE("m")};
    struct slice body = slice_str(arena_printf(&arena, "{\"model\":\"x\",%s}", members));
    const char *code = NULL, *param = NULL, *text;
    struct dialect_request rq;
    struct xlate_refusal why;
    struct xlate x;
    struct buf b;
    struct err e;

    assert_true(dialect_anthropic.parse_request(body, DIALECT_COUNT_TOKENS, &arena, &rq, &code,
                                                &param, &e));
    xlate_init(&x, &dialect_anthropic, &arena, &rng);
    buf_init(&b, 1 << 20);
    assert_true(xlate_request(&x, &dialect_openai, &t, &rq, body, &b, &why, &e));
    assert_true(scan_validate(buf_slice(&b), &e));
    text = arena_strdup(&arena, buf_cstr(&b));
    buf_done(&b);
    xlate_done(&x);
    return text;
}

#define HEAD "{\"model\":\"m\",\"input\":["
#define USER "{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"u\"}]}"

static void writes_items(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"\"messages\":[{\"role\":\"user\",\"content\":\"u\"}]", HEAD USER "]}"},
        {"\"system\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}],"
         "\"messages\":[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\",\"content\":[{"
         "\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"s\"},{\"type\":\"text\",\"text\":"
         "\"c\"},{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"f\",\"input\":{\"a\": 1}}]},{\"role\":"
         "\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"i\",\"content\":[{\"type\":"
         "\"text\",\"text\":\"x\"},{\"type\":\"text\",\"text\":\"y\"},{\"type\":\"image\",\"source\":{"
         "\"type\":\"url\",\"url\":\"https://h/x\"}}]}]}]",
         HEAD
         "{\"role\":\"system\",\"content\":\"a\\n\\nb\"}," USER
         ",{\"role\":\"assistant\",\"content\":\"c\"},{\"type\":\"function_call\",\"call_id\":"
         "\"i\",\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"},{\"type\":"
         "\"function_call_output\",\"call_id\":\"i\",\"output\":\"x\\ny\"},{\"role\":\"user\","
         "\"content\":[{\"type\":\"input_image\",\"detail\":\"auto\",\"image_url\":\"https://h/"
         "x\"}]}]}"},
        // documents; what OpenAI cannot be shown is left out
        {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"document\",\"source\":{\"type\":"
         "\"base64\",\"media_type\":\"application/pdf\",\"data\":\"AA==\"}},{\"type\":\"document\","
         "\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"d\"}},{\"type\":"
         "\"image\",\"source\":{\"type\":\"file\",\"file_id\":\"f\"}},{\"type\":\"novelty\"}]},{"
         "\"role\":\"user\",\"content\":[{\"type\":\"novelty\"}]}]",
         HEAD
         "{\"role\":\"user\",\"content\":[{\"type\":\"input_file\",\"filename\":\"document.pdf\","
         "\"file_data\":\"data:application/pdf;base64,AA==\"},{\"type\":\"input_text\",\"text\":"
         "\"d\"}]}]}"},
        {"\"messages\":[{\"role\":\"user\",\"content\":\"u\"}],\"tools\":[{\"name\":\"f\","
         "\"description\":\"d\",\"input_schema\":{\"type\":\"object\"}},{\"type\":"
         "\"web_search_20250305\",\"name\":\"web_search\"}],\"output_config\":{\"format\":{\"type\":"
         "\"json_schema\",\"schema\":{\"type\":\"object\"}}}",
         HEAD USER
         "],\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\",\"parameters\":{"
         "\"type\":\"object\"},\"strict\":false}],\"text\":{\"format\":{\"type\":\"json_schema\","
         "\"name\":\"output\",\"schema\":{\"type\":\"object\"},\"strict\":false}}}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(sent(cases[i].in), cases[i].out);
    }
}

static void reads_counts(void **state)
{
    static const struct {
        const char *in, *out; // NULL: no count
    } cases[] = {
        {"{\"object\":\"response.input_tokens\",\"input_tokens\":11}", "{\"input_tokens\":11}"},
        {"{\"object\":\"response.input_tokens\"}", NULL},
        {"{\"input_tokens\":\"x\"}", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_answer seen;
        struct xlate x;
        struct buf b;

        xlate_init(&x, &dialect_anthropic, &arena, &rng);
        x.provider = &dialect_openai;
        x.context =
            (struct canon_context){.arena = &arena, .rng = &rng, .endpoint = DIALECT_COUNT_TOKENS};
        buf_init(&b, 1 << 16);
        assert_int_equal(xlate_answer(&x, slice_str(cases[i].in), false, &b, &seen),
                         cases[i].out != NULL);
        if (cases[i].out != NULL) {
            assert_string_equal(buf_cstr(&b), cases[i].out);
        }
        buf_done(&b);
        xlate_done(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_items),
        cmocka_unit_test(reads_counts),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
