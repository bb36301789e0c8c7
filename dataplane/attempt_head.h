// SPDX-License-Identifier: Apache-2.0
// The head of an attempt's request: for attempt.c only. Worker thread; `b` is its scratch buffer.
#ifndef SLUICE_DATAPLANE_ATTEMPT_HEAD_H
#define SLUICE_DATAPLANE_ATTEMPT_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/slice.h"
#include "proto/resource.h"

struct req;

// Appends a header line. The value ends at its first control byte.
void attempt_head_put(struct buf *b, struct slice name, struct slice value);
void attempt_head_put_length(struct buf *b, size_t n);
// The provider's key in the provider's header; nothing where there is none.
void attempt_head_put_auth(struct buf *b, const struct resource_provider *p,
                           const struct resource *key);
// Headers of the provider's configuration; equal: but for those that the client gave itself.
void attempt_head_put_provider(struct req *r, struct buf *b, const struct resource_provider *p,
                               bool equal);
// "host:port" of "https://host:port", for the header `host`.
struct slice attempt_head_authority(struct slice origin);
// The complete head of a routed request, after attempt_prepare.
void attempt_head_write(struct req *r, struct buf *b, const struct resource_provider *p,
                        const struct resource *key, struct slice origin, struct slice base_path,
                        size_t body_bytes);

#endif
