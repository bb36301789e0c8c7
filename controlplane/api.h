// SPDX-License-Identifier: Apache-2.0
// The admin API (docs/admin-api.md): an HTTP server whose routes are one table. Reads are answered
// from the state; writes are one script each. Loop thread only.
#ifndef SLUICE_CONTROLPLANE_API_H
#define SLUICE_CONTROLPLANE_API_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/env.h"
#include "common/base/err.h"
#include "common/base/secret.h"
#include "common/io/loop.h"
#include "common/io/upstream.h"
#include "controlplane/fleet.h"
#include "controlplane/meters.h"
#include "controlplane/reader.h"
#include "controlplane/store.h"

#define API_BODY_MAX  (1u << 20)
#define API_FILE_MAX  (4u << 20) // a whole configuration
#define API_DEPTH_MAX 32u

struct api;

// What a configuration that comes by PUT /config is read with: as the file of this control plane
// is, but that files are not read.
struct api_config_source {
    // In the reader's thread; the caller of it frees it. NULL: no variables.
    struct env *(*read_env)(void *arg);
    void *arg;
    bool demo;
    bool strangers; // auth.mode optional and off are allowed although others can reach a proxy
};

struct api_config {
    struct loop *loop;
    const char *address;       // numeric; borrowed for the call
    uint16_t port;             // 0 = any
    struct secret *token;      // borrowed for the call; what follows "Bearer "
    struct store *store;       // borrowed
    struct fleet *fleet;       // borrowed
    struct upstream *upstream; // borrowed; for tests of provider keys
    struct meters *meters;     // borrowed
    struct reader *reader;     // borrowed; freed before the API is
    struct api_config_source from;
    void (*fill_gauges)(void *arg, struct meters_gauges *g); // those the API does not know; or NULL
    void *fill_arg;
};

// Listens at once. NULL with a sentence.
MUST_CHECK struct api *api_new(const struct api_config *c, struct err *e);
uint16_t api_port(const struct api *a);
// A limit has run out (or has something again): for those who listen to the events.
void api_limit_event(struct api *a, const char *limit_id, bool empty);
// Stops accepting; answers what is under way.
void api_drain(struct api *a);
// Exchanges still open.
size_t api_active(const struct api *a);
void api_free(struct api **a);

// The route table, for the test that openapi.json names every one. False beyond its end.
MUST_CHECK bool api_route_at(size_t i, const char **ret_method, const char **ret_path);
// The document served at /openapi.json.
struct slice api_openapi(void);

#endif
