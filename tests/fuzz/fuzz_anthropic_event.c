// SPDX-License-Identifier: Apache-2.0
// A stream of Anthropic's, a line of data each: looked at as it passes through, and translated for
// either client. Toward Anthropic's clients blocks open and close one after the other, whatever the
// provider sent; nothing follows the end.
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "dataplane/xlate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX ((size_t)256 << 20)

struct watch {
    bool open, ended;
    uint64_t next; // index of the next block
};

static void check_event(struct watch *w, struct tape *t, struct slice data, bool anthropic)
{
    uint64_t index = 0;
    uint32_t type;

    if (slice_eq_str(data, "[DONE]")) {
        return;
    }
    CHECK(tape_parse(t, data, NULL));
    if (!anthropic) {
        return;
    }
    CHECK(!w->ended);
    type = tape_get(t, 0, "type");
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
    } else if (tape_eq(t, type, "message_stop")) {
        CHECK(!w->open);
        w->ended = true;
    } else {
        w->ended = tape_eq(t, type, "error");
    }
}

static void check_out(struct watch *w, struct tape *t, struct slice text, bool anthropic)
{
    while (text.n > 0) {
        size_t end = slice_find(text, SLICE("\n\n")), at;
        struct slice event = slice_head(text, end);

        CHECK(end != SIZE_MAX);
        at = slice_find(event, SLICE("data: "));
        CHECK(at == (anthropic ? slice_find_char(event, '\n') + 1 : 0));
        check_event(w, t, slice_from(event, at + 6), anthropic);
        text = slice_from(text, end + 2);
    }
}

static void run(const struct dialect *client, struct slice text, uint8_t flags, struct arena *a)
{
    struct dialect_stream s = {.content_seen = false};
    struct watch w = {.open = false};
    struct tape t = {.tokens = NULL};
    struct rng rng;
    struct xlate x;
    struct buf out;

    rng_init(&rng, 1);
    xlate_init(&x, client, a, &rng);
    x.provider = &dialect_anthropic;
    x.context = (struct canon_context){.arena = a,
                                       .rng = &rng,
                                       .endpoint = client == &dialect_openai ? DIALECT_CHAT
                                                                             : DIALECT_MESSAGES,
                                       .model = SLICE("m"),
                                       .include_usage = (flags & 1) != 0,
                                       .json_tool = (flags & 2) != 0};
    buf_init(&out, OUT_MAX);
    while (text.p != NULL) {
        struct slice line;

        text = slice_cut(text, '\n', &line);
        buf_clear(&out);
        (void)xlate_event(&x, &s, SLICE_NULL, line, &out);
        check_out(&w, &t, buf_slice(&out), client == &dialect_anthropic);
    }
    buf_clear(&out);
    xlate_end(&x, &s, &out);
    CHECK(out.n == 0); // without message_stop it is cut
    buf_done(&out);
    tape_done(&t);
    xlate_done(&x);
}

static void look(struct slice text, uint8_t flags)
{
    struct dialect_stream s = {.content_seen = (flags & 4) != 0};

    while (text.p != NULL) {
        struct slice line;
        struct dialect_event ev;

        text = slice_cut(text, '\n', &line);
        ev = dialect_anthropic.observe_event(
            &s, (flags & 8) != 0 ? SLICE("content_block_delta") : SLICE_NULL, line);
        CHECK(!ev.error || (ev.error_status >= 400 && ev.error_status < 600));
        CHECK(!ev.malformed || !ev.content);
        CHECK((s.choices_finished & ~s.choices_seen) == 0);
        CHECK(s.usage.input >= s.usage.cached + s.usage.cache_write);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data + 1, size - 1};
    struct arena a;

    if (size == 0) {
        return 0;
    }
    arena_init(&a, 4096, 0);
    look(text, data[0]);
    run(&dialect_anthropic, text, data[0], &a);
    run(&dialect_openai, text, data[0], &a);
    arena_done(&a);
    return 0;
}
