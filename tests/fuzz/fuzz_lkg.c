// SPDX-License-Identifier: Apache-2.0
// The last-known-good file with whatever content. A random input never gets past the seal, so the
// first byte chooses: the file as it comes; a good file with edits of the input's choice; or the
// input as what stands inside a sealed block.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/proc.h"
#include "dataplane/lkg.h"
#include "proto/message.h"

#define FILE_BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char dir[64], file[128];
static struct keys *ring;
static struct buf good; // a file as lkg_save writes it

static void write_good(void)
{
    struct resource *one = resource_new(RESOURCE_TEAM, SLICE("t"), 3);
    struct snapshot *s = snapshot_new((const uint8_t[16]){1}, 7, &one, 1);
    struct lkg *l = lkg_new(dir, ring, NULL);

    CHECK(l != NULL);
    lkg_save(l, s);
    lkg_free(&l);
    snapshot_unref(&s);
    snapshot_reap();
    resource_unref(&one);
    buf_init(&good, FILE_BYTES_MAX);
    CHECK(proc_read_file(file, FILE_BYTES_MAX, &good, NULL));
}

static void setup(void)
{
    static const char *const names[] = {"cluster-secret", "signing-key", "control-public-key"};
    char path[3][128];
    struct keys_files f = {.cluster_secret = path[0]};

    if (ring != NULL) {
        return;
    }
    log_set_level(LOG_ERROR);
    (void)snprintf(dir, sizeof(dir), "%s/fuzz-lkg-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(dir) != NULL);
    (void)snprintf(file, sizeof(file), "%s/last-known-good", dir);
    CHECK(keys_create(dir, NULL));
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(path[i], sizeof(path[i]), "%s/%s", dir, names[i]);
    }
    ring = keys_load(&f, NULL);
    CHECK(ring != NULL);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(unlink(path[i]) == 0);
    }
    write_good();
}

static void load(struct slice content)
{
    struct snapshot *s;
    uint8_t epoch[16];
    bool stale = false;
    FILE *f = fopen(file, "wb");

    CHECK(f != NULL && fwrite(content.p, 1, content.n, f) == content.n && fclose(f) == 0);
    (void)!lkg_epoch(dir, ring, epoch);
    s = lkg_load(dir, ring, &stale, NULL);
    if (s != NULL) { // nothing but what was written
        CHECK(snapshot_seq(s) == 7 && snapshot_find(s, RESOURCE_TEAM, SLICE("t")) != NULL);
        snapshot_unref(&s);
        snapshot_reap();
    }
}

// Each three bytes: where, and what is to be there; the last one cuts the file.
static void load_edited(const uint8_t *data, size_t n)
{
    char *copy = mem_alloc(good.n);
    size_t length = good.n;

    memcpy(copy, buf_slice(&good).p, good.n);
    for (; n >= 3; data += 3, n -= 3) {
        copy[((size_t)data[0] << 8 | data[1]) % good.n] ^= (char)data[2];
    }
    if (n > 0) {
        length -= data[0] % good.n;
    }
    load(SLICE_MAKE(copy, length));
    mem_free(copy);
}

static void decode_items(struct slice body)
{
    const struct message_item *items;
    struct arena arena;
    struct buf again;
    size_t n;

    arena_init(&arena, 4096, 0);
    buf_init(&again, 4 * (size_t)MESSAGE_BYTES_MAX);
    if (message_decode_items(body, &arena, &items, &n, NULL)) {
        for (size_t i = 0; i < n; i++) {
            struct resource *r = resource_decode(items[i].resource, NULL);

            resource_unref(&r);
        }
        message_encode_items(items, n, &again);
    }
    buf_done(&again);
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    setup();
    if (n == 0) {
        return 0;
    }
    if (data[0] % 3 == 0) {
        load(SLICE_MAKE((const char *)data + 1, n - 1));
    } else if (data[0] % 3 == 1) {
        load_edited(data + 1, n - 1);
    } else {
        decode_items(SLICE_MAKE((const char *)data + 1, n - 1));
    }
    return 0;
}
