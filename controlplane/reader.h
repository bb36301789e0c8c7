// SPDX-License-Identifier: Apache-2.0
// Configurations are read and compiled beside the loop, the file as well as what comes through the
// API: five thousand routers take a fifth of a second, and leases do not wait that long.
#ifndef SLUICE_CONTROLPLANE_READER_H
#define SLUICE_CONTROLPLANE_READER_H

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/io/loop.h"
#include "proto/config/config.h"

struct reader;

// Something to be read. Embedded; zero-initialise, then fill in both.
struct reading {
    struct list_node node; // private
    // In a thread of its own, one at a time: touches nothing that others change.
    struct config *(*read)(struct reading *g);
    // In the loop's thread: what it made (owned by done; NULL: nothing). May free the reading
    // unless it was started again meanwhile.
    void (*done)(struct reading *g, struct config *c);
};

// NULL with *e: no fd.
MUST_CHECK struct reader *reader_new(struct loop *l, struct err *e);
// Reads soon, one after another in the order they came. What waits already is not read twice. What
// is being read is told of when it is made, and read once more behind that, since it may be
// something else by now: however often it is started, each reading comes to an end. Borrowed until
// its last done. Loop thread.
void reader_start(struct reader *r, struct reading *g);
// Waits for the thread; whoever has not been told is told NULL. *r becomes NULL (before that); NULL
// allowed.
void reader_free(struct reader **r);

#endif
