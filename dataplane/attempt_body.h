// SPDX-License-Identifier: Apache-2.0
// What an attempt sends: for attempt.c only.
#ifndef SLUICE_DATAPLANE_ATTEMPT_BODY_H
#define SLUICE_DATAPLANE_ATTEMPT_BODY_H

#include <stddef.h>

#include "common/base/slice.h"
#include "dataplane/route.h"

struct req;

// The body as pieces (room for UPSTREAM_BODY_PIECES), borrowed from the request; *ret_bytes is
// their sum. Returns their number. After attempt_prepare.
size_t attempt_pieces(struct req *r, const struct route_candidate *c, struct slice *pieces,
                      size_t *ret_bytes);
// The provider's own path for an endpoint; SLICE_NULL: the dialect's; "": it has no such endpoint.
struct slice attempt_own_path(const struct resource_provider *p, enum dialect_endpoint ep);
// Is a completion of old asked of a provider of the client's dialect, or of a model at OpenAI, that
// only chats? Then it is translated into a chat.
bool attempt_by_chat(const struct req *r, const struct route_candidate *c);

#endif
