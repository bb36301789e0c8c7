// SPDX-License-Identifier: Apache-2.0
// Listening sockets: opening, accepting, taking a port down and up again.
#ifndef SLUICE_MOCK_PORT_H
#define SLUICE_MOCK_PORT_H

#include "tests/mock/mock_state.h"

// Opens the sockets of all workers for "ADDR:PORT", "[V6]:PORT" or "PORT" (loopback); port 0 = any.
MUST_CHECK bool mock_port_open(struct mock *m, struct slice where, struct err *e);
// The port with that number, or NULL.
struct mock_port *mock_port_find(struct mock *m, uint16_t port);
// Starts accepting on this worker's sockets.
MUST_CHECK bool mock_port_attach(struct mock_worker *w, struct err *e);
// Stops accepting and drops all connections of this worker.
void mock_port_detach(struct mock_worker *w);
// From any worker. Down: when this returns connects are refused; connections that are open are
// reset by their workers in their next turn. Up: connects succeed again.
void mock_port_set_down(struct mock *m, struct mock_port *p, bool down);
// Closes the sockets.
void mock_port_close_all(struct mock *m);

#endif
