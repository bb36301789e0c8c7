// SPDX-License-Identifier: Apache-2.0
// sluice-control: arguments, boot settings, run. Exit codes: 0 ok, 1 runtime failure, 2 usage or
// configuration. What the command line says goes before the environment (SLUICE__...), that before
// the file, that before the defaults.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/json.h"
#include "common/io/libs.h"
#include "common/io/proc.h"
#include "common/io/redis.h"
#include "common/io/redis_url.h"
#include "controlplane/conffile.h"
#include "controlplane/daemon.h"

#define DATA_DIR "/var/lib/sluice"

enum action { ACTION_RUN, ACTION_CHECK, ACTION_CHECK_KEYS, ACTION_HELP, ACTION_VERSION };

// NULL: not given. Strings borrow argv.
struct args {
    enum action action;
    const char *config, *check, *env_file, *data_dir, *redis, *listen, *admin_port, *admin_address;
    const char *admin_token_file, *cluster_secret_file, *signing_key_file, *master_key_file;
    const char *ready_file;
    bool init, demo, insecure_no_auth;
};

struct option {
    const char *name;
    const char *value; // what it takes, for the help; NULL: a flag
    size_t offset;     // of a const char * or a bool
    const char *help;
};

#define A(f) offsetof(struct args, f)

static const struct option options[] = {
    {"-c", "FILE", A(config), "configuration file"},
    {"--config", "FILE", A(config), "the same"},
    {"--env-file", "FILE", A(env_file), "variables besides the environment's"},
    {"--data-dir", "DIR", A(data_dir), "keys and tokens, when not named below (" DATA_DIR ")"},
    {"--redis", "URL", A(redis), "unix:/path or redis://[user:pass@]host[:port][/db]"},
    {"--listen", "ENDPOINT", A(listen), "for proxies: tcp://address:port or ipc:///dir"},
    {"--admin-port", "PORT", A(admin_port), "admin API (8081; 0: any free one)"},
    {"--admin-address", "ADDRESS", A(admin_address), "(127.0.0.1)"},
    {"--admin-token-file", "FILE", A(admin_token_file), "made when absent (DIR/admin-token)"},
    {"--cluster-secret-file", "FILE", A(cluster_secret_file), "(DIR/cluster-secret)"},
    {"--signing-key-file", "FILE", A(signing_key_file), "(DIR/signing-key)"},
    {"--master-key-file", "FILE", A(master_key_file),
     "seals secrets in Redis ($SLUICE_MASTER_KEY, DIR/master-key, else beside the cluster secret)"},
    {"--ready-file", "FILE", A(ready_file), "gets a line of JSON with the ports"},
    {"--init", NULL, A(init),
     "an empty Redis is a new installation, not a lost one; once (DIR/initialised). Also where a "
     "file `epoch` of `sluice init` is in DIR or beside the cluster secret"},
    {"--demo", NULL, A(demo), "the built-in mock provider exists"},
    {"--insecure-no-auth", NULL, A(insecure_no_auth),
     "allows auth.mode optional or off where others can reach a proxy"},
    {"--check-config", "FILE", A(check), "every problem of the file; exit code 0 or 1"},
};

static void usage(FILE *to)
{
    (void)fputs("usage: sluice-control [-c FILE] --redis URL [options]\n", to);
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        char left[64];

        (void)snprintf(left, sizeof(left), "%s %s", options[i].name,
                       options[i].value == NULL ? "" : options[i].value);
        (void)fprintf(to, "  %-30s %s\n", left, options[i].help);
    }
    (void)fputs("  --help, --version\n", to);
}

