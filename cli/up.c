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
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/child.h"
#include "cli/install.h"
#include "cli/options.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/fetch.h"
#include "common/io/json.h"
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

enum step { STEP_MOCK, STEP_REDIS, STEP_CONTROL, STEP_PROXY, STEP_COUNT };

struct up {
    struct options opt;
    struct arena arena;
    struct loop *loop;
    struct proc_signals *signals;
    const char *data, *run; // directories
    struct child children[STEP_COUNT];
    bool wanted[STEP_COUNT];
    int step; // being started; STEP_COUNT = running
    bool stopping;
    bool demo;
    bool locked; // callers need a key
    bool tls;    // the proxy serves HTTPS
    int exit_code;
    struct loop_timer poll, deadline;
    const char *control_env[2]; // where the demo's mock is
    int lock;
};

static const char *const step_names[STEP_COUNT] = {"mock", "redis", "control", "proxy"};

static const char *path_in(struct up *u, const char *dir, const char *name)
{
    return arena_printf(&u->arena, "%s/%s", dir, name);
}

static const char *program(struct up *u, const char *name)
{
    char *path = proc_sibling(name);
    const char *copy = arena_strdup(&u->arena, path);

    mem_free(path);
    return copy;
}

// The env file to use: the one given, ".env" where it is, or NULL.
static const char *env_file(const struct up *u)
{
    const char *file = options_get(&u->opt, "env-file");

    return file != NULL ? file : (access(".env", R_OK) == 0 ? ".env" : NULL);
}

// --- arguments of the children -----------------------------------------------------------------

static void pass(struct up *u, struct child *c, const char *option)
{
    const char *value = options_get(&u->opt, option);

    if (value != NULL) {
        child_arg2(c, arena_printf(&u->arena, "--%s", option), value);
    }
}

static void pass_flag(struct up *u, struct child *c, const char *flag)
{
    if (options_has(&u->opt, flag)) {
        child_arg(c, arena_printf(&u->arena, "--%s", flag));
    }
}

// --- what the children see of our environment --------------------------------------------------
//
// Provider keys stand in it. The control plane gets it whole (and hides it, like we do); the others
// have no use for them.

static bool starts(const char *variable, const char *prefix)
{
    return strncmp(variable, prefix, strlen(prefix)) == 0;
}

// Programs that are configured by arguments alone.
static bool passes_plain(const char *variable)
{
    static const char *const kept[] = {"PATH=", "HOME=", "USER=",   "LOGNAME=",         "LANG=",
                                       "LC_",   "TZ=",   "TMPDIR=", "LD_LIBRARY_PATH=", "ASAN_",
                                       "LSAN_", "TSAN_", "UBSAN_"};

    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        if (starts(variable, kept[i])) {
            return true;
        }
    }
    return false;
}

