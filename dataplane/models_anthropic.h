// SPDX-License-Identifier: Apache-2.0
// GET /v1/models and /v1/models/{id} as Anthropic has them, for requests that carry
// `anthropic-version`. The models are the same ones as in OpenAI's shape. Pure but for the arena.
#ifndef SLUICE_DATAPLANE_MODELS_ANTHROPIC_H
#define SLUICE_DATAPLANE_MODELS_ANTHROPIC_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "proto/resource.h"

// The models to page through, filled by _add. Zero-initialise, then set arena.
struct models_anthropic {
    struct arena *arena;
    struct models_anthropic_item *items; // newest added first
    size_t n;
};

// m is served as `at`; both are borrowed while the list is used.
void models_anthropic_add(struct models_anthropic *list, const struct resource *m,
                          const struct resource_model_at *at);
// One page of them, newest models first, then by id. query: "limit=20&after_id=...&before_id=...";
// limit 1 to 1000, else 20. False: *ret_param names what cannot be: a limit that is no number, an
// id that is not in the list.
MUST_CHECK bool models_anthropic_page(const struct models_anthropic *list, struct slice query,
                                      struct buf *out, const char **ret_param);
// One model.
void models_anthropic_put(struct buf *out, const struct resource *m,
                          const struct resource_model_at *at);

#endif
