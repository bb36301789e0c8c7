// SPDX-License-Identifier: Apache-2.0
// What all translators share. See canon.h.
#include "dataplane/canon.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/text.h"

const char *const canon_effort_names[] = {"",       "none", "minimal", "low",
                                          "medium", "high", "xhigh",   "max"};

enum canon_effort canon_effort_of(struct slice text)
{
    for (size_t i = 1; i < ARRAY_LEN(canon_effort_names); i++) {
        if (slice_eq_str(text, canon_effort_names[i])) {
            return (enum canon_effort)i;
        }
    }
    return CANON_EFFORT_NOT_GIVEN;
}

enum canon_effort canon_effort_by_budget(uint64_t tokens)
{
    return tokens <= 1024   ? CANON_EFFORT_LOW
           : tokens <= 8192 ? CANON_EFFORT_MEDIUM
                            : CANON_EFFORT_HIGH;
}

// --- lists -------------------------------------------------------------------------------------

struct canon_part *canon_add_part(struct arena *a, struct canon_part ***tail,
                                  enum canon_part_kind kind)
{
    struct canon_part *p = arena_zalloc(a, sizeof(*p));

    p->kind = kind;
    **tail = p;
    *tail = &p->next;
    return p;
}

struct canon_message *canon_add_message(struct arena *a, struct canon_message ***tail,
                                        enum canon_role role)
{
    struct canon_message *m = arena_zalloc(a, sizeof(*m));

    m->role = role;
    **tail = m;
    *tail = &m->next;
    return m;
}

// --- outcomes ----------------------------------------------------------------------------------

void canon_drop(struct canon_outcome *o, const char *name)
{
    for (size_t i = 0; i < o->n_dropped; i++) {
        if (strcmp(o->dropped[i], name) == 0) {
            return;
        }
    }
    if (o->n_dropped < CANON_DROPS_MAX) { // beyond it the list is long enough to be read
        o->dropped[o->n_dropped++] = name;
    }
}

void canon_drop_params(struct canon_outcome *o, const struct canon_param *const *params, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (params[i]->raw.p != NULL) {
            canon_drop(o, params[i]->name);
        }
    }
}

void canon_drop_hints(struct canon_outcome *o, const struct canon_request *r)
{
    for (const struct canon_extra *x = r->extras; x != NULL; x = x->next) {
        if (x->hint) {
            canon_drop(o, arena_strndup(o->arena, x->name.p, x->name.n));
        }
    }
}

static void PRINTF_LIKE(4, 0) set_failure(struct canon_outcome *o, const char *code,
                                          const char *param, const char *fmt, va_list args)
{
    o->code = code;
    o->param = param;
    (void)vsnprintf(o->message, sizeof(o->message), fmt, args);
}

bool canon_refuse(struct canon_outcome *o, const struct canon_target *t, const char *param,
                  const char *fmt, ...)
{
    va_list args;

    if (t->drop_unsupported) {
        canon_drop(o, param);
        return true;
    }
    va_start(args, fmt);
    set_failure(o, "unsupported_parameter", param, fmt, args);
    va_end(args);
    return false;
}

bool canon_bad_request(struct canon_outcome *o, const char *param, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    set_failure(o, "invalid_value", param, fmt, args);
    va_end(args);
    return false;
}

void canon_write_unknown(struct jwrite *w, const struct canon_request *r,
                         const struct canon_target *t)
{
    for (const struct canon_extra *x = r->extras; t->forward_unknown && x != NULL; x = x->next) {
        if (!x->hint) {
            jwrite_name_text(w, x->name);
            jwrite_raw(w, x->raw);
        }
    }
}

// --- ids ---------------------------------------------------------------------------------------

#define ID_RANDOM 24u // base62 characters

struct slice canon_make_id(const char *prefix, struct rng *rng, struct arena *a)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    size_t n = strlen(prefix);
    char *out = arena_alloc(a, n + ID_RANDOM);

    memcpy(out, prefix, n);
    for (size_t i = 0; i < ID_RANDOM; i++) {
        out[n + i] = digits[rng_below(rng, 62)];
    }
    return (struct slice){out, n + ID_RANDOM};
}

static bool fits(char c, const char *extra)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c != '\0' && strchr(extra, c) != NULL);
}

// Ids that come to the same get numbers from 2 on; `taken` keeps the last one of each.
static struct slice fitted(struct canon_ids *ids, struct slice id)
{
    struct slice chars = jtext_decode(id, ids->arena);
    char *out = arena_alloc(ids->arena, ids->max + 1);
    struct canon_index_slot *first;
    size_t n = 0, whole;

    for (size_t i = 0; i < chars.n && n < ids->max; i++) {
        if (((unsigned char)chars.p[i] & 0xC0) != 0x80) { // once a character
            out[n++] = fits(chars.p[i], ids->extra) ? chars.p[i] : '_';
        }
    }
    whole = n;
    first = canon_index_find(&ids->taken, (struct slice){out, n});
    while (first != NULL && canon_index_find(&ids->taken, (struct slice){out, n}) != NULL) {
        char tail[16];
        unsigned long long number = ++first->number;
        size_t m = (size_t)snprintf(tail, sizeof(tail), "_%llu", number + 1);

        if (m >= ids->max) {
            break;
        }
        n = whole + m <= ids->max ? whole : ids->max - m;
        memcpy(out + n, tail, m);
        n += m;
    }
    (void)canon_index_add(&ids->taken, ids->arena, (struct slice){out, n});
    return (struct slice){out, n};
}

struct slice canon_fit_id(struct canon_ids *ids, struct slice id)
{
    struct canon_index_slot *s = canon_index_add(&ids->fitted, ids->arena, id);

