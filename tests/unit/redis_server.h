// SPDX-License-Identifier: Apache-2.0
// A private redis-server on a unix socket in a temporary directory, for tests of what speaks to
// Redis. Skips nothing: without the program the test fails.
#ifndef SLUICE_TESTS_REDIS_SERVER_H
#define SLUICE_TESTS_REDIS_SERVER_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct redis_server {
    char dir[64];
    char socket[96];
    char url[112];
    pid_t pid;
};

static inline bool redis_server_answers(const struct redis_server *s)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok;

    memcpy(a.sun_path, s->socket, strlen(s->socket) + 1);
    ok = connect(fd, (const struct sockaddr *)&a, sizeof(a)) == 0;
    (void)close(fd);
    return ok;
}

// Starts (again) on the same directory. extra: one more option or NULL ("--requirepass", "x").
static inline bool redis_server_start(struct redis_server *s, const char *option, const char *value)
{
    if (s->dir[0] == '\0') {
        (void)snprintf(s->dir, sizeof(s->dir), "/tmp/sluice-redis-XXXXXX");
        if (mkdtemp(s->dir) == NULL) {
            return false;
        }
        (void)snprintf(s->socket, sizeof(s->socket), "%s/s", s->dir);
        (void)snprintf(s->url, sizeof(s->url), "unix:%s", s->socket);
    }
    (void)signal(SIGPIPE, SIG_IGN); // as proc_signals_new does for the programs
    s->pid = fork();
    if (s->pid == 0) {
        int null = open("/dev/null", O_RDWR);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(null, 0);
        (void)dup2(null, 1);
        (void)dup2(null, 2);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", s->socket, "--dir",
               s->dir, "--save", "", "--appendonly", "no", option, value, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 6000; i++) { // a minute: a busy machine is slow to start it
        const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

        if (redis_server_answers(s)) {
            return true;
        }
        if (waitpid(s->pid, NULL, WNOHANG) != 0) {
            return false;
        }
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

// Returns when it has stopped: the system tells one thread, and until that one comes to run, the
// others go on and answer.
static inline bool redis_server_freeze(const struct redis_server *s)
{
    int status;

    return kill(s->pid, SIGSTOP) == 0 && waitpid(s->pid, &status, WUNTRACED) == s->pid &&
           WIFSTOPPED(status);
}

static inline bool redis_server_thaw(const struct redis_server *s)
{
    return kill(s->pid, SIGCONT) == 0;
}

static inline void redis_server_kill(struct redis_server *s)
{
    if (s->pid > 0) {
        (void)kill(s->pid, SIGKILL);
        (void)waitpid(s->pid, NULL, 0);
        s->pid = 0;
    }
    (void)unlink(s->socket);
}

static inline void redis_server_stop(struct redis_server *s)
{
    redis_server_kill(s);
    (void)rmdir(s->dir);
}

#endif
