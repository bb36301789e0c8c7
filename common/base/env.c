// SPDX-License-Identifier: Apache-2.0
// Variables sit in a map name -> struct var. Overrides and expansion change the node tree in place,
// before any table reads it; texts they make live in the tree's arena.
#include "common/base/env.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/map.h"
#include "common/base/mem.h"

struct var {
    size_t n;
    char value[]; // NUL behind
};

struct env {
    struct map vars;
};

struct env *env_new(void)
{
    struct env *e = mem_zalloc(sizeof(*e));

    map_init(&e->vars);
    return e;
}

static void var_free(struct var *v)
{
    if (v != NULL) {
        mem_wipe(v->value, v->n);
        mem_free(v);
    }
}

void env_free(struct env **e)
{
    if (*e == NULL) {
        return;
    }
    map_foreach (it, &(*e)->vars) {
        var_free(it->value);
    }
    map_done(&(*e)->vars);
    mem_free(*e);
    *e = NULL;
}

static bool is_name_char(char c, bool first)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (!first && c >= '0' && c <= '9');
}

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_name_char(s.p[i], i == 0)) {
            return false;
        }
    }
    return s.n > 0 && s.n <= 256;
}

bool env_set(struct env *e, struct slice name, struct slice value)
{
    struct var *v;

    if (!is_name(name) || value.n > ENV_VALUE_MAX ||
        (value.n > 0 && memchr(value.p, '\0', value.n) != NULL) ||
        (map_count(&e->vars) >= ENV_VARS_MAX && map_get(&e->vars, name) == NULL)) {
        return false;
    }
    v = mem_alloc(sizeof(*v) + value.n + 1);
    v->n = value.n;
    if (value.n > 0) {
        memcpy(v->value, value.p, value.n);
    }
    v->value[value.n] = '\0';
    var_free(map_put(&e->vars, name, v));
    return true;
}

struct slice env_get(const struct env *e, struct slice name)
{
    const struct var *v = map_get(&e->vars, name);

    return v == NULL ? SLICE_NULL : (struct slice){v->value, v->n};
}

void env_import(struct env *e, char *const *vars)
{
    for (; *vars != NULL; vars++) {
        struct slice name, value = slice_cut(slice_str(*vars), '=', &name);

        if (value.p != NULL) {
            (void)env_set(e, name, value);
        }
    }
}

// --- .env ----------------------------------------------------------------------------------------

// The text behind '=' up to a closing quote. False without one, or with something behind it.
static bool unquote(struct slice s, struct buf *out)
{
    char quote = s.p[0];
    size_t i = 1;

    for (; i < s.n && s.p[i] != quote; i++) {
        char c = s.p[i];

        if (quote == '"' && c == '\\' && i + 1 < s.n) {
            c = s.p[++i];
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        buf_append_char(out, c);
    }
    if (i >= s.n) {
        return false;
    }
    s = slice_trim(slice_from(s, i + 1));
    return s.n == 0 || s.p[0] == '#';
}

// A value without quotes ends at " #".
static struct slice without_comment(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '#' && (i == 0 || s.p[i - 1] == ' ' || s.p[i - 1] == '\t')) {
            return slice_trim(slice_head(s, i));
        }
    }
    return slice_trim(s);
}

// NULL or what is wrong with the line.
static const char *parse_line(struct env *e, struct slice line, struct buf *tmp)
{
    struct slice name, value;

    if (slice_starts(line, SLICE("export "))) {
        line = slice_trim(slice_from(line, 7));
    }
    value = slice_trim(slice_cut(line, '=', &name));
    name = slice_trim(name);
    if (!is_name(name) || value.p == NULL) {
        return "expected NAME=value";
    }
    buf_clear(tmp);
    if (value.n > 0 && (value.p[0] == '"' || value.p[0] == '\'')) {
        if (!unquote(value, tmp)) {
            return "the quotes do not end this line's value";
        }
        value = buf_slice(tmp);
    } else {
        value = without_comment(value);
    }
    if (env_get(e, name).p == NULL && !env_set(e, name, value)) {
        return "the value is too long or holds a NUL byte";
    }
    return NULL;
}

bool env_parse(struct env *e, const char *file, struct slice text, struct problem_list *problems)
{
    size_t errors = problems->errors;
    struct problem_place place = {file, 0, 1};
    struct buf tmp;

    buf_init(&tmp, text.n + 1);
    while (text.p != NULL) {
        struct slice line;
        const char *wrong;

        text = slice_cut(text, '\n', &line);
        place.line++;
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        line = slice_trim(line);
        if (line.n == 0 || line.p[0] == '#') {
            continue;
        }
        wrong = parse_line(e, line, &tmp);
        if (wrong != NULL) {
            problem_add(problems, PROBLEM_ERROR, place, "", "%s", wrong);
        }
    }
    if (tmp.p != NULL) {
        mem_wipe(tmp.p, tmp.cap);
    }
    buf_done(&tmp);
    return problems->errors == errors;
}

