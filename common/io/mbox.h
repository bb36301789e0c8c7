// SPDX-License-Identifier: Apache-2.0
// Bounded mailbox into a loop from other threads: intrusive messages, one eventfd wake per burst.
#ifndef SLUICE_IO_MBOX_H
#define SLUICE_IO_MBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/io/loop.h"

struct mbox;

// Embedded first in the real message. The sender owns it until mbox_send returns true, then the
// receiver does.
struct mbox_msg {
    struct mbox_msg *next; // private
};

// fn runs in the dispatch phase of the loop's thread, once per message, in order of sending.
MUST_CHECK struct mbox *mbox_new(struct loop *l, size_t max_messages,
                                 void (*fn)(void *arg, struct mbox_msg *m), void *arg,
                                 struct err *e);
// Owner thread, when no sender is left. Messages still inside are passed to fn.
void mbox_free(struct mbox **m);
// Any thread. False when full: the message stays the sender's.
MUST_CHECK bool mbox_send(struct mbox *m, struct mbox_msg *msg);

#endif
