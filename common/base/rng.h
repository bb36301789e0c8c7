// SPDX-License-Identifier: Apache-2.0
// Fast non-cryptographic random numbers (xoshiro256**), one state per thread. Ids and secrets come
// from common/io/crypto.h.
#ifndef SLUICE_BASE_RNG_H
#define SLUICE_BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

// seed 0: from getrandom(2).
void rng_init(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
// Uniform in [0, n); n > 0.
uint64_t rng_below(struct rng *r, uint64_t n);
// Uniform in [0, 1).
double rng_unit(struct rng *r);

#endif
