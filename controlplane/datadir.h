// SPDX-License-Identifier: Apache-2.0
// What a control plane keeps in its data directory from one run to the next:
//
//   admin-token     the administrator's token, where no other file was named for it
//   applied-config  digest of the configuration file that was offered last
//   state-mark      epoch and sequence where this replica was last
//   initialised     exists: Redis had an epoch once, an empty one is a lost one
//
// Each file is written in one piece or not at all. Every function blocks for a small local file.
// The loop's thread only.
#ifndef SLUICE_CONTROLPLANE_DATADIR_H
#define SLUICE_CONTROLPLANE_DATADIR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/secret.h"
#include "controlplane/state.h"

#define DATADIR_MARK_CHARS 64u

// Embedded; zero-initialise, then fill in path. Nothing to be freed.
struct datadir {
    const char *path;                  // borrowed; the directory is there
    char mark[DATADIR_MARK_CHARS + 1]; // private: what state-mark holds, if it is ours
};

// The administrator's token, owned by the caller. file NULL: admin-token. Made (mode 0600) when the
// file is not there. NULL with *e: not to be read or written; ERR_INVALID when it is too short.
MUST_CHECK struct secret *datadir_admin_token(const struct datadir *d, const char *file,
                                              struct err *e);

// Is this the digest (hexadecimal) that was remembered last? False when nothing was.
bool datadir_offered_before(const struct datadir *d, const char *digest);
// A failure is logged; then the same file will count as a new one.
void datadir_remember_offer(const struct datadir *d, const char *digest);

// Written only when it is another one than last time. A failure is logged, and tried again with the
// next call.
void datadir_write_mark(struct datadir *d, const uint8_t epoch[STATE_EPOCH_BYTES], uint64_t seq);
// False: there is none, or it is damaged; *epoch and *ret_seq may hold anything then.
MUST_CHECK bool datadir_read_mark(const struct datadir *d, uint8_t epoch[STATE_EPOCH_BYTES],
                                  uint64_t *ret_seq);

bool datadir_is_initialised(const struct datadir *d);
// For good. A failure is logged.
void datadir_remember_initialised(const struct datadir *d);

#endif
