// SPDX-License-Identifier: Apache-2.0
// The log of attempts: the last N in memory for GET /__mock/log, each finished one as a line in a
// file if asked for. Thread-safe.
#ifndef SLUICE_MOCK_JOURNAL_H
#define SLUICE_MOCK_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "tests/mock/mock_ask.h"
#include "tests/mock/mock_head.h"

struct mock_journal;

enum mock_end {
    MOCK_END_OPEN,          // still going on
    MOCK_END_COMPLETE,      // all that was to be sent was taken by the kernel
    MOCK_END_CLIENT_CLOSED, // the client left first
    MOCK_END_RESET,         // the mock reset the connection, as told
    MOCK_END_CUT,           // the mock closed before the end, as told
    MOCK_END_PORT_DOWN,     // the port was taken down meanwhile
    MOCK_END_SHUTDOWN,
    MOCK_END_COUNT
};

struct mock_progress {
    uint32_t status;                      // sent; 0 = none yet
    uint64_t bytes;                       // given to the kernel, head included
    uint64_t events;                      // content events among them
    uint64_t input_tokens, output_tokens; // as the answer says, if it is complete
};

struct mock_attempt_facts {
    uint64_t wall_us, now_us;
    uint16_t port;
    uint64_t connection;
    uint32_t ordinal; // of the request on its connection, from 1
    const struct mock_head *head;
    const struct mock_ask *ask;
    struct slice body;
    const char *shape; // static
};

// keep: attempts in memory (0: nothing is kept); body_max: bytes of each body that are kept;
// path: log file or NULL. NULL on failure.
MUST_CHECK struct mock_journal *mock_journal_new(size_t keep, size_t body_max, const char *path,
                                                 struct err *e);
void mock_journal_free(struct mock_journal **j);
bool mock_journal_enabled(const struct mock_journal *j);

// Returns the attempt's number (from 1).
uint64_t mock_journal_begin(struct mock_journal *j, const struct mock_attempt_facts *f);
// So far.
void mock_journal_progress(struct mock_journal *j, uint64_t seq, const struct mock_progress *p,
                           uint64_t now_us);
void mock_journal_end(struct mock_journal *j, uint64_t seq, enum mock_end how,
                      const struct mock_progress *p, uint64_t now_us);

struct mock_journal_filter {
    uint64_t since;     // seq > since
    uint16_t port;      // 0 = any
    struct slice model; // as requested; absent = any
    bool ended_only;
};

// Appends {"attempts":[...]}, oldest first; bodies included.
void mock_journal_json(struct mock_journal *j, const struct mock_journal_filter *f,
                       struct buf *out);
size_t mock_journal_count(struct mock_journal *j, const struct mock_journal_filter *f);
// Attempts that have no end yet.
uint64_t mock_journal_open(struct mock_journal *j);
// {"attempts":N,"open":N,"ended":{"complete":N,...}}
void mock_journal_stats(struct mock_journal *j, struct buf *out);
// Forgets the finished attempts and the counters; numbers go on.
void mock_journal_reset(struct mock_journal *j);

#endif
