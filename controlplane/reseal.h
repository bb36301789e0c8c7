// SPDX-License-Identifier: Apache-2.0
// Rotation of the master key: records that are sealed with any but the first key are sealed with
// the first, in the background, so that the others can be taken away. So are providers whose header
// or query values an earlier version has left in clear. Several replicas may do it at once. Loop
// thread only.
#ifndef SLUICE_CONTROLPLANE_RESEAL_H
#define SLUICE_CONTROLPLANE_RESEAL_H

#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/io/loop.h"
#include "controlplane/store.h"

struct reseal;

// Borrows both for its life.
struct reseal *reseal_new(struct loop *l, struct store *s);
void reseal_free(struct reseal **r);
// Looks at all records soon: the keys have changed, or Redis was reached.
void reseal_start(struct reseal *r);
// Records that the last look left sealed with an older key; 1 at least until there was a look.
uint64_t reseal_left(const struct reseal *r);

#endif
