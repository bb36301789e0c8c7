// SPDX-License-Identifier: Apache-2.0
// A frozen state. Chunks are closed at MESSAGE_CHUNK bytes or MESSAGE_ITEMS_MAX/2 items, so where a
// chunk starts is known only once the one before has been encoded; starts are remembered, and a
// repeated question gets the same chunk.
#include "controlplane/image.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define ITEMS_MAX (MESSAGE_ITEMS_MAX / 2)
// One resource more than a full chunk may be encoded before it is found not to fit.
#define BYTES_MAX (MESSAGE_CHUNK + 2 * (size_t)RESOURCE_BYTES_MAX)

struct image {
    uint64_t number, seq, digest;
    uint8_t epoch[STATE_EPOCH_BYTES];
    struct resource **list; // owned references
    size_t n, cap;
    size_t *starts; // owned; index of the first resource of each known chunk
    size_t n_starts, cap_starts;
};

static bool collect(void *ctx, struct resource *r)
{
    struct image *i = ctx;

    if (i->n == i->cap) {
        i->cap = i->cap == 0 ? 256 : 2 * i->cap;
        i->list = mem_realloc_array(i->list, i->cap, sizeof(struct resource *));
    }
    i->list[i->n++] = resource_ref(r);
    return true;
}

static void add_start(struct image *i, size_t at)
{
    if (i->n_starts == i->cap_starts) {
        i->cap_starts = i->cap_starts == 0 ? 16 : 2 * i->cap_starts;
        i->starts = mem_realloc_array(i->starts, i->cap_starts, sizeof(size_t));
    }
    i->starts[i->n_starts++] = at;
}

struct image *image_new(const struct state *s, uint64_t number)
{
    struct image *i = mem_zalloc(sizeof(*i));

    CHECK(number != 0 && state_ready(s));
    i->number = number;
    i->seq = state_seq(s);
    i->digest = state_digest(s);
    memcpy(i->epoch, state_epoch(s), sizeof(i->epoch));
    state_each(s, 0, SLICE_NULL, collect, i);
    add_start(i, 0);
    return i;
}

void image_free(struct image **ip)
{
    struct image *i = *ip;

    *ip = NULL;
    if (i == NULL) {
        return;
    }
    for (size_t k = 0; k < i->n; k++) {
        resource_unref(&i->list[k]);
    }
    mem_free(i->list);
    mem_free(i->starts);
    mem_free(i);
}

uint64_t image_number(const struct image *i)
{
    return i->number;
}

uint64_t image_seq(const struct image *i)
{
    return i->seq;
}

uint64_t image_digest(const struct image *i)
{
    return i->digest;
}

const uint8_t *image_epoch(const struct image *i)
{
    return i->epoch;
}

// Encodes from resource `at` on until the chunk is full. Offsets first, pointers when the buffer
// has stopped moving.
static size_t encode(const struct image *i, size_t at, struct buf *bytes,
                     struct message_item *items)
{
    size_t n = 0, sum = 0;

    while (at + n < i->n && n < ITEMS_MAX) {
        struct resource *r = i->list[at + n];
        size_t before = bytes->n;

        resource_encode(r, bytes);
        items[n] = (struct message_item){
            .kind = r->kind,
            .id = r->id,
            .version = r->version,
            .resource = {NULL, bytes->n - before},
        };
        sum += message_item_size(&items[n]);
        if (n > 0 && sum > MESSAGE_CHUNK) {
            bytes->n = before;
            break;
        }
        n++;
    }
    for (size_t k = 0, offset = 0; k < n; k++) {
        items[k].resource.p = bytes->p + bytes->off + offset;
        offset += items[k].resource.n;
    }
    return n;
}

bool image_chunk(struct image *i, uint32_t n, struct arena *arena, struct buf *bytes,
                 struct message_sync_chunk *ret)
{
    struct message_item *items;
    size_t count, at;

    if (n >= i->n_starts) {
        return false;
    }
    at = i->starts[n];
    arena_reset(arena);
    // The bytes hold provider keys.
    if (bytes->p != NULL) {
        mem_wipe(bytes->p, bytes->cap);
    }
    buf_done(bytes);
    buf_init(bytes, BYTES_MAX);
    CHECK(buf_try_reserve(bytes, BYTES_MAX)); // never grows, so leaves no copies behind
    items = arena_alloc(arena, ITEMS_MAX * sizeof(*items));
    count = encode(i, at, bytes, items);
    if (n + 1 == i->n_starts && at + count < i->n) {
        add_start(i, at + count);
    }
    *ret = (struct message_sync_chunk){
        .snapshot = i->number,
        .chunk = n,
        .last = at + count == i->n,
        .seq = i->seq,
        .digest = i->digest,
        .total = i->n,
        .items = items,
        .n_items = count,
    };
    return true;
}
