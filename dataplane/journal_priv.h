// SPDX-License-Identifier: Apache-2.0
// The journal's file as it lies in memory: for journal.c (appending, reading) and journal_open.c
// (making, recovering) only. Drawing: top of journal.c.
#ifndef SLUICE_DATAPLANE_JOURNAL_PRIV_H
#define SLUICE_DATAPLANE_JOURNAL_PRIV_H

#include <stdatomic.h>

#include "common/base/hash.h"
#include "dataplane/journal.h"

#define JOURNAL_MAGIC      "SLUJRNL1"
#define JOURNAL_PAGE       4096u
#define JOURNAL_ALIGN      32u
#define JOURNAL_SLOT_BYTES 512u
#define JOURNAL_RING_MIN   (64u << 10)
#define JOURNAL_RING_MAX   (1u << 30)
#define JOURNAL_SLOTS_MAX  (1u << 20)
#define JOURNAL_POS_MAX    (1ULL << 56)

enum journal_type { JOURNAL_PAD = 1, JOURNAL_USAGE = 2, JOURNAL_SEAL = 3 };

struct journal_header {
    char magic[8];
    uint32_t slots, reserved;
    uint64_t ring;
    struct hash_key key;
    char stream[24];
    uint64_t sum; // of everything above
    // These change.
    _Atomic uint64_t tail, next_number, starts;
};

struct journal_record {
    _Atomic uint64_t mark; // position ^ key, stored last
    uint32_t sum;          // of everything behind it
    uint32_t len;          // of header and body, not rounded up
    uint64_t id;           // USAGE: of the slot, 0: none
    uint32_t type, reserved;
};

struct journal_slot {
    _Atomic uint64_t id; // 0: free
    uint32_t sum, len;   // of the body behind it
};

struct journal_next {
    _Atomic uint32_t n; // 0: the last
};

struct journal_seal {
    uint64_t number, from, to, n_records;
};

struct journal {
    int fd, lock; // -1: in memory
    uint8_t *map;
    size_t map_bytes;
    struct journal_header *h;
    uint8_t *slots, *ring;
    uint64_t ring_bytes, id_base;
    struct hash_key key;
    _Atomic uint64_t head, tail, ids;
    _Atomic uint64_t free_top;      // of the stack of free slots: turn << 32 | number
    struct journal_next *free_next; // by slot number (from 1)
    _Atomic uint64_t records, lost, unjournaled;
    // The link's thread.
    uint64_t sealed, next_number, given_back, interrupted;
    struct journal_report *reports; // as found; owned
    size_t n_reports;
    bool recovered;
};

_Static_assert(sizeof(struct journal_record) == JOURNAL_ALIGN, "a PAD fits everywhere");
_Static_assert(sizeof(struct journal_header) <= JOURNAL_PAGE, "header page");

struct journal_record *journal_at(const struct journal *j, uint64_t pos);
uint64_t journal_rounded(uint64_t len);
// The record at a position: marked and of a sane shape; with its checksum only if asked for. NULL:
// not (yet) there.
const struct journal_record *journal_look(const struct journal *j, uint64_t pos, bool sum);
// Fills the header of a record whose body is written; the mark last.
void journal_commit(struct journal *j, struct journal_record *r, uint64_t pos, uint32_t len,
                    enum journal_type type, uint64_t id);
// A USAGE record; `spare` bytes of the ring stay free. False: full, counted.
bool journal_append(struct journal *j, struct message_usage_record *m, uint64_t id, uint64_t spare,
                    bool *ret_batch);
// Decodes a body; strings in the arena. False: not one.
bool journal_get_body(const uint8_t *p, size_t n, struct arena *a, struct message_usage_record *r);
// Slots count from 1.
struct journal_slot *journal_slot(const struct journal *j, uint32_t n);
uint32_t journal_slot_sum(const struct journal *j, const struct journal_slot *s, uint64_t id);
void journal_slot_push(struct journal *j, uint32_t n);

#endif
