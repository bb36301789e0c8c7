// SPDX-License-Identifier: Apache-2.0
// What a proxy holds of each limit and has not spent, in a memory-mapped file of its data
// directory. It survives the death of the process at any instruction; whoever is started on the
// same directory gives it back (limit_store.c), and owes what the dead one owed. Without it, units
// of a window would be missing until the window ends: the control plane cannot know whether they
// were spent.
//
// Not of the machine: after a crash of the kernel the file may be older than the last unit spent,
// so it counts for the boot it was written in only. Nor does a copy of it count: what the copied
// one spends is not in it, and two proxies of one name would each take back what the other has.
#ifndef SLUICE_DATAPLANE_BOOK_H
#define SLUICE_DATAPLANE_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"

struct book;

#define BOOK_FILE   "leases.book" // in the data directory
#define BOOK_LINES  8192u         // limits in use at a time that are kept; others are not
#define BOOK_ID_MAX 400u          // bytes of a limit's id
#define BOOK_HOLDER 32u           // characters

struct book_line {
    const char *limit_id;   // borrowed
    uint64_t window, batch; // that the units are of
    uint64_t units;         // not spent
    uint64_t debt;          // not told
    uint64_t taken;         // of the window, spent or not (lease.h)
    uint64_t no;            // of the last question
    uint64_t since;         // of the first one that has no answer; 0: none
    uint64_t unit, period;  // what all this counts, and over what (lease_period); 0: not known
};

// Opens DIR/leases.book or makes it. boot: names this boot of the machine; what was written in
// another one, by an earlier version, copied or damaged is dropped, which is logged. NULL with *e:
// cannot be made, or another process has it open (ERR_CONFLICT).
MUST_CHECK struct book *book_open(const char *dir, const char *boot, struct err *e);
// Names who has what is in it: made with the file, and as long as what is in it counts. Borrowed.
const char *book_holder(const struct book *b);
// What is in it stays. *b becomes NULL; NULL allowed.
void book_close(struct book **b);
// What the last process left, as it was when the book was opened; its lines are kept as they are
// until they are written or dropped.
void book_each(struct book *b, void (*fn)(void *ctx, uint32_t line, const struct book_line *l),
               void *ctx);
// A new, empty line; 0: none is free. Any thread.
uint32_t book_add(struct book *b, const char *limit_id);
// One thread at a time for a line. A death in the middle loses units at worst, and makes none.
void book_write(struct book *b, uint32_t line, const struct book_line *l);
void book_drop(struct book *b, uint32_t line);

#endif
