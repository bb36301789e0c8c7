// SPDX-License-Identifier: Apache-2.0
// Tests of what must end the process: runs a function in a child and tells whether it aborted with
// the expected text on stderr.
#ifndef SLUICE_TESTS_DEATH_H
#define SLUICE_TESTS_DEATH_H

#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static inline bool death_aborts(void (*fn)(void), const char *text)
{
    const struct rlimit no_core = {0, 0};
    char out[4096];
    size_t n = 0;
    ssize_t got;
    int fds[2], status;
    pid_t pid;

    if (pipe(fds) != 0) {
        return false;
    }
    pid = fork();
    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)dup2(fds[1], STDERR_FILENO);
        fn();
        _exit(0);
    }
    (void)close(fds[1]);
    while (n < sizeof(out) - 1 && (got = read(fds[0], out + n, sizeof(out) - 1 - n)) > 0) {
        n += (size_t)got;
    }
    out[n] = '\0';
    (void)close(fds[0]);
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) &&
           WTERMSIG(status) == SIGABRT && strstr(out, text) != NULL;
}

#endif
