// SPDX-License-Identifier: Apache-2.0
// Golden bytes for the tests of proto/: what an earlier build wrote must be read by this one, and
// this one must write the same. SLUICE_UPDATE_GOLDEN=1 writes files that are missing or differ
// (a reviewer then sees the difference).
#ifndef SLUICE_TEST_GOLDEN_H
#define SLUICE_TEST_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

#ifndef SLUICE_SOURCE_DIR // given by CMake
#define SLUICE_SOURCE_DIR "."
#endif

static inline void golden_path(const char *name, char out[512])
{
    (void)snprintf(out, 512, "%s/proto/golden/%s", SLUICE_SOURCE_DIR, name);
}

// Appends the file's bytes; a missing file is a failed test.
static inline void golden_read(const char *name, struct buf *out)
{
    char path[512], part[4096];
    size_t n;
    FILE *f;

    golden_path(name, path);
    f = fopen(path, "rb");
    if (f == NULL) {
        fail_msg("%s is missing: run this test with SLUICE_UPDATE_GOLDEN=1", path);
        return;
    }
    while ((n = fread(part, 1, sizeof(part), f)) > 0) {
        buf_append(out, SLICE_MAKE(part, n));
    }
    (void)fclose(f);
}

static inline void golden_check(const char *name, struct slice bytes)
{
    struct buf old;

    if (getenv("SLUICE_UPDATE_GOLDEN") != NULL) {
        char path[512];
        FILE *f;

        golden_path(name, path);
        f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(bytes.p, 1, bytes.n, f), bytes.n);
        assert_int_equal(fclose(f), 0);
    }
    buf_init(&old, 1 << 20);
    golden_read(name, &old);
    if (!slice_eq(buf_slice(&old), bytes)) {
        fail_msg("%s: this build writes other bytes than the golden ones", name);
    }
    buf_done(&old);
}

#endif
