// SPDX-License-Identifier: Apache-2.0
// The list is sorted once a request, so that pages of two requests fit together whatever order the
// snapshot has; a page is a run of it.
//
//   newest ... before_id ... [page] after_id ... oldest       before_id: the page in front of it
//                                   ^ after_id: the page behind it
#include "dataplane/models_anthropic.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"
#include "dataplane/models_capabilities.h"

#define LIMIT_DEFAULT 20u
#define LIMIT_MAX     1000u

struct models_anthropic_item {
    struct models_anthropic_item *next;
    const struct resource *model;
    const struct resource_model_at *at;
};

void models_anthropic_add(struct models_anthropic *list, const struct resource *m,
                          const struct resource_model_at *at)
{
    struct models_anthropic_item *k = arena_alloc(list->arena, sizeof(*k));

    *k = (struct models_anthropic_item){list->items, m, at};
    list->items = k;
    list->n++;
}

// --- one model ---------------------------------------------------------------------------------

static void put_id(struct buf *out, const struct resource_model_at *at)
{
    buf_append_char(out, '"');
    text_json_escape(out, slice_str(at->provider));
    buf_append_char(out, '/');
    text_json_escape(out, slice_str(at->id));
    buf_append_char(out, '"');
}

static void put_count(struct buf *out, const char *name, uint32_t n)
{
    if (n != 0) {
        buf_printf(out, ",\"%s\":%u", name, n);
    } else {
        buf_printf(out, ",\"%s\":null", name);
    }
}

void models_anthropic_put(struct buf *out, const struct resource *m,
                          const struct resource_model_at *at)
{
    const struct resource_model *x = m->u.model;
    char when[32];

    buf_append_str(out, "{\"type\":\"model\",\"id\":");
    put_id(out, at);
    buf_append_str(out, ",\"display_name\":");
    text_json_string(out, slice_str(m->id));
    // Anthropic's word for a day that is not known is the epoch as well.
    buf_printf(out, ",\"created_at\":\"%s\"", text_format_rfc3339(x->released_wall_us, when));
    put_count(out, "max_input_tokens", x->context);
    put_count(out, "max_tokens", x->max_output);
    buf_append_str(out, ",\"lifecycle\":\"active\",\"capabilities\":");
    models_capabilities_put(out, x, at);
    buf_append_char(out, '}');
}

// --- pages -------------------------------------------------------------------------------------

static int by_age(const void *a, const void *b)
{
    const struct models_anthropic_item *const *x = a, *const *y = b;
    uint64_t s = (*x)->model->u.model->released_wall_us;
    uint64_t t = (*y)->model->u.model->released_wall_us;
    int c;

    if (s != t) {
        return s > t ? -1 : 1;
    }
    c = strcmp((*x)->at->provider, (*y)->at->provider);
    return c != 0 ? c : strcmp((*x)->at->id, (*y)->at->id);
}

static const struct models_anthropic_item **sorted(const struct models_anthropic *list)
{
    const struct models_anthropic_item **all =
        arena_alloc(list->arena, (list->n + 1) * sizeof(*all));
    size_t n = 0;

    for (const struct models_anthropic_item *k = list->items; k != NULL; k = k->next) {
        all[n++] = k;
    }
    qsort(all, n, sizeof(*all), by_age);
    return all;
}

// Value of a parameter of a query string, decoded; SLICE_NULL: not there.
static struct slice parameter(struct slice query, const char *name, struct arena *a)
{
    while (query.p != NULL) {
        struct slice pair, key, value;

        query = slice_cut(query, '&', &pair);
        value = slice_cut(pair, '=', &key);
        if (slice_eq_str(key, name) && value.n > 0) {
            char *out = arena_alloc(a, value.n);

            return (struct slice){out, text_percent_decode(value, out)};
        }
    }
    return SLICE_NULL;
}

static bool is_named(const struct models_anthropic_item *k, struct slice id)
{
    struct slice provider;
    struct slice rest = slice_cut(id, '/', &provider);

    return slice_eq_str(provider, k->at->provider) && slice_eq_str(rest, k->at->id);
}

// Index of the model with this id; list->n: there is none.
static size_t find(const struct models_anthropic *list, const struct models_anthropic_item **all,
                   struct slice id)
{
    size_t i = 0;

    while (i < list->n && !is_named(all[i], id)) {
        i++;
    }
    return i;
}

struct page {
    size_t begin, end;
    bool more; // in the direction of paging
};

static bool choose_page(const struct models_anthropic *list,
                        const struct models_anthropic_item **all, struct slice query,
                        struct page *ret, const char **ret_param)
{
    struct slice limit = parameter(query, "limit", list->arena);
    struct slice after = parameter(query, "after_id", list->arena);
    struct slice before = parameter(query, "before_id", list->arena);
    uint64_t n = LIMIT_DEFAULT;
    size_t at;

    *ret_param = "limit";
    if (limit.p != NULL && (!slice_to_u64(limit, &n) || n < 1 || n > LIMIT_MAX)) {
        return false;
    }
    *ret = (struct page){0, list->n, false};
    if (before.p != NULL && after.p == NULL) {
        *ret_param = "before_id";
        at = find(list, all, before);
        ret->end = at;
        ret->begin = at > n ? at - (size_t)n : 0;
        ret->more = ret->begin > 0;
        return at < list->n;
    }
    if (after.p != NULL) {
        *ret_param = "after_id";
        at = find(list, all, after);
        if (at == list->n) {
            return false;
        }
        ret->begin = at + 1;
    }
    ret->end = list->n - ret->begin > n ? ret->begin + (size_t)n : list->n;
    ret->more = ret->end < list->n;
    return true;
}

bool models_anthropic_page(const struct models_anthropic *list, struct slice query, struct buf *out,
                           const char **ret_param)
{
    const struct models_anthropic_item **all = sorted(list);
    struct page p;

    if (!choose_page(list, all, query, &p, ret_param)) {
        return false;
    }
    buf_append_str(out, "{\"data\":[");
    for (size_t i = p.begin; i < p.end; i++) {
        buf_append_str(out, i == p.begin ? "" : ",");
        models_anthropic_put(out, all[i]->model, all[i]->at);
    }
    buf_printf(out, "],\"has_more\":%s,\"first_id\":", p.more ? "true" : "false");
    if (p.begin == p.end) {
        buf_append_str(out, "null,\"last_id\":null}");
        return true;
    }
    put_id(out, all[p.begin]->at);
    buf_append_str(out, ",\"last_id\":");
    put_id(out, all[p.end - 1]->at);
    buf_append_char(out, '}');
    return true;
}
