// SPDX-License-Identifier: Apache-2.0
// Intrusive doubly linked list with a count. A node is in at most one list; next == NULL = in none.
#ifndef SLUICE_BASE_LIST_H
#define SLUICE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/cdefs.h"

struct list_node {
    struct list_node *prev, *next;
};

struct list {
    struct list_node head; // circular
    size_t count;
};

static inline void list_init(struct list *l)
{
    l->head.prev = l->head.next = &l->head;
    l->count = 0;
}

static inline bool list_in_one(const struct list_node *n)
{
    return n->next != NULL;
}

static inline void list_insert_before(struct list *l, struct list_node *at, struct list_node *n)
{
    n->prev = at->prev;
    n->next = at;
    at->prev->next = n;
    at->prev = n;
    l->count++;
}

static inline void list_push_back(struct list *l, struct list_node *n)
{
    list_insert_before(l, &l->head, n);
}

static inline void list_push_front(struct list *l, struct list_node *n)
{
    list_insert_before(l, l->head.next, n);
}

static inline void list_remove(struct list *l, struct list_node *n)
{
#ifdef __clang_analyzer__ // it loses track of a circle that nodes leave
    if (n->prev == NULL || n->next == NULL) {
        __builtin_unreachable();
    }
#endif
    n->prev->next = n->next;
    n->next->prev = n->prev;
    n->prev = n->next = NULL;
    l->count--;
}

static inline struct list_node *list_first(const struct list *l)
{
    return l->count == 0 ? NULL : l->head.next;
}

static inline struct list_node *list_last(const struct list *l)
{
    return l->count == 0 ? NULL : l->head.prev;
}

static inline struct list_node *list_pop_front(struct list *l)
{
    struct list_node *n = list_first(l);

    if (n != NULL) {
        list_remove(l, n);
    }
    return n;
}

#define list_foreach(it, l)                                                                        \
    for (struct list_node *it = (l)->head.next; it != &(l)->head; it = it->next)
#define list_foreach_safe(it, l)                                                                   \
    for (struct list_node *it = (l)->head.next, *it##_next = it->next; it != &(l)->head;           \
         it = it##_next, it##_next = it->next)

#endif
