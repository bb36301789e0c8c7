// SPDX-License-Identifier: Apache-2.0
// What a revision of the configuration consists of, as bytes for Redis: every resource that the
// file (or PUT /config) wanted, as records (record.h: those with secrets are sealed), so that a
// rollback brings back exactly that, whatever has become of the file, the catalogue and the
// program. Pure.
//
//   (u32 length, field, u32 length, record)...     lengths big-endian, as in the stream of changes
//
// The settings are in clear and without their key_hash_key (it stays what it is): so a revision
// without provider keys of its own can be read whatever has become of the master key.
#ifndef SLUICE_CONTROLPLANE_REVISION_H
#define SLUICE_CONTROLPLANE_REVISION_H

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "controlplane/record.h"

#define REVISION_BYTES_MAX ((size_t)256 << 20)

// Appends one. What the environment owns is left out: a rollback does not bring back old keys.
void revision_add(struct buf *b, const struct resource *r, enum record_origin origin,
                  const char *where, const struct record_keys *k);

struct revision {
    struct arena arena;
    struct resource **resources; // one reference each
    const char **where;
    size_t n;
};

// False with *e when it is damaged or sealed with a master key that is not there; then nothing has
// to be freed. ERR_DENIED, ERR_INVALID as in record_decode.
MUST_CHECK bool revision_read(struct slice bytes, const struct record_keys *k, struct revision *ret,
                              struct err *e);
void revision_done(struct revision *r);

#endif
