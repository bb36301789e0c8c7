// SPDX-License-Identifier: Apache-2.0
// An entry of the stream of changes (NAMES_STREAM) as lua/change.lua writes it: its id is
// "<seq>-0", its field `c` the operations of one change, one behind another:
//
//   4 bytes length, field ("router:production")    4 bytes length, record; length 0: deleted
//
// Lengths are big-endian. Damage is never more than an end that comes too early. Pure; any thread.
#ifndef SLUICE_CONTROLPLANE_ENTRY_H
#define SLUICE_CONTROLPLANE_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "common/io/redis.h"

// Slices are borrowed from the reply, here and below.
struct entry {
    uint64_t seq;
    struct slice ops; // for entry_take_op
};

struct entry_op {
    struct slice field;
    struct slice record; // n == 0: the resource is deleted
};

// The entries in an answer to XREAD of one stream, for redis_count and redis_item. NULL (which both
// take): there are none. r: NULL allowed.
const struct redis_reply *entry_list(const struct redis_reply *r);
// One of them. False: its id is none; *ret is zeroed then.
MUST_CHECK bool entry_parse(const struct redis_reply *item, struct entry *ret);
// Cuts the next operation off. False: the end, or damage.
MUST_CHECK bool entry_take_op(struct slice *ops, struct entry_op *ret);

#endif
