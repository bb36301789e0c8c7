// SPDX-License-Identifier: Apache-2.0
// `capabilities` of a model in the list that Anthropic's clients get: what it can be asked for
// through /v1/messages here, in the words of their SDKs (every key is there). Pure.
#ifndef SLUICE_DATAPLANE_MODELS_CAPABILITIES_H
#define SLUICE_DATAPLANE_MODELS_CAPABILITIES_H

#include "common/base/buf.h"
#include "proto/resource.h"

// Appends the object, or null where nothing is known of the model.
void models_capabilities_put(struct buf *out, const struct resource_model *m,
                             const struct resource_model_at *at);

#endif
