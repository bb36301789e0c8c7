// SPDX-License-Identifier: Apache-2.0
// A resource as Redis holds it: a small header in clear (what scripts and a person need: version,
// where it came from) and the protobuf bytes, sealed with the master key where the kind holds
// secrets (provider keys, settings, providers with headers or query parameters). Pure.
//
//   byte 0   format, 1            4..11   version, big-endian
//   byte 1   1 = sealed           12..    where, `byte 3` bytes
//   byte 2   'a' api 'f' file     then    clear: the resource
//            'e' environment              sealed: 8 bytes master key id, 24 nonce, sealed resource
//   byte 3   length of where
//
// Associated data of the seal: the Redis field ("provider_key:<id>") and the header up to and with
// `where`, so that a record cannot be put in another's place or made to be somebody else's.
#ifndef SLUICE_CONTROLPLANE_RECORD_H
#define SLUICE_CONTROLPLANE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/io/crypto.h"
#include "proto/resource.h"

#define RECORD_FIELD_MAX  (RESOURCE_ID_MAX + 20) // "settings:global"
#define RECORD_WHERE_MAX  255u
#define RECORD_BYTES_MAX  (RESOURCE_BYTES_MAX + 1024u)
#define RECORD_KEY_ID_LEN 8u
#define RECORD_KEYS_MAX   8u

enum record_origin { RECORD_API = 'a', RECORD_FILE = 'f', RECORD_ENV = 'e' };

// Derived from one master key.
struct record_key {
    uint8_t seal[CRYPTO_KEY_BYTES];
    uint8_t secret[CRYPTO_KEY_BYTES]; // makes secrets of virtual keys under an idempotency key
    uint8_t id[RECORD_KEY_ID_LEN];
};

// The master keys there are: the first seals, all open, so that they can be rotated.
struct record_keys {
    struct record_key list[RECORD_KEYS_MAX];
    size_t n;
};

// Appends what a 32-byte master key gives to a zeroed or earlier ring; the caller wipes both.
// False: full.
MUST_CHECK bool record_keys_add(struct record_keys *k, const uint8_t master[CRYPTO_KEY_BYTES]);

// "router:production": the field of the resources' hash. False: id too long. NUL-terminated.
MUST_CHECK bool record_field(enum resource_kind kind, struct slice id, char out[RECORD_FIELD_MAX]);
// The other way. False: no such kind.
MUST_CHECK bool record_parse_field(struct slice field, enum resource_kind *ret_kind,
                                   struct slice *ret_id);

// Appends the record. where: "" or "file.yaml:12", cut to RECORD_WHERE_MAX.
void record_encode(const struct resource *r, enum record_origin origin, const char *where,
                   const struct record_keys *k, struct buf *out);

struct record {
    struct resource *res; // owned by the caller
    enum record_origin origin;
    struct slice where; // borrowed from the bytes
};

// Sealed, but not with the first key of the ring.
MUST_CHECK bool record_is_stale(struct slice bytes, const struct record_keys *k);
// Not sealed although it holds secrets: of a version that did not seal providers.
MUST_CHECK bool record_is_bare(struct slice field, struct slice bytes);
// Whether the record of this resource is sealed.
MUST_CHECK bool record_is_sealed(const struct resource *r);
// ERR_DENIED: sealed with another master key, or not what it says. ERR_INVALID: damaged.
MUST_CHECK bool record_decode(struct slice field, struct slice bytes, const struct record_keys *k,
                              struct record *ret, struct err *e);
// "api", "file", "env".
const char *record_origin_name(enum record_origin o);

#endif
