// SPDX-License-Identifier: Apache-2.0
// One walk over the messages on a tape. Runs of items that go are cut with the comma that belongs
// to them: up to the next item that stays, else from the end of the last one that did.
//
//   [ think, text, think, redacted ]      [ think, think ] -> the whole message, cut likewise
//     ^^^^^^^      ^^^^^^^^^^^^^^^^^
#include "dataplane/dialect_anthropic_strip.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/tape.h"

struct cuts {
    const struct tape *t;
    struct dialect_splice *out;
    size_t n;
};

static void cut(struct cuts *c, size_t begin, size_t end, struct slice text)
{
    c->out[c->n++] = (struct dialect_splice){begin, end, text};
}

static bool is_reasoning(const struct tape *t, uint32_t block)
{
    uint32_t type = tape_get(t, block, "type");

    return tape_eq(t, type, "thinking") || tape_eq(t, type, "redacted_thinking");
}

// The content of an assistant's message; TAPE_NONE: of another one, or no list.
static uint32_t blocks_of(const struct tape *t, uint32_t message)
{
    uint32_t content = tape_get(t, message, "content");

    return tape_eq(t, tape_get(t, message, "role"), "assistant") && tape_is(t, content, SCAN_ARRAY)
               ? content
               : TAPE_NONE;
}

// Nothing but reasoning, and some.
static bool goes_whole(const struct tape *t, uint32_t message)
{
    uint32_t blocks = blocks_of(t, message);

    TAPE_ITEMS(t, blocks, i)
    {
        if (!is_reasoning(t, i)) {
            return false;
        }
    }
    return blocks != TAPE_NONE && tape_first(t, blocks) != TAPE_NONE;
}

// Cuts what `goes` says out of a list of which something stays.
static void cut_items(struct cuts *c, uint32_t list, bool (*goes)(const struct tape *t, uint32_t i))
{
    uint32_t stays = TAPE_NONE, from = TAPE_NONE, last = TAPE_NONE;
    const struct tape_token *k = c->t->tokens;

    TAPE_ITEMS(c->t, list, i)
    {
        last = i;
        if (goes(c->t, i)) {
            from = from == TAPE_NONE ? i : from;
            continue;
        }
        if (from != TAPE_NONE) {
            cut(c, k[from].begin, k[i].begin, SLICE(""));
        }
        from = TAPE_NONE;
        stays = i;
    }
    if (from != TAPE_NONE && stays != TAPE_NONE) {
        cut(c, k[stays].end, k[last].end, SLICE(""));
    }
}

static bool any_stays(const struct tape *t, uint32_t messages)
{
    TAPE_ITEMS(t, messages, i)
    {
        if (!goes_whole(t, i)) {
            return true;
        }
    }
    return false;
}

static size_t count_reasoning(const struct tape *t)
{
    uint32_t messages = tape_get(t, 0, "messages");
    size_t n = 0;

    TAPE_ITEMS(t, messages, i)
    {
        uint32_t blocks = blocks_of(t, i);

        TAPE_ITEMS(t, blocks, k)
        {
            n += is_reasoning(t, k);
        }
    }
    return n;
}

static int by_begin(const void *a, const void *b)
{
    const struct dialect_splice *x = a, *y = b;

    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static bool has_block(const struct tape *t, uint32_t message, const char *type)
{
    uint32_t content = tape_get(t, message, "content");

    TAPE_ITEMS(t, content, i)
    {
        if (tape_eq(t, tape_get(t, i, "type"), type)) {
            return true;
        }
    }
    return false;
}

// The last message brings results, so the call's turn is still open.
static bool goes_on(const struct tape *t, uint32_t messages)
{
    uint32_t last = TAPE_NONE;

    TAPE_ITEMS(t, messages, i)
    {
        last = i;
    }
    return last != TAPE_NONE && has_block(t, last, "tool_result");
}

static void cut_all(struct cuts *c)
{
    uint32_t messages = tape_get(c->t, 0, "messages"), thinking = tape_get(c->t, 0, "thinking");

    if (!any_stays(c->t, messages)) {
        return;
    }
    TAPE_ITEMS(c->t, messages, i)
    {
        if (!goes_whole(c->t, i)) {
            cut_items(c, blocks_of(c->t, i), is_reasoning);
        }
    }
    cut_items(c, messages, goes_whole);
    if (c->n > 0 && goes_on(c->t, messages) &&
        tape_eq(c->t, tape_get(c->t, thinking, "type"), "enabled")) {
        cut(c, c->t->tokens[thinking].begin, c->t->tokens[thinking].end,
            SLICE("{\"type\":\"disabled\"}"));
    }
}

size_t dialect_anthropic_strip(struct slice body, const struct dialect_splice *edits, size_t n,
                               struct arena *a, struct dialect_splice **ret)
{
    struct tape t = {.tokens = NULL};
    struct cuts c = {.t = &t};
    bool parsed = tape_parse(&t, body, NULL);

    // Each cut takes a block at least, but for that of `thinking`.
    c.out = arena_alloc(a, (n + (parsed ? count_reasoning(&t) : 0) + 1) * sizeof(*c.out));
    if (parsed) {
        cut_all(&c);
    }
    if (n > 0) {
        memcpy(c.out + c.n, edits, n * sizeof(*edits));
    }
    c.n += n;
    qsort(c.out, c.n, sizeof(*c.out), by_begin);
    tape_done(&t);
    *ret = c.out;
    return c.n;
}
