// SPDX-License-Identifier: Apache-2.0
// A set of small libcurl multi handles driven by a loop. libcurl walks all connections of a multi
// on some calls, so each holds few. Private to common/io. Owner thread of the loop.
#ifndef SLUICE_IO_MULTIS_H
#define SLUICE_IO_MULTIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/list.h"
#include "common/io/curl_priv.h"
#include "common/io/loop.h"

struct multis_one; // one multi; never freed before multis_done

// Embedded in its owner, must not move.
struct multis {
    struct loop *l;
    void (*on_done)(CURL *easy, CURLcode rc);
    struct multis_one *all; // owned
    struct list with_room;
    uint64_t turn_us;  // stamp of the turn in which
    uint64_t spent_us; // so much was spent
};

// on_done: a transfer has ended; called from watch or timer dispatch, free to call multis_*.
void multis_init(struct multis *ms, struct loop *l, void (*on_done)(CURL *easy, CURLcode rc));
// Every handle must have been removed.
void multis_done(struct multis *ms);
// Starts the transfer of a handle, in the multi used last that has room. NULL: libcurl refused.
MUST_CHECK struct multis_one *multis_add(struct multis *ms, CURL *easy);
// Takes it out, which closes its connection. Not from inside a libcurl callback.
void multis_remove(struct multis_one *m, CURL *easy);

#endif
