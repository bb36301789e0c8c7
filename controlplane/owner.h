// SPDX-License-Identifier: Apache-2.0
// Owners of keys as the admin API sees them: teams and users, which have a name and limits that
// stack over those of their keys. A key belongs to the team whose id is its `team` and to the user
// whose id is its `owner`; an id without a resource has no limits. Pure, but for time zones.
#ifndef SLUICE_CONTROLPLANE_OWNER_H
#define SLUICE_CONTROLPLANE_OWNER_H

#include "common/base/cdefs.h"
#include "common/io/json.h"
#include "controlplane/follow.h"
#include "proto/resource.h"

// kind: RESOURCE_TEAM or RESOURCE_USER, everywhere.
// Made from the body of a POST (base NULL; the id is its `id`, else its `name`) or base changed by
// the body of a PATCH; the version is base's + 1. One reference; NULL with problems in *r.
MUST_CHECK struct resource *owner_from_body(enum resource_kind kind, const struct json_at *body,
                                            const struct resource *base, struct json_report *r);
// The members of the object, without the braces. file: who owns it; NULL = the API.
void owner_render(struct json_out *o, const struct resource *r, const struct follow_owner *file);

#endif