// --- SLUICE__SECTION__KEY ------------------------------------------------------------------------

#define PREFIX     "SLUICE__"
#define LEVELS_MAX 32u

// Lower case, '_' as '-'.
static char fold(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c == '_' ? '-' : c);
}

static bool same_folded(struct slice a, struct slice b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (fold(a.p[i]) != fold(b.p[i])) {
            return false;
        }
    }
    return true;
}

static struct node *entry_folded(struct node *map, struct slice key)
{
    for (struct node *it = map->first; it != NULL; it = it->next) {
        if (same_folded(it->key, key)) {
            return it;
        }
    }
    return NULL;
}

// Puts what `from` holds into the place of `to` (which keeps its key and its neighbours).
static void overwrite(struct node *to, const struct node *from)
{
    struct node *next = to->next;
    struct slice key = to->key;

    *to = *from;
    to->next = next;
    to->key = key;
    to->key_line = to->key_col = 0;
}

static struct node *new_entry(struct arena *a, struct node *map, struct slice segment,
                              const char *where)
{
    struct node *n = node_new(a, NODE_MAP);
    char *key = arena_strndup(a, segment.p, segment.n);

    for (size_t i = 0; i < segment.n; i++) {
        key[i] = fold(key[i]);
    }
    n->key = (struct slice){key, segment.n};
    n->file = where;
    node_append(map, n);
    return n;
}

// Splits at "__"; the last segment is all that is left.
static struct slice next_segment(struct slice *rest)
{
    size_t at = slice_find(*rest, SLICE("__"));
    struct slice segment = *rest;

    if (at == SIZE_MAX) {
        *rest = SLICE_NULL;
        return segment;
    }
    segment.n = at;
    *rest = slice_from(*rest, at + 2);
    return segment;
}

static void overlay_one(struct node *root, struct arena *a, struct slice name,
                        const struct node *value, struct problem_list *problems)
{
    struct slice rest = slice_from(name, sizeof(PREFIX) - 1);
    struct node *at = root;
    size_t levels = 0;

    while (rest.p != NULL) {
        struct slice segment = next_segment(&rest);
        struct node *next;

        if (segment.n == 0 || ++levels > LEVELS_MAX) {
            problem_add(problems, PROBLEM_ERROR, (struct problem_place){value->file, 0, 0}, "",
                        "expected SLUICE__<SECTION>__<KEY>");
            return;
        }
        if (node_is_null(at)) {
            at->kind = NODE_MAP; // "openai:" with nothing behind it
        }
        if (at->kind != NODE_MAP) {
            problem_add(problems, PROBLEM_ERROR, (struct problem_place){value->file, 0, 0}, "",
                        "\"" SLICE_FMT "\" is %s in the file (line %u), not a map",
                        SLICE_ARG(at->key), node_kind_name(at), at->line);
            return;
        }
        next = entry_folded(at, segment);
        at = next != NULL ? next : new_entry(a, at, segment, value->file);
    }
    overwrite(at, value);
}

// Of the place only the variable's name means something.
static void forget_lines(struct node *n)
{
    n->line = n->col = n->key_line = n->key_col = 0;
    for (struct node *it = n->first; it != NULL; it = it->next) {
        forget_lines(it);
    }
}

