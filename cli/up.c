// SPDX-License-Identifier: Apache-2.0
// Starts the programs one after the other, each when the one before is ready, then keeps them
// running.
//
//   mock (demo only) -> redis -> control -> proxy -> RUNNING --SIGTERM/SIGINT--> stop proxy ->
//   control -> redis, mock
//
// Ready means: the ready file is there (ours), PONG came back (Redis). A child that ends before it
// was ready ends the whole start with its reason; later ones are restarted. SIGHUP goes on to
// control and proxy. A second Ctrl-C kills.
#include "cli/up.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/install.h"
#include "cli/up_priv.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/proc.h"

#define POLL_US  (3 * MONO_MS)
#define START_US (60 * MONO_SEC) // per child
#define STOP_US                                                                                    \
    (120 * MONO_SEC) // per child, then SIGKILL; the proxy ends itself by its shutdown-timeout

static const char usage[] =
    "usage: sluice up [-c FILE] [--env-file .env] [--data-dir DIR] [--port 8080] [--admin-port 8081]\n"
    "                 [--ops-port N] [--workers N] [--demo] [--insecure-no-auth] [--ready-file FILE]\n"
    "Starts a private Redis, the control plane and one proxy, and keeps them running. Provider keys come from the\n"
    "environment and the env file (OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, ...). Without any, or with --demo, a\n"
    "built-in fake provider answers. Ctrl-C stops everything, in order.\n";

static const struct options_def defs[] = {
    {"config", false},     {"env-file", false},        {"port", false},
    {"admin-port", false}, {"ops-port", false},        {"workers", false},
    {"demo", true},        {"insecure-no-auth", true}, {"ready-file", false},
};

const char *const up_step_names[UP_COUNT] = {"mock", "redis", "control", "proxy"};

const char *up_path(struct up *u, const char *dir, const char *name)
{
    return arena_printf(&u->arena, "%s/%s", dir, name);
}

// --- everything runs
// ------------------------------------------------------------------------------

static bool write_ready_file(struct up *u, int64_t port, int64_t admin_port, int64_t ops_port)
{
    const char *file = options_get(&u->opt, "ready-file");
    struct err e = {0};
    const char *line;

    if (file == NULL) {
        return true;
    }
    line = arena_printf(&u->arena, "{\"port\":%d,\"admin_port\":%d,\"ops_port\":%d}\n", (int)port,
                        (int)admin_port, (int)ops_port);
    if (!proc_write_file(file, slice_str(line), 0644, &e)) {
        LOG(ERROR, "up.ready_file", LOG_ERR(&e));
        return false;
    }
    return true;
}

// Restarted children must come back on the same ports.
static void pin_port(struct up *u, struct child *c, const char *option, int64_t port)
{
    const char *value = arena_printf(&u->arena, "%d", (int)port);

    for (size_t i = 0; i + 1 < c->n_args; i++) {
        if (strcmp(c->argv[i], option) == 0) {
            c->argv[i + 1] = value;
            return;
        }
    }
    child_arg2(c, option, value);
}

static void on_running(struct up *u)
{
    struct child *control = &u->children[UP_CONTROL], *proxy = &u->children[UP_PROXY];
    int64_t port = up_ready_number(proxy, "port"), ops = up_ready_number(proxy, "ops_port");
    int64_t admin = up_ready_number(control, "admin_port");

    loop_timer_cancel(u->loop, &u->deadline);
    pin_port(u, proxy, "--port", port);
    pin_port(u, proxy, "--ops-port", ops);
    pin_port(u, control, "--admin-port", admin);
    u->tls = up_ready_flag(proxy, "tls");
    up_ready_print(u, port, admin);
    (void)proc_notify("READY=1");
    if (!write_ready_file(u, port, admin, ops)) {
        (void)raise(SIGTERM);
    }
}

// --- start and stop ----------------------------------------------------------------------------

static void stop_next(struct up *u);

