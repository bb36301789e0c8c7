// SPDX-License-Identifier: Apache-2.0
// A frozen state being sent to proxies in chunks: references to every resource as it was at one
// seq, encoded chunk by chunk as they are asked for, so that no turn of the loop is long. Any
// number of proxies read the same image. Loop thread only.
#ifndef SLUICE_CONTROLPLANE_IMAGE_H
#define SLUICE_CONTROLPLANE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "controlplane/state.h"
#include "proto/message.h"

struct image;

// References to everything the state holds now. number: names it to proxies, not 0.
struct image *image_new(const struct state *s, uint64_t number);
void image_free(struct image **i);

uint64_t image_number(const struct image *i);
uint64_t image_seq(const struct image *i);
uint64_t image_digest(const struct image *i);
const uint8_t *image_epoch(const struct image *i);

// Fills *ret (snapshot, chunk, last, seq, digest, total, items) for chunk `n`; items and their
// bytes live in *arena and *bytes, both emptied first. False: there is no such chunk, or an earlier
// one was never asked for.
MUST_CHECK bool image_chunk(struct image *i, uint32_t n, struct arena *arena, struct buf *bytes,
                            struct message_sync_chunk *ret);

#endif
