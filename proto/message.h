// SPDX-License-Identifier: Apache-2.0
// The messages between the planes as plain C structs, and their protobuf bodies. What a message
// means and when it is sent: docs/internals/protocol.md. Strings are NUL-terminated UTF-8;
// arrays are (pointer, n_). Encoding borrows everything; what decoding makes lives in the arena.
#ifndef SLUICE_PROTO_MESSAGE_H
#define SLUICE_PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "proto/resource.h"

// Numbers are for ever. Unknown ones are ignored by the receiver.
enum message_type {
    MESSAGE_DELTA = 1,         // PUB
    MESSAGE_HEARTBEAT = 2,     // PUB
    MESSAGE_SYNC_REQUEST = 3,  // REQ
    MESSAGE_SYNC_CHUNK = 4,    // REP
    MESSAGE_REFUSAL = 5,       // REP
    MESSAGE_REPORT = 6,        // PUSH
    MESSAGE_USAGE_REPORT = 7,  // REQ
    MESSAGE_USAGE_ACK = 8,     // REP
    MESSAGE_LEASE_REQUEST = 9, // REQ
    MESSAGE_LEASE_GRANT = 10,  // REP
    MESSAGE_PROBES = 11,       // PUB
};
#define MESSAGE_TYPE_MAX 11u

#define MESSAGE_BYTES_MAX  (512u * 1024) // a body
#define MESSAGE_ITEMS_MAX  4096u         // elements of any repeated field
#define MESSAGE_STRING_MAX 4096u
#define MESSAGE_CHUNK      (128u * 1024) // a snapshot chunk is closed when it reaches this
#define MESSAGE_DELTA_MAX  (256u * 1024) // a larger delta is announced, not sent

// A resource inside a delta or snapshot, still encoded.
struct message_item {
    uint32_t kind; // enum resource_kind, or one that this version does not know
    const char *id;
    uint64_t version;
    struct slice resource; // for resource_decode
};
struct message_ref {
    uint32_t kind;
    const char *id;
};

struct message_delta {
    uint64_t prev_seq, seq;
    const struct message_item *upserts;
    size_t n_upserts;
    const struct message_ref *deletes;
    size_t n_deletes;
    bool announced; // too large to send: ask for a snapshot
};

struct message_heartbeat {
    uint64_t seq, digest, wall_us;
    uint64_t live; // proxies heard by this control plane; 0: not known (yet)
};

struct message_sync_request {
    const char *proxy;
    uint64_t snapshot; // 0: the beginning
    uint32_t chunk;
    uint64_t have_digest;
    bool hello; // what do you have? No items, please
};

struct message_sync_chunk {
    uint64_t snapshot;
    uint32_t chunk;
    bool last, current;
    uint64_t seq, digest, total;
    struct slice supersedes; // epochs, 16 bytes each, or empty
    const struct message_item *items;
    size_t n_items;
};

enum message_reason {
    MESSAGE_NOT_READY = 1,  // no state yet, or regressed: ask another, ask later
    MESSAGE_STRANGER = 2,   // names another process (a restart): sync first
    MESSAGE_GONE = 3,       // that snapshot is no longer held: begin again
    MESSAGE_REPLAY = 4,     // count too low
    MESSAGE_UNSERVED = 5,   // nobody serves this here, or it could not be answered now
    MESSAGE_UNREADABLE = 6, // its body does not decode: sending it again does not help
};
struct message_refusal {
    uint32_t reason; // enum message_reason
    const char *message;
};

struct message_resource_error {
    uint32_t kind;
    const char *id;
    uint64_t version;
    const char *message;
};

enum message_target_state {
    MESSAGE_TARGET_UNKNOWN = 0,
    MESSAGE_TARGET_HEALTHY = 1,
    MESSAGE_TARGET_COOLING = 2, // rate limited
    MESSAGE_TARGET_EJECTED = 3,
    MESSAGE_TARGET_TRIAL = 4, // half open
};
struct message_target_health {
    const char *provider, *model, *key_id, *endpoint;
    uint32_t state; // enum message_target_state
    uint64_t ewma_us, in_flight, requests, failures;
    uint64_t until_us; // from now
    const char *reason;
};

