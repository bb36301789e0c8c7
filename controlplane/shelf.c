// SPDX-License-Identifier: Apache-2.0
// A handful of images. Proxies that begin at the same sequence share one; while the state changes
// under a crowd of beginners each change needs another, so there are several, and one that was read
// within 2 s is not taken away from its readers.
#include "controlplane/shelf.h"

#include <string.h>

#include "common/base/mono.h"

#define IDLE_US (10 * MONO_SEC) // nobody reads it any more
#define BUSY_US (2 * MONO_SEC)  // somebody may still be reading it

void shelf_done(struct shelf *s)
{
    for (size_t i = 0; i < SHELF_MAX; i++) {
        image_free(&s->slots[i].image);
    }
}

struct image *shelf_find(struct shelf *s, uint64_t number, uint64_t now_us)
{
    for (size_t i = 0; i < SHELF_MAX; i++) {
        struct shelf_slot *slot = &s->slots[i];

        if (slot->image != NULL && image_number(slot->image) == number) {
            slot->used_us = now_us;
            return slot->image;
        }
    }
    return NULL;
}

static bool is_of(const struct image *i, const struct state *s)
{
    return image_seq(i) == state_seq(s) && image_digest(i) == state_digest(s) &&
           memcmp(image_epoch(i), state_epoch(s), STATE_EPOCH_BYTES) == 0;
}

// The place to use next: a free one, else the one not used for longest, else the older image.
static bool is_better_place(const struct shelf_slot *a, const struct shelf_slot *b)
{
    if (a->image == NULL || b->image == NULL) {
        return a->image == NULL && b->image != NULL;
    }
    return a->used_us < b->used_us ||
           (a->used_us == b->used_us && image_number(a->image) < image_number(b->image));
}

struct image *shelf_current(struct shelf *s, const struct state *state, uint64_t now_us)
{
    struct shelf_slot *place = &s->slots[0];

    for (size_t i = 0; i < SHELF_MAX; i++) {
        struct shelf_slot *slot = &s->slots[i];

        if (slot->image != NULL && is_of(slot->image, state)) {
            slot->used_us = now_us;
            return slot->image;
        }
        if (is_better_place(slot, place)) {
            place = slot;
        }
    }
    if (place->image != NULL && place->used_us + BUSY_US > now_us) {
        return NULL;
    }
    image_free(&place->image);
    place->image = image_new(state, ++s->made);
    place->used_us = now_us;
    return place->image;
}

void shelf_tidy(struct shelf *s, uint64_t now_us)
{
    for (size_t i = 0; i < SHELF_MAX; i++) {
        struct shelf_slot *slot = &s->slots[i];

        if (slot->image != NULL && slot->used_us + IDLE_US <= now_us) {
            image_free(&slot->image);
        }
    }
}
