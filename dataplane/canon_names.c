// SPDX-License-Identifier: Apache-2.0
// Names that fit are taken first, so that a made name never is one of them; then the others, in the
// order of the request. Both maps are one to one: what was put in can be taken out.
#include "dataplane/canon_names.h"

#include <stdio.h>
#include <string.h>

#include "common/io/crypto.h"
#include "dataplane/jtext.h"

#define TAIL_MAX 24u // "_", 8 hex digits, and a number where even these are taken

// --- the names of a request ----------------------------------------------------------------------

// Calls fn with each name of a tool in it.
static void each(struct canon_request *r, void (*fn)(void *ctx, struct slice *name), void *ctx)
{
    for (struct canon_tool *t = r->tools; t != NULL; t = t->next) {
        if (t->kind != CANON_TYPED) {
            fn(ctx, &t->name);
        }
    }
    for (size_t i = 0; i < r->n_names; i++) {
        fn(ctx, &r->names[i]);
    }
    for (struct canon_message *m = r->messages; m != NULL; m = m->next) {
        for (struct canon_part *p = m->parts; p != NULL; p = p->next) {
            if (p->kind == CANON_TOOL_CALL) {
                fn(ctx, &p->name);
            }
        }
    }
    for (size_t i = 0; i < r->tool_names.cap; i++) {
        if (r->tool_names.slots[i].value.p != NULL) {
            fn(ctx, &r->tool_names.slots[i].value);
        }
    }
}

// --- making --------------------------------------------------------------------------------------

struct maker {
    struct canon_names *n;
    const struct dialect *provider;
    struct arena *a;
};

static bool is_letter(char c)
{
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool taken(const struct maker *m, char c)
{
    return is_letter(c) || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr(m->provider->name_extra, c) != NULL);
}

static bool may_begin(const struct maker *m, char c)
{
    return !m->provider->name_letter || is_letter(c) || c == '_';
}

static bool fits(const struct maker *m, struct slice name)
{
    if (name.n == 0) {
        return true; // nothing to make another of
    }
    if (name.n > m->provider->name_max || !may_begin(m, name.p[0])) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        if (!taken(m, name.p[i])) {
            return false;
        }
    }
    return true;
}

static void look(void *ctx, struct slice *name)
{
    struct maker *m = ctx;

    m->n->any = m->n->any || !fits(m, *name);
}

static void keep_fitting(void *ctx, struct slice *name)
{
    struct maker *m = ctx;

    if (name->n > 0 && fits(m, *name)) {
        canon_index_add(&m->n->from, m->a, *name)->value = *name;
    }
}

// Others of the hash's digits each time: a client that looked for names whose first ones are the
// same does not make all of them meet again and again.
static size_t write_tail(char tail[TAIL_MAX], const uint8_t hash[CRYPTO_SHA256_BYTES],
                         unsigned again)
{
    const uint8_t *h = hash + again % (CRYPTO_SHA256_BYTES / 4) * 4;
    int n = snprintf(tail, TAIL_MAX, "_%02x%02x%02x%02x", h[0], h[1], h[2], h[3]);

    if (again > 0) {
        n += snprintf(tail + n, TAIL_MAX - (size_t)n, "_%u", again + 1);
    }
    return (size_t)n;
}

// Its first characters, room bytes at most; *ret_whole: all of them.
static size_t write_head(const struct maker *m, struct slice chars, char *out, size_t room,
                         bool *ret_whole)
{
    size_t n = 0, i = 0;

    if (!may_begin(m, chars.p[0])) {
        out[n++] = '_';
    }
    for (; i < chars.n && n < room; i++) {
        if (((unsigned char)chars.p[i] & 0xC0) != 0x80) { // once a character
            out[n++] = taken(m, chars.p[i]) ? chars.p[i] : '_';
        }
    }
    while (i < chars.n && ((unsigned char)chars.p[i] & 0xC0) == 0x80) {
        i++;
    }
    *ret_whole = i == chars.n;
    return n;
}

static struct slice make(const struct maker *m, struct slice name)
{
    struct slice chars = jtext_decode(name, m->a);
    size_t max = m->provider->name_max;
    char *out = arena_alloc(m->a, max), tail[TAIL_MAX];
    uint8_t hash[CRYPTO_SHA256_BYTES];
    bool whole;
    struct slice made = {out, write_head(m, chars, out, max, &whole)};

    for (unsigned again = 0; !whole || canon_index_find(&m->n->from, made) != NULL; again++) {
        size_t n;

        if (again == 0) { // once: a name may be as long as a body, and many ends taken
            crypto_sha256(hash, &chars, 1);
        }
        n = write_tail(tail, hash, again);
        made.n = write_head(m, chars, out, max - n, &whole);
        memcpy(out + made.n, tail, n);
        made.n += n;
        whole = true; // as far as it can be
    }
    return made;
}

static void make_others(void *ctx, struct slice *name)
{
    struct maker *m = ctx;
    struct slice made;

    if (fits(m, *name) || canon_index_find(&m->n->to, *name) != NULL) {
        return;
    }
    made = make(m, *name);
    canon_index_add(&m->n->to, m->a, *name)->value = made;
    canon_index_add(&m->n->from, m->a, made)->value = *name;
}

void canon_names_make(struct canon_names *n, struct canon_request *r,
                      const struct dialect *provider, struct arena *a)
{
    struct maker m = {n, provider, a};

    *n = (struct canon_names){.any = false};
    if (provider->name_max == 0) {
        return;
    }
    each(r, look, &m);
    if (n->any) {
        each(r, keep_fitting, &m);
        each(r, make_others, &m);
    }
}

// --- using ---------------------------------------------------------------------------------------

static struct slice mapped(const struct canon_index *map, struct slice name)
{
    const struct canon_index_slot *s = canon_index_find(map, name);

    return s == NULL ? name : s->value;
}

static void map_one(void *ctx, struct slice *name)
{
    *name = mapped(ctx, *name);
}

void canon_names_put(const struct canon_names *n, struct canon_request *r)
{
    struct canon_index to = n->to;

    if (n->any) {
        each(r, map_one, &to);
    }
}

void canon_names_take(const struct canon_names *n, struct canon_request *r)
{
    struct canon_index from = n->from;

    if (n->any) {
        each(r, map_one, &from);
    }
}

struct slice canon_names_client(const struct canon_names *n, struct slice name)
{
    return n->any ? mapped(&n->from, name) : name;
}

void canon_names_answer(const struct canon_names *n, struct canon_answer *answer)
{
    for (struct canon_choice_out *c = answer->choices; n->any && c != NULL; c = c->next) {
        for (struct canon_part *p = c->parts; p != NULL; p = p->next) {
            if (p->kind == CANON_TOOL_CALL) {
                p->name = mapped(&n->from, p->name);
            }
        }
    }
}
