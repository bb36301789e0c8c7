// SPDX-License-Identifier: Apache-2.0
// Who calls: a virtual key, nobody in particular, or nobody we let in. Pure apart from the hash
// (common/io/crypto).
#ifndef SLUICE_DATAPLANE_AUTH_H
#define SLUICE_DATAPLANE_AUTH_H

#include <stdbool.h>

#include "common/base/slice.h"
#include "dataplane/snapshot.h"

enum auth_result { AUTH_OK, AUTH_MISSING, AUTH_UNKNOWN, AUTH_DISABLED, AUTH_EXPIRED };

struct auth_caller {
    const struct resource *key; // borrowed from the snapshot; NULL: anonymous
    struct slice principal;     // key id or "anonymous"
};

// Does it begin like a virtual key (sk-sluice-)? Such a one is always checked.
bool auth_is_ours(struct slice credential);
// credentials: the values of authorization (scheme removed), x-api-key, x-goog-api-key, api-key,
// absent ones SLICE_NULL. mode is never DEFAULT here.
enum auth_result auth_check(const struct snapshot *s, enum resource_auth_mode mode,
                            const struct slice credentials[4], uint64_t wall_us,
                            struct auth_caller *ret);

#endif
