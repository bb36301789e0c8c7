// SPDX-License-Identifier: Apache-2.0
// The configuration file is read and compiled beside the loop: five thousand routers take a fifth
// of a second, and leases do not wait that long.
#ifndef SLUICE_CONTROLPLANE_READER_H
#define SLUICE_CONTROLPLANE_READER_H

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/io/loop.h"
#include "proto/config/config.h"

struct reader;

// read runs in a thread of its own, one at a time, and touches nothing that others change; done is
// told in the loop's thread what it made (owned by done; NULL: nothing). NULL with *e: no fd.
MUST_CHECK struct reader *reader_new(struct loop *l, struct config *(*read)(void *arg),
                                     void (*done)(void *arg, struct config *c), void *arg,
                                     struct err *e);
// Reads soon. While it reads: once more behind that, since the file may be another one by now, and
// only the last one is told. Loop thread.
void reader_start(struct reader *r);
// Waits for the thread; done is not called any more. *r becomes NULL; NULL allowed.
void reader_free(struct reader **r);

#endif
