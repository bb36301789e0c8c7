// SPDX-License-Identifier: Apache-2.0
// Walks the tables depth first. A section's scalars come first, as rows; sections below it follow
// under their own headings, so that a reader finds everything of `routers` in one place.
#include "common/base/conf_doc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define TABLES_MAX 128u

struct doc {
    struct buf *out;
    struct {
        const struct conf_table *table;
        char path[CONF_PATH_MAX];
    } done[TABLES_MAX]; // written out already, and where
    size_t n_done;
};

static bool is_section(const struct conf_field *f)
{
    return f->type == CONF_SECTION || f->type == CONF_MAP || f->type == CONF_LIST;
}

static bool is_shown(const struct conf_field *f)
{
    return f->help != NULL;
}

// --- rows ----------------------------------------------------------------------------------------

static const char *type_name(const struct conf_field *f)
{
    switch (f->type) {
    case CONF_BOOL:
        return "true, false";
    case CONF_INT:
        return "number";
    case CONF_DECIMAL:
        return "decimal";
    case CONF_DURATION:
        return "duration";
    case CONF_SIZE:
        return "size";
    case CONF_ENUM:
        return "word";
    case CONF_STRING:
        return "string";
    case CONF_SECRET:
        return "secret";
    case CONF_STRINGS:
        return "list of strings";
    case CONF_PAIRS:
        return "map of strings";
    case CONF_CHOICES:
        return "map of strings or lists";
    case CONF_SECTION:
    case CONF_MAP:
        return "map";
    case CONF_LIST:
        return "list";
    case CONF_ANY:
        return "any";
    }
    return "";
}

static void put_words(struct buf *out, const struct conf_field *f)
{
    int seen[32];
    size_t n = 0;

    for (const struct conf_word *w = f->words; w->word != NULL; w++) {
        size_t i = 0;

        while (i < n && seen[i] != w->value) {
            i++;
        }
        if (i == n && n < ARRAY_LEN(seen)) {
            buf_printf(out, "%s`%s`", n == 0 ? "" : ", ", w->word);
            seen[n++] = w->value;
        }
    }
}

static void put_number(struct buf *out, const struct conf_field *f, uint64_t v)
{
    char text[32];
    uint64_t factor = 1;

    for (unsigned i = 0; i < f->scale; i++) {
        factor *= 10;
    }
    if (f->type == CONF_DURATION) {
        buf_append_str(out, text_format_duration(v, text));
    } else if (f->type == CONF_SIZE && v % 1024 == 0 && v > 0) {
        static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
        size_t u = 0;

        while (v % 1024 == 0 && u + 1 < ARRAY_LEN(units)) {
            v /= 1024;
            u++;
        }
        buf_printf(out, "%" PRIu64 "%s", v, units[u]);
    } else if (v % factor != 0) {
        buf_printf(out, "%" PRIu64 ".%0*" PRIu64, v / factor, (int)f->scale, v % factor);
    } else {
        buf_printf(out, "%" PRIu64, v / factor);
    }
}

static void put_bounds(struct buf *out, const struct conf_field *f)
{
    bool number = f->type == CONF_INT || f->type == CONF_DECIMAL || f->type == CONF_DURATION ||
                  f->type == CONF_SIZE;

    if (!number || (f->min == 0 && f->max == 0)) {
        return;
    }
    buf_append_str(out, ", ");
    put_number(out, f, f->min);
    if (f->max == 0) {
        buf_append_str(out, " or more");
        return;
    }
    buf_append_str(out, " to ");
    put_number(out, f, f->max);
}

static void put_row(struct buf *out, const struct conf_field *f)
{
    buf_printf(out, "| `%s` | ", f->key);
    if (f->type == CONF_ENUM) {
        put_words(out, f);
    } else {
        buf_append_str(out, type_name(f));
    }
    put_bounds(out, f);
    buf_append_str(out, " | ");
    if (f->required) {
        buf_append_str(out, "required");
    } else if (f->def != NULL) {
        buf_printf(out, "`%s`", f->def);
    }
    buf_printf(out, " | %s | %s",
               f->inert != NULL ? "-"
               : f->reload      ? "reload"
                                : "restart",
               f->help);
    if (f->aliases != NULL) {
        struct slice rest = slice_str(f->aliases), one;

        buf_append_str(out, " Also spelled");
        for (bool first = true; rest.p != NULL; first = false) {
            rest = slice_cut(rest, ' ', &one);
            buf_printf(out, "%s `" SLICE_FMT "`", first ? "" : ",", SLICE_ARG(one));
        }
        buf_append_char(out, '.');
    }
    buf_append_str(out, " |\n");
}

// --- sections ------------------------------------------------------------------------------------

static const char *where_done(const struct doc *d, const struct conf_table *t)
{
    for (size_t i = 0; i < d->n_done; i++) {
        if (d->done[i].table == t) {
            return d->done[i].path;
        }
    }
    return NULL;
}

static void put_table(struct doc *d, const struct conf_table *t, const char *path, unsigned level);

static void put_section(struct doc *d, const struct conf_field *f, const char *parent,
                        unsigned level)
{
    const char *part = f->type == CONF_MAP ? ".<name>" : f->type == CONF_LIST ? "[]" : "";
    char path[CONF_PATH_MAX];
    const char *before;

    (void)snprintf(path, sizeof(path), "%s%s%s%s", parent, parent[0] == '\0' ? "" : ".", f->key,
                   part);
    buf_append_char(d->out, '\n');
    for (unsigned i = 0; i < (level < 4 ? level : 4); i++) {
        buf_append_char(d->out, '#');
    }
    buf_printf(d->out, " `%s`\n\n", path);
    if (f->help[0] != '\0') {
        buf_printf(d->out, "%s\n\n", f->help);
    }
    if (f->aliases != NULL) {
        buf_printf(d->out, "Also spelled `%s`.\n\n", f->aliases);
    }
    before = where_done(d, f->table);
    if (before != NULL) {
        buf_printf(d->out, "The same keys as `%s`.\n", before);
        return;
    }
    put_table(d, f->table, path, level);
}

static void put_table(struct doc *d, const struct conf_table *t, const char *path, unsigned level)
{
    bool rows = false;

    CHECK(d->n_done < TABLES_MAX);
    (void)snprintf(d->done[d->n_done].path, CONF_PATH_MAX, "%s", path);
    d->done[d->n_done++].table = t;
    if (t->help != NULL) {
        buf_printf(d->out, "%s\n", t->help);
    }
    for (size_t i = 0; i < t->n; i++) {
        if (!is_shown(&t->fields[i]) || is_section(&t->fields[i])) {
            continue;
        }
        if (!rows) {
            buf_append_str(d->out, "\n| key | value | default | applied by | meaning |\n"
                                   "|---|---|---|---|---|\n");
            rows = true;
        }
        put_row(d->out, &t->fields[i]);
    }
    for (size_t i = 0; i < t->n; i++) {
        if (is_shown(&t->fields[i]) && is_section(&t->fields[i])) {
            put_section(d, &t->fields[i], path, level + 1);
        }
    }
}

void conf_doc_render(const struct conf_table *t, struct buf *out)
{
    struct doc *d = mem_zalloc(sizeof(*d)); // 66 KiB: too large for a stack

    d->out = out;
    for (size_t i = 0; i < t->n; i++) {
        const struct conf_field *f = &t->fields[i];

        if (is_section(f)) {
            put_section(d, f, "", 2);
        } else if (is_shown(f)) {
            buf_printf(out, "\n## `%s`\n\n%s: %s\n", f->key, type_name(f), f->help);
        }
    }
    mem_free(d);
}
