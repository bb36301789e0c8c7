// SPDX-License-Identifier: Apache-2.0
// A Redis lease on something that only one control plane should do at a time. Not a lock: for a
// moment two may believe that they have it (clocks, pauses), so what is done under it must bear
// that. Loop thread only.
#ifndef SLUICE_CONTROLPLANE_HOLD_H
#define SLUICE_CONTROLPLANE_HOLD_H

#include <stdbool.h>

#include "common/base/cdefs.h"
#include "common/io/loop.h"
#include "controlplane/store.h"

struct hold;

// name: the key in Redis; static. Tries at once and for ever: whoever had it is replaced within
// 2.5 s after it was last heard.
struct hold *hold_new(struct loop *l, struct store *s, const char *name);
// Before the store is freed. *h becomes NULL; NULL allowed. Others get it when it runs out.
void hold_free(struct hold **h);
bool hold_is_ours(const struct hold *h);

#endif
