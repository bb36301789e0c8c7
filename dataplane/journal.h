// SPDX-License-Identifier: Apache-2.0
// The usage journal: a memory-mapped file of fixed size in the proxy's data directory. What was
// started, what has ended and what was sealed into which report survives the death of the process
// at any instruction, and costs a request no lock and no system call. Layout and recovery: top of
// journal.c; what is reported when: outbox.h.
#ifndef SLUICE_DATAPLANE_JOURNAL_H
#define SLUICE_DATAPLANE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "proto/message.h"

struct journal;

#define JOURNAL_FILE       "usage.journal" // in the data directory
#define JOURNAL_RING_BYTES (32u << 20)     // of a new file
#define JOURNAL_SLOTS      8192u           // attempts open at a time; fewer with a small ring
#define JOURNAL_BATCH      (64u << 10)
#define JOURNAL_RECORD_MAX 4096u // bytes of one record, strings cut to fit

// Opens DIR/usage.journal, or makes it with a ring of ring_bytes (a power of two, >= 64 KiB);
// recovers what it holds: attempts without an end become finished records marked `interrupted`. A
// file that cannot be read is renamed to usage.journal.damaged and a new one begun; both is logged.
// dir NULL: in memory only. NULL with *e: cannot be made, or another process has it open
// (ERR_CONFLICT).
MUST_CHECK struct journal *journal_open(const char *dir, size_t ring_bytes, struct err *e);
// No other thread may use it any more. *j becomes NULL; NULL allowed.
void journal_close(struct journal **j);

// ---- any thread, no lock, no system call -------------------------------------------------------

// An attempt is about to be made; so_far is what is reported should no end ever come (its strings
// are cut where they do not fit 512 bytes). slot: 0 for a request's first attempt, then what the
// last call returned. Returns the slot to be given to journal_end; 0: none is free (counted).
uint32_t journal_begin(struct journal *j, uint32_t slot, const struct message_usage_record *so_far);
// The request is over. slot 0: nothing was begun. *ret_batch: with this one another JOURNAL_BATCH
// bytes have come together. False: the ring is full and the record is lost (counted).
bool journal_end(struct journal *j, uint32_t slot, const struct message_usage_record *r,
                 bool *ret_batch);

// ---- one thread (the link's) -------------------------------------------------------------------

// Positions count bytes ever appended. Everything below a report's `to` is in it or an older one.
struct journal_report {
    uint64_t number, from, to;
    size_t n_records;
};

// Seals the records behind the last report into the next one: at most max_bytes of them, at least
// one, at most max_records. False: none has ended since (or there is no room for the seal).
MUST_CHECK bool journal_seal(struct journal *j, size_t max_bytes, size_t max_records,
                             struct journal_report *ret);
// Reports that were in the file when it was opened, oldest first; fn is called for each.
void journal_each_report(struct journal *j, void (*fn)(void *ctx, const struct journal_report *r),
                         void *ctx);
// Records of a report that was not released; strings in *arena, valid UTF-8. Returns how many.
size_t journal_read(struct journal *j, const struct journal_report *r, struct arena *arena,
                    struct message_usage_record **ret);
// Everything below this position (a report's `to`) is not needed any more.
void journal_release(struct journal *j, uint64_t to);
// Once a second or so: gives released memory back, prepares the memory that is written next, asks
// the kernel to begin writing to disk.
void journal_tick(struct journal *j);
// Names the numbering of reports; as long as the file. Borrowed.
const char *journal_stream(const struct journal *j);

struct journal_stats {
    uint64_t records;     // ended and appended, those recovered included
    uint64_t lost;        // ring full
    uint64_t unjournaled; // attempts begun without a free slot
    uint64_t interrupted; // found at the start
    uint64_t used, size;  // bytes of the ring
    bool recovered;       // the file was there
};
// Any thread.
void journal_stats(const struct journal *j, struct journal_stats *ret);

#endif
