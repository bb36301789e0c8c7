// SPDX-License-Identifier: Apache-2.0
// Virtual keys as the admin API sees them: from a JSON body to a resource and back, ids and
// secrets. Pure (randomness comes from common/io/crypto.h).
//
//   sk-sluice-<id>-<secret>      id 18, secret 43 base62 characters
//
// Only a keyed hash of the secret is kept. The secret itself is made from the master key, the id
// and a salt: whoever repeats a request with the same Idempotency-Key is given the same secret
// again although nobody has stored it (the salt is, for a day).
#ifndef SLUICE_CONTROLPLANE_VKEY_H
#define SLUICE_CONTROLPLANE_VKEY_H

#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "common/io/crypto.h"
#include "common/io/json.h"
#include "controlplane/follow.h"
#include "proto/resource.h"

#define VKEY_PREFIX       "sk-sluice-"
#define VKEY_ID_CHARS     18u
#define VKEY_SECRET_CHARS 43u // 256 bits
#define VKEY_SALT_HEX     32u
#define VKEY_TEXT_MAX     (10 + RESOURCE_ID_MAX + 1 + VKEY_SECRET_CHARS + 1)

// A key made from the body of a POST (base NULL) or base changed by the body of a PATCH; the
// version is base's + 1. One reference; its hash is base's (or zero). NULL with problems in *r.
MUST_CHECK struct resource *vkey_from_body(const struct json_at *body, const struct resource *base,
                                           struct slice id, uint64_t now_wall_us,
                                           struct json_report *r);
// A copy that may be changed, version + 1.
struct resource *vkey_copy(const struct resource *base);

// "sk-sluice-<id>-<secret>" for the salt; *ret_hash is what to store. The caller wipes `out`.
void vkey_make_secret(struct slice id, struct slice salt, const uint8_t key[CRYPTO_KEY_BYTES],
                      const uint8_t key_hash_key[32], char out[VKEY_TEXT_MAX],
                      uint8_t ret_hash[32]);
// "active", "disabled", "expired".
const char *vkey_state(const struct resource_key *k, uint64_t now_wall_us);
// The members of the object, without the braces. full: the whole key, once; NULL otherwise. owner:
// NULL = the API's.
void vkey_render(struct json_out *o, const struct resource *r, const char *full,
                 const struct follow_owner *owner, uint64_t now_wall_us);

#endif
