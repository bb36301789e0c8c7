// SPDX-License-Identifier: Apache-2.0
// The envelope around every message: who, about which state, for whom, sealed and (from the control
// plane) signed. Opening checks, in this order and each before anything is believed: shape,
// version, cluster, key id, seal (which covers every field), signature. Freshness (count, request,
// recipient) is for the caller, who knows what it has seen. Any thread.
#ifndef SLUICE_PROTO_ENVELOPE_H
#define SLUICE_PROTO_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "proto/keys.h"

#define ENVELOPE_VERSION   1u
#define ENVELOPE_BYTES_MAX (512u * 1024 + 1024) // a whole message on a socket
#define ENVELOPE_ID_BYTES  16u

struct envelope {
    uint32_t type;                        // enum message_type, also ones not known here
    uint8_t epoch[ENVELOPE_ID_BYTES];     // zero: no state
    uint64_t seq;                         // of the sender's state (a delta's: its seq)
    uint8_t sender[ENVELOPE_ID_BYTES];    // random for each process start
    uint64_t count;                       // from 1, rises with each message on this kind of socket
    uint8_t request[ENVELOPE_ID_BYTES];   // zero outside REQ/REP
    uint8_t recipient[ENVELOPE_ID_BYTES]; // zero: anybody
};

// What became of a received message: one counter each.
enum envelope_verdict {
    ENVELOPE_OK,
    ENVELOPE_MALFORMED,
    ENVELOPE_FOREIGN_VERSION,
    ENVELOPE_FOREIGN_CLUSTER,
    ENVELOPE_UNKNOWN_KEY,
    ENVELOPE_NOT_AUTHENTIC, // the seal does not open
    ENVELOPE_NOT_SIGNED,    // missing, untrusted or wrong signature where one is due
    ENVELOPE_REPLAYED,      // decided by the caller
    ENVELOPE_OLD,           // a delta already applied; dropped before any cryptography
};
#define ENVELOPE_VERDICTS 9u

// "ok", "malformed", ...: static, for metrics and logs.
const char *envelope_verdict_name(enum envelope_verdict v);

// Appends the complete message. Broadcasts and answers are signed, which needs a signing key. Dies
// at out's ceiling.
void envelope_close(const struct keys *k, enum keys_purpose p, const struct envelope *e,
                    struct slice body, struct buf *out);

struct envelope_expect {
    enum keys_purpose purpose; // of the socket it came from
    const uint8_t *have_epoch; // with have_seq: deltas up to it are ENVELOPE_OLD; NULL: none
    uint64_t have_seq;
};
// On OK the header is in *ret and the body replaces the content of *body; otherwise both are
// undefined.
MUST_CHECK enum envelope_verdict envelope_open(const struct keys *k,
                                               const struct envelope_expect *expect,
                                               struct slice bytes, struct envelope *ret,
                                               struct buf *body);

#endif
