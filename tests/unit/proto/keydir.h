// SPDX-License-Identifier: Apache-2.0
// Key files in a temporary directory for tests of proto/ and both planes.
#ifndef SLUICE_TEST_KEYDIR_H
#define SLUICE_TEST_KEYDIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/keys.h"

static inline void keydir_make(char dir[64])
{
    (void)snprintf(dir, 64, "/tmp/sluice-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static inline void keydir_path(char out[256], const char *dir, const char *name)
{
    (void)snprintf(out, 256, "%s/%s", dir, name);
}

static inline void keydir_write(const char *dir, const char *name, const char *text)
{
    char path[256];
    FILE *f;

    keydir_path(path, dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(chmod(path, 0600), 0);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static inline void keydir_remove(const char *dir)
{
    char command[128];

    (void)snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

// A control plane's ring (signs) or a proxy's (verifies).
static inline struct keys *keydir_load(const char *dir, bool control)
{
    char secret[256], sign[256], pub[256];
    struct keys_files f = {.cluster_secret = secret};
    struct err e = {0};
    struct keys *k;

    keydir_path(secret, dir, "cluster-secret");
    keydir_path(sign, dir, "signing-key");
    keydir_path(pub, dir, "control-public-key");
    if (control) {
        f.signing_key = sign;
    } else {
        f.public_keys = pub;
    }
    k = keys_load(&f, &e);
    if (k == NULL) {
        fail_msg("%s", e.message);
    }
    return k;
}

#endif