static void fail(struct up *u, int code)
{
    u->exit_code = code;
    if (!u->stopping) {
        u->stopping = true;
        loop_timer_cancel(u->loop, &u->poll);
        stop_next(u);
    }
}

static void start_step(struct up *u)
{
    struct err e = {0};

    while (u->step < UP_COUNT && !u->wanted[u->step]) {
        u->step++;
    }
    if (u->step == UP_COUNT) {
        on_running(u);
        return;
    }
    if (!child_start(&u->children[u->step], &e)) {
        (void)fprintf(stderr, "sluice: %s\n", e.message);
        fail(u, 1);
        return;
    }
    loop_timer_set(u->loop, &u->deadline, mono_now_us() + START_US);
    loop_timer_set(u->loop, &u->poll, mono_now_us() + POLL_US);
}

static void on_poll(struct loop_timer *t)
{
    struct up *u = container_of(t, struct up, poll);

    if (!up_ready(u, u->step)) {
        loop_timer_set(u->loop, &u->poll, mono_now_us() + POLL_US);
        return;
    }
    if (u->step == UP_MOCK) {
        u->control_env[0] =
            arena_printf(&u->arena, "SLUICE__PROVIDERS__MOCK__BASE_URL=http://127.0.0.1:%d/v1/",
                         (int)up_ready_number(&u->children[UP_MOCK], "ports"));
    }
    if (u->step == UP_REDIS) {
        struct err e = {0};

        // What the others write themselves, for scripts that look at DATA_DIR/run.
        if (!proc_write_file(
                u->children[UP_REDIS].json_file,
                slice_str(arena_printf(&u->arena, "{\"socket\":\"%s/redis.sock\"}\n", u->run)),
                0644, &e)) {
            LOG(WARN, "up.redis_json", LOG_ERR(&e));
        }
    }
    u->children[u->step].supervised = true;
    u->step++;
    start_step(u);
}

// The child that has to go next, or -1: the last started first.
static int last_alive(const struct up *u)
{
    for (int i = UP_COUNT - 1; i >= 0; i--) {
        if (u->children[i].pid > 0) {
            return i;
        }
    }
    return -1;
}

static void stop_next(struct up *u)
{
    int i;

    for (i = 0; i < UP_COUNT; i++) {
        u->children[i].supervised = false;
        loop_timer_cancel(u->loop, &u->children[i].restart);
    }
    i = last_alive(u);
    if (i < 0) {
        loop_stop(u->loop);
        return;
    }
    child_stop(&u->children[i], SIGTERM);
    loop_timer_set(u->loop, &u->deadline, mono_now_us() + STOP_US);
}

static void on_deadline(struct loop_timer *t)
{
    struct up *u = container_of(t, struct up, deadline);
    int i = last_alive(u);

    if (!u->stopping) {
        (void)fprintf(stderr, "sluice: %s was not ready within %d s\n", up_step_names[u->step],
                      (int)(START_US / MONO_SEC));
        fail(u, 1);
    } else if (i >= 0) {
        LOG(WARN, "up.kill", LOG_STR("child", up_step_names[i]));
        child_stop(&u->children[i], SIGKILL);
    }
}

static void on_child_end(struct up *u, int step, int status)
{
    char text[32];

    child_ended(&u->children[step], status);
    if (u->stopping) {
        stop_next(u);
    } else if (u->step < UP_COUNT && step == u->step) {
        (void)fprintf(stderr, "sluice: %s ended before it was ready: %s\n", up_step_names[step],
                      proc_status_text(status, text));
        fail(u, WIFEXITED(status) && WEXITSTATUS(status) == 2 ? 2 : 1);
    }
}

static void reap(struct up *u)
{
    pid_t pid;
    int status;

    while (proc_reap(&pid, &status)) {
        for (int i = 0; i < UP_COUNT; i++) {
            if (u->children[i].pid == pid) {
                on_child_end(u, i, status);
                break;
            }
        }
    }
}

