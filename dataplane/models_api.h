// SPDX-License-Identifier: Apache-2.0
// Routes a proxy answers by itself: GET /v1/models, /v1/models/{id}, /v1/key, the probes, and
// POST /validate-router-config.
#ifndef SLUICE_DATAPLANE_MODELS_API_H
#define SLUICE_DATAPLANE_MODELS_API_H

struct req;

// Replies, or sets the request's failure.
void models_api_answer(struct req *r);

#endif
