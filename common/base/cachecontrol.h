// SPDX-License-Identifier: Apache-2.0
// Cache-Control (RFC 9111), as a router's `directive` and as a request header. Pure.
#ifndef SLUICE_BASE_CACHECONTROL_H
#define SLUICE_BASE_CACHECONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"

#define CACHECONTROL_MAX_S 2147483647u // larger ages count as this (RFC 9111, 1.2.2)

struct cachecontrol {
    bool no_cache, no_store, only_if_cached, is_private, is_public, must_revalidate;
    bool has_max_age, has_s_maxage, has_max_stale, has_min_fresh;
    uint32_t max_age_s, s_maxage_s, min_fresh_s;
    uint32_t max_stale_s; // CACHECONTROL_MAX_S for max-stale without a value
};

// Everything off.
void cachecontrol_init(struct cachecontrol *cc);

// Adds the directives of one header value; a directive that was there keeps its first value.
// Unknown ones are skipped. *ret_bad (may be NULL) gets the first directive that is unknown or
// malformed, or SLICE_NULL; a malformed age counts as 0 (RFC 9111, 4.2.1: treat as stale). Names
// are case-insensitive. True if *ret_bad is SLICE_NULL.
bool cachecontrol_parse(struct cachecontrol *cc, struct slice value, struct slice *ret_bad);

#endif
