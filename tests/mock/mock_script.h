// SPDX-License-Identifier: Apache-2.0
// One attempt: what is written into the connection's output, when, and where it goes wrong.
#ifndef SLUICE_MOCK_SCRIPT_H
#define SLUICE_MOCK_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "tests/mock/mock_answer.h"
#include "tests/mock/mock_ask.h"
#include "tests/mock/mock_behave.h"
#include "tests/mock/mock_journal.h"
#include "tests/mock/mock_turn.h"

#define MOCK_MODEL_MAX 256u

struct mock_conn;

enum mock_run {
    MOCK_RUN_AGAIN, // (inside) go on with the next phase
    MOCK_RUN_WAIT,  // nothing to do before script.due_us (UINT64_MAX: before the client leaves)
    MOCK_RUN_FULL,  // output is full: go on when it has been sent
    MOCK_RUN_DONE,  // answer complete
    MOCK_RUN_CUT,   // send what is there, then close
    MOCK_RUN_RESET, // send what is there, then RST
};

enum mock_phase {
    MOCK_PHASE_START, // waiting for the delay
    MOCK_PHASE_PLAIN, // body bytes
    MOCK_PHASE_TTFT, // stream: head sent, waiting for the first content; then role and empty events
    MOCK_PHASE_THINK,
    MOCK_PHASE_CONTENT,
    MOCK_PHASE_FINISH,
    MOCK_PHASE_STALL, // waits for the client to leave
};

// Part of struct mock_conn. Buffers keep their storage from request to request.
struct mock_script {
    enum mock_phase phase;
    struct mock_behave behave;
    struct mock_ask ask;     // slices into the request
    struct mock_turn turn;   // names of tools point into `tree`
    struct json_value *tree; // of the request, where somebody looks into it; owned
    struct mock_subject subject;
    char date[32];              // of subject
    char model[MOCK_MODEL_MAX]; // where it came in the path
    struct mock_progress progress;
    uint64_t seq;         // in the journal; 0 = no attempt
    uint64_t index;       // of the next event within the phase
    uint64_t due_us;      // when waiting
    uint64_t content_us;  // when the next phase or event is due (comments come before)
    uint64_t comment_us;  // next comment of a stream; 0 = none
    uint64_t sent_before; // bytes sent on the connection before this attempt
    bool chunked;
    struct buf pre, post;     // plain: around the filler; stream: pre = prefix of an event
    uint64_t filler;          // plain: bytes between pre and post
    uint64_t position, limit; // plain: body bytes written, and to be written
};

void mock_script_init(struct mock_script *s);
void mock_script_done(struct mock_script *s);

// The request is complete (or enough of it, for `early`). body: the request's.
void mock_script_begin(struct mock_conn *c, struct slice body);
// Goes on; appends to c->out.
enum mock_run mock_script_run(struct mock_conn *c);

// For the phases (mock_script.c, mock_stream.c).
bool mock_script_has(const struct mock_script *s, uint32_t flags);
// From now on nothing, until the client leaves.
enum mock_run mock_script_stall(struct mock_script *s);
void mock_script_put_head(struct mock_conn *c, const char *type, int64_t content_length);
// As a chunk where the answer is chunked.
void mock_script_put_body(struct mock_conn *c, struct slice s);
enum mock_run mock_script_finish(struct mock_conn *c);
enum mock_run mock_script_break_chunking(struct mock_conn *c);

#endif
