// SPDX-License-Identifier: Apache-2.0
// The /__mock/ endpoints by which tests read what happened and steer what will.
#ifndef SLUICE_MOCK_CONTROL_H
#define SLUICE_MOCK_CONTROL_H

#include <stdbool.h>

#include "tests/mock/mock_conn.h"

bool mock_control_is(const struct mock_head *h);
// Answers with mock_conn_reply, or leaves the connection in MOCK_CONN_CONTROL with its ticker set.
void mock_control_handle(struct mock_conn *c, struct slice body);
// The ticker of a waiting connection: looks again.
void mock_control_poll(struct mock_conn *c);

#endif