static int by_name(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

bool env_overlay(const struct env *e, struct node *root, struct arena *a, env_yaml_fn yaml,
                 struct problem_list *problems)
{
    size_t errors = problems->errors, n = 0;
    struct slice *names = mem_zalloc_array(map_count(&e->vars) + 1, sizeof(*names));

    map_foreach (it, &e->vars) {
        if (slice_starts(it->key, SLICE(PREFIX))) {
            names[n++] = it->key;
        }
    }
    qsort(names, n, sizeof(*names), by_name);
    for (size_t i = 0; i < n; i++) {
        const char *where = arena_printf(a, "environment " SLICE_FMT, SLICE_ARG(names[i]));
        struct slice text = env_get(e, names[i]);
        struct node *value = yaml(a, where, text, problems);

        if (value != NULL) {
            forget_lines(value);
            overlay_one(root, a, names[i], value, problems);
        }
    }
    mem_free(names);
    return problems->errors == errors;
}

// --- ${NAME}, file:/path -------------------------------------------------------------------------

struct expansion {
    const struct env *env;
    struct arena *arena;
    env_read_fn read;
    void *read_ctx;
    struct problem_list *problems;
    size_t bytes; // put in so far
};

static void complain(struct expansion *x, const struct node *n, const char *what)
{
    problem_add(x->problems, PROBLEM_ERROR, problem_place_of(n), n->key.p, "%s", what);
}

// The value of what stands between "${" and "}".
static bool lookup(struct expansion *x, const struct node *n, struct slice inside,
                   struct slice *ret)
{
    size_t colon = slice_find(inside, SLICE(":-"));
    struct slice name = slice_head(inside, colon), value;

    if (!is_name(name)) {
        complain(x, n, "expected ${NAME} or ${NAME:-default}");
        return false;
    }
    value = env_get(x->env, name);
    if (colon != SIZE_MAX && value.n == 0) {
        value = slice_from(inside, colon + 2);
    }
    if (value.p == NULL) {
        problem_add(x->problems, PROBLEM_ERROR, problem_place_of(n), n->key.p,
                    "the environment variable " SLICE_FMT " is not set", SLICE_ARG(name));
        return false;
    }
    *ret = value;
    return true;
}

// Appends text with every ${} replaced; *ret_changed when there was one.
static bool replace(struct expansion *x, const struct node *n, struct buf *out, bool *ret_changed)
{
    struct slice rest = n->text, value;

    for (;;) {
        size_t at = slice_find(rest, SLICE("${")), end;

        if (at == SIZE_MAX) {
            return buf_try_append(out, rest);
        }
        *ret_changed = true;
        if (at > 0 && rest.p[at - 1] == '$') {
            if (!buf_try_append(out, slice_head(rest, at - 1)) ||
                !buf_try_append(out, SLICE("${"))) {
                return false;
            }
            rest = slice_from(rest, at + 2);
            continue;
        }
        end = slice_find_char(slice_from(rest, at), '}');
        if (end == SIZE_MAX) {
            complain(x, n, "\"${\" without \"}\"");
            *ret_changed = false;
            return true;
        }
        if (!lookup(x, n, slice_head(slice_from(rest, at + 2), end - 2), &value)) {
            *ret_changed = false;
            return true;
        }
        if (!buf_try_append(out, slice_head(rest, at)) || !buf_try_append(out, value)) {
            return false;
        }
        rest = slice_from(rest, at + end + 1);
    }
}

static void put_in(struct expansion *x, struct node *n, struct slice value)
{
    n->text = arena_dup(x->arena, value);
    n->expanded = true;
    x->bytes += value.n;
    if (x->bytes > ENV_EXPANDED_MAX) { // said once: nothing more is expanded
        complain(x, n, "variables and files make the document too large");
    }
}

static void expand_variables(struct expansion *x, struct node *n)
{
    struct buf out;
    bool changed = false;

    if (x->bytes > ENV_EXPANDED_MAX || slice_find(n->text, SLICE("${")) == SIZE_MAX) {
        return;
    }
    buf_init(&out, ENV_VALUE_MAX + n->text.n);
    if (!replace(x, n, &out, &changed)) {
        complain(x, n, "the value is too long once its variables are put in");
    } else if (changed) {
        put_in(x, n, buf_slice(&out));
    }
    if (out.p != NULL) {
        mem_wipe(out.p, out.cap);
    }
    buf_done(&out);
}

static void expand_file(struct expansion *x, struct node *n)
{
    const char *path = n->text.p + 5;
    struct err err;
    size_t size;
    char *bytes;

    if (x->bytes > ENV_EXPANDED_MAX || !slice_starts(n->text, SLICE("file:/"))) {
        return;
    }
    bytes = x->read(x->read_ctx, path, ENV_VALUE_MAX, &size, &err);
    if (bytes == NULL) {
        problem_add(x->problems, PROBLEM_ERROR, problem_place_of(n), n->key.p, "%s", err.message);
        return;
    }
    if (size > 0 && bytes[size - 1] == '\n') {
        size--;
    }
    if (size > 0 && bytes[size - 1] == '\r') {
        size--;
    }
    if (size > 0 && memchr(bytes, '\0', size) != NULL) {
        complain(x, n, "the file holds a NUL byte");
    } else {
        put_in(x, n, (struct slice){bytes, size});
        n->quoted = true; // a file with the word "null" is that word
    }
    mem_wipe(bytes, size);
    mem_free(bytes);
}

// Depth is bounded by the parser.
static void expand(struct expansion *x, struct node *n)
{
    if (n->kind == NODE_SCALAR) {
        expand_variables(x, n);
        expand_file(x, n);
    }
    for (struct node *it = n->first; it != NULL; it = it->next) {
        expand(x, it);
    }
}

bool env_expand(const struct env *e, struct node *root, struct arena *a, env_read_fn read,
                void *read_ctx, struct problem_list *problems)
{
    struct expansion x = {e, a, read, read_ctx, problems, 0};
    size_t errors = problems->errors;

    expand(&x, root);
    return problems->errors == errors;
}
