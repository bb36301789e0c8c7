// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms without locks on the recording path.
//
//   registry -- families[]  (definition, label names, bounds in the recorded unit)
//          |
//          +-- slots -> slot (thread A) -- families[] -> series -> series -> ...   newest first
//                       slot (thread B) -- ...
//
// Who writes what:
//   cells of a series       the slot's thread only, relaxed load + store; read by the scrape
//   a slot's series list    the slot's thread publishes a finished series (release); the scrape
//                           follows it (acquire). Series are never removed, so no reader can hold a
//                           freed one.
//   a slot's lookup map     the slot's thread only
//   the list of slots       under the registry's mutex, as are scrapes
//
// The scrape sums series of equal labels over the slots, then prints. A histogram's count is the
// sum of the buckets that were read, so buckets and count always agree; its sum may be one
// observation ahead or behind.
#include "common/base/metric.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define METRIC_MAX_LABELS      8
#define METRIC_MAX_LABEL_BYTES 256

struct family {
    const struct metric_def *def; // borrowed
    struct slice labels[METRIC_MAX_LABELS];
    size_t n_labels;
    uint64_t *bounds; // owned: def->bounds in the recorded unit, rounded down
    size_t n_bounds;
    size_t n_cells; // 1, or for histograms: buckets (with +Inf) and the sum
    double scale;
};

struct metric_series {
    struct metric_series *next; // older one of the same family and slot
    const struct family *family;
    struct slice key;         // encoded label values; NUL not part
    _Atomic uint64_t cells[]; // value; or buckets, then the sum
};

struct slot_family {
    _Atomic(struct metric_series *) newest;
    struct map by_key;
    struct metric_series *other; // where labels past the bound go
    struct metric_series *last;  // the one asked for last: mostly it is asked for again
};

struct metric_slot {
    struct metric_slot *next;
    struct metric_registry *registry;
    struct slot_family *families;
};

struct metric_registry {
    struct family *families;
    size_t n;
    size_t max_series;
    pthread_mutex_t lock; // slots, and one scrape at a time
    struct metric_slot *slots;
};

// --- families ---

static void family_init_bounds(struct family *f)
{
    const double *bounds = f->def->bounds;

    CHECK(bounds != NULL);
    while (bounds[f->n_bounds] != 0) {
        f->n_bounds++;
    }
    f->bounds = mem_zalloc_array(f->n_bounds, sizeof(*f->bounds));
    for (size_t i = 0; i < f->n_bounds; i++) {
        CHECK(i == 0 || bounds[i] > bounds[i - 1]);
        // 0.005 / 1e-6 may be 4999.999...: lift by more than the error, less than a unit.
        f->bounds[i] = (uint64_t)(bounds[i] / f->scale * (1 + 1e-12));
    }
    f->n_cells = f->n_bounds + 2;
}

static void family_init(struct family *f, const struct metric_def *def)
{
    struct slice rest = slice_str(def->labels);

    f->def = def;
    f->scale = def->scale == 0 ? 1 : def->scale;
    f->n_cells = 1;
    while (rest.n > 0) {
        CHECK(f->n_labels < METRIC_MAX_LABELS);
        rest = slice_cut(rest, ',', &f->labels[f->n_labels]);
        f->n_labels++;
    }
    if (def->type == METRIC_HISTOGRAM) {
        family_init_bounds(f);
    }
}

struct metric_registry *metric_registry_new(const struct metric_def *defs, size_t n,
                                            size_t max_series)
{
    struct metric_registry *r = mem_zalloc(sizeof(*r));

    CHECK(max_series > 0);
    r->families = mem_zalloc_array(n, sizeof(*r->families));
    r->n = n;
    r->max_series = max_series;
    CHECK(pthread_mutex_init(&r->lock, NULL) == 0);
    for (size_t i = 0; i < n; i++) {
        family_init(&r->families[i], &defs[i]);
    }
    return r;
}

static void slot_free(struct metric_slot *s)
{
    for (size_t i = 0; i < s->registry->n; i++) {
        struct slot_family *f = &s->families[i];
        struct metric_series *it = atomic_load_explicit(&f->newest, memory_order_acquire);

        while (it != NULL) {
            struct metric_series *next = it->next;

            mem_free((char *)(uintptr_t)it->key.p);
            mem_free(it);
            it = next;
        }
        map_done(&f->by_key);
    }
    mem_free(s->families);
    mem_free(s);
}

void metric_registry_free(struct metric_registry **r)
{
    struct metric_registry *old = *r;

    *r = NULL;
    if (old == NULL) {
        return;
    }
    while (old->slots != NULL) {
        struct metric_slot *s = old->slots;

        old->slots = s->next;
        slot_free(s);
    }
    for (size_t i = 0; i < old->n; i++) {
        mem_free(old->families[i].bounds);
    }
    mem_free(old->families);
    pthread_mutex_destroy(&old->lock);
    mem_free(old);
}

