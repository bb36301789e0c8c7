// SPDX-License-Identifier: Apache-2.0
// Phases of a streamed answer; part of the script (mock_script.h), called by it alone.
#ifndef SLUICE_MOCK_STREAM_H
#define SLUICE_MOCK_STREAM_H

#include "tests/mock/mock_script.h"

// Each does one phase, or one event of it, and says how to go on.
enum mock_run mock_stream_start(struct mock_conn *c);
enum mock_run mock_stream_role(struct mock_conn *c);
enum mock_run mock_stream_think(struct mock_conn *c);
enum mock_run mock_stream_content(struct mock_conn *c);
enum mock_run mock_stream_end(struct mock_conn *c);
// ": keep-alive", and when the next one is due.
void mock_stream_comment(struct mock_conn *c);

#endif
