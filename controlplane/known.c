// SPDX-License-Identifier: Apache-2.0
//   Redis's epoch       its seq       it is
//   ours                >= known      where it should be
//   ours                <  known      regressed: an older copy of it
//   supersedes ours     any           where it should be: a person has adopted it
//   another             any           regressed: not the same installation, or emptied
#include "controlplane/known.h"

#include <stdio.h>
#include <string.h>

void known_reach(struct known *k, const uint8_t epoch[STATE_EPOCH_BYTES], uint64_t seq)
{
    if (!k->somewhere || memcmp(k->epoch, epoch, STATE_EPOCH_BYTES) != 0) {
        memcpy(k->epoch, epoch, STATE_EPOCH_BYTES);
        k->somewhere = true;
        k->seq = 0;
    }
    if (seq > k->seq) {
        k->seq = seq;
    }
}

void known_hear(struct known *k, const uint8_t epoch[STATE_EPOCH_BYTES], uint64_t seq)
{
    if (k->somewhere && memcmp(k->epoch, epoch, STATE_EPOCH_BYTES) == 0 && seq > k->seq) {
        k->seq = seq;
    }
}

void known_supersede(struct known *k, struct slice list)
{
    size_t n = list.n - list.n % STATE_EPOCH_BYTES;

    if (n > sizeof(k->superseded)) { // the newest are at the end
        list = slice_from(list, n - sizeof(k->superseded));
        n = sizeof(k->superseded);
    }
    k->n_superseded = n;
    if (n > 0) {
        memcpy(k->superseded, list.p, n);
    }
}

static bool is_superseded(const struct known *k)
{
    for (size_t i = 0; i < k->n_superseded; i += STATE_EPOCH_BYTES) {
        if (memcmp(k->superseded + i, k->epoch, STATE_EPOCH_BYTES) == 0) {
            return true;
        }
    }
    return false;
}

bool known_has_regressed(const struct known *k, const uint8_t epoch[STATE_EPOCH_BYTES],
                         uint64_t seq, char message[KNOWN_REASON_CHARS])
{
    if (!k->somewhere) {
        return false;
    }
    if (memcmp(epoch, k->epoch, STATE_EPOCH_BYTES) != 0) {
        (void)snprintf(message, KNOWN_REASON_CHARS,
                       "Redis has another epoch than the one seen before");
        return !is_superseded(k);
    }
    (void)snprintf(message, KNOWN_REASON_CHARS,
                   "Redis went back in time: its sequence is %llu, %llu was seen before",
                   (unsigned long long)seq, (unsigned long long)k->seq);
    return seq < k->seq;
}
