// SPDX-License-Identifier: Apache-2.0
// Collected complaints: a singly linked list in its own arena, so that it outlives the document it
// speaks about.
#include "common/base/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX 400u

void problem_list_init(struct problem_list *l)
{
    *l = (struct problem_list){0};
    arena_init(&l->arena, 1024, 0);
}

void problem_list_done(struct problem_list *l)
{
    arena_done(&l->arena);
    problem_list_init(l);
}

// A copy of at most TEXT_MAX bytes on one line.
static char *keep(struct problem_list *l, const char *s)
{
    size_t n = s == NULL ? 0 : strnlen(s, TEXT_MAX);
    char *copy = arena_strndup(&l->arena, s == NULL ? "" : s, n);

    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)copy[i] < 0x20 || copy[i] == 0x7f) {
            copy[i] = '?';
        }
    }
    return copy;
}

void problem_add(struct problem_list *l, enum problem_level level, struct problem_place place,
                 const char *path, const char *fmt, ...)
{
    size_t *counters[] = {&l->notices, &l->warnings, &l->errors};
    char text[TEXT_MAX + 1];
    struct problem *p;
    va_list ap;

    (*counters[level])++;
    if (l->kept == PROBLEM_MAX) {
        return;
    }
    l->kept++;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    p = arena_zalloc(&l->arena, sizeof(*p));
    p->level = level;
    p->place = place;
    p->place.file = place.file == NULL ? NULL : keep(l, place.file);
    p->path = keep(l, path);
    p->message = keep(l, text);
    if (l->last == NULL) {
        l->first = p;
    } else {
        l->last->next = p;
    }
    l->last = p;
}

struct problem_place problem_place_of(const struct node *n)
{
    return n == NULL ? (struct problem_place){0} : (struct problem_place){n->file, n->line, n->col};
}

struct problem_place problem_place_of_key(const struct node *n)
{
    if (n == NULL || n->key_line == 0) {
        return problem_place_of(n);
    }
    return (struct problem_place){n->file, n->key_line, n->key_col};
}

static void render(const struct problem *p, struct buf *out)
{
    if (p->place.file != NULL && p->place.line != 0) {
        buf_printf(out, "%s:%u:%u: ", p->place.file, p->place.line, p->place.col);
    } else if (p->place.file != NULL) {
        buf_printf(out, "%s: ", p->place.file);
    }
    if (p->level == PROBLEM_WARNING) {
        buf_append_str(out, "warning: ");
    } else if (p->level == PROBLEM_NOTICE) {
        buf_append_str(out, "note: ");
    }
    if (p->path[0] != '\0') {
        buf_printf(out, "%s: ", p->path);
    }
    buf_append_str(out, p->message);
}

void problem_render_all(const struct problem_list *l, struct buf *out)
{
    size_t all = l->errors + l->warnings + l->notices;

    for (const struct problem *p = l->first; p != NULL; p = p->next) {
        render(p, out);
        buf_append_char(out, '\n');
    }
    if (all > l->kept) {
        buf_printf(out, "and %zu more\n", all - l->kept);
    }
}

const char *problem_show(struct problem_list *l, const struct node *n)
{
    const size_t shown = 40;
    size_t cut;

    if (n->kind != NODE_SCALAR) {
        return node_kind_name(n);
    }
    if (n->expanded) {
        return "(a value from the environment or a file, not shown)";
    }
    if (n->text.n <= shown) {
        return arena_printf(&l->arena, "\"" SLICE_FMT "\"", SLICE_ARG(n->text));
    }
    cut = shown;
    while (cut > 0 && ((unsigned char)n->text.p[cut] & 0xc0) == 0x80) {
        cut--;
    }
    return arena_printf(&l->arena, "\"%.*s...\"", (int)cut, n->text.p);
}
