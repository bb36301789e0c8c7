// SPDX-License-Identifier: Apache-2.0
// Streams put together: what a whole answer would have said.
#include "dataplane/gather.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/cdefs.h"
#include "dataplane/xlate.h"

#define CHUNK(delta)                                                                               \
    "data: {\"id\":\"c1\",\"model\":\"m\",\"choices\":[{\"index\":0," delta "}]}\n\n"
#define END  CHUNK("\"delta\":{},\"finish_reason\":\"stop\"") "data: [DONE]\n\n"
#define HEAD "\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":5,\"model\":\"m\","

static const struct gather_case {
    const char *name, *stream;
    const char *wants; // a piece of the answer; NULL: it is none
    unsigned status;   // of an error event
} cases[] = {
    {"text",
     CHUNK("\"delta\":{\"role\":\"assistant\",\"content\":\"\"}")
         CHUNK("\"delta\":{\"content\":\"a\\u00e9\"}") CHUNK("\"delta\":{\"content\":\"b\"}") END,
     HEAD "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\\u00e9b\","
          "\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}]",
     0},
    {"thought and text",
     CHUNK("\"delta\":{\"reasoning_content\":\"why\"}") CHUNK(
         "\"delta\":{\"reasoning_content\":\"?\"}") CHUNK("\"delta\":{\"content\":\"so\"}") END,
     "\"content\":\"so\",\"refusal\":null,\"reasoning_content\":\"why?\"", 0},
    {"calls",
     CHUNK("\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{\"name\":\"f\","
           "\"arguments\":\"\"}}]}")
         CHUNK(
             "\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\"}}]}")
             CHUNK(
                 "\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"y\",\"function\":{\"name\":\"g\","
                 "\"arguments\":\"no object\"}}]}")
                 CHUNK(
                     "\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"1}\"}}]}")
                     END,
     "\"tool_calls\":[{\"id\":\"x\",\"type\":\"function\",\"function\":{\"name\":\"f\","
     "\"arguments\":\"{\\\"a\\\":1}\"}},{\"id\":\"y\",\"type\":\"function\",\"function\":{\"name\":"
     "\"g\",\"arguments\":\"no object\"}}]},\"logprobs\":null,\"finish_reason\":\"tool_calls\"",
     0},
    {"two choices",
     "data: {\"id\":\"c1\",\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}},"
     "{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
     "\"content\":\"a\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"},{\"index\":1,"
     "\"message\":{\"role\":\"assistant\",\"content\":\"b\"",
     0},
    {"logprobs",
     CHUNK("\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[{\"token\":\"a\"}]}")
         CHUNK("\"delta\":{\"content\":\"b\"},\"logprobs\":{\"content\":[ {\"token\":\"b\"} ]}")
             CHUNK("\"delta\":{},\"logprobs\":{\"content\":[]}") END,
     "\"logprobs\":{\"content\":[{\"token\":\"a\"},{\"token\":\"b\"}],\"refusal\":null}", 0},
    {"usage",
     CHUNK(
         "\"delta\":{\"content\":\"a\"},\"finish_reason\":\"length\"") "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n"
                                                                       "data: [DONE]\n\n",
     "\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,"
     "\"total_tokens\":10}",
     0},
    {"no [DONE], but finished", CHUNK("\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\""),
     "\"content\":\"a\"", 0},
    {"cut", CHUNK("\"delta\":{\"content\":\"a\"}"), NULL, 0},
    {"nothing", "", NULL, 0},
    {"not JSON", CHUNK("\"delta\":{\"content\":\"a\"}") "data: {\n\n" END, NULL, 0},
    {"error",
     CHUNK("\"delta\":{\"content\":\"a\"}") "data: {\"error\":{\"message\":\"m\","
                                            "\"code\":\"rate_limit_exceeded\"}}\n\n" END,
     NULL, 429},
};

static void answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct gather_case *k = &cases[i];
        const struct dialect_request rq = {.endpoint = DIALECT_CHAT};
        struct dialect_answer a;
        struct slice error;
        struct xlate x;
        struct arena arena;
        struct rng rng;
        struct buf out;
        bool ok;

        arena_init(&arena, 4096, 0);
        rng_init(&rng, 1);
        buf_init_soft(&out, 65536);
        xlate_init(&x, &dialect_openai, &arena, &rng);
        xlate_equal(&x, &rq, SLICE("m"));
        xlate_answered(&x, 5);
        ok = xlate_gather(&x, slice_str(k->stream), &out, &a, &error);
        if (ok != (k->wants != NULL) ||
            (ok && slice_find(buf_slice(&out), slice_str(k->wants)) == SIZE_MAX)) {
            fail_msg("%s: " SLICE_FMT, k->name, SLICE_ARG(buf_slice(&out)));
        }
        assert_int_equal(a.error_status, k->status);
        assert_int_equal(error.p != NULL, k->status != 0);
        xlate_done(&x);
        buf_done(&out);
        arena_done(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
