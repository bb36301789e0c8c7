// SPDX-License-Identifier: Apache-2.0
// Reading a section: first every field gets its default, then each entry of the node is matched to
// a field by key or alias and parsed by its type. Nothing stops at the first problem. Text goes to
// the arena of the context; nodes stay borrowed, so that later checks can name the line.
#include "common/base/conf.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define KNOWN_MAX 96u // keys and aliases of one table, for near matches

void conf_init(struct conf_ctx *c, struct arena *arena, struct problem_list *problems)
{
    c->arena = arena;
    c->problems = problems;
    c->path[0] = '\0';
    c->path_n = 0;
}

// Appends as much as there is room for.
static void extend(struct conf_ctx *c, int n, size_t room)
{
    CHECK(n >= 0);
    c->path_n += (size_t)n < room ? (size_t)n : room - 1;
}

size_t conf_enter(struct conf_ctx *c, const char *name, size_t index)
{
    size_t mark = c->path_n, room = sizeof(c->path) - c->path_n;

    if (name != NULL) {
        extend(c, snprintf(c->path + c->path_n, room, "%s%s", mark == 0 ? "" : ".", name), room);
    }
    room = sizeof(c->path) - c->path_n;
    if (index != SIZE_MAX) {
        extend(c, snprintf(c->path + c->path_n, room, "[%zu]", index), room);
    }
    return mark;
}

void conf_leave(struct conf_ctx *c, size_t mark)
{
    c->path_n = mark;
    c->path[mark] = '\0';
}

void conf_complain(struct conf_ctx *c, enum problem_level level, const struct node *n, bool at_key,
                   const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    problem_add(c->problems, level, at_key ? problem_place_of_key(n) : problem_place_of(n), c->path,
                "%s", text);
}

const char *conf_did_you_mean(struct conf_ctx *c, struct slice word, const struct slice *known,
                              size_t n)
{
    struct slice near = text_nearest(word, known, n);

    if (near.p == NULL) {
        return "";
    }
    return arena_printf(c->arena, " (did you mean \"" SLICE_FMT "\"?)", SLICE_ARG(near));
}

// --- finding the field of a key ------------------------------------------------------------------

static bool word_in(const char *words, struct slice word)
{
    struct slice rest = slice_str(words), head;

    while (rest.p != NULL) {
        rest = slice_cut(rest, ' ', &head);
        if (slice_eq(head, word)) {
            return true;
        }
    }
    return false;
}

static const struct conf_field *field_of(const struct conf_table *t, struct slice key)
{
    for (size_t i = 0; i < t->n; i++) {
        if (slice_eq_str(key, t->fields[i].key) || word_in(t->fields[i].aliases, key)) {
            return &t->fields[i];
        }
    }
    return NULL;
}

static void unknown_key(struct conf_ctx *c, const struct conf_table *t, const struct node *n)
{
    struct slice known[KNOWN_MAX];
    size_t count = 0;

    for (size_t i = 0; i < t->n && count < KNOWN_MAX; i++) {
        if (t->fields[i].help != NULL) {
            known[count++] = slice_str(t->fields[i].key);
        }
    }
    conf_complain(c, PROBLEM_ERROR, n, true, "unknown key%s",
                  conf_did_you_mean(c, n->key, known, count));
}

// --- scalars -------------------------------------------------------------------------------------

static const char *noun_of(enum conf_type type)
{
    switch (type) {
    case CONF_BOOL:
        return "true or false";
    case CONF_INT:
        return "a whole number";
    case CONF_DECIMAL:
        return "a number";
    case CONF_DURATION:
        return "a duration such as 250ms, 10s, 5m, 1h, 1d";
    case CONF_SIZE:
        return "a size such as 64KiB, 32MiB";
    case CONF_ENUM:
    case CONF_STRING:
    case CONF_SECRET:
        return "a string";
    case CONF_STRINGS:
        return "a list of strings";
    case CONF_PAIRS:
        return "a map of strings";
    case CONF_CHOICES:
        return "a map of names to a string or a list of strings";
    case CONF_SECTION:
    case CONF_MAP:
        return "a map";
    case CONF_LIST:
        return "a list";
    case CONF_ANY:
        return "anything";
    }
    return "";
}