// Acknowledgement and health report; applied epoch and seq are the envelope's.
struct message_report {
    const char *proxy, *version, *ops;
    uint64_t digest, in_flight, started_wall_us;
    const struct message_resource_error *errors;
    size_t n_errors;
    bool has_targets;
    const struct message_target_health *targets;
    size_t n_targets;
    uint32_t workers;
};

enum message_cache {
    MESSAGE_CACHE_NONE = 0,
    MESSAGE_CACHE_HIT = 1,
    MESSAGE_CACHE_MISS = 2,
    MESSAGE_CACHE_BYPASS = 3,
    MESSAGE_CACHE_COALESCED = 4,
};
struct message_usage_record {
    const char *request_id, *key, *router, *provider, *model; // "" where there is none
    uint32_t status;                                          // HTTP status the client got
    uint64_t input, cached, output, reasoning;                // tokens
    uint64_t cost;                                            // nano-USD
    uint32_t cache;                                           // enum message_cache
    uint64_t latency_us, ttft_us;
    uint32_t attempts;
    bool interrupted; // no end was seen; tokens are estimates
    uint64_t wall_us; // end of the request
    const char *team, *user, *tags;
    bool stream, estimated;
    const char *outcome; // "" as it should be; "client_gone", or the code of the failure
};

struct message_usage_report {
    const char *proxy, *stream; // stream: names one numbering
    uint64_t number, oldest;
    const struct message_usage_record *records;
    size_t n_records;
};

struct message_usage_ack {
    uint64_t last;
};

struct message_lease_item {
    const char *limit_id;
    uint64_t want;     // units asked for
    uint64_t returned; // units of an earlier lease given back
    uint64_t debt;     // units used beyond what was leased
    uint64_t window;   // of what is returned; 0: of a bucket
    uint64_t batch;    // of what is returned to a bucket: the oldest
    uint64_t unit;     // enum resource_unit that all this is counted in; 0: not said
    uint64_t no;       // rises with each question about a limit; 0: not said, nor `taken`
    uint64_t taken;  // units of `window` the holder has, spent or not, after `returned` and `debt`
    uint64_t period; // us the limit is over, or its enum resource_calendar; 0: not said
    uint64_t since;  // number of the first question since the last answer heard; 0: not said
    uint64_t again;  // returned to a bucket by those questions; told again, not counted twice
};
struct message_lease_request {
    const char *proxy;
    const struct message_lease_item *items;
    size_t n_items;
    const char *holder; // who has what is granted; "": the proxy, by its name
};

struct message_grant {
    const char *limit_id;
    uint64_t granted; // units, valid for lease_us from receipt
    uint64_t lease_us;
    uint64_t remaining;      // of the whole limit, after this grant
    uint64_t amount;         // of the limit
    uint64_t empty_until_us; // from now; 0: not empty
    uint64_t reset_us;       // until the limit is whole again, from now
    uint64_t window;         // names the window; 0: a bucket
    uint64_t batch;          // numbers what a bucket has granted
};
struct message_lease_grant {
    const struct message_grant *grants;
    size_t n_grants;
};

struct message_probe {
    const char *provider;
    bool good;
    uint64_t latency_us;
    const char *reason; // of a bad one
};
struct message_probes {
    const struct message_probe *probes;
    size_t n_probes;
};

struct message {
    enum message_type type;
    union {
        struct message_delta delta;
        struct message_heartbeat heartbeat;
        struct message_sync_request sync_request;
        struct message_sync_chunk sync_chunk;
        struct message_refusal refusal;
        struct message_report report;
        struct message_usage_report usage_report;
        struct message_usage_ack usage_ack;
        struct message_lease_request lease_request;
        struct message_lease_grant lease_grant;
        struct message_probes probes;
    } u;
};

// Appends the body; dies at out's ceiling (callers bound what they put in).
void message_encode(const struct message *m, struct buf *out);
// False with *e naming the field. Everything in *ret lives in the arena.
MUST_CHECK bool message_decode(enum message_type type, struct slice body, struct arena *arena,
                               struct message *ret, struct err *e);
// "delta", ...; "unknown" for others. Static.
const char *message_type_name(uint32_t type);

// A block of items for the last-known-good file.
void message_encode_items(const struct message_item *items, size_t n, struct buf *out);
MUST_CHECK bool message_decode_items(struct slice body, struct arena *arena,
                                     const struct message_item **ret, size_t *ret_n, struct err *e);
// Encoded size of one item inside a message, at most.
size_t message_item_size(const struct message_item *item);

#endif
