// SPDX-License-Identifier: Apache-2.0
// A stream of OpenAI's dialect or a vendor of it, a line of data each, translated for either
// client. Toward OpenAI's clients all chunks have one id, a choice begins with its role and
// finishes once; toward Anthropic's blocks open and close one after the other. Nothing follows the
// end. And the same stream put together, as a whole answer for either.
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "dataplane/xlate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX ((size_t)256 << 20)

struct watch {
    bool anthropic, open, ended;
    uint64_t next;     // index of Anthropic's next block
    struct slice head; // of OpenAI's chunks, up to the choices
    uint64_t seen[2], finished[2];
};

static void check_block(struct watch *w, const struct tape *t)
{
    uint32_t type = tape_get(t, 0, "type");
    uint64_t index = 0;

    (void)!tape_u64(t, tape_get(t, 0, "index"), &index);
    if (tape_eq(t, type, "content_block_start")) {
        CHECK(!w->open && index == w->next);
        w->open = true;
    } else if (tape_eq(t, type, "content_block_delta")) {
        CHECK(w->open && index == w->next);
    } else if (tape_eq(t, type, "content_block_stop")) {
        CHECK(w->open && index == w->next);
        w->open = false;
        w->next++;
    } else {
        w->ended = tape_eq(t, type, "message_stop") || tape_eq(t, type, "error");
    }
}

static void check_chunk(struct watch *w, const struct tape *t, struct arena *a)
{
    uint32_t choices = tape_get(t, 0, "choices"), first = tape_first(t, choices);
    struct slice head;
    uint64_t index = 0;

    if (tape_get(t, 0, "error") != TAPE_NONE) {
        w->ended = true;
        return;
    }
    head = slice_head(t->src, t->tokens[choices].begin);
    w->head = w->head.p == NULL ? arena_dup(a, head) : w->head;
    CHECK(slice_eq(w->head, head));
    if (first == TAPE_NONE) {
        return;
    }
    CHECK(tape_u64(t, tape_get(t, first, "index"), &index));
    if (index < 128) {
        uint64_t bit = (uint64_t)1 << index % 64;
        uint32_t delta = tape_get(t, first, "delta");

        // But for sources, which xAI names behind it.
        CHECK((w->finished[index / 64] & bit) == 0 ||
              (tape_get(t, delta, "annotations") != TAPE_NONE &&
               tape_given(t, first, "finish_reason") == TAPE_NONE));
        CHECK((w->seen[index / 64] & bit) != 0 ||
              tape_eq(t, tape_get(t, delta, "role"), "assistant"));
        w->seen[index / 64] |= bit;
        if (tape_given(t, first, "finish_reason") != TAPE_NONE) {
            w->finished[index / 64] |= bit;
        }
    }
}

static void check_out(struct watch *w, struct tape *t, struct slice text, struct arena *a)
{
    while (text.n > 0) {
        size_t end = slice_find(text, SLICE("\n\n")), at;
        struct slice event = slice_head(text, end), data;

        CHECK(end != SIZE_MAX && !w->ended);
        at = slice_find(event, SLICE("data: "));
        CHECK(at == (w->anthropic ? slice_find_char(event, '\n') + 1 : 0));
        data = slice_from(event, at + 6);
        if (slice_eq_str(data, "[DONE]")) {
            w->ended = true;
        } else {
            CHECK(tape_parse(t, data, NULL));
            if (w->anthropic) {
                check_block(w, t);
            } else {
                check_chunk(w, t, a);
            }
        }
        text = slice_from(text, end + 2);
    }
}

static void run(const struct dialect *client, struct slice text, uint8_t flags, struct arena *a)
{
    static const struct resource_quirks quirks = {.flags = RESOURCE_REASONING_CUMULATIVE |
                                                           RESOURCE_SPLIT_THINK};
    struct dialect_stream s = {.content_seen = false};
    struct watch w = {.anthropic = client == &dialect_anthropic};
    struct tape t = {.tokens = NULL};
    struct rng rng;
    struct xlate x;
    struct buf out;

    rng_init(&rng, 1);
    xlate_init(&x, client, a, &rng);
    x.provider = &dialect_openai;
    x.context = (struct canon_context){.arena = a,
                                       .rng = &rng,
                                       .endpoint = w.anthropic ? DIALECT_MESSAGES : DIALECT_CHAT,
                                       .model = SLICE("m"),
                                       .include_usage = (flags & 1) != 0,
                                       .quirks = (flags & 2) != 0 ? quirks.flags : 0};
    buf_init(&out, OUT_MAX);
    while (text.p != NULL) {
        struct slice line;

        text = slice_cut(text, '\n', &line);
        buf_clear(&out);
        (void)xlate_event(&x, &s, (flags & 4) != 0 ? SLICE("error") : SLICE_NULL, line, &out);
        check_out(&w, &t, buf_slice(&out), a);
    }
    buf_clear(&out);
    xlate_end(&x, &s, &out);
    check_out(&w, &t, buf_slice(&out), a);
    buf_done(&out);
    tape_done(&t);
    xlate_done(&x);
}

static void run_together(const struct dialect *client, struct slice text, uint8_t flags,
                         struct arena *a)
{
    struct dialect_answer seen;
    struct slice error;
    struct buf stream, out;
    struct rng rng;
    struct xlate x;

    rng_init(&rng, 1);
    xlate_init(&x, client, a, &rng);
    x.provider = &dialect_openai;
    x.context = (struct canon_context){.arena = a,
                                       .rng = &rng,
                                       .endpoint = client == &dialect_openai ? DIALECT_CHAT
                                                                             : DIALECT_MESSAGES,
                                       .model = SLICE("m"),
                                       .functions = (flags & 1) != 0,
                                       .quirks = (flags & 2) != 0 ? RESOURCE_SPLIT_THINK : 0};
    buf_init(&stream, OUT_MAX);
    buf_init(&out, OUT_MAX);
    while (text.p != NULL) {
        struct slice line;

        text = slice_cut(text, '\n', &line);
        buf_append(&stream, (flags & 4) != 0 ? SLICE("event: error\ndata: ") : SLICE("data: "));
        buf_append(&stream, line);
        buf_append(&stream, SLICE("\n\n"));
    }
    if (xlate_gather(&x, buf_slice(&stream), &out, &seen, &error)) {
        CHECK(scan_validate(buf_slice(&out), NULL) && error.p == NULL);
    } else {
        CHECK(seen.malformed && (error.p == NULL) == (seen.error_status == 0));
    }
    buf_done(&stream);
    buf_done(&out);
    xlate_done(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data + 1, size - 1};
    struct arena a;

    if (size == 0) {
        return 0;
    }
    arena_init(&a, 4096, 0);
    run(&dialect_openai, text, data[0], &a);
    run(&dialect_anthropic, text, data[0], &a);
    run_together(&dialect_openai, text, data[0], &a);
    run_together(&dialect_anthropic, text, data[0], &a);
    arena_done(&a);
    return 0;
}
