// SPDX-License-Identifier: Apache-2.0
// Model names.
//
//   "openai/gpt-4o:nitro"   suffix off      -> provider openai, id gpt-4o
//   "gpt-4o", an alias      no provider     -> the catalogue's model, wherever it is served
//   "google/gemini-x"       google is none  -> looked up whole, then as "gemini-x"
//   "openrouter/x:nitro"    it takes it     -> provider openrouter, id x:nitro
//   "gpt-4o-2024-08-06"     not listed      -> gpt-4o, but asked for by this id at its vendor
#include "dataplane/route_name.h"

#include <string.h>

#include "common/base/cdefs.h"
#include "common/base/text.h"

#define UNKNOWN_ID_MAX 512u // of a model that only its name says where to find: it goes into paths

static struct slice strip_suffix(struct slice model, enum resource_strategy *ret_sort)
{
    static const struct {
        struct slice suffix;
        enum resource_strategy sort;
    } suffixes[] = {{{":nitro", 6}, RESOURCE_LATENCY}, {{":floor", 6}, RESOURCE_COST}};

    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (slice_ends(model, suffixes[i].suffix)) {
            *ret_sort = suffixes[i].sort;
            return slice_head(model, model.n - suffixes[i].suffix.n);
        }
    }
    return model;
}

// False: has none.
static bool decode_slashes(struct slice name, struct arena *a, struct slice *ret)
{
    struct slice rest = name;
    char *out;
    size_t n = 0;

    if (slice_find(name, SLICE("%2F")) == SIZE_MAX && slice_find(name, SLICE("%2f")) == SIZE_MAX) {
        return false;
    }
    out = arena_alloc(a, name.n);
    while (rest.n > 0) {
        bool slash = slice_starts_nocase(rest, SLICE("%2f"));

        out[n++] = slash ? '/' : rest.p[0];
        rest = slice_from(rest, slash ? 3 : 1);
    }
    *ret = (struct slice){out, n};
    return true;
}

static bool are_digits(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    return true;
}

// "-2024-08-06", "-20250929", "@20250929" and "@default" at the end of an id. False: it has none.
static bool strip_date(struct slice id, struct slice *ret)
{
    struct slice end;

    if (slice_ends(id, SLICE("@default"))) {
        *ret = slice_head(id, id.n - 8);
        return ret->n > 0;
    }
    if (id.n > 11) {
        end = slice_from(id, id.n - 11);
        if (end.p[0] == '-' && end.p[5] == '-' && end.p[8] == '-' &&
            are_digits(slice_head(slice_from(end, 1), 4)) &&
            are_digits(slice_head(slice_from(end, 6), 2)) && are_digits(slice_from(end, 9))) {
            *ret = slice_head(id, id.n - 11);
            return true;
        }
    }
    if (id.n > 9) {
        end = slice_from(id, id.n - 9);
        if ((end.p[0] == '-' || end.p[0] == '@') && are_digits(slice_from(end, 1))) {
            *ret = slice_head(id, id.n - 9);
            return true;
        }
    }
    return false;
}

// The undated model of a dated id.
static void look_up_undated(const struct snapshot *s, struct route_name *w)
{
    struct slice undated;

    if (!strip_date(w->id, &undated)) {
        return;
    }
    if (w->provider.p != NULL ? snapshot_model_at(s, w->provider, undated, &w->known) ||
                                    snapshot_model_by_name(s, undated, &w->known)
                              : snapshot_model_by_name(s, undated, &w->known)) {
        w->dated = true;
    } else {
        w->known = (struct snapshot_model){NULL, NULL};
    }
}

// Fills in what `w->full` means.
static void look_up(const struct snapshot *s, struct route_name *w)
{
    size_t slash = slice_find_char(w->full, '/');

    w->provider = SLICE_NULL;
    w->id = w->full;
    w->known = (struct snapshot_model){NULL, NULL};
    if (slash != SIZE_MAX && snapshot_provider(s, slice_head(w->full, slash)) != NULL) {
        w->provider = slice_head(w->full, slash);
        w->id = slice_from(w->full, slash + 1);
        if (snapshot_model_at(s, w->provider, w->id, &w->known)) {
            return;
        }
    } else if (snapshot_model_by_name(s, w->full, &w->known)) {
        return;
    }
    if (slash == SIZE_MAX ||
        !snapshot_model_by_name(s, slice_from(w->full, slash + 1), &w->known)) {
        w->known = (struct snapshot_model){NULL, NULL};
        look_up_undated(s, w);
    }
}

