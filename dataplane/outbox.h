// SPDX-License-Identifier: Apache-2.0
// Usage records on their way to the control plane: what the journal holds, cut into numbered
// reports, kept until acknowledged and 10 s longer (the store may lose its tail). What is sent
// when, and to whom, is the link's business.
#ifndef SLUICE_DATAPLANE_OUTBOX_H
#define SLUICE_DATAPLANE_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "dataplane/journal.h"
#include "proto/message.h"

struct outbox;

// Of one report. A batch is told as several: while the control plane and Redis take in one, a
// change of the configuration waits.
#define OUTBOX_REPORT_BYTES (JOURNAL_BATCH / 4)
#define OUTBOX_KEEP_US      ((uint64_t)10 * 1000000)

// Reports that the journal holds from before are owed again. The journal is borrowed.
struct outbox *outbox_new(struct journal *j);
void outbox_free(struct outbox **o);

// Any thread, no lock. slot: from journal_begin, 0: none. Copied. False: full, the record is lost
// and counted. *ret_due: a report's worth has come together (told once for each report).
MUST_CHECK bool outbox_add(struct outbox *o, uint32_t slot, const struct message_usage_record *r,
                           bool *ret_due);

// ---- link thread -------------------------------------------------------------------------------

// Closes what has been collected into reports. Makes room when the journal is nearly full: the
// oldest acknowledged reports go first.
void outbox_close(struct outbox *o);
// The report that follows `last` acknowledged: number, oldest, records (in *arena). False: none.
MUST_CHECK bool outbox_next(struct outbox *o, struct arena *arena,
                            struct message_usage_report *ret);
// A control plane says that everything up to `last` is applied (which may also be less than before:
// then what followed is sent again). Only such an answer, 10 s after the first, lets go of a
// report.
void outbox_acked(struct outbox *o, uint64_t last, uint64_t now_us);
// This report will never be taken: it is lost and counted.
void outbox_drop(struct outbox *o, uint64_t number);
// Nothing collected and everything acknowledged.
bool outbox_is_empty(struct outbox *o);
// Something acknowledged is still kept: whether the store still has it is worth asking.
bool outbox_is_keeping(const struct outbox *o);

struct outbox_stats {
    uint64_t pending, lost, acked; // records; acked: by this process
};
// Link thread.
void outbox_stats(struct outbox *o, struct outbox_stats *ret);

#endif