static const struct option *find_option(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (strcmp(options[i].name, name) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

static bool parse_args(int argc, char **argv, struct args *a)
{
    for (int i = 1; i < argc; i++) {
        const struct option *o = find_option(argv[i]);

        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            a->action = ACTION_HELP;
            return true;
        }
        if (strcmp(argv[i], "--version") == 0) {
            a->action = ACTION_VERSION;
            return true;
        }
        if (strcmp(argv[i], "--check-keys") == 0) { // for `sluice up`
            a->action = ACTION_CHECK_KEYS;
        } else if (o == NULL) {
            (void)fprintf(stderr, "sluice-control: unknown option %s\n", argv[i]);
            return false;
        } else if (o->value == NULL) {
            *(bool *)(void *)((char *)a + o->offset) = true;
        } else if (i + 1 >= argc) {
            (void)fprintf(stderr, "sluice-control: %s takes %s\n", o->name, o->value);
            return false;
        } else {
            const char *value = argv[++i];

            memcpy((char *)a + o->offset, &value, sizeof(value));
        }
    }
    if (a->check != NULL) {
        a->action = ACTION_CHECK;
    }
    return true;
}

static int show_version(void)
{
    struct buf text;

    buf_init(&text, 4096);
    buf_append_str(&text, "sluice-control " SLUICE_VERSION "\n");
    libs_versions(&text);
    buf_printf(&text, "%s, jansson %s\n", redis_library(), json_library_version());
    (void)fwrite(buf_slice(&text).p, 1, buf_slice(&text).n, stdout); // nowhere to report to
    buf_done(&text);
    return 0;
}

static int check_config(const struct args *a)
{
    struct buf report;
    bool ok;

    buf_init(&report, 1u << 20);
    ok = config_check(a->check, NULL, &report);
    (void)fwrite(buf_slice(&report).p, 1, buf_slice(&report).n, ok ? stdout : stderr);
    buf_done(&report);
    return ok ? 0 : 1;
}

// 0: some provider has a key, 1: none has, 2: the configuration is wrong.
static int check_keys(const struct conffile_options *file)
{
    struct conffile_options quiet = *file;
    struct config *config;
    int code = 1;

    quiet.quiet = true; // the daemon says it all when it starts
    config = conffile_read(&quiet);
    if (config == NULL) {
        return 2;
    }
    for (size_t i = 0; i < config->n_resources; i++) {
        const struct resource *r = config->resources[i];

        if (r->kind == RESOURCE_PROVIDER_KEY && r->u.provider_key->value != NULL) {
            code = 0;
        }
    }
    config_free(&config);
    return code;
}

static const char *text_or(const char *arg, const struct conf_text *file, const char *standard)
{
    if (arg != NULL) {
        return arg;
    }
    return file->s != NULL && file->s[0] != '\0' ? file->s : standard;
}

static bool parse_port(const char *arg, uint64_t file, uint16_t *ret)
{
    uint64_t port = file;

    if ((arg != NULL && !slice_to_u64(slice_str(arg), &port)) || port > 65535) {
        (void)fprintf(stderr, "sluice-control: --admin-port takes a number up to 65535\n");
        return false;
    }
    *ret = (uint16_t)port;
    return true;
}

// "<data dir>/<name>" where nothing else was said. Lives as long as the process.
static const char *in_dir(struct arena *a, const char *dir, const char *said, const char *name)
{
    return said != NULL ? said : arena_printf(a, "%s/%s", dir, name);
}

// A file of `sluice init`: in the data directory, else beside the cluster secret. NULL: neither.
static const char *of_init(struct arena *arena, const struct daemon_config *c, const char *name)
{
    const char *path = arena_printf(arena, "%s/%s", c->data_dir, name);
    const char *slash = strrchr(c->cluster_secret_file, '/');

    if (access(path, F_OK) == 0) {
        return path;
    }
    path = slash == NULL ? name
                         : arena_printf(arena, "%.*s/%s", (int)(slash - c->cluster_secret_file),
                                        c->cluster_secret_file, name);
    return access(path, F_OK) == 0 ? path : NULL;
}

static bool fill(const struct args *a, const struct boot *boot, struct arena *arena,
                 struct daemon_config *c)
{
    struct err e;

    c->data_dir = a->data_dir != NULL ? a->data_dir : DATA_DIR;
    // The file's strings die with the first reload: copied.
    c->redis_url = arena_strdup(arena, text_or(a->redis, &boot->redis.url, NULL));
    c->listen =
        arena_strdup(arena, text_or(a->listen, &boot->control.listen, "tcp://127.0.0.1:7400"));
    c->admin_address =
        arena_strdup(arena, text_or(a->admin_address, &boot->admin.address, "127.0.0.1"));
    c->admin_token_file =
        arena_strdup(arena, text_or(a->admin_token_file, &boot->admin.token_file, NULL));
    c->cluster_secret_file =
        in_dir(arena, c->data_dir,
               arena_strdup(arena, text_or(a->cluster_secret_file,
                                           &boot->control.cluster_secret_file, NULL)),
               "cluster-secret");
    c->signing_key_file = in_dir(
        arena, c->data_dir,
        arena_strdup(arena, text_or(a->signing_key_file, &boot->control.signing_key_file, NULL)),
        "signing-key");
    c->master_key_file = a->master_key_file;
    if (c->master_key_file == NULL && getenv("SLUICE_MASTER_KEY") == NULL) {
        c->master_key_file = of_init(arena, c, "master-key");
    }
    c->epoch_file = of_init(arena, c, "epoch");
    c->ready_file = a->ready_file;
    c->init = a->init;
    if (!parse_port(a->admin_port, boot->admin.port, &c->admin_port)) {
        return false;
    }
    if (c->redis_url == NULL) {
        (void)fprintf(stderr, "sluice-control: --redis (or redis.url in the file) is needed\n");
        return false;
    }
    if (!redis_check_url(c->redis_url, &e)) {
        (void)fprintf(stderr, "sluice-control: %s\n", e.message);
        return false;
    }
    return true;
}

static int run(const struct args *a, struct daemon_config *c)
{
    struct config *config = conffile_read(&c->file);
    struct arena arena;
    struct err e = {0};
    int code = 2;

    arena_init(&arena, 4096, 0);
    if (config != NULL && fill(a, config_boot(config), &arena, c)) {
        const struct boot *boot = config_boot(config);

        log_setup("sluice-control", (enum log_level)boot->logging.level, boot->logging.json);
        proc_harden();
        (void)proc_raise_nofile(); // what is allowed will do
        code = 0;
        if (!daemon_run(c, config, &e)) {
            (void)fprintf(stderr, "sluice-control: %s\n", e.message);
            code = e.code == ERR_INVALID ? 2 : 1;
        }
        config = NULL; // taken over
    }
    config_free(&config);
    arena_done(&arena);
    return code;
}

// redis://user:password@host: everybody may read /proc/PID/cmdline. What is used is a copy, which
// lives as long as the process.
static void hide_password(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i++) {
        struct slice url = slice_str(argv[i + 1]), password;

        if (strcmp(argv[i], "--redis") != 0) {
            continue;
        }
        password = redis_url_password(url);
        if (password.n > 0) {
            char *in_argv = argv[i + 1] + (password.p - url.p);

            argv[i + 1] = mem_strdup(argv[i + 1]);
            proc_hide_arg(in_argv, password.n);
        }
    }
}

int main(int argc, char **argv)
{
    struct args a = {0};
    struct daemon_config c = {0};

    proc_hide_env();
    hide_password(argc, argv);
    if (!parse_args(argc, argv, &a)) {
        usage(stderr);
        return 2;
    }
    c.file.path = a.config;
    c.file.env_path = a.env_file;
    // `sluice up --demo` tells where its mock listens.
    c.file.insecure_no_auth = a.insecure_no_auth;
    c.file.demo = a.demo || getenv("SLUICE__PROVIDERS__MOCK__BASE_URL") != NULL;
    switch (a.action) {
    case ACTION_HELP:
        usage(stdout);
        return 0;
    case ACTION_VERSION:
        return show_version();
    case ACTION_CHECK:
        return check_config(&a);
    case ACTION_CHECK_KEYS:
        return check_keys(&c.file);
    case ACTION_RUN:
        break;
    }
    return run(&a, &c);
}
