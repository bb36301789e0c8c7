// SPDX-License-Identifier: Apache-2.0
// Looks on as one limit is used, and holds what was admitted against the bound of the interface:
//
//   bucket   in every interval of length w between two admissions at most amount + amount * w /
//   per.
//            That is so for all intervals if, and only if, a bucket of that size which fills at
//            that pace and loses each unit as it is admitted never runs below zero.
//   window   at most `amount` in each; windows are counted by the true time.
#ifndef SLUICE_TESTS_SIM_WATCH_H
#define SLUICE_TESTS_SIM_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct watch {
    const char *name; // borrowed
    // Set at the start.
    uint64_t amount, per_us;
    bool window;        // else: a bucket
    uint64_t anchor_us; // of windows: one begins then
    double level;       // of a bucket at the start; else: what is left of this window
    // Kept by watch_admit.
    uint64_t at_us;
    double worst;    // units beyond the bound; <= 0: none
    double admitted; // units
    // Usable share: what was admitted since `from_us`, against what came in that time.
    uint64_t from_us, until_us;
    double counted;
    double windows_used; // of windows that are over, and how many
    unsigned windows;
    uint64_t asked;
};

// Units admitted at this moment; times must not go back.
void watch_admit(struct watch *w, double units, uint64_t now_us);
// Windows that have ended by now.
void watch_advance(struct watch *w, uint64_t now_us);
// Of what the refill gave (or the windows held). NAN: nothing to measure.
double watch_share(const struct watch *w);
// Runs the check over admissions that are known to be right or wrong. False: it does not work.
bool watch_works(void);

#endif
