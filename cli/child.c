// SPDX-License-Identifier: Apache-2.0
#include "cli/child.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mono.h"
#include "common/io/proc.h"

#define BACKOFF_FIRST (100 * MONO_MS)
#define BACKOFF_MAX   (5 * MONO_SEC)
#define HEALTHY_AFTER (10 * MONO_SEC) // lived so long: the next restart is quick again

static void on_restart(struct loop_timer *t)
{
    struct child *c = container_of(t, struct child, restart);
    struct err e = {0};

    if (!child_start(c, &e)) {
        LOG(ERROR, "up.restart_failed", LOG_STR("child", c->name), LOG_ERR(&e));
        loop_timer_set(c->loop, &c->restart, loop_now_us(c->loop) + BACKOFF_MAX);
    }
}

void child_init(struct child *c, struct loop *l, struct arena *a, const char *name,
                const char *run_dir)
{
    *c = (struct child){.name = name, .loop = l, .backoff_us = BACKOFF_FIRST};
    c->restart.fn = on_restart;
    c->pid_file = arena_printf(a, "%s/%s.pid", run_dir, name);
    c->json_file = arena_printf(a, "%s/%s.json", run_dir, name);
}

void child_arg(struct child *c, const char *arg)
{
    CHECK(c->n_args < CHILD_ARGS_MAX);
    c->argv[c->n_args++] = arg;
    c->argv[c->n_args] = NULL;
}

void child_arg2(struct child *c, const char *option, const char *value)
{
    child_arg(c, option);
    child_arg(c, value);
}

bool child_start(struct child *c, struct err *e)
{
    struct proc_child p = {.argv = c->argv,
                           .env = c->env,
                           .passes = c->passes,
                           .own_group = true,
                           .die_with_parent = true};
    char text[32];
    int n;

    (void)unlink(c->json_file); // absent is what is wanted
    c->pid = proc_spawn(&p, e);
    if (c->pid < 0) {
        c->pid = 0;
        return err_prefix(e, "%s", c->name);
    }
    c->started_us = mono_now_us();
    n = snprintf(text, sizeof(text), "%d\n", (int)c->pid);
    return proc_write_file(c->pid_file, (struct slice){text, (size_t)n}, 0644, e);
}

void child_ended(struct child *c, int status)
{
    uint64_t now = mono_now_us();
    char text[32];

    c->pid = 0;
    (void)unlink(c->pid_file);
    if (!c->supervised) {
        return;
    }
    if (now - c->started_us > HEALTHY_AFTER) {
        c->backoff_us = BACKOFF_FIRST;
    }
    LOG(WARN, "up.child_died", LOG_STR("child", c->name),
        LOG_STR("how", proc_status_text(status, text)),
        LOG_UINT("restart_ms", c->backoff_us / MONO_MS));
    loop_timer_set(c->loop, &c->restart, now + c->backoff_us);
    c->backoff_us = c->backoff_us * 2 > BACKOFF_MAX ? BACKOFF_MAX : c->backoff_us * 2;
}

void child_stop(struct child *c, int signo)
{
    c->supervised = false;
    loop_timer_cancel(c->loop, &c->restart);
    if (c->pid > 0) {
        (void)kill(c->pid, signo); // gone already: SIGCHLD is on its way
    }
}

bool child_is_ready(const struct child *c)
{
    return access(c->json_file, R_OK) == 0;
}
