// SPDX-License-Identifier: Apache-2.0
// A binary heap.
#include "tests/sim/event.h"

#include "common/base/mem.h"

void events_done(struct events *e)
{
    mem_free(e->heap);
    *e = (struct events){0};
}

static bool before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void events_add(struct events *e, uint64_t at_us, event_fn fn, void *arg, uint64_t n)
{
    struct event new = {at_us > e->now_us ? at_us : e->now_us, e->added++, fn, arg, n};
    size_t i = e->len++;

    if (e->len > e->cap) {
        e->cap = e->cap == 0 ? 1024 : 2 * e->cap;
        e->heap = mem_realloc_array(e->heap, e->cap, sizeof(*e->heap));
    }
    while (i > 0 && before(&new, &e->heap[(i - 1) / 2])) {
        e->heap[i] = e->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    e->heap[i] = new;
}

static struct event take_first(struct events *e)
{
    struct event first = e->heap[0], last = e->heap[--e->len];
    size_t i = 0;

    for (size_t child; (child = 2 * i + 1) < e->len; i = child) {
        if (child + 1 < e->len && before(&e->heap[child + 1], &e->heap[child])) {
            child++;
        }
        if (!before(&e->heap[child], &last)) {
            break;
        }
        e->heap[i] = e->heap[child];
    }
    e->heap[i] = last;
    return first;
}

bool events_step(struct events *e, uint64_t until_us)
{
    struct event next;

    if (e->len == 0 || e->heap[0].at_us >= until_us) {
        e->now_us = until_us;
        return false;
    }
    next = take_first(e);
    e->now_us = next.at_us;
    next.fn(next.arg, next.n);
    return true;
}
