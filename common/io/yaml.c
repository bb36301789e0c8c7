// SPDX-License-Identifier: Apache-2.0
// libyaml's event stream to our node tree. The parser itself is recursive nowhere: open maps and
// lists sit on a stack of YAML_DEPTH_MAX frames.
//
//   frame: { node, pending key? }    scalar in a map without pending key -> it is the key
//                                    anything else                       -> value, append
//
// Aliases copy the anchored subtree (positions stay those of the anchor), bounded by the count of
// nodes, so a "billion laughs" document ends with an error after YAML_NODES_MAX nodes. An anchor is
// known only when its node is complete: a node cannot contain itself.
#include "common/io/yaml.h"

#include <stdio.h>
#include <string.h>

#include <yaml.h>

#include "common/base/map.h"
#include "common/base/text.h"

struct frame {
    struct node *node;
    struct node *key;     // pending key of a map (a scalar node), or NULL
    const char *anchor;   // of this map or list; NULL = none
    struct map keys_seen; // maps only: key -> its node
};

struct builder {
    struct arena *arena;
    const char *file;
    struct problem_list *problems;
    struct frame stack[YAML_DEPTH_MAX];
    size_t depth;
    size_t n_nodes;
    size_t copied;      // bytes of texts that aliases have repeated
    struct map anchors; // name -> complete node
    struct node *root;
    size_t n_documents;
};

static bool fail(struct builder *b, yaml_mark_t at, const char *message)
{
    problem_add(b->problems, PROBLEM_ERROR,
                (struct problem_place){b->file, (unsigned)at.line + 1, (unsigned)at.column + 1}, "",
                "%s", message);
    return false;
}

static struct node *make(struct builder *b, enum node_kind kind, yaml_mark_t at)
{
    struct node *n = node_new(b->arena, kind);

    n->file = b->file;
    n->line = (unsigned)at.line + 1;
    n->col = (unsigned)at.column + 1;
    b->n_nodes++;
    return n;
}

// --- where a finished or opened node goes --------------------------------------------------------

// Takes the pending key of the open map for value n. A duplicate is reported, and the later value
// still becomes part of the tree (the document is refused anyway).
static void name_entry(struct builder *b, struct frame *f, struct node *n)
{
    struct node *earlier;

    n->key = f->key->text;
    n->key_line = f->key->line;
    n->key_col = f->key->col;
    f->key = NULL;
    earlier = map_put(&f->keys_seen, n->key, n);
    if (earlier != NULL) {
        problem_add(b->problems, PROBLEM_ERROR, problem_place_of_key(n), "",
                    "the key \"" SLICE_FMT "\" is already there, in line %u", SLICE_ARG(n->key),
                    earlier->key_line);
    }
}

static bool place(struct builder *b, struct node *n, yaml_mark_t at)
{
    struct frame *f = b->depth == 0 ? NULL : &b->stack[b->depth - 1];

    if (b->n_nodes > YAML_NODES_MAX) {
        return fail(b, at, "the document has too many values");
    }
    if (f == NULL) {
        b->root = n;
        return true;
    }
    if (f->node->kind == NODE_LIST) {
        node_append(f->node, n);
        return true;
    }
    if (f->key == NULL) {
        if (n->kind != NODE_SCALAR) {
            return fail(b, at, "a key must be a scalar");
        }
        if (n->text.n > YAML_KEY_MAX) {
            return fail(b, at, "the key is too long");
        }
        if (slice_eq(n->text, SLICE("<<")) && !n->quoted) {
            return fail(b, at, "merge keys (<<) are not supported: write the entries out");
        }
        f->key = n;
        return true;
    }
    name_entry(b, f, n);
    node_append(f->node, n);
    return true;
}

static void remember(struct builder *b, const char *anchor, struct node *n)
{
    if (anchor != NULL) {
        (void)map_put(&b->anchors, slice_str(anchor), n);
    }
}

// --- events --------------------------------------------------------------------------------------

static bool on_scalar(struct builder *b, const yaml_event_t *ev)
{
    const char *tag = (const char *)ev->data.scalar.tag;
    struct node *n = make(b, NODE_SCALAR, ev->start_mark);

    if (tag != NULL && strcmp(tag, YAML_STR_TAG) != 0 && strcmp(tag, "!") != 0) {
        return fail(b, ev->start_mark, "tags are not supported");
    }
    n->text = arena_dup(
        b->arena, (struct slice){(const char *)ev->data.scalar.value, ev->data.scalar.length});
    n->quoted = tag != NULL || ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (memchr(n->text.p, '\0', n->text.n) != NULL) {
        return fail(b, ev->start_mark, "a value holds a NUL byte");
    }
    if (!place(b, n, ev->start_mark)) {
        return false;
    }
    remember(b, (const char *)ev->data.scalar.anchor, n);
    return true;
}

