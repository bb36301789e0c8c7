// SPDX-License-Identifier: Apache-2.0
// The images (frozen states) that proxies are reading now. Loop thread only.
#ifndef SLUICE_CONTROLPLANE_SHELF_H
#define SLUICE_CONTROLPLANE_SHELF_H

#include <stdint.h>

#include "controlplane/image.h"
#include "controlplane/state.h"

#define SHELF_MAX 8u

// Embedded in publish; zero-initialise.
struct shelf {
    struct shelf_slot {
        struct image *image; // owned; NULL = free
        uint64_t used_us;
    } slots[SHELF_MAX];
    uint64_t made; // images so far: names them
};

void shelf_done(struct shelf *s);
// NULL: no longer held. Counts as use.
struct image *shelf_find(struct shelf *s, uint64_t number, uint64_t now_us);
// The image of the state as it is now, made if need be. NULL: all places are taken by images that
// somebody was reading a moment ago.
struct image *shelf_current(struct shelf *s, const struct state *state, uint64_t now_us);
// Drops images nobody has read for 10 s.
void shelf_tidy(struct shelf *s, uint64_t now_us);

#endif
