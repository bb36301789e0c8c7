// SPDX-License-Identifier: Apache-2.0
// Freshness of what proxies send: every process that sends has a random id and counts its messages
// on each kind of socket; a count that is not above the last one is a replay. Loop thread only.
#ifndef SLUICE_CONTROLPLANE_SENDERS_H
#define SLUICE_CONTROLPLANE_SENDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "proto/envelope.h"

struct senders;

enum senders_socket { SENDERS_REQ, SENDERS_PUSH };
#define SENDERS_SOCKETS 2u
#define SENDERS_MAX     65536u // processes remembered; those silent for an hour go first

struct senders *senders_new(void);
void senders_free(struct senders **s);
// Notes an authentic message. False: seen before, or too many processes.
MUST_CHECK bool senders_is_fresh(struct senders *s, const struct envelope *e,
                                 enum senders_socket socket, uint64_t now_us);

#endif
