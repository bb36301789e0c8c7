// SPDX-License-Identifier: Apache-2.0
// Where a Redis is and as whom to log in, out of its URL. Pure.
#ifndef SLUICE_IO_REDIS_URL_H
#define SLUICE_IO_REDIS_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/secret.h"
#include "common/base/slice.h"

// Owns everything in it.
struct redis_url {
    char *path; // unix socket, or NULL
    char *host; // numeric address or name, or NULL
    uint16_t port;
    uint32_t db;
    struct secret *user, *password;
};

// *u is zeroed before; redis_url_done also after false.
MUST_CHECK bool redis_url_parse(const char *url, struct redis_url *u, struct err *e);
void redis_url_done(struct redis_url *u);
// Where in the text the password stands, for who wants it out of sight; empty: there is none.
struct slice redis_url_password(struct slice url);

#endif
