// SPDX-License-Identifier: Apache-2.0
// A delta belongs to the call
//
//   with its index           where there is one; but another id with a name begins a call (vendors
//                            that send whole calls, all with index 0)
//   with its id              where there is no index; a new id begins a call
//   that is the last one     with neither; a name that differs, a whole object of arguments, or a
//                            further element of the same list begin a call
//
// A call is told when its name is known.
#include "dataplane/dialect_openai_call.h"

#include <string.h>

#include "dataplane/dialect_openai_piece.h"

#define CALLS_MAX 1024u // of a choice; more are not told

struct dialect_openai_call {
    struct slice id, name;
    uint64_t index;
    bool has_index, told;
};

struct delta {
    const struct tape *t;
    const struct canon_context *c;
    struct canon_sink to;
    uint32_t choice;
    uint32_t call, function; // tokens; call TAPE_NONE: a function_call of old
    uint32_t args;
    struct slice id, name;
    uint64_t index;
    bool has_index, first; // of its list
};

static struct dialect_openai_call *add(struct dialect_openai_calls *s, const struct delta *d)
{
    struct dialect_openai_call *k;

    if (s->n >= CALLS_MAX) {
        return NULL;
    }
    if (s->n == s->cap) {
        uint32_t cap = s->cap == 0 ? 4 : s->cap * 2;
        struct dialect_openai_call *more = arena_zalloc(d->c->arena, cap * sizeof(*more));

        if (s->n > 0) {
            memcpy(more, s->list, s->n * sizeof(*more));
        }
        s->list = more;
        s->cap = cap;
    }
    k = &s->list[s->n++];
    k->index = d->index;
    k->has_index = d->has_index;
    return k;
}

static struct dialect_openai_call *by_index(struct dialect_openai_calls *s, const struct delta *d)
{
    for (uint32_t i = s->n; i > 0; i--) {
        struct dialect_openai_call *k = &s->list[i - 1];

        if (k->has_index && k->index == d->index) {
            bool other =
                k->told && d->name.n > 0 && d->id.n > 0 && k->id.n > 0 && !slice_eq(k->id, d->id);

            return other ? NULL : k;
        }
    }
    return NULL;
}

static struct dialect_openai_call *by_id(struct dialect_openai_calls *s, const struct delta *d)
{
    for (uint32_t i = s->n; i > 0; i--) {
        if (slice_eq(s->list[i - 1].id, d->id)) {
            return &s->list[i - 1];
        }
    }
    return NULL;
}

static struct dialect_openai_call *last_one(struct dialect_openai_calls *s, const struct delta *d)
{
    struct dialect_openai_call *k = s->n == 0 ? NULL : &s->list[s->n - 1];

    if (k == NULL || !d->first) {
        return NULL;
    }
    if (k->told && d->name.n > 0 &&
        (!slice_eq(d->name, k->name) || tape_is(d->t, d->args, SCAN_OBJECT))) {
        return NULL;
    }
    return k;
}

static struct dialect_openai_call *find(struct dialect_openai_calls *s, const struct delta *d)
{
    struct dialect_openai_call *k;

    if (d->has_index) {
        k = by_index(s, d);
    } else if (d->id.n > 0) {
        k = by_id(s, d);
    } else {
        k = last_one(s, d);
    }
    return k != NULL ? k : add(s, d);
}

// --- telling -----------------------------------------------------------------------------------

static void tell_call(struct dialect_openai_calls *s, struct dialect_openai_call *k,
                      const struct delta *d)
{
    struct canon_event ev = {.kind = CANON_EV_TOOL,
                             .choice = d->choice,
                             .tool = (uint32_t)(k - s->list),
                             .whole = tape_is(d->t, d->args, SCAN_OBJECT)};

    if (k->id.n == 0) {
        k->id = canon_make_id("call_", d->c->rng, d->c->arena);
    }
    k->told = true;
    ev.id = k->id;
    ev.name = k->name;
    ev.google_signature = dialect_openai_piece_google_signature(d->t, d->call);
    d->to.tell(d->to.ctx, &ev);
}

static void tell_args(struct dialect_openai_calls *s, const struct dialect_openai_call *k,
                      const struct delta *d)
{
    struct canon_event ev = {
        .kind = CANON_EV_ARGS, .choice = d->choice, .tool = (uint32_t)(k - s->list)};
    struct slice raw = tape_raw(d->t, d->args);
    struct jwrite w;
    struct buf b;

    if (!tape_is(d->t, d->args, SCAN_OBJECT)) {
        ev.text = tape_text(d->t, d->args);
        if (ev.text.n > 0) {
            d->to.tell(d->to.ctx, &ev);
        }
        return;
    }
    buf_init(&b, raw.n * 6 + 2); // an object in place of its text
    w = jwrite_to(&b);
    jwrite_quoted_more(&w, raw);
    ev.text = buf_slice(&b);
    d->to.tell(d->to.ctx, &ev);
    buf_done(&b);
}

static bool has_args(const struct delta *d)
{
    return tape_is(d->t, d->args, SCAN_OBJECT) || tape_text(d->t, d->args).n > 0;
}

static void take(struct dialect_openai_calls *s, struct delta *d)
{
    struct dialect_openai_call *k;

    d->name = tape_get_text(d->t, d->function, "name");
    d->args = tape_get(d->t, d->function, "arguments");
    if (d->id.n == 0 && d->name.n == 0 && !has_args(d)) {
        return;
    }
    k = find(s, d);
    if (k == NULL) {
        return;
    }
    if (k->id.n == 0 && d->id.n > 0 && !k->told) {
        k->id = arena_dup(d->c->arena, d->id);
    }
    if (k->name.n == 0 && d->name.n > 0 && !k->told) {
        k->name = arena_dup(d->c->arena, d->name);
    }
    if (!k->told && (k->name.n > 0 || has_args(d))) {
        tell_call(s, k, d);
    }
    if (k->told) {
        tell_args(s, k, d);
    }
}

void dialect_openai_call_deltas(struct dialect_openai_calls *s, const struct tape *t,
                                uint32_t tool_calls, uint32_t choice, const struct canon_context *c,
                                struct canon_sink to)
{
    bool first = true;

    TAPE_ITEMS(t, tool_calls, i)
    {
        struct delta d = {.t = t,
                          .c = c,
                          .to = to,
                          .choice = choice,
                          .call = i,
                          .function = tape_get(t, i, "function"),
                          .id = tape_get_text(t, i, "id"),
                          .first = first};

        d.has_index = tape_u64(t, tape_get(t, i, "index"), &d.index);
        first = false;
        if (tape_is(t, i, SCAN_OBJECT)) {
            take(s, &d);
        }
    }
}

void dialect_openai_call_function(struct dialect_openai_calls *s, const struct tape *t,
                                  uint32_t function, uint32_t choice, const struct canon_context *c,
                                  struct canon_sink to)
{
    struct delta d = {.t = t,
                      .c = c,
                      .to = to,
                      .choice = choice,
                      .call = TAPE_NONE,
                      .function = function,
                      .has_index = true,
                      .first = true};

    if (tape_is(t, function, SCAN_OBJECT)) {
        take(s, &d);
    }
}
