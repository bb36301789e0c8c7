// SPDX-License-Identifier: Apache-2.0
// Which dialect a provider is spoken to in, and what goes with it.
//
//   the document's `dialect`
//   else the catalogue's, if this version speaks it
//   else the first of the catalogue's other `dialects` that it does
//
// An address of the document tells, too, where two dialects of a provider have different paths:
// base-url is what `chat/completions` is appended to, so Gemini's native API is spoken to an
// address that ends in its `v1beta/`, and to its own; any other is OpenAI's dialect.
#include <string.h>

#include "proto/config/config_compile.h"

// What a provider of each dialect is like where neither the document nor the catalogue says so.
// `spoken`: by this version. A provider whose first dialect is not spoken is used in the first of
// its other `dialects` that is.
static const struct config_dialect dialects[] = {
    {SLICE("openai"), true, "v1/", NULL, NULL, NULL},
    {SLICE("anthropic"), true, "v1/", "x-api-key", "anthropic-version", "2023-06-01"},
    {SLICE("gemini"), true, "v1beta/", "x-goog-api-key", NULL, NULL},
    {SLICE("bedrock-converse"), false, "", NULL, NULL, NULL},
    {SLICE("azure"), false, "openai/v1/", "api-key", NULL, NULL},
    {SLICE("vertex"), false, "v1/", NULL, NULL, NULL},
    {SLICE("ollama"), true, "api/", NULL, NULL, NULL},
    {SLICE("cohere"), false, "v2/", NULL, NULL, NULL},
    {SLICE("openai-responses"), false, "v1/", NULL, NULL, NULL},
};

// By name; NULL if there is none.
static const struct config_dialect *row_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        if (slice_eq_str(dialects[i].name, name)) {
            return &dialects[i];
        }
    }
    return NULL;
}

// The entry of `dialects` of the document or the catalogue; NULL if there is none.
static const struct schema_dialect *other_of(const struct config_provider *p, const char *dialect)
{
    const struct conf_entries *from[] = {p->doc == NULL ? NULL : &p->doc->dialects,
                                         p->cat == NULL ? NULL : &p->cat->dialects};

    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        for (size_t j = 0; from[i] != NULL && j < from[i]->n; j++) {
            if (strcmp(from[i]->items[j].name, dialect) == 0) {
                return from[i]->items[j].value;
            }
        }
    }
    return NULL;
}

static const char *first_dialect(const struct config_provider *p)
{
    return p->cat != NULL && p->cat->dialect.s != NULL ? p->cat->dialect.s : "openai";
}

static struct slice without_slash(const char *s)
{
    struct slice v = slice_str(s);

    while (v.n > 0 && v.p[v.n - 1] == '/') {
        v.n--;
    }
    return v;
}

// The dialect that the document's address is one of: the first one where it ends in its path, else
// another whose path it ends in, else OpenAI's where that has a path of its own. NULL: no telling.
static const char *meant_by_address(const struct config_provider *p)
{
    const struct conf_entries *all = p->cat == NULL ? NULL : &p->cat->dialects;
    const char *first = p->cat == NULL ? NULL : p->cat->path.s, *openai = NULL;
    struct slice url;

    if (all == NULL || first == NULL || p->doc == NULL || p->doc->base_url.s == NULL) {
        return NULL;
    }
    url = without_slash(p->doc->base_url.s);
    if (slice_ends(url, without_slash(first))) {
        return NULL;
    }
    for (size_t i = 0; i < all->n; i++) {
        const struct schema_dialect *d = all->items[i].value;

        if (d->path.s == NULL || strcmp(first, d->path.s) == 0) {
            continue; // the two have one path
        }
        if (slice_ends(url, without_slash(d->path.s))) {
            return all->items[i].name;
        }
        if (strcmp(all->items[i].name, "openai") == 0) {
            openai = all->items[i].name;
        }
    }
    return openai;
}

static const char *choose(const struct config_provider *p)
{
    const char *first = first_dialect(p), *meant = meant_by_address(p);
    const struct config_dialect *row = row_of(meant != NULL ? meant : first);

    if (p->doc != NULL && p->doc->dialect.s != NULL) {
        return p->doc->dialect.s;
    }
    if (row != NULL && row->spoken) {
        return meant != NULL ? meant : first;
    }
    for (size_t i = 0; p->cat != NULL && i < p->cat->dialects.n; i++) {
        row = row_of(p->cat->dialects.items[i].name);
        if (row != NULL && row->spoken) {
            return p->cat->dialects.items[i].name;
        }
    }
    return first;
}

struct config_api config_dialect_of(const struct config_provider *p)
{
    const char *dialect = choose(p);
    const struct config_dialect *row = row_of(dialect);

    return (struct config_api){
        .dialect = dialect,
        .row = row == NULL ? &dialects[0] : row,
        .known = row != NULL,
        .other = strcmp(dialect, first_dialect(p)) == 0 ? NULL : other_of(p, dialect),
    };
}

bool config_dialect_put(struct config_compile *k, const struct config_provider *p,
                        struct resource *r)
{
    struct slice names[ARRAY_LEN(dialects)];
    const struct conf_text *said = p->doc == NULL ? NULL : &p->doc->dialect;
    bool by_document = said != NULL && said->s != NULL;
    size_t mark;

    r->u.provider->dialect = arena_strdup(&r->arena, p->api.dialect);
    if (p->api.known && p->api.row->spoken) {
        return true;
    }
    if (p->api.known && !by_document) {
        problem_add(
            k->ctx->problems, PROBLEM_WARNING,
            p->file == NULL ? (struct problem_place){0} : problem_place_of_key(p->file->node),
            k->ctx->path, "is left out of routing: this version does not speak its dialect (%s)",
            p->api.dialect);
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        names[i] = dialects[i].name;
    }
    mark = conf_enter(k->ctx, "dialect", SIZE_MAX);
    if (p->api.known) {
        conf_complain(k->ctx, PROBLEM_ERROR, said->node, false,
                      "this version does not speak that dialect");
    } else {
        conf_complain(
            k->ctx, PROBLEM_ERROR, by_document ? said->node : NULL, false,
            "there is no such dialect%s",
            conf_did_you_mean(k->ctx, slice_str(p->api.dialect), names, ARRAY_LEN(names)));
    }
    conf_leave(k->ctx, mark);
    return false;
}