struct metric_slot *metric_slot_new(struct metric_registry *r)
{
    struct metric_slot *s = mem_zalloc(sizeof(*s));

    s->registry = r;
    s->families = mem_zalloc_array(r->n, sizeof(*s->families));
    pthread_mutex_lock(&r->lock);
    s->next = r->slots;
    r->slots = s;
    pthread_mutex_unlock(&r->lock);
    return s;
}

// --- series ---

// Label values as one key: two bytes of length, then the value, for each. Values are cut.
static struct slice encode_key(const struct family *f, const struct slice *values, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n_labels; i++) {
        struct slice v = slice_head(values[i], METRIC_MAX_LABEL_BYTES);

        out[n++] = (char)(v.n >> 8);
        out[n++] = (char)(v.n & 0xff);
        if (v.n > 0) {
            memcpy(out + n, v.p, v.n);
        }
        n += v.n;
    }
    return (struct slice){out, n};
}

static struct slice decode_value(struct slice *key)
{
    size_t n = (size_t)(unsigned char)key->p[0] << 8 | (unsigned char)key->p[1];
    struct slice v = slice_head(slice_from(*key, 2), n);

    *key = slice_from(*key, 2 + n);
    return v;
}

static struct metric_series *series_new(struct slot_family *sf, const struct family *f,
                                        struct slice key)
{
    struct metric_series *s = mem_zalloc(sizeof(*s) + f->n_cells * sizeof(s->cells[0]));

    s->family = f;
    s->key = (struct slice){mem_strndup(key.p, key.n), key.n};
    // Only this thread writes the list, so its own last value needs no ordering.
    s->next = atomic_load_explicit(&sf->newest, memory_order_relaxed);
    map_put(&sf->by_key, key, s);
    atomic_store_explicit(&sf->newest, s, memory_order_release);
    return s;
}

struct metric_series *metric_series(struct metric_slot *s, size_t def, const struct slice *values)
{
    char text[METRIC_MAX_LABELS * (2 + METRIC_MAX_LABEL_BYTES)];
    struct slice other[METRIC_MAX_LABELS];
    struct metric_series *found;
    struct slot_family *sf;
    const struct family *f;
    struct slice key;

    CHECK(def < s->registry->n);
    f = &s->registry->families[def];
    sf = &s->families[def];
    key = encode_key(f, values, text);
    if (sf->last != NULL && slice_eq(sf->last->key, key)) {
        return sf->last;
    }
    found = map_get(&sf->by_key, key);
    if (found != NULL) {
        sf->last = found;
        return found;
    }
    if (map_count(&sf->by_key) < s->registry->max_series) {
        return series_new(sf, f, key);
    }
    if (sf->other == NULL) {
        for (size_t i = 0; i < f->n_labels; i++) {
            other[i] = SLICE("other");
        }
        key = encode_key(f, other, text);
        found = map_get(&sf->by_key, key);
        sf->other = found != NULL ? found : series_new(sf, f, key);
    }
    return sf->other;
}

// One writer per cell: a plain read-modify-write of relaxed accesses, no locked instruction.
static void cell_add(_Atomic uint64_t *cell, uint64_t delta)
{
    uint64_t old = atomic_load_explicit(cell, memory_order_relaxed);

    atomic_store_explicit(cell, old + delta, memory_order_relaxed);
}

void metric_add(struct metric_series *s, int64_t delta)
{
    cell_add(&s->cells[0], (uint64_t)delta);
}

void metric_set(struct metric_series *s, int64_t value)
{
    atomic_store_explicit(&s->cells[0], (uint64_t)value, memory_order_relaxed);
}

