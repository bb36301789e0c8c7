// SPDX-License-Identifier: Apache-2.0
// Provider keys as the admin API sees them. Values go in and never come out: only a hint does.
// Pure.
#ifndef SLUICE_CONTROLPLANE_PKEY_H
#define SLUICE_CONTROLPLANE_PKEY_H

#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "common/io/json.h"
#include "controlplane/follow.h"
#include "controlplane/state.h"
#include "proto/resource.h"

#define PKEY_ID_CHARS 18u

// Which body it is.
enum pkey_body {
    PKEY_CREATE, // provider, name, value, weight, state
    PKEY_PATCH,  // name, weight, state
    PKEY_ROTATE, // value
};

// A key made from the body (PKEY_CREATE, base NULL) or base changed by it, version base's + 1. One
// reference; NULL with problems in *r. `state` tells which providers there are.
MUST_CHECK struct resource *pkey_from_body(const struct json_at *body, enum pkey_body which,
                                           const struct resource *base, struct slice id,
                                           const struct state *state, struct json_report *r);
// The members of the object, without the braces. owner: NULL = the API's.
void pkey_render(struct json_out *o, const struct resource *r, const struct follow_owner *owner);

#endif
