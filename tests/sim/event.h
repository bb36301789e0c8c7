// SPDX-License-Identifier: Apache-2.0
// What happens when: a heap of events in virtual time. Events of the same moment come in the order
// in which they were added.
#ifndef SLUICE_TESTS_SIM_EVENT_H
#define SLUICE_TESTS_SIM_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*event_fn)(void *arg, uint64_t n);

struct event {
    uint64_t at_us, order;
    event_fn fn;
    void *arg; // borrowed
    uint64_t n;
};

struct events {
    struct event *heap; // owned
    size_t len, cap;
    uint64_t added;
    uint64_t now_us; // time of the last event taken
};

// Zero-initialise struct events, but for now_us.
void events_done(struct events *e);
// Not before now.
void events_add(struct events *e, uint64_t at_us, event_fn fn, void *arg, uint64_t n);
// Calls the next one. False: there is none before `until_us`; now is then until_us.
bool events_step(struct events *e, uint64_t until_us);

#endif
