// SPDX-License-Identifier: Apache-2.0
// Thoughts told apart from text, whole and cut at every character.
#include "dataplane/dialect_openai_think.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"

struct told {
    struct buf thought, text;
    bool late; // a thought behind text
};

static void note(void *ctx, bool thought, struct slice text)
{
    struct told *t = ctx;

    assert_true(text.n > 0);
    t->late = t->late || (thought && t->text.n > 0);
    buf_append(thought ? &t->thought : &t->text, text);
}

static const struct think_case {
    const char *text, *thought, *rest;
} cases[] = {
    {"Hi", "", "Hi"},
    {"<think>a</think>b", "a", "b"},
    {"<think>\\na\\n</think>\\n\\n b <think>", "\\na\\n", "b <think>"},
    {"\\u003cthink\\u003ea\\u003C/think\\u003eb", "a", "b"},
    {"<think>a", "a", ""},
    {"<think>a</thin", "a</thin", ""},
    {"<think></think>", "", ""},
    {"<think>a<b\\\\</think>b", "a<b\\\\", "b"},
    {"<thin", "", "<thin"},
    {"<thinker>", "", "<thinker>"},
    {" <think>a</think>", "", " <think>a</think>"},
    {"a</think>b", "", "a</think>b"},
    {"\\u003", "", "\\u003"}, // cannot be, does no harm
    {"<think>\\u00e9\\u003c</think>\\u00e9", "\\u00e9\\u003c", "\\u00e9"},
};

static void opened_by_the_template(void **state)
{
    static const struct {
        const char *text;
        bool is;
    } texts[] = {
        {"a</think>b", true},         {"\\n a\\u003c/think>b", true},
        {"<think>a</think>b", false}, {"a", false},
        {"a</thin", false},           {"", false},
        {"</think>", true},           {"<think>", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (dialect_openai_think_is_open(slice_str(texts[i].text)) != texts[i].is) {
            fail_msg("%s", texts[i].text);
        }
    }
}

// The next character as it is escaped.
static size_t step(struct slice s)
{
    if (s.p == NULL || s.n == 0) {
        return 1;
    }
    if (s.n > 5 && s.p[0] == '\\' && s.p[1] == 'u') {
        return 6;
    }
    return s.p[0] == '\\' && s.n > 1 ? 2 : 1;
}

static void run(const struct think_case *k, size_t cut, bool each)
{
    struct dialect_openai_think s = {.state = 0};
    struct slice rest = slice_str(k->text);
    struct told t = {.late = false};
    bool first = true;

    buf_init(&t.thought, 1000);
    buf_init(&t.text, 1000);
    while (rest.n > 0) {
        size_t n = first && cut > 0 ? cut : each ? step(rest) : rest.n;

        dialect_openai_think_feed(&s, slice_head(rest, n), note, &t);
        rest = slice_from(rest, n);
        first = false;
    }
    dialect_openai_think_end(&s, note, &t);
    if (t.late || !slice_eq_str(buf_slice(&t.thought), k->thought) ||
        !slice_eq_str(buf_slice(&t.text), k->rest)) {
        fail_msg("%s cut at %zu: '" SLICE_FMT "' '" SLICE_FMT "'", k->text, cut,
                 SLICE_ARG(buf_slice(&t.thought)), SLICE_ARG(buf_slice(&t.text)));
    }
    buf_done(&t.thought);
    buf_done(&t.text);
}

static void whole_and_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice text = slice_str(cases[i].text);

        run(&cases[i], 0, false);
        run(&cases[i], 0, true);
        for (size_t at = step(text); at < text.n; at += step(slice_from(text, at))) {
            run(&cases[i], at, false);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(opened_by_the_template),
                                       cmocka_unit_test(whole_and_cut)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
