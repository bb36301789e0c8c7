// SPDX-License-Identifier: Apache-2.0
// Configuration tree: children are a singly linked list with a tail pointer, in file order.
#include "common/base/node.h"

struct node *node_new(struct arena *a, enum node_kind kind)
{
    struct node *n = arena_zalloc(a, sizeof(*n));

    n->kind = kind;
    return n;
}

void node_append(struct node *parent, struct node *child)
{
    child->next = NULL;
    if (parent->first == NULL) {
        parent->first = child;
    } else {
        parent->last->next = child;
    }
    parent->last = child;
}

struct node *node_get(const struct node *n, struct slice key)
{
    if (n == NULL || n->kind != NODE_MAP) {
        return NULL;
    }
    for (struct node *it = n->first; it != NULL; it = it->next) {
        if (slice_eq(it->key, key)) {
            return it;
        }
    }
    return NULL;
}

size_t node_count(const struct node *n)
{
    size_t count = 0;

    for (const struct node *it = n->first; it != NULL; it = it->next) {
        count++;
    }
    return count;
}

bool node_is_null(const struct node *n)
{
    return n->kind == NODE_SCALAR && !n->quoted &&
           (n->text.n == 0 || slice_eq(n->text, SLICE("~")) ||
            slice_eq_nocase(n->text, SLICE("null")));
}

const char *node_kind_name(const struct node *n)
{
    switch (n->kind) {
    case NODE_SCALAR:
        return "a scalar";
    case NODE_LIST:
        return "a list";
    case NODE_MAP:
        return "a map";
    }
    return "nothing";
}
