// SPDX-License-Identifier: Apache-2.0
// Lists of limits in bodies of the admin API. Pure, but for time zones, which are looked up on disk
// (calendar.h): loop thread only.
#ifndef SLUICE_CONTROLPLANE_QUOTA_H
#define SLUICE_CONTROLPLANE_QUOTA_H

#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/io/json.h"
#include "proto/resource.h"

// The member `limits` of the body into *ret, in the arena; left alone where the body has none.
// Problems go to *r.
void quota_read(const struct json_at *body, struct arena *arena, const struct resource_limit **ret,
                size_t *ret_n, struct json_report *r);
// A list of limits, as a value.
void quota_render(struct json_out *o, const struct resource_limit *limits, size_t n);

#endif
