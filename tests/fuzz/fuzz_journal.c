// SPDX-License-Identifier: Apache-2.0
// Recovery of a usage journal with whatever content: a good file is written, the input damages it
// (edits at places of its choice, records with good checksums and odd contents), it is opened,
// read, written and opened again.
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "dataplane/journal_priv.h"

#define RING (64u << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char dir[64];

static void make_dir(void)
{
    if (dir[0] == '\0') {
        (void)snprintf(dir, sizeof(dir), "%s/fuzz-journal-XXXXXX",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        CHECK(mkdtemp(dir) != NULL);
        log_set_level(LOG_ERROR);
    }
}

static void forget(void)
{
    static const char *const names[] = {JOURNAL_FILE, JOURNAL_FILE ".damaged",
                                        JOURNAL_FILE ".lock"};
    char path[128];

    for (int i = 0; i < 3; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        (void)unlink(path); // may not be there
    }
}

static void add(struct journal *j, unsigned i)
{
    const struct message_usage_record r = {
        .request_id = "req", .key = "k", .provider = "p", .model = "m", .input = i, .attempts = 1};
    struct journal_report report;
    bool batch;

    (void)journal_end(j, journal_begin(j, 0, &r), &r, &batch);
    (void)journal_begin(j, 0, &r);
    if (i % 3 == 0) {
        (void)!journal_seal(j, 1024, 8, &report);
    }
}

static uint32_t take(const uint8_t **data, size_t *n)
{
    uint32_t v = 0;
    size_t k = *n < 4 ? *n : 4;

    memcpy(&v, *data, k);
    *data += k;
    *n -= k;
    return v;
}

// One edit: a word somewhere, or a record with a good checksum and any body.
static void damage(struct journal *j, const uint8_t **data, size_t *n)
{
    uint32_t what = take(data, n), where = take(data, n), value = take(data, n);
    uint64_t head = atomic_load(&j->head);

    if (what % 4 == 0) {
        memcpy(j->map + where % (uint32_t)(j->map_bytes - 4), &value, 4);
    } else if (what % 4 == 1) {
        memcpy(j->map + where % (JOURNAL_PAGE - 4), &value, 4);
    } else if (what % 4 == 2) {
        memcpy(j->ring + where % (uint32_t)(head + 64), &value, 4);
    } else {
        uint64_t pos = where % (RING - 4096) & ~(uint64_t)(JOURNAL_ALIGN - 1);
        struct journal_record *r = journal_at(j, pos);
        size_t body = *n < value % 512 ? *n : value % 512;

        memcpy(r + 1, *data, body);
        journal_commit(j, r, pos, (uint32_t)(sizeof(*r) + body), 1 + what / 4 % 3, what);
    }
}

static void see(void *ctx, const struct journal_report *r)
{
    struct message_usage_record *list;
    struct arena a;

    arena_init(&a, 4096, 0);
    (void)journal_read(ctx, r, &a, &list);
    arena_done(&a);
}

static void read_it(unsigned i)
{
    struct journal *j = journal_open(dir, RING, NULL);
    struct journal_report r;

    CHECK(j != NULL);
    journal_each_report(j, see, j);
    add(j, i);
    while (journal_seal(j, 4096, 64, &r)) {
        see(j, &r);
        journal_release(j, r.to);
    }
    journal_tick(j);
    journal_close(&j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct journal *j;

    make_dir();
    forget();
    j = journal_open(dir, RING, NULL);
    CHECK(j != NULL);
    for (unsigned i = 0; i < 10; i++) {
        add(j, i);
    }
    for (unsigned i = 0; i < 16 && n > 0; i++) {
        damage(j, &data, &n);
    }
    journal_close(&j);
    read_it(1);
    read_it(2);
    forget();
    return 0;
}