static void expected(struct conf_ctx *c, const struct conf_field *f, const struct node *n)
{
    const char *found = f->type == CONF_SECRET && n->kind == NODE_SCALAR
                            ? "something else"
                            : problem_show(c->problems, n);

    conf_complain(c, PROBLEM_ERROR, n, false, "expected %s, found %s", noun_of(f->type), found);
}

// "0.75" with scale 3 -> 750; more digits than the scale are refused.
static bool parse_decimal(struct slice s, unsigned scale, uint64_t *ret)
{
    struct slice whole, part;
    uint64_t v, w = 0, factor = 1;

    part = slice_cut(s, '.', &whole);
    if (!slice_to_u64(whole.n == 0 ? SLICE("0") : whole, &v) || s.n == 0) {
        return false;
    }
    while (part.n > scale && part.p[part.n - 1] == '0') {
        part.n--;
    }
    if (part.p != NULL && (part.n > scale || (part.n > 0 && !slice_to_u64(part, &w)))) {
        return false;
    }
    for (unsigned i = 0; i < scale; i++) {
        factor *= 10;
        w *= i >= part.n ? 10 : 1;
    }
    return !__builtin_mul_overflow(v, factor, &v) && !__builtin_add_overflow(v, w, ret);
}

static bool parse_number(const struct conf_field *f, struct slice s, uint64_t *ret)
{
    switch (f->type) {
    case CONF_INT:
        return slice_to_u64(s, ret);
    case CONF_DECIMAL:
        return parse_decimal(s, f->scale, ret);
    case CONF_DURATION:
        return text_parse_duration_us(s, ret);
    case CONF_SIZE:
        return text_parse_size(s, ret);
    case CONF_BOOL:
    case CONF_ENUM:
    case CONF_STRING:
    case CONF_SECRET:
    case CONF_STRINGS:
    case CONF_PAIRS:
    case CONF_CHOICES:
    case CONF_SECTION:
    case CONF_MAP:
    case CONF_LIST:
    case CONF_ANY:
        break;
    }
    return false;
}

// A bound as the user would write it.
static const char *show_number(const struct conf_field *f, uint64_t v, char out[40])
{
    uint64_t factor = 1;

    for (unsigned i = 0; i < f->scale; i++) {
        factor *= 10;
    }
    if (f->type == CONF_DURATION) {
        return text_format_duration(v, out);
    }
    if (f->type == CONF_SIZE && v >= 1024 && v % 1024 == 0) {
        bool mib = v % ((uint64_t)1 << 20) == 0;

        (void)snprintf(out, 40, "%" PRIu64 "%s", mib ? v >> 20 : v >> 10, mib ? "MiB" : "KiB");
    } else if (f->type == CONF_DECIMAL && v % factor != 0) {
        (void)snprintf(out, 40, "%" PRIu64 ".%0*" PRIu64, v / factor, (int)f->scale, v % factor);
    } else {
        (void)snprintf(out, 40, "%" PRIu64, v / factor);
    }
    return out;
}

static void read_number(struct conf_ctx *c, const struct conf_field *f, const struct node *n,
                        uint64_t *out)
{
    char bound[40];
    uint64_t v;

    if (n->kind != NODE_SCALAR || !parse_number(f, slice_trim(n->text), &v)) {
        expected(c, f, n);
        return;
    }
    if (v < f->min) {
        conf_complain(c, PROBLEM_ERROR, n, false, "must be at least %s",
                      show_number(f, f->min, bound));
    } else if (f->max != 0 && v > f->max) {
        conf_complain(c, PROBLEM_ERROR, n, false, "must be at most %s",
                      show_number(f, f->max, bound));
    } else {
        *out = v;
    }
}