void metric_observe(struct metric_series *s, uint64_t value)
{
    const struct family *f = s->family;
    size_t low = 0, high = f->n_bounds;

    // The first bound that is not below the value; n_bounds is +Inf.
    while (low < high) {
        size_t mid = (low + high) / 2;

        if (f->bounds[mid] < value) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    cell_add(&s->cells[low], 1);
    cell_add(&s->cells[f->n_bounds + 1], value);
}

// --- scrape ---

// Sums of one label combination over all slots; lives in the scrape's arena.
struct total {
    struct slice key;
    struct total *next;
    uint64_t cells[];
};

static struct total *total_new(struct arena *a, const struct family *f, struct slice key)
{
    struct total *t = arena_zalloc(a, sizeof(*t) + f->n_cells * sizeof(t->cells[0]));

    t->key = key;
    return t;
}

static void total_add(struct total *t, const struct metric_series *s)
{
    for (size_t i = 0; i < s->family->n_cells; i++) {
        t->cells[i] += atomic_load_explicit(&s->cells[i], memory_order_relaxed);
    }
}

// In the order of first appearance, newest first within a slot.
static struct total *sum_family(struct metric_registry *r, size_t def, struct arena *a)
{
    const struct family *f = &r->families[def];
    struct total *first = NULL, **tail = &first;
    struct map by_key;

    map_init(&by_key);
    for (struct metric_slot *slot = r->slots; slot != NULL; slot = slot->next) {
        struct metric_series *s =
            atomic_load_explicit(&slot->families[def].newest, memory_order_acquire);

        for (; s != NULL; s = s->next) {
            struct total *t = map_get(&by_key, s->key);

            if (t == NULL) {
                t = total_new(a, f, s->key);
                map_put(&by_key, s->key, t);
                *tail = t;
                tail = &t->next;
            }
            total_add(t, s);
        }
    }
    map_done(&by_key);
    if (first == NULL && f->n_labels == 0) {
        // A series without labels is known before its first event: it is 0, not absent.
        first = total_new(a, f, SLICE(""));
    }
    return first;
}

// Label values escape \ " and newline, help texts \ and newline; invalid UTF-8 becomes U+FFFD.
static void render_escaped(struct buf *out, struct slice s, bool quotes)
{
    while (s.n > 0) {
        size_t n = text_utf8_len(s);

        if (n == 0) {
            buf_append(out, SLICE("\xef\xbf\xbd"));
            n = 1;
        } else if (s.p[0] == '\n') {
            buf_append(out, SLICE("\\n"));
        } else if (s.p[0] == '\\' || (quotes && s.p[0] == '"')) {
            buf_append_char(out, '\\');
            buf_append_char(out, s.p[0]);
        } else {
            buf_append(out, slice_head(s, n));
        }
        s = slice_from(s, n);
    }
}

// name[suffix]{label="value",...,le="..."} and a space; le NULL = none.
static void render_name(struct buf *out, const struct family *f, struct slice key,
                        const char *suffix, const char *le)
{
    buf_printf(out, "%s%s", f->def->name, suffix);
    if (f->n_labels > 0 || le != NULL) {
        buf_append_char(out, '{');
        for (size_t i = 0; i < f->n_labels; i++) {
            buf_append_str(out, i == 0 ? "" : ",");
            buf_append(out, f->labels[i]);
            buf_append(out, SLICE("=\""));
            render_escaped(out, decode_value(&key), true);
            buf_append_char(out, '"');
        }
        if (le != NULL) {
            buf_printf(out, "%sle=\"%s\"", f->n_labels == 0 ? "" : ",", le);
        }
        buf_append_char(out, '}');
    }
    buf_append_char(out, ' ');
}

static void render_scaled(struct buf *out, const struct family *f, uint64_t raw)
{
    if (f->scale == 1) {
        buf_printf(out, "%lld\n", (long long)(int64_t)raw);
    } else {
        buf_printf(out, "%.15g\n", (double)(int64_t)raw * f->scale);
    }
}

static void render_histogram(struct buf *out, const struct family *f, const struct total *t)
{
    uint64_t count = 0;
    char le[32];

    for (size_t i = 0; i < f->n_bounds; i++) {
        count += t->cells[i];
        (void)snprintf(le, sizeof(le), "%.15g", f->def->bounds[i]);
        render_name(out, f, t->key, "_bucket", le);
        buf_printf(out, "%llu\n", (unsigned long long)count);
    }
    count += t->cells[f->n_bounds];
    render_name(out, f, t->key, "_bucket", "+Inf");
    buf_printf(out, "%llu\n", (unsigned long long)count);
    render_name(out, f, t->key, "_sum", NULL);
    render_scaled(out, f, t->cells[f->n_bounds + 1]);
    render_name(out, f, t->key, "_count", NULL);
    buf_printf(out, "%llu\n", (unsigned long long)count);
}

void metric_render(struct metric_registry *r, struct buf *out)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter",
        [METRIC_GAUGE] = "gauge",
        [METRIC_HISTOGRAM] = "histogram",
    };
    struct arena a;

    arena_init(&a, 4096, 0);
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < r->n; i++) {
        const struct family *f = &r->families[i];

        buf_printf(out, "# HELP %s ", f->def->name);
        render_escaped(out, slice_str(f->def->help), false);
        buf_printf(out, "\n# TYPE %s %s\n", f->def->name, types[f->def->type]);
        for (struct total *t = sum_family(r, i, &a); t != NULL; t = t->next) {
            if (f->def->type == METRIC_HISTOGRAM) {
                render_histogram(out, f, t);
            } else {
                render_name(out, f, t->key, "", NULL);
                render_scaled(out, f, t->cells[0]);
            }
        }
        arena_reset(&a);
    }
    pthread_mutex_unlock(&r->lock);
    arena_done(&a);
}