    if (s->value.p == NULL) {
        s->value = fitted(ids, id);
    }
    return s->value;
}

// --- texts and tools ---------------------------------------------------------------------------

struct slice canon_compact(struct slice json, struct arena *a)
{
    struct slice out;
    struct jwrite w;
    struct buf b;

    buf_init(&b, json.n);
    w = jwrite_to(&b);
    jwrite_compact(&w, json);
    out = b.n == json.n ? json : arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return out;
}

struct slice canon_join_texts(const struct canon_part *parts, const char *between, struct arena *a)
{
    size_t n = 0, texts = 0, gap = strlen(between);
    struct slice only = SLICE_NULL;
    bool first = true;
    char *out, *at;

    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TEXT) {
            n += p->text.n + (texts > 0 ? gap : 0);
            only = p->text;
            texts++;
        }
    }
    if (texts < 2) {
        return only;
    }
    out = at = arena_alloc(a, n + 1);
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TEXT) {
            if (!first) {
                memcpy(at, between, gap);
                at += gap;
            }
            first = false;
            memcpy(at, p->text.p, p->text.n);
            at += p->text.n;
        }
    }
    return (struct slice){out, (size_t)(at - out)};
}

void canon_index_tools(struct canon_request *r, struct arena *a)
{
    for (const struct canon_message *m = r->messages; m != NULL; m = m->next) {
        for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
            if (p->kind == CANON_TOOL_CALL) {
                struct canon_index_slot *s = canon_index_add(&r->tool_names, a, p->id);

                s->value = s->value.p == NULL ? p->name : s->value; // the first one counts
            }
        }
    }
}

struct slice canon_tool_name(const struct canon_request *r, struct slice id)
{
    const struct canon_index_slot *s = canon_index_find(&r->tool_names, id);

    return s == NULL ? SLICE_NULL : s->value;
}

bool canon_has_tool_calls(const struct canon_part *parts)
{
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TOOL_CALL) {
            return true;
        }
    }
    return false;
}

// --- whole answers as events -------------------------------------------------------------------

static void tell_part(const struct canon_part *p, uint32_t choice, uint32_t *tools,
                      struct canon_sink to)
{
    struct canon_event ev = {.choice = choice, .tool = *tools, .text = p->text};

    switch (p->kind) {
    case CANON_TEXT:
        ev.kind = CANON_EV_TEXT;
        break;
    case CANON_REFUSAL:
        ev.kind = CANON_EV_REFUSAL;
        break;
    case CANON_REASONING:
        ev.kind = CANON_EV_REASONING;
        break;
    case CANON_REDACTED:
        ev.kind = CANON_EV_REDACTED;
        ev.text = p->data;
        break;
    case CANON_IMAGE:
        ev.kind = CANON_EV_IMAGE;
        ev.part = p;
        break;
    case CANON_TOOL_CALL:
        ev.kind = CANON_EV_TOOL;
        ev.whole = true;
        ev.id = p->id;
        ev.name = p->name;
        ev.google_signature = p->google_signature;
        break;
    case CANON_AUDIO:
    case CANON_FILE:
    case CANON_TOOL_RESULT:
    case CANON_OTHER:
        return;
    }
    to.tell(to.ctx, &ev);
}

static void tell_tail(const struct canon_part *p, uint32_t choice, uint32_t *tools,
                      struct arena *scratch, struct canon_sink to)
{
    struct canon_event ev = {.choice = choice, .tool = *tools};

    if (p->kind == CANON_REASONING && p->signature.p != NULL) {
        ev.kind = CANON_EV_SIGNATURE;
        ev.text = p->signature;
        to.tell(to.ctx, &ev);
    } else if (p->kind == CANON_TEXT && p->google_signature.p != NULL) {
        ev.kind = CANON_EV_GOOGLE_SIGNATURE;
        ev.text = p->google_signature;
        to.tell(to.ctx, &ev);
    } else if (p->kind == CANON_TOOL_CALL) {
        ev.kind = CANON_EV_ARGS;
        ev.text = jtext_encode(p->args, scratch);
        to.tell(to.ctx, &ev);
        (*tools)++;
    }
}

static void tell_choice(const struct canon_choice_out *c, struct arena *scratch,
                        struct canon_sink to)
{
    uint32_t tools = 0;
    struct canon_event ev = {.kind = CANON_EV_FINISH,
                             .choice = c->index,
                             .finish = c->finish,
                             .stop_sequence = c->stop_sequence,
                             .logprobs = c->logprobs};

    for (const struct canon_part *p = c->parts; p != NULL; p = p->next) {
        tell_part(p, c->index, &tools, to);
        tell_tail(p, c->index, &tools, scratch, to);
    }
    for (const struct canon_citation *k = c->citations; k != NULL; k = k->next) {
        struct canon_event cited = {.kind = CANON_EV_CITATION, .choice = c->index, .citation = k};

        to.tell(to.ctx, &cited);
    }
    to.tell(to.ctx, &ev);
}

void canon_tell_answer(const struct canon_answer *answer, struct arena *scratch,
                       struct canon_sink to)
{
    struct canon_event ev = {.kind = CANON_EV_START, .id = answer->id, .model = answer->model};

    to.tell(to.ctx, &ev);
    for (const struct canon_choice_out *c = answer->choices; c != NULL; c = c->next) {
        tell_choice(c, scratch, to);
    }
    if (answer->usage.known) {
        ev = (struct canon_event){.kind = CANON_EV_USAGE, .usage = &answer->usage};
        to.tell(to.ctx, &ev);
    }
    ev = (struct canon_event){.kind = CANON_EV_END};
    to.tell(to.ctx, &ev);
}