static void read_enum(struct conf_ctx *c, const struct conf_field *f, const struct node *n,
                      int *out)
{
    struct slice words[32];
    struct buf all;
    size_t count = 0;

    if (n->kind != NODE_SCALAR) {
        expected(c, f, n);
        return;
    }
    buf_init(&all, 1024);
    for (const struct conf_word *w = f->words; w->word != NULL; w++) {
        if (slice_eq_str(n->text, w->word)) {
            *out = w->value;
            buf_done(&all);
            return;
        }
        CHECK(count < ARRAY_LEN(words));
        words[count++] = slice_str(w->word);
        buf_printf(&all, "%s%s", all.n == 0 ? "" : ", ", w->word);
    }
    conf_complain(c, PROBLEM_ERROR, n, false, "expected one of %s, found %s%s", buf_cstr(&all),
                  problem_show(c->problems, n),
                  n->expanded ? "" : conf_did_you_mean(c, n->text, words, count));
    buf_done(&all);
}

static struct conf_text read_text(struct conf_ctx *c, const struct conf_field *f,
                                  const struct node *n)
{
    if (n->kind != NODE_SCALAR) {
        expected(c, f, n);
        return (struct conf_text){0};
    }
    if (n->text.n > CONF_STRING_MAX) {
        conf_complain(c, PROBLEM_ERROR, n, false, "is longer than %u bytes", CONF_STRING_MAX);
        return (struct conf_text){0};
    }
    return (struct conf_text){n->text.p, n};
}

// --- lists and maps ------------------------------------------------------------------------------

// False, with a complaint, when a container holds more than its table allows.
static bool fits(struct conf_ctx *c, const struct conf_field *f, const struct node *n)
{
    size_t max = f->max == 0 ? CONF_ITEMS_MAX : (size_t)f->max;

    if (node_count(n) > max) {
        conf_complain(c, PROBLEM_ERROR, n, false, "has more than %zu entries", max);
        return false;
    }
    return true;
}

static struct conf_texts read_texts(struct conf_ctx *c, const struct conf_field *f,
                                    const struct node *n)
{
    struct conf_texts out = {.node = n};
    struct conf_text *items;

    if (n->kind == NODE_MAP) {
        expected(c, f, n);
        return (struct conf_texts){0};
    }
    if (!fits(c, f, n)) {
        return (struct conf_texts){0};
    }
    items = arena_zalloc(c->arena, (node_count(n) + 1) * sizeof(*items));
    out.items = items;
    if (n->kind == NODE_SCALAR) {
        items[0] = read_text(c, f, n);
        out.n = items[0].s != NULL;
        return out;
    }
    for (const struct node *it = n->first; it != NULL; it = it->next) {
        size_t mark = conf_enter(c, NULL, out.n);

        if (it->kind == NODE_SCALAR && !node_is_null(it)) {
            items[out.n] = read_text(c, f, it);
            out.n += items[out.n].s != NULL;
        } else {
            conf_complain(c, PROBLEM_ERROR, it, false, "expected a string, found %s",
                          it->kind == NODE_SCALAR ? "nothing" : node_kind_name(it));
        }
        conf_leave(c, mark);
    }
    return out;
}

// The value of one entry of a map or list, by the type of its field.
static void *read_entry(struct conf_ctx *c, const struct conf_field *f, const struct node *n)
{
    if (f->type == CONF_PAIRS) {
        struct conf_text *text = arena_zalloc(c->arena, sizeof(*text));

        *text = read_text(c, &(struct conf_field){.type = CONF_STRING}, n);
        return text;
    }
    if (f->type == CONF_CHOICES) {
        struct conf_texts *texts = arena_zalloc(c->arena, sizeof(*texts));

        *texts = read_texts(c, &(struct conf_field){.type = CONF_STRINGS}, n);
        return texts;
    }
    void *value = arena_zalloc(c->arena, f->table->size);

    (void)conf_read(c, f->table, n, value);
    return value;
}

