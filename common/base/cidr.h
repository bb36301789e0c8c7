// SPDX-License-Identifier: Apache-2.0
// Networks in CIDR notation (RFC 4632, RFC 4291). Pure.
#ifndef SLUICE_BASE_CIDR_H
#define SLUICE_BASE_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"

struct sockaddr;

struct cidr {
    uint8_t addr[16];
    uint8_t bits;
    bool v4; // first 4 bytes of addr
};

// "10.0.0.0/8", "fd00::/8", or an address alone (all its bits). False: neither.
MUST_CHECK bool cidr_parse(struct slice s, struct cidr *ret);
// Is the address in one of the networks? An IPv4 address mapped into IPv6 counts as IPv4. False for
// other families.
bool cidr_contains(const struct cidr *list, size_t n, const struct sockaddr *address);

#endif