static void on_signal(void *arg, int signo)
{
    struct up *u = arg;

    if (signo == SIGCHLD) {
        reap(u);
    } else if (signo == SIGHUP) {
        for (int i = UP_CONTROL; i <= UP_PROXY; i++) {
            if (u->children[i].pid > 0) {
                (void)kill(u->children[i].pid, SIGHUP);
            }
        }
    } else if (!u->stopping) {
        (void)proc_notify("STOPPING=1");
        fail(u, 0);
    } else {
        for (int i = 0; i < UP_COUNT; i++) {
            child_stop(&u->children[i], SIGKILL);
        }
    }
}

// --- before the loop ---------------------------------------------------------------------------

// Directories, lock, secrets. Returns an exit code.
static int prepare(struct up *u)
{
    char cwd[4096] = "";
    struct err e = {0};
    bool fresh;
    int keys;

    u->data = u->opt.admin.data_dir != NULL ? u->opt.admin.data_dir : ".sluice";
    if (getcwd(cwd, sizeof(cwd)) == NULL) {
        (void)fprintf(stderr, "sluice: the current directory: %s\n", strerror(errno));
        return 1;
    }
    u->data = u->data[0] == '/' ? u->data : arena_printf(&u->arena, "%s/%s", cwd, u->data);
    u->run = up_path(u, u->data, "run");
    if (strlen(u->run) > sizeof(((struct sockaddr_un *)NULL)->sun_path) - 20) {
        (void)fprintf(stderr,
                      "sluice: the data directory's path is too long for unix sockets (%s)\n",
                      u->data);
        return 2;
    }
    if (!proc_mkdirs(u->run, &e) || !proc_mkdirs(up_path(u, u->data, "redis"), &e) ||
        !proc_mkdirs(up_path(u, u->data, "proxy"), &e)) {
        (void)fprintf(stderr, "sluice: %s\n", e.message);
        return 1;
    }
    u->lock = proc_lock(up_path(u, u->run, "lock"), &e);
    if (u->lock < 0) {
        (void)fprintf(stderr, "sluice: another `sluice up` runs on %s (%s)\n", u->data, e.message);
        return 1;
    }
    keys = up_children_check_keys(u);
    if (keys != 0 && keys != 1) {
        return keys == 2 ? 2 : 1;
    }
    u->demo = keys == 1 || options_has(&u->opt, "demo");
    if (!install_secrets(u->data, &fresh, &e)) {
        (void)fprintf(stderr, "sluice: %s\n", e.message);
        return 1;
    }
    return 0;
}

static int run(struct up *u)
{
    struct err e = {0};

    u->poll.fn = on_poll;
    u->deadline.fn = on_deadline;
    u->loop = loop_new(&e);
    if (u->loop != NULL) {
        u->signals = proc_signals_new(u->loop, on_signal, u, &e);
    }
    if (u->signals == NULL) {
        (void)fprintf(stderr, "sluice: %s\n", e.message);
        return 1;
    }
    up_children_build(u);
    start_step(u);
    loop_run(u->loop);
    loop_timer_cancel(u->loop, &u->poll);
    loop_timer_cancel(u->loop, &u->deadline);
    return u->exit_code;
}

int up_main(int argc, char **argv)
{
    struct up *u = mem_zalloc(sizeof(*u));
    int code = 2;

    arena_init(&u->arena, 8192, 0);
    u->lock = -1;
    log_setup("up", LOG_INFO, false);
    if (options_read(&u->opt, argc, argv, defs, ARRAY_LEN(defs))) {
        if (u->opt.help || u->opt.n_words > 0) {
            (void)fputs(usage, u->opt.help ? stdout : stderr);
            code = u->opt.help ? 0 : 2;
        } else {
            code = prepare(u);
            code = code == 0 ? run(u) : code;
        }
    }
    proc_signals_free(&u->signals);
    loop_free(&u->loop);
    if (u->lock >= 0) {
        (void)close(u->lock);
    }
    arena_done(&u->arena);
    mem_free(u);
    return code;
}