static struct conf_entries read_entries(struct conf_ctx *c, const struct conf_field *f,
                                        const struct node *n)
{
    bool is_list = f->type == CONF_LIST;
    struct conf_entries out = {.node = n};

    if (n->kind != (is_list ? NODE_LIST : NODE_MAP)) {
        expected(c, f, n);
        return (struct conf_entries){0};
    }
    if (!fits(c, f, n)) {
        return (struct conf_entries){0};
    }
    out.items = arena_zalloc(c->arena, (node_count(n) + 1) * sizeof(*out.items));
    for (const struct node *it = n->first; it != NULL; it = it->next) {
        size_t mark = conf_enter(c, it->key.p, is_list ? out.n : SIZE_MAX);
        struct conf_entry *e = &out.items[out.n++];

        e->name = is_list ? NULL : it->key.p;
        e->node = it;
        e->value = read_entry(c, f, it);
        conf_leave(c, mark);
    }
    return out;
}

// --- one field, one section ----------------------------------------------------------------------

static void *at(void *base, const struct conf_field *f)
{
    return (char *)base + f->offset;
}

static void read_value(struct conf_ctx *c, const struct conf_field *f, const struct node *n,
                       void *out)
{
    void *to = at(out, f);

    switch (f->type) {
    case CONF_BOOL:
        if (n->kind != NODE_SCALAR || !text_parse_bool(n->text, to)) {
            expected(c, f, n);
        }
        break;
    case CONF_INT:
    case CONF_DECIMAL:
    case CONF_DURATION:
    case CONF_SIZE:
        read_number(c, f, n, to);
        break;
    case CONF_ENUM:
        read_enum(c, f, n, to);
        break;
    case CONF_STRING:
    case CONF_SECRET:
        *(struct conf_text *)to = read_text(c, f, n);
        break;
    case CONF_STRINGS:
        *(struct conf_texts *)to = read_texts(c, f, n);
        break;
    case CONF_PAIRS:
    case CONF_CHOICES:
    case CONF_MAP:
    case CONF_LIST:
        *(struct conf_entries *)to = read_entries(c, f, n);
        break;
    case CONF_SECTION:
        (void)conf_read(c, f->table, n, to);
        break;
    case CONF_ANY:
        *(const struct node **)to = n;
        break;
    }
}

static void set_default(struct conf_ctx *c, const struct conf_field *f, void *out)
{
    void *to = at(out, f);
    struct slice def = slice_str(f->def);

    if (f->type == CONF_SECTION) {
        (void)conf_read(c, f->table, NULL, to);
        return;
    }
    if (f->def == NULL) {
        return; // the struct is zeroed
    }
    if (f->type == CONF_BOOL) {
        CHECK(text_parse_bool(def, to));
    } else if (f->type == CONF_ENUM) {
        const struct conf_word *w = f->words;

        while (w->word != NULL && strcmp(w->word, f->def) != 0) {
            w++;
        }
        CHECK(w->word != NULL);
        *(int *)to = w->value;
    } else if (f->type == CONF_STRING) {
        ((struct conf_text *)to)->s = f->def;
    } else {
        CHECK(parse_number(f, def, to));
    }
}

static size_t size_of_scalar(const struct conf_field *f)
{
    switch (f->type) {
    case CONF_BOOL:
        return sizeof(bool);
    case CONF_ENUM:
        return sizeof(int);
    case CONF_INT:
    case CONF_DECIMAL:
    case CONF_DURATION:
    case CONF_SIZE:
        return sizeof(uint64_t);
    case CONF_STRING:
    case CONF_SECRET:
    case CONF_STRINGS:
    case CONF_PAIRS:
    case CONF_CHOICES:
    case CONF_SECTION:
    case CONF_MAP:
    case CONF_LIST:
    case CONF_ANY:
        break;
    }
    return 0;
}

