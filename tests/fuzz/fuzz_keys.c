// SPDX-License-Identifier: Apache-2.0
// Files of keys with whatever content, as each of the three kinds.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "proto/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void write_file(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");

    CHECK(f != NULL && fwrite(p, 1, n, f) == n && fclose(f) == 0);
    (void)chmod(path, 0600);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char secret[] = "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=\n";
    static char dir[64], good[96], path[96];
    struct keys_files f = {.cluster_secret = good};
    struct keys *k;
    struct err e;
    struct buf text;

    if (dir[0] == '\0') {
        (void)snprintf(dir, sizeof(dir), "%s/fuzz-keys-XXXXXX",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        CHECK(mkdtemp(dir) != NULL);
        (void)snprintf(good, sizeof(good), "%s/good", dir);
        (void)snprintf(path, sizeof(path), "%s/any", dir);
        write_file(good, secret, sizeof(secret) - 1);
    }
    if (n == 0) {
        return 0;
    }
    write_file(path, data + 1, n - 1);
    if (data[0] % 3 == 0) {
        f.cluster_secret = path;
    } else if (data[0] % 3 == 1) {
        f.signing_key = path;
    } else {
        f.public_keys = path;
    }
    k = keys_load(&f, &e);
    if (k != NULL) {
        buf_init(&text, 4096);
        keys_describe(k, &text);
        CHECK(keys_sealing(k, keys_current(k), KEYS_FILE) != NULL);
        buf_done(&text);
    }
    keys_unref(&k);
    return 0;
}
