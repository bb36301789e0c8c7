// SPDX-License-Identifier: Apache-2.0
// The children of `sluice up`: their command lines, and what they see of our environment.
#include "cli/up_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"

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
    child_arg2(c, "--unixsocket", up_path(u, u->run, "redis.sock"));
    child_arg2(c, "--unixsocketperm", "700");
    child_arg2(c, "--dir", up_path(u, u->data, "redis"));
    child_arg2(c, "--appendonly", "yes");
    child_arg2(c, "--save", "");
    child_arg2(c, "--daemonize", "no");
    child_arg2(c, "--loglevel", "notice");
    child_arg2(c, "--logfile", up_path(u, u->data, "redis/redis.log"));
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
    child_arg2(c, "--cluster-secret-file", up_path(u, u->data, "cluster-secret"));
    child_arg2(c, "--signing-key-file", up_path(u, u->data, "signing-key"));
    child_arg2(c, "--master-key-file", up_path(u, u->data, "master-key"));
    child_arg2(c, "--admin-token-file", up_path(u, u->data, "admin-token"));
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
    child_arg2(c, "--data-dir", up_path(u, u->data, "proxy"));
    child_arg2(c, "--ready-file", c->json_file);
    child_arg2(c, "--cluster-secret-file", up_path(u, u->data, "cluster-secret"));
    child_arg2(c, "--control-public-key-file", up_path(u, u->data, "control-public-key"));
    pass(u, c, "port");
    pass(u, c, "workers");
    child_arg2(c, "--ops-port",
               options_has(&u->opt, "ops-port") ? options_get(&u->opt, "ops-port") : "0");
    pass_flag(u, c, "insecure-no-auth");
    c->passes = passes_to_proxy;
}

void up_children_build(struct up *u)
{
    static void (*const build[UP_COUNT])(struct up *, struct child *) = {
        build_mock, build_redis, build_control, build_proxy};

    for (int i = 0; i < UP_COUNT; i++) {
        u->wanted[i] = i != UP_MOCK || u->demo;
        child_init(&u->children[i], u->loop, &u->arena, up_step_names[i], u->run);
        build[i](u, &u->children[i]);
    }
}

int up_children_check_keys(struct up *u)
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