static void read_field(struct conf_ctx *c, const struct conf_field *f, const struct node *n,
                       void *out)
{
    char before[sizeof(uint64_t)];
    size_t size = size_of_scalar(f), errors = c->problems->errors;

    memcpy(before, at(out, f), size); // its default
    read_value(c, f, n, out);
    if (f->inert == NULL || c->problems->errors != errors) {
        return;
    }
    if (size == 0 || memcmp(before, at(out, f), size) != 0) {
        conf_complain(c, PROBLEM_WARNING, n, true, "%s", f->inert);
    }
}

static void read_map(struct conf_ctx *c, const struct conf_table *t, const struct node *node,
                     void *out, const struct node **seen)
{
    for (const struct node *it = node->first; it != NULL; it = it->next) {
        const struct conf_field *f = field_of(t, it->key);
        size_t mark = conf_enter(c, it->key.p, SIZE_MAX);

        if (f == NULL) {
            unknown_key(c, t, it);
        } else if (seen[f - t->fields] != NULL) {
            conf_complain(c, PROBLEM_ERROR, it, true, "is the same setting as \"%s\" in line %u",
                          seen[f - t->fields]->key.p, seen[f - t->fields]->key_line);
        } else {
            seen[f - t->fields] = it;
            if (!node_is_null(it)) {
                read_field(c, f, it, out);
            }
        }
        conf_leave(c, mark);
    }
}

bool conf_read(struct conf_ctx *c, const struct conf_table *t, const struct node *node, void *out)
{
    const struct node *seen[KNOWN_MAX] = {NULL};
    size_t errors = c->problems->errors;

    CHECK(t->n <= KNOWN_MAX);
    memset(out, 0, t->size);
    *(const struct node **)out = node;
    for (size_t i = 0; i < t->n; i++) {
        set_default(c, &t->fields[i], out);
    }
    if (node == NULL || node_is_null(node)) {
        // nothing but defaults
    } else if (node->kind == NODE_MAP) {
        read_map(c, t, node, out, seen);
    } else if (node->kind == NODE_SCALAR && t->shorthand != NULL) {
        const struct conf_field *f = field_of(t, slice_str(t->shorthand));

        seen[f - t->fields] = node;
        read_field(c, f, node, out);
    } else {
        conf_complain(c, PROBLEM_ERROR, node, false, "expected a map, found %s",
                      problem_show(c->problems, node));
        return false;
    }
    for (size_t i = 0; i < t->n; i++) {
        if (t->fields[i].required && node != NULL && (seen[i] == NULL || node_is_null(seen[i]))) {
            conf_complain(c, PROBLEM_ERROR, node, true, "\"%s\" is missing", t->fields[i].key);
        }
    }
    return c->problems->errors == errors;
}

// --- what a reload does not apply ----------------------------------------------------------------

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_value(const struct conf_field *f, const void *a, const void *b)
{
    const struct conf_texts *ta = a, *tb = b;
    size_t size = size_of_scalar(f);

    if (size != 0) {
        return memcmp(a, b, size) == 0;
    }
    if (f->type == CONF_STRING || f->type == CONF_SECRET) {
        return same_text(((const struct conf_text *)a)->s, ((const struct conf_text *)b)->s);
    }
    if (f->type != CONF_STRINGS) {
        return true;
    }
    if (ta->n != tb->n) {
        return false;
    }
    for (size_t i = 0; i < ta->n; i++) {
        if (!same_text(ta->items[i].s, tb->items[i].s)) {
            return false;
        }
    }
    return true;
}

void conf_restart_keys(const struct conf_table *t, const char *prefix, const void *a, const void *b,
                       struct buf *out)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct conf_field *f = &t->fields[i];
        const void *pa = (const char *)a + f->offset, *pb = (const char *)b + f->offset;

        if (f->type == CONF_SECTION) {
            char name[CONF_PATH_MAX];

            (void)snprintf(name, sizeof(name), "%s%s.", prefix, f->key);
            conf_restart_keys(f->table, name, pa, pb, out);
        } else if (!f->reload && !same_value(f, pa, pb)) {
            buf_printf(out, "%s%s%s", out->n == 0 ? "" : ", ", prefix, f->key);
        }
    }
}
