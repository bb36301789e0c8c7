// SPDX-License-Identifier: Apache-2.0
// From a request line to a route, and httpd's callbacks for the proxy port: they make a struct req,
// record facts in it and post it; no policy here.
#ifndef SLUICE_DATAPLANE_FRONT_H
#define SLUICE_DATAPLANE_FRONT_H

#include <stdbool.h>

#include "common/base/slice.h"
#include "common/io/httpd.h"
#include "dataplane/dialect.h"

enum front_kind {
    FRONT_ROUTED,    // an API call that is balanced over targets
    FRONT_RAW,       // /{provider}/...: as it is, with our key
    FRONT_MODELS,    // list
    FRONT_MODEL,     // one: rest is its id
    FRONT_KEY,       // the calling key
    FRONT_VALIDATE,  // POST /validate-router-config
    FRONT_LIVE,      // health, no auth
    FRONT_READY,     // readiness, no auth
    FRONT_UNKNOWN,   // 404
    FRONT_METHOD,    // 405, see allow
    FRONT_NOT_SERVED // 501: WebSocket
};

// Slices borrow the request target.
struct front_route {
    enum front_kind kind;
    enum dialect_endpoint endpoint; // FRONT_ROUTED
    bool unified;                   // under /ai: no router policy
    bool anthropic;                 // errors in Anthropic's shape
    struct slice router;            // under /router/{name}, else SLICE_NULL
    struct slice path;              // FRONT_ROUTED: below the API's root: "chat/completions"
    struct slice provider;          // FRONT_RAW: first segment (does it exist? the caller asks)
    struct slice rest; // FRONT_RAW: path and query behind "/{provider}/"; FRONT_MODEL: id
    const char *allow; // FRONT_METHOD: methods for the `allow` header
    const char *label; // for metrics: "chat", "raw", ...; static
};

// Pure. Every target gets a route: what fits none is FRONT_UNKNOWN or FRONT_RAW.
void front_parse(struct slice method, struct slice target, struct front_route *ret);

// httpd's callbacks of the proxy port; `arg` of the httpd is the struct worker.
extern const struct httpd_handlers front_handlers;

#endif
