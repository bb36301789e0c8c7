// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench_proc.h"

#include <stdio.h>
#include <unistd.h>

#include "common/base/slice.h"

// Numbers of /proc/PID/stat behind the command name (which may hold anything but its last ')').
enum { FIELD_USER = 11, FIELD_SYSTEM = 12, FIELD_RSS = 21, FIELD_COUNT = 22 };

static bool read_fields(struct slice text, uint64_t ret[FIELD_COUNT])
{
    size_t n = 0;

    for (size_t i = text.n; i > 0; i--) {
        if (text.p[i - 1] == ')') {
            text = slice_from(text, i + 1);
            break;
        }
    }
    while (n < FIELD_COUNT && text.n > 0) {
        struct slice word;

        text = slice_cut(text, ' ', &word);
        // The state is a letter and some fields are negative: they stay 0.
        if (!slice_to_u64(word, &ret[n++])) {
            ret[n - 1] = 0;
        }
    }
    return n == FIELD_COUNT;
}

bool bench_proc_sample(pid_t pid, struct bench_proc *ret, struct err *e)
{
    const uint64_t tick_us = 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    const uint64_t page_kb = (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
    uint64_t fields[FIELD_COUNT];
    char path[64], text[1024];
    FILE *f;
    size_t n;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (f == NULL) {
        return err_set(e, ERR_NOT_FOUND, "no process %d", (int)pid);
    }
    n = fread(text, 1, sizeof(text), f);
    (void)fclose(f); // only read from
    if (!read_fields(SLICE_MAKE(text, n), fields)) {
        return err_set(e, ERR_INVALID, "%s has an unexpected form", path);
    }
    *ret = (struct bench_proc){.user_us = fields[FIELD_USER] * tick_us,
                               .system_us = fields[FIELD_SYSTEM] * tick_us,
                               .rss_kb = fields[FIELD_RSS] * page_kb};
    return true;
}
