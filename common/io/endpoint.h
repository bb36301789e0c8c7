// SPDX-License-Identifier: Apache-2.0
// Base endpoints of a control plane and the three sockets behind one:
//
//   tcp://HOST:PORT   PUB on PORT, REP on PORT+1, PULL on PORT+2
//   ipc:///PATH       PATH.pub, PATH.rep, PATH.pull; if PATH is a directory: PATH/control.pub, ...
#ifndef SLUICE_IO_ENDPOINT_H
#define SLUICE_IO_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"

enum endpoint_socket { ENDPOINT_PUB = 0, ENDPOINT_REP = 1, ENDPOINT_PULL = 2 };

#define ENDPOINT_HOST_MAX 255u
#define ENDPOINT_PATH_MAX 90u // a unix socket's path has 107 bytes, the names included
#define ENDPOINT_TEXT_MAX 320u

struct endpoint {
    bool is_ipc;
    char host[ENDPOINT_HOST_MAX + 1];  // tcp: without brackets
    uint16_t port;                     // tcp: of PUB; 0: any
    char path[ENDPOINT_PATH_MAX + 16]; // ipc: complete up to the suffix
};

// False with *e saying what was expected.
MUST_CHECK bool endpoint_parse(struct slice text, struct endpoint *ret, struct err *e);
// "tcp://127.0.0.1:7401": the address nanomsg wants for one of the sockets.
void endpoint_socket_address(const struct endpoint *ep, enum endpoint_socket which,
                             char out[ENDPOINT_TEXT_MAX]);
// The base as text, as endpoint_parse takes it.
void endpoint_format(const struct endpoint *ep, char out[ENDPOINT_TEXT_MAX]);
// For a tcp endpoint with port 0: sets a port that was free a moment ago, with the two behind it.
MUST_CHECK bool endpoint_choose_port(struct endpoint *ep, struct err *e);

#endif