static bool on_open(struct builder *b, const yaml_event_t *ev, enum node_kind kind)
{
    bool is_map = kind == NODE_MAP;
    const char *tag =
        (const char *)(is_map ? ev->data.mapping_start.tag : ev->data.sequence_start.tag);
    const char *anchor =
        (const char *)(is_map ? ev->data.mapping_start.anchor : ev->data.sequence_start.anchor);
    struct node *n = make(b, kind, ev->start_mark);
    struct frame *f;

    if (tag != NULL && strcmp(tag, is_map ? YAML_MAP_TAG : YAML_SEQ_TAG) != 0) {
        return fail(b, ev->start_mark, "tags are not supported");
    }
    if (b->depth == YAML_DEPTH_MAX) {
        return fail(b, ev->start_mark, "the document is nested too deep");
    }
    if (!place(b, n, ev->start_mark)) {
        return false;
    }
    f = &b->stack[b->depth++];
    *f = (struct frame){.node = n, .anchor = arena_strdup(b->arena, anchor)};
    map_init(&f->keys_seen);
    return true;
}

static void on_close(struct builder *b)
{
    struct frame *f = &b->stack[--b->depth];

    remember(b, f->anchor, f->node);
    map_done(&f->keys_seen);
}

// Deep copy of src; stops at the bound (the caller reports it). Depth is that of the anchored tree,
// at most YAML_DEPTH_MAX, plus where it is put: bounded by the argument.
static struct node *copy(struct builder *b, const struct node *src, size_t depth)
{
    struct node *n;

    if (b->n_nodes > YAML_NODES_MAX || depth > YAML_DEPTH_MAX) {
        return NULL;
    }
    // The nodes share the text, but whoever makes something of them copies it each time.
    b->copied += src->text.n + src->key.n;
    if (b->copied > YAML_BYTES_MAX) {
        return NULL;
    }
    b->n_nodes++;
    n = node_new(b->arena, src->kind);
    *n = *src;
    n->first = n->last = n->next = NULL;
    for (const struct node *it = src->first; it != NULL; it = it->next) {
        struct node *child = copy(b, it, depth + 1);

        if (child == NULL) {
            return NULL;
        }
        node_append(n, child);
    }
    return n;
}

static bool on_alias(struct builder *b, const yaml_event_t *ev)
{
    const char *name = (const char *)ev->data.alias.anchor;
    const struct node *anchored = map_get(&b->anchors, slice_str(name));
    struct node *n;

    if (anchored == NULL) {
        return fail(b, ev->start_mark, "this alias names no anchor that was complete before it");
    }
    n = copy(b, anchored, b->depth);
    if (n == NULL) {
        return fail(b, ev->start_mark, "aliases make the document too large or too deep");
    }
    n->key = SLICE_NULL;
    n->key_line = n->key_col = 0;
    return place(b, n, ev->start_mark);
}

static bool on_event(struct builder *b, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(b, ev);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(b, ev, NODE_LIST);
    case YAML_MAPPING_START_EVENT:
        return on_open(b, ev, NODE_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        on_close(b);
        return true;
    case YAML_ALIAS_EVENT:
        return on_alias(b, ev);
    case YAML_DOCUMENT_START_EVENT:
        if (++b->n_documents > 1) {
            return fail(b, ev->start_mark, "only one document is allowed");
        }
        return true;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return true;
    }
    return true;
}

// --- the whole text ------------------------------------------------------------------------------

static void report_syntax(struct builder *b, const yaml_parser_t *p)
{
    char text[300];

    (void)snprintf(text, sizeof(text), "not YAML: %s%s%s",
                   p->problem == NULL ? "unreadable" : p->problem, p->context == NULL ? "" : " ",
                   p->context == NULL ? "" : p->context);
    (void)fail(b, p->problem_mark, text);
}

static bool run(struct builder *b, yaml_parser_t *p)
{
    for (;;) {
        yaml_event_t ev;
        bool last, ok;

        if (!yaml_parser_parse(p, &ev)) {
            report_syntax(b, p);
            return false;
        }
        last = ev.type == YAML_STREAM_END_EVENT;
        ok = on_event(b, &ev);
        yaml_event_delete(&ev);
        if (!ok || last) {
            return ok;
        }
    }
}

static bool readable(struct builder *b, struct slice text)
{
    const yaml_mark_t start = {0};

    if (text.n > YAML_BYTES_MAX) {
        return fail(b, start, "the document is larger than 4 MiB");
    }
    if (!text_utf8_valid(text)) {
        return fail(b, start, "the document is not valid UTF-8");
    }
    return true;
}

struct node *yaml_parse_value(struct arena *a, const char *file, struct slice text,
                              struct problem_list *problems)
{
    struct builder b = {.arena = a, .file = file, .problems = problems};
    size_t errors = problems->errors;
    yaml_parser_t parser;
    bool ok;

    if (!readable(&b, text)) {
        return NULL;
    }
    if (!yaml_parser_initialize(&parser)) {
        (void)fail(&b, (yaml_mark_t){0}, "out of memory");
        return NULL;
    }
    map_init(&b.anchors);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    ok = run(&b, &parser);
    yaml_parser_delete(&parser);
    while (b.depth > 0) {
        on_close(&b);
    }
    map_done(&b.anchors);
    if (!ok || problems->errors != errors) {
        return NULL;
    }
    return b.root != NULL ? b.root : make(&b, NODE_SCALAR, (yaml_mark_t){0});
}

struct node *yaml_parse(struct arena *a, const char *file, struct slice text,
                        struct problem_list *problems)
{
    struct node *root = yaml_parse_value(a, file, text, problems);

    if (root != NULL && node_is_null(root)) {
        root->kind = NODE_MAP;
        root->text = SLICE_NULL;
    }
    return root;
}
