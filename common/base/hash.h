// SPDX-License-Identifier: Apache-2.0
// SipHash-1-3: keyed, for tables whose keys come from outside.
#ifndef SLUICE_BASE_HASH_H
#define SLUICE_BASE_HASH_H

#include <stdint.h>

#include "common/base/slice.h"

struct hash_key {
    uint64_t k0, k1;
};

// The same for the same key and bytes, in every process of this version. Pure.
uint64_t hash_bytes(const struct hash_key *key, struct slice s);
// Process-wide random key, made once at first use from getrandom(2). Thread-safe.
const struct hash_key *hash_process_key(void);

#endif
