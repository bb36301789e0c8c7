// SPDX-License-Identifier: Apache-2.0
// A parsed configuration document: maps, lists and scalars, each with its place in the file. The
// YAML adapter builds it, conf and the control plane read it.
#ifndef SLUICE_BASE_NODE_H
#define SLUICE_BASE_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    bool quoted;        // scalar was quoted: never null, bool or number
    bool expanded;      // text came from ${...} or file:, so it may be a secret: not for messages
    struct slice key;   // in a map: this entry's key; NUL behind it
    struct slice text;  // scalar: its text; NUL behind it
    const char *file;   // where it came from: file name or "environment SLUICE__X"
    unsigned line, col; // 1-based; 0 when from the environment
    unsigned key_line, key_col;
    struct node *first; // children in order (map entries or list items)
    struct node *last;  // last child, kept by node_append
    struct node *next;  // next sibling
};

// All nodes live in the arena they were built with.
struct node *node_new(struct arena *a, enum node_kind kind);
void node_append(struct node *parent, struct node *child);
// Entry of a map, or NULL (also when n is not a map).
struct node *node_get(const struct node *n, struct slice key);
size_t node_count(const struct node *n);
// Unquoted null: empty, "~", "null".
bool node_is_null(const struct node *n);
// "routers.production.load-balance[2]"-style path is kept by the caller; this gives "a scalar", "a
// list", "a map".
const char *node_kind_name(const struct node *n);

#endif