// Its sections of the file may name any variable, so only what is known to be the control plane's
// stays out.
static bool passes_to_proxy(const char *variable)
{
    static const char *const control[] = {
        "SLUICE_MASTER_KEY=", "SLUICE_ADMIN_TOKEN=", "SLUICE__PROVIDERS__",
        "SLUICE__REDIS__",    "SLUICE__ROUTERS__",   "SLUICE__KEYS"};
    static const char *const ends[] = {"_API_KEY", "_ACCESS_KEY", "_ACCESS_KEY_ID",
                                       "_SESSION_TOKEN", "_CLIENT_SECRET"};
    struct slice name = slice_head(slice_str(variable), strcspn(variable, "="));

    for (size_t i = 0; i < ARRAY_LEN(control); i++) {
        if (starts(variable, control[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (slice_ends(name, slice_str(ends[i]))) {
            return false;
        }
    }
    return true;
}

static void build_mock(struct up *u, struct child *c)
{
    child_arg(c, program(u, "sluice-mock"));
    child_arg2(c, "--port", "0");
    child_arg2(c, "--ready-file", c->json_file);
    c->passes = passes_plain;
}

static void build_redis(struct up *u, struct child *c)
{
    child_arg(c, "redis-server");
    child_arg2(c, "--port", "0");
    child_arg2(c, "--unixsocket", path_in(u, u->run, "redis.sock"));
    child_arg2(c, "--unixsocketperm", "700");
    child_arg2(c, "--dir", path_in(u, u->data, "redis"));
    child_arg2(c, "--appendonly", "yes");
    child_arg2(c, "--save", "");
    child_arg2(c, "--daemonize", "no");
    child_arg2(c, "--loglevel", "notice");
    child_arg2(c, "--logfile", path_in(u, u->data, "redis/redis.log"));
    c->passes = passes_plain;
}

static void build_control(struct up *u, struct child *c)
{
    child_arg(c, program(u, "sluice-control"));
    if (options_has(&u->opt, "config")) {
        child_arg2(c, "-c", options_get(&u->opt, "config"));
    }
    child_arg2(c, "--data-dir", u->data);
    child_arg2(c, "--redis", arena_printf(&u->arena, "unix:%s/redis.sock", u->run));
    child_arg2(c, "--listen", arena_printf(&u->arena, "ipc://%s/control", u->run));
    child_arg2(c, "--ready-file", c->json_file);
    child_arg2(c, "--cluster-secret-file", path_in(u, u->data, "cluster-secret"));
    child_arg2(c, "--signing-key-file", path_in(u, u->data, "signing-key"));
    child_arg2(c, "--master-key-file", path_in(u, u->data, "master-key"));
    child_arg2(c, "--admin-token-file", path_in(u, u->data, "admin-token"));
    pass(u, c, "admin-port");
    child_arg(c, "--init"); // of use once: the control plane remembers it in the data directory
    pass_flag(u, c, "insecure-no-auth");
    if (env_file(u) != NULL) {
        child_arg2(c, "--env-file", env_file(u));
    }
    c->env = u->control_env;
}

static void build_proxy(struct up *u, struct child *c)
{
    child_arg(c, program(u, "sluice-proxy"));
    if (options_has(&u->opt, "config")) {
        child_arg2(c, "-c", options_get(&u->opt, "config"));
    }
    child_arg2(c, "--control", arena_printf(&u->arena, "ipc://%s/control", u->run));
    child_arg2(c, "--data-dir", path_in(u, u->data, "proxy"));
    child_arg2(c, "--ready-file", c->json_file);
    child_arg2(c, "--cluster-secret-file", path_in(u, u->data, "cluster-secret"));
    child_arg2(c, "--control-public-key-file", path_in(u, u->data, "control-public-key"));
    pass(u, c, "port");
    pass(u, c, "workers");
    child_arg2(c, "--ops-port",
               options_has(&u->opt, "ops-port") ? options_get(&u->opt, "ops-port") : "0");
    pass_flag(u, c, "insecure-no-auth");
    c->passes = passes_to_proxy;
}

// --- ready -------------------------------------------------------------------------------------

// One PING over a connection of its own: tells whether Redis has read its files.
static bool redis_answers(struct up *u)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_usec = 200000};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char reply[8] = "";
    bool ok;

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/redis.sock", u->run);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ok = fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
         send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && recv(fd, reply, sizeof(reply) - 1, 0) >= 5 &&
         memcmp(reply, "+PONG", 5) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok;
}

static bool is_ready(struct up *u, int step)
{
    return step == STEP_REDIS ? redis_answers(u) : child_is_ready(&u->children[step]);
}

static struct json_value *ready_line(const struct child *c)
{
    struct json_value *doc = NULL;
    struct buf text;

    buf_init(&text, 65536);
    if (proc_read_file(c->json_file, 65536, &text, NULL)) {
        doc = json_parse(buf_slice(&text), 65536, 8, NULL);
    }
    buf_done(&text);
    return doc;
}

static bool ready_flag(const struct child *c, const char *name)
{
    struct json_value *doc = ready_line(c);
    struct json_at root = json_root(doc), at = json_member(&root, name);
    struct json_report report = {0};
    bool on = false;

    if (!json_want_bool(&at, &on, &report)) {
        on = false;
    }
    json_free(&doc);
    return on;
}

// A number from a child's ready file; 0 when it is not there. "ports" of the mock: the first.
static int64_t ready_number(const struct child *c, const char *name)
{
    struct json_report report = {0};
    struct json_value *doc = ready_line(c);
    int64_t n = 0;
    struct json_at root = json_root(doc), at = json_member(&root, name);
    struct json_at first = json_element(&at, 0);
    if (!json_want_int(first.value != NULL ? &first : &at, 0, 65535, &n, &report)) {
        n = 0;
    }
    json_free(&doc);
    return n;
}

// --- what is printed when everything runs ------------------------------------------------------

// First chat model this proxy offers, into out; "openai/gpt-4o-mini" where it cannot be found out.
static void pick_model(struct up *u, int64_t port, char *out, size_t size)
{
    struct fetch_request rq = {.timeout_us = 2 * MONO_SEC, .insecure_tls = u->tls}; // ourselves
    struct json_report report = {0};
    struct fetch_response r;
    char url[64];

    (void)snprintf(out, size, "%s", u->demo ? "mock/gpt" : "openai/gpt-4o-mini");
    (void)snprintf(url, sizeof(url), "%s://127.0.0.1:%d/v1/models", u->tls ? "https" : "http",
                   (int)port);
    rq.url = url;
    if (!fetch_run(&rq, &r, NULL)) {
        return;
    }
    u->locked = r.status == 401;
    if (u->demo) {
        fetch_done(&r);
        return;
    }
    struct json_value *doc = json_parse(buf_slice(&r.body), (size_t)16 << 20, 16, NULL);
    struct json_at root = json_root(doc), data = json_member(&root, "data");
    for (size_t i = 0; i < json_size(&data); i++) {
        struct json_at item = json_element(&data, i), id = json_member(&item, "id");
        struct slice text;

        if (json_want_text(&id, 1, 200, &text, &report) &&
            slice_find(text, SLICE("embed")) == SIZE_MAX) {
            (void)snprintf(out, size, SLICE_FMT, SLICE_ARG(text));
            break;
        }
    }
    json_free(&doc);
    fetch_done(&r);
}

// The token itself only to a person: output that is kept somewhere names the file.
static void print_token(struct up *u)
{
    const char *file = path_in(u, u->data, "admin-token");
    struct buf token;

    buf_init(&token, 4096);
    if (isatty(STDOUT_FILENO) && proc_read_file(file, 4096, &token, NULL)) {
        struct slice text = slice_trim(buf_slice(&token));

        (void)printf("  admin token  " SLICE_FMT "   (in %s)\n", SLICE_ARG(text), file);
        mem_wipe(token.p, token.cap);
    } else {
        (void)printf("  admin token  in %s\n", file);
    }
    buf_done(&token);
}

static void print_banner(struct up *u, int64_t port, int64_t admin_port)
{
    const char *scheme = u->tls ? "https" : "http";
    char model[256];

    pick_model(u, port, model, sizeof(model));
    (void)printf("\n  Sluice is running%s.\n\n"
                 "  endpoint     %s://localhost:%d/v1   (also /router/NAME, /ai)\n"
                 "  admin API    http://localhost:%d/admin/v1\n",
                 u->demo ? " with the built-in mock provider (no provider key was found or --demo)"
                         : "",
                 scheme, (int)port, (int)admin_port);
    print_token(u);
    if (u->locked) {
        (void)printf("\n  Callers need a key: KEY=$(sluice keys create --name me --data-dir %s)\n",
                     u->data);
    }
    (void)printf(
        "\n  curl %s%s://localhost:%d/%s/chat/completions -H 'Content-Type: application/json' %s\\\n"
        "    -d '{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'\n\n"
        "  Ctrl-C stops it.\n\n",
        u->tls ? "-k " : "", scheme, (int)port, u->demo ? "v1" : "ai",
        u->locked ? "-H \"Authorization: Bearer $KEY\" " : "", model);
    (void)fflush(stdout);
}

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
    struct child *control = &u->children[STEP_CONTROL], *proxy = &u->children[STEP_PROXY];
    int64_t port = ready_number(proxy, "port"), ops = ready_number(proxy, "ops_port");
    int64_t admin = ready_number(control, "admin_port");

    loop_timer_cancel(u->loop, &u->deadline);
    pin_port(u, proxy, "--port", port);
    pin_port(u, proxy, "--ops-port", ops);
    pin_port(u, control, "--admin-port", admin);
    u->tls = ready_flag(proxy, "tls");
    print_banner(u, port, admin);
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

    while (u->step < STEP_COUNT && !u->wanted[u->step]) {
        u->step++;
    }
    if (u->step == STEP_COUNT) {
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

    if (!is_ready(u, u->step)) {
        loop_timer_set(u->loop, &u->poll, mono_now_us() + POLL_US);
        return;
    }
    if (u->step == STEP_MOCK) {
        u->control_env[0] =
            arena_printf(&u->arena, "SLUICE__PROVIDERS__MOCK__BASE_URL=http://127.0.0.1:%d/v1/",
                         (int)ready_number(&u->children[STEP_MOCK], "ports"));
    }
    if (u->step == STEP_REDIS) {
        struct err e = {0};

        // What the others write themselves, for scripts that look at DATA_DIR/run.
        if (!proc_write_file(
                u->children[STEP_REDIS].json_file,
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
    for (int i = STEP_COUNT - 1; i >= 0; i--) {
        if (u->children[i].pid > 0) {
            return i;
        }
    }
    return -1;
}

static void stop_next(struct up *u)
{
    int i;

    for (i = 0; i < STEP_COUNT; i++) {
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
        (void)fprintf(stderr, "sluice: %s was not ready within %d s\n", step_names[u->step],
                      (int)(START_US / MONO_SEC));
        fail(u, 1);
    } else if (i >= 0) {
        LOG(WARN, "up.kill", LOG_STR("child", step_names[i]));
        child_stop(&u->children[i], SIGKILL);
    }
}

static void on_child_end(struct up *u, int step, int status)
{
    char text[32];

    child_ended(&u->children[step], status);
    if (u->stopping) {
        stop_next(u);
    } else if (u->step < STEP_COUNT && step == u->step) {
        (void)fprintf(stderr, "sluice: %s ended before it was ready: %s\n", step_names[step],
                      proc_status_text(status, text));
        fail(u, WIFEXITED(status) && WEXITSTATUS(status) == 2 ? 2 : 1);
    }
}

static void reap(struct up *u)
{
    pid_t pid;
    int status;

    while (proc_reap(&pid, &status)) {
        for (int i = 0; i < STEP_COUNT; i++) {
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
        for (int i = STEP_CONTROL; i <= STEP_PROXY; i++) {
            if (u->children[i].pid > 0) {
                (void)kill(u->children[i].pid, SIGHUP);
            }
        }
    } else if (!u->stopping) {
        (void)proc_notify("STOPPING=1");
        fail(u, 0);
    } else {
        for (int i = 0; i < STEP_COUNT; i++) {
            child_stop(&u->children[i], SIGKILL);
        }
    }
}

// --- before the loop ---------------------------------------------------------------------------

// Asks the control plane's own reader of configuration: 0 = some provider has a key, 1 = none has,
// 2 = the configuration is wrong (it said why), -1 = it could not be asked.
static int check_keys(struct up *u)
{
    struct child c = {.n_args = 0};
    struct proc_child p = {.argv = c.argv};
    struct err e = {0};
    int status = 0;
    pid_t pid;

    child_arg(&c, program(u, "sluice-control"));
    if (options_has(&u->opt, "config")) {
        child_arg2(&c, "-c", options_get(&u->opt, "config"));
    }
    if (env_file(u) != NULL) {
        child_arg2(&c, "--env-file", env_file(u));
    }
    pass_flag(u, &c, "insecure-no-auth");
    child_arg(&c, "--check-keys");
    pid = proc_spawn(&p, &e);
    if (pid < 0) {
        (void)fprintf(stderr, "sluice: %s\n", e.message);
        return -1;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

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
    u->run = path_in(u, u->data, "run");
    if (strlen(u->run) > sizeof(((struct sockaddr_un *)NULL)->sun_path) - 20) {
        (void)fprintf(stderr,
                      "sluice: the data directory's path is too long for unix sockets (%s)\n",
                      u->data);
        return 2;
    }
    if (!proc_mkdirs(u->run, &e) || !proc_mkdirs(path_in(u, u->data, "redis"), &e) ||
        !proc_mkdirs(path_in(u, u->data, "proxy"), &e)) {
        (void)fprintf(stderr, "sluice: %s\n", e.message);
        return 1;
    }
    u->lock = proc_lock(path_in(u, u->run, "lock"), &e);
    if (u->lock < 0) {
        (void)fprintf(stderr, "sluice: another `sluice up` runs on %s (%s)\n", u->data, e.message);
        return 1;
    }
    keys = check_keys(u);
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

static void build_children(struct up *u)
{
    static void (*const build[STEP_COUNT])(struct up *, struct child *) = {
        build_mock, build_redis, build_control, build_proxy};

    for (int i = 0; i < STEP_COUNT; i++) {
        u->wanted[i] = i != STEP_MOCK || u->demo;
        child_init(&u->children[i], u->loop, &u->arena, step_names[i], u->run);
        build[i](u, &u->children[i]);
    }
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
    build_children(u);
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