static const struct resource_model_at *entry_at(const struct route_name *w, struct slice provider)
{
    const struct resource_model *m = w->known.res == NULL ? NULL : w->known.res->u.model;

    if (w->known.at != NULL && slice_eq_str(provider, w->known.at->provider)) {
        return w->known.at; // the very entry that was named
    }
    for (size_t i = 0; m != NULL && i < m->n_at; i++) {
        if (slice_eq_str(provider, m->at[i].provider)) {
            return &m->at[i];
        }
    }
    return NULL;
}

// A suffix that the named provider understands itself (OpenRouter) is for it: what stands before it
// still says which model it is.
static void give_suffix(const struct snapshot *s, struct slice suffix, struct arena *a,
                        struct route_name *w)
{
    const struct resource_model_at *at;
    const struct resource_quirks *q;

    if (suffix.n == 0 || w->provider.p == NULL) {
        return;
    }
    q = &snapshot_provider(s, w->provider)->res->u.provider->quirks;
    for (size_t i = 0; i < q->n_takes; i++) {
        if (slice_eq_str(suffix, q->takes[i])) {
            at = w->dated ? NULL : entry_at(w, w->provider);
            w->id = slice_str(arena_printf(a, SLICE_FMT SLICE_FMT,
                                           SLICE_ARG(at != NULL ? slice_str(at->id) : w->id),
                                           SLICE_ARG(suffix)));
            w->dated = true;
            w->sort = 0;
        }
    }
}

struct route_name route_name_resolve(const struct snapshot *s, struct slice model, struct arena *a)
{
    struct route_name w = {.sort = 0};
    struct slice suffix;

    w.full = strip_suffix(model, &w.sort);
    suffix = slice_from(model, w.full.n);
    look_up(s, &w);
    if (w.known.res == NULL && decode_slashes(w.full, a, &w.full)) {
        look_up(s, &w);
    }
    give_suffix(s, suffix, a, &w);
    return w;
}

static bool lists_model(const struct resource_provider *p, struct slice id)
{
    for (size_t i = 0; i < p->n_models; i++) {
        if (text_glob(slice_str(p->models[i]), id)) {
            return true;
        }
    }
    return false;
}

struct route_id route_name_at(const struct route_name *w, const struct snapshot_provider *p)
{
    struct slice name = slice_str(p->res->id);
    const struct resource_model_at *at = entry_at(w, name);

    if (at != NULL) {
        bool first = w->known.res != NULL && at == w->known.res->u.model->at;
        bool as_asked = w->dated && (w->provider.p != NULL || first);

        return (struct route_id){as_asked ? w->id : slice_str(at->id), at};
    }
    if (w->id.n > UNKNOWN_ID_MAX) {
        return (struct route_id){SLICE_NULL, NULL};
    }
    if (slice_eq(w->provider, name) ||
        (w->provider.p == NULL && lists_model(p->res->u.provider, w->full))) {
        return (struct route_id){w->id, NULL};
    }
    return (struct route_id){SLICE_NULL, NULL};
}

// One entry of a mapping list: "provider/model" or a bare name. Named at another provider: the same
// model may still be served here.
static struct route_id mapped_one(const struct snapshot *s, const struct snapshot_provider *p,
                                  const char *to, struct arena *a)
{
    struct route_name w = route_name_resolve(s, slice_str(to), a);

    return route_name_at(&w, p);
}

static bool matches(const struct resource_mapping *m, const struct route_name *w)
{
    return slice_eq_str(w->full, m->from) || slice_eq_str(w->id, m->from) ||
           (w->known.res != NULL && strcmp(w->known.res->id, m->from) == 0);
}

static struct route_id mapped_by(const struct snapshot *s, const struct resource_mapping *list,
                                 size_t n, const struct snapshot_provider *p,
                                 const struct route_name *w, struct arena *a)
{
    struct route_id found = {SLICE_NULL, NULL};

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; matches(&list[i], w) && j < list[i].n_to && found.id.p == NULL; j++) {
            found = mapped_one(s, p, list[i].to[j], a);
        }
    }
    return found;
}

struct route_id route_name_mapped(const struct route_name *w, const struct snapshot_provider *p,
                                  const struct snapshot *s, const struct resource *router,
                                  struct arena *a)
{
    const struct resource_settings *set = snapshot_settings(s);
    const struct resource_model *m = w->known.res == NULL ? NULL : w->known.res->u.model;
    struct route_id found = {SLICE_NULL, NULL};

    if (router != NULL) {
        found = mapped_by(s, router->u.router->mappings, router->u.router->n_mappings, p, w, a);
    }
    if (found.id.p == NULL) {
        found = mapped_by(s, set->mappings, set->n_mappings, p, w, a);
    }
    for (size_t i = 0; m != NULL && i < m->n_equivalents && found.id.p == NULL; i++) {
        found = mapped_one(s, p, m->equivalents[i], a);
    }
    return found;
}
