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
#include "dataplane/scan.h"
#include "dataplane/xlate.h"

#define PIECES 60000
#define CHUNK(delta)                                                                               \
    "data: {\"id\":\"c1\",\"model\":\"m\",\"choices\":[{\"index\":0," delta "}]}\n\n"
#define END  CHUNK("\"delta\":{},\"finish_reason\":\"stop\"") "data: [DONE]\n\n"
#define HEAD "\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":5,\"model\":\"m\","

static const struct gather_case {
    const char *name, *stream;
    const char *wants;   // a piece of the answer; NULL: it is none
    unsigned status;     // of an error event
    const char *request; // NULL: "{}"
} cases[] = {
    {"text",
     CHUNK("\"delta\":{\"role\":\"assistant\",\"content\":\"\"}")
         CHUNK("\"delta\":{\"content\":\"a\\u00e9\"}") CHUNK("\"delta\":{\"content\":\"b\"}") END,
     HEAD "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\\u00e9b\","
          "\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}]",
     0, NULL},
    {"thought and text",
     CHUNK("\"delta\":{\"reasoning_content\":\"why\"}") CHUNK(
         "\"delta\":{\"reasoning_content\":\"?\"}") CHUNK("\"delta\":{\"content\":\"so\"}") END,
     "\"content\":\"so\",\"refusal\":null,\"reasoning_content\":\"why?\"", 0, NULL},
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
     0, NULL},
    {"a call of old",
     CHUNK("\"delta\":{\"function_call\":{\"name\":\"f\",\"arguments\":\"no\"}}")
         CHUNK("\"delta\":{\"function_call\":{\"arguments\":\" object\"}}")
             CHUNK("\"delta\":{},\"finish_reason\":\"function_call\"") "data: [DONE]\n\n",
     "\"function_call\":{\"name\":\"f\",\"arguments\":\"no object\"}},\"logprobs\":null,"
     "\"finish_reason\":\"function_call\"",
     0, "{\"functions\":[]}"},
    {"two choices",
     "data: {\"id\":\"c1\",\"choices\":[{\"index\":1,\"delta\":{\"content\":\"b\"}},"
     "{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n",
     "\"content\":\"a\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"},{\"index\":1,"
     "\"message\":{\"role\":\"assistant\",\"content\":\"b\"",
     0, NULL},
    {"logprobs",
     CHUNK("\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[{\"token\":\"a\"}]}")
         CHUNK("\"delta\":{\"content\":\"b\"},\"logprobs\":{\"content\":[ {\"token\":\"b\"} ]}")
             CHUNK("\"delta\":{},\"logprobs\":{\"content\":[]}") END,
     "\"logprobs\":{\"content\":[{\"token\":\"a\"},{\"token\":\"b\"}],\"refusal\":null}", 0, NULL},
    {"usage",
     CHUNK(
         "\"delta\":{\"content\":\"a\"},\"finish_reason\":\"length\"") "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n"
                                                                       "data: [DONE]\n\n",
     "\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3,"
     "\"total_tokens\":10}",
     0, NULL},
    {"no [DONE], but finished", CHUNK("\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\""),
     "\"content\":\"a\"", 0, NULL},
    {"cut", CHUNK("\"delta\":{\"content\":\"a\"}"), NULL, 0, NULL},
    {"nothing", "", NULL, 0, NULL},
    {"not JSON", CHUNK("\"delta\":{\"content\":\"a\"}") "data: {\n\n" END, NULL, 0, NULL},
    {"error",
     CHUNK("\"delta\":{\"content\":\"a\"}") "data: {\"error\":{\"message\":\"m\","
                                            "\"code\":\"rate_limit_exceeded\"}}\n\n" END,
     NULL, 429, NULL},
};

static void answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct gather_case *k = &cases[i];
        struct dialect_request rq = {.endpoint = DIALECT_CHAT};
        struct err e;
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
        assert_true(
            scan_object(slice_str(k->request == NULL ? "{}" : k->request), &arena, &rq.top, &e));
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

// Ten thousand parts before a call, then as many pieces of its arguments: each finds its call at
// once, or a worker would be busy with one answer for minutes.
static void many_pieces(void **state)
{
    const struct canon_event text = {.kind = CANON_EV_TEXT, .text = SLICE("a")};
    const struct canon_event thought = {.kind = CANON_EV_REASONING, .text = SLICE("b")};
    const struct canon_event call = {.kind = CANON_EV_TOOL, .tool = 1, .name = SLICE("f")};
    const struct canon_event args = {.kind = CANON_EV_ARGS, .tool = 1, .text = SLICE("x")};
    const struct canon_event other = {.kind = CANON_EV_ARGS, .tool = 2, .text = SLICE("y")};
    const struct canon_event end = {.kind = CANON_EV_END};
    struct canon_answer answer;
    struct canon_part *p;
    struct arena arena;
    struct gather g;

    (void)state;
    arena_init(&arena, 4096, 0);
    gather_init(&g, &arena);
    for (int i = 0; i < PIECES; i++) {
        gather_tell(&g, &text);
        gather_tell(&g, &thought);
    }
    gather_tell(&g, &call);
    for (int i = 0; i < PIECES; i++) {
        gather_tell(&g, &args);
        gather_tell(&g, &other); // of a call that never began
    }
    gather_tell(&g, &end);
    assert_true(gather_finish(&g, &answer));
    p = answer.choices->parts;
    for (int i = 0; i < 2 * PIECES; i++) {
        p = p->next;
    }
    assert_int_equal(p->kind, CANON_TOOL_CALL);
    assert_int_equal(p->text.n, PIECES);
    assert_null(p->next);
    gather_done(&g);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers), cmocka_unit_test(many_pieces)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
