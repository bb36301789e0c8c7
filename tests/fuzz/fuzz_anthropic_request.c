// SPDX-License-Identifier: Apache-2.0
// Requests from and to Anthropic. One of its clients' that passes through, edited and stripped, is
// valid JSON without signed reasoning. One of its or OpenAI's clients' that is translated to
// Anthropic is valid JSON that begins with the user, takes turns, has results first and nothing
// blank, and can be read back.
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "dataplane/dialect_anthropic_strip.h"
#include "dataplane/xlate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX ((size_t)64 << 20)

static bool is_reasoning(const struct tape *t, uint32_t block)
{
    uint32_t type = tape_get(t, block, "type");

    return tape_eq(t, type, "thinking") || tape_eq(t, type, "redacted_thinking");
}

// Nothing of it is left, unless there was nothing else.
static void check_stripped(struct slice body, bool cut)
{
    struct tape t = {.tokens = NULL};
    uint32_t messages;

    CHECK(tape_parse(&t, body, NULL));
    messages = tape_get(&t, 0, "messages");
    TAPE_ITEMS(&t, messages, i)
    {
        uint32_t content = tape_get(&t, i, "content");

        TAPE_ITEMS(&t, content, k)
        {
            CHECK(!cut || !tape_eq(&t, tape_get(&t, i, "role"), "assistant") ||
                  !is_reasoning(&t, k));
        }
    }
    tape_done(&t);
}

static void pass_through(const struct dialect_request *rq, struct slice body, struct arena *a)
{
    struct dialect_splice edits[DIALECT_SPLICES_MAX], *all;
    size_t n, n_all, count, bytes;
    struct slice *pieces;
    struct buf b;

    n = dialect_anthropic.edit_request(rq, body, SLICE("up"), true, a, edits, ARRAY_LEN(edits));
    n_all = dialect_anthropic_strip(body, edits, n, a, &all);
    for (size_t i = 0; i < n_all; i++) {
        CHECK(all[i].begin <= all[i].end && all[i].end <= body.n);
        CHECK(i == 0 || all[i - 1].end <= all[i].begin);
    }
    pieces = arena_alloc(a, (2 * n_all + 1) * sizeof(*pieces));
    count = dialect_spliced(body, all, n_all, pieces, 2 * n_all + 1, &bytes);
    buf_init(&b, OUT_MAX);
    for (size_t i = 0; i < count; i++) {
        buf_append(&b, pieces[i]);
    }
    CHECK(b.n == bytes);
    check_stripped(buf_slice(&b), n_all > n);
    buf_done(&b);
}

static void check_blocks(const struct tape *t, uint32_t message, bool user)
{
    uint32_t content = tape_get(t, message, "content");
    bool results_over = false;

    CHECK(tape_is(t, content, SCAN_ARRAY) && tape_first(t, content) != TAPE_NONE);
    TAPE_ITEMS(t, content, i)
    {
        uint32_t type = tape_get(t, i, "type");

        if (tape_eq(t, type, "tool_result")) {
            CHECK(user && !results_over);
        } else {
            results_over = true;
        }
        CHECK(!tape_eq(t, type, "text") || !jtext_is_blank(tape_get_text(t, i, "text")));
        CHECK(!tape_eq(t, type, "thinking") || !user);
    }
}

static void check_written(struct slice body, bool mid_system, struct arena *a)
{
    struct canon_request back = {.endpoint = DIALECT_MESSAGES, .choices = 1, .parallel = -1};
    struct tape t = {.tokens = NULL};
    struct slice before = SLICE("assistant");
    const char *param;
    uint32_t messages;
    struct err e;

    CHECK(tape_parse(&t, body, &e));
    messages = tape_get(&t, 0, "messages");
    CHECK(tape_first(&t, messages) != TAPE_NONE);
    TAPE_ITEMS(&t, messages, i)
    {
        struct slice role = tape_get_text(&t, i, "role");

        CHECK(!slice_eq(role, before));
        CHECK(mid_system || !slice_eq_str(role, "system"));
        check_blocks(&t, i, slice_eq_str(role, "user"));
        before = role;
    }
    CHECK(tape_eq(&t, tape_get(&t, tape_first(&t, messages), "role"), "user"));
    (void)dialect_anthropic.read_request(NULL, &t, a, &back, &param, &e);
    tape_done(&t);
}

static void translate(const struct dialect *client, const struct dialect *provider,
                      const struct dialect_request *rq, struct slice body, uint8_t flags,
                      struct arena *a)
{
    struct canon_target t = {
        .model = SLICE("up"),
        .default_max_tokens = 4096,
        .no_sampling = (flags & 1) != 0,
        .no_structured = (flags & 2) != 0,
        .no_forced_tools = (flags & 4) != 0,
        .keep_mid_system = (flags & 8) != 0,
        .thinks = (enum canon_thinking_kind)(flags >> 4) % 3,
        .strip_signatures = (flags & 16) != 0,
        .drop_unsupported = (flags & 32) != 0,
        .forward_unknown = (flags & 1) != 0,
        .wants_reasoning = (flags & 2) != 0,
    };
    struct xlate_refusal why;
    struct rng rng;
    struct xlate x;
    struct buf out;
    struct err e;

    rng_init(&rng, 1);
    xlate_init(&x, client, a, &rng);
    buf_init(&out, OUT_MAX);
    if (!xlate_request(&x, provider, &t, rq, body, &out, &why, &e)) {
        CHECK(why.code != NULL && e.message[0] != '\0');
    } else if (provider == &dialect_anthropic) {
        check_written(buf_slice(&out), t.keep_mid_system, a);
    } else {
        CHECK(scan_validate(buf_slice(&out), &e));
    }
    buf_done(&out);
    xlate_done(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = {(const char *)data + 1, size - 1};
    struct dialect_request rq;
    const char *code, *param;
    struct arena a;

    if (size == 0) {
        return 0;
    }
    arena_init(&a, 4096, 0);
    if (dialect_anthropic.parse_request(body, DIALECT_MESSAGES, &a, &rq, &code, &param, NULL)) {
        pass_through(&rq, body, &a);
        translate(&dialect_anthropic, &dialect_anthropic, &rq, body, data[0], &a);
        translate(&dialect_anthropic, &dialect_openai, &rq, body, data[0], &a);
        rq.endpoint = DIALECT_CHAT;
        translate(&dialect_openai, &dialect_anthropic, &rq, body, data[0], &a);
    }
    arena_done(&a);
    return 0;
}
