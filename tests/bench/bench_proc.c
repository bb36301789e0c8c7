// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench_proc.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Fields of /proc/PID/stat behind the command name, counted from the state: utime is the 12th,
// stime the 13th, rss (pages) the 22nd.
bool bench_proc_sample(pid_t pid, struct bench_proc *ret, struct err *e)
{
    const uint64_t tick_us = 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
    const uint64_t page_kb = (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
    char path[64], text[1024];
    unsigned long user = 0, system = 0, pages = 0;
    const char *p;
    FILE *f;
    size_t n;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (f == NULL) {
        return err_set(e, ERR_NOT_FOUND, "no process %d", (int)pid);
    }
    n = fread(text, 1, sizeof(text) - 1, f);
    (void)fclose(f); // only read from
    text[n] = '\0';
    p = strrchr(text, ')');
    if (p == NULL || sscanf(p + 1,
                            " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d "
                            "%*d %*d %*u %*u %lu",
                            &user, &system, &pages) != 3) {
        return err_set(e, ERR_INVALID, "%s has an unexpected form", path);
    }
    *ret = (struct bench_proc){
        .user_us = user * tick_us, .system_us = system * tick_us, .rss_kb = pages * page_kb};
    return true;
}
