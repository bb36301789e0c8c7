// SPDX-License-Identifier: Apache-2.0
// Command line and boot sections of a proxy. Sections that are the control plane's are skipped by
// boot_read, so that one file serves both.
#include "dataplane/dp_conf.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/document.h"

#define PEM_MAX (1u << 20)

enum {
    OPT_CONTROL = 256,
    OPT_DATA_DIR,
    OPT_PORT,
    OPT_ADDRESS,
    OPT_OPS_PORT,
    OPT_WORKERS,
    OPT_SECRET,
    OPT_PUBLIC,
    OPT_READY,
    OPT_INSECURE,
    OPT_CHECK,
    OPT_HELP,
    OPT_VERSION,
    OPT_RENDER
};

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"control", required_argument, NULL, OPT_CONTROL},
    {"data-dir", required_argument, NULL, OPT_DATA_DIR},
    {"port", required_argument, NULL, OPT_PORT},
    {"address", required_argument, NULL, OPT_ADDRESS},
    {"ops-port", required_argument, NULL, OPT_OPS_PORT},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"cluster-secret-file", required_argument, NULL, OPT_SECRET},
    {"control-public-key-file", required_argument, NULL, OPT_PUBLIC},
    {"ready-file", required_argument, NULL, OPT_READY},
    {"insecure-no-auth", no_argument, NULL, OPT_INSECURE},
    {"check-config", required_argument, NULL, OPT_CHECK},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {"render-fsm", no_argument, NULL, OPT_RENDER},
    {NULL, 0, NULL, 0},
};

void dp_conf_usage(void)
{
    (void)fputs(
        "usage: sluice-proxy [-c FILE] --control ENDPOINT[,ENDPOINT...] --data-dir DIR [...]\n\n"
        "  -c, --config FILE              sections server, control, logging, egress of this file\n"
        "      --control ENDPOINTS        control planes: tcp://HOST:PORT or ipc:///DIR\n"
        "      --data-dir DIR             last-known-good state and secrets are kept here\n"
        "      --port N                   clients' port (8080; 0: any free one)\n"
        "      --address A                address to listen on (127.0.0.1)\n"
        "      --ops-port N               /metrics, /healthz, /readyz, /debug/requests (9464)\n"
        "      --workers N                threads (one for each core)\n"
        "      --cluster-secret-file F    (DIR/cluster-secret)\n"
        "      --control-public-key-file F  (DIR/control-public-key)\n"
        "      --ready-file F             gets a JSON line with the ports when ready\n"
        "      --insecure-no-auth         allows auth.mode optional or off on every address\n"
        "      --check-config FILE        checks the file, exit code 0 or 1\n"
        "      --help, --version\n\n"
        "Exit codes: 0 ok, 1 runtime failure, 2 usage or configuration.\n",
        stdout);
}

static bool to_number(const char *name, const char *text, long max, long *ret)
{
    char *end = NULL;
    long n;

    errno = 0;
    n = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || n < 0 || n > max) {
        (void)fprintf(stderr, "sluice-proxy: --%s: %s is not a number from 0 to %ld\n", name, text,
                      max);
        return false;
    }
    *ret = n;
    return true;
}

static bool take_option(int opt, struct dp_conf_args *a)
{
    switch (opt) {
    case 'c':
        a->file = optarg;
        return true;
    case OPT_CONTROL:
        a->control = optarg;
        return true;
    case OPT_DATA_DIR:
        a->data_dir = optarg;
        return true;
    case OPT_PORT:
        return to_number("port", optarg, 65535, &a->port);
    case OPT_ADDRESS:
        a->address = optarg;
        return true;
    case OPT_OPS_PORT:
        return to_number("ops-port", optarg, 65535, &a->ops_port);
    case OPT_WORKERS:
        return to_number("workers", optarg, 1024, &a->workers);
    case OPT_SECRET:
        a->cluster_secret_file = optarg;
        return true;
    case OPT_PUBLIC:
        a->control_public_key_file = optarg;
        return true;
    case OPT_READY:
        a->ready_file = optarg;
        return true;
    case OPT_INSECURE:
        a->insecure_no_auth = true;
        return true;
    case OPT_CHECK:
        a->action = DP_CONF_CHECK;
        a->check_file = optarg;
        return true;
    case OPT_HELP:
        a->action = DP_CONF_HELP;
        return true;
    case OPT_VERSION:
        a->action = DP_CONF_VERSION;
        return true;
    case OPT_RENDER:
        a->action = DP_CONF_RENDER_FSM;
        return true;
    default:
        return false; // getopt has said what
    }
}

bool dp_conf_parse(int argc, char **argv, struct dp_conf_args *ret)
{
    struct dp_conf_args a = {.port = -1, .ops_port = -1, .workers = -1};
    int opt;

    for (;;) {
        opt = getopt_long(argc, argv, "c:h", options, NULL);
        if (opt == -1) {
            break;
        }
        if (!take_option(opt == 'h' ? OPT_HELP : opt, &a)) {
            (void)fputs("sluice-proxy: --help lists the options\n", stderr);
            return false;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "sluice-proxy: unexpected argument %s\n", argv[optind]);
        return false;
    }
    *ret = a;
    return true;
}

// --- file --------------------------------------------------------------------------------------

static void print_problems(const struct problem_list *l)
{
    struct buf out;

    buf_init(&out, 1u << 20);
    problem_render_all(l, &out);
    (void)fwrite(buf_slice(&out).p, 1, buf_slice(&out).n, stderr);
    buf_done(&out);
}

static bool read_boot(struct dp_conf *c, const char *path)
{
    struct problem_list problems;
    struct env *env = env_new();
    struct conf_ctx ctx;
    const struct node *root = NULL;
    bool ok;

    problem_list_init(&problems);
    ok = document_read_env(env, NULL, false, &problems);
    if (ok) {
        root = document_load_own(&c->arena, path, boot_other_sections, env, &problems);
        ok = root != NULL;
    }
    if (ok) {
        conf_init(&ctx, &c->arena, &problems);
        ok = boot_read(&ctx, root, &c->boot);
    }
    print_problems(&problems);
    problem_list_done(&problems);
    env_free(&env);
    return ok;
}

static char *read_pem(struct dp_conf *c, const char *path)
{
    struct err e;
    size_t n = 0;
    char *text = document_read_file(NULL, path, PEM_MAX, &n, &e);
    char *kept;

    if (text == NULL) {
        (void)fprintf(stderr, "sluice-proxy: %s\n", e.message);
        return NULL;
    }
    kept = arena_strndup(&c->arena, text, n);
    mem_wipe(text, n);
    mem_free(text);
    return kept;
}

static bool add_endpoints(struct dp_conf *c, const char *list)
{
    struct slice rest = slice_str(list);

    while (rest.n > 0) {
        struct slice one;

        rest = slice_cut(rest, ',', &one);
        one = slice_trim(one);
        if (one.n > 0 && c->n_endpoints == DP_CONF_ENDPOINTS_MAX) {
            (void)fprintf(stderr, "sluice-proxy: at most %u control planes\n",
                          DP_CONF_ENDPOINTS_MAX);
            return false;
        }
        if (one.n > 0) {
            c->endpoints[c->n_endpoints++] = arena_strndup(&c->arena, one.p, one.n);
        }
    }
    return true;
}

static bool resolve_endpoints(struct dp_conf *c, const struct dp_conf_args *a)
{
    if (a->control != NULL) {
        return add_endpoints(c, a->control);
    }
    for (size_t i = 0; i < c->boot.control.endpoints.n; i++) {
        if (!add_endpoints(c, c->boot.control.endpoints.items[i].s)) {
            return false;
        }
    }
    return true;
}

static const char *in_data_dir(struct dp_conf *c, const char *given, const char *name)
{
    if (given != NULL) {
        return given;
    }
    return c->data_dir == NULL ? NULL : arena_printf(&c->arena, "%s/%s", c->data_dir, name);
}

static bool resolve_tls(struct dp_conf *c)
{
    const struct boot_tls *t = &c->boot.server.tls;

    if (!t->enabled) {
        return true;
    }
    c->tls_cert = read_pem(c, t->cert.s);
    c->tls_key = read_pem(c, t->key.s);
    return c->tls_cert != NULL && c->tls_key != NULL;
}

static void apply_args(struct dp_conf *c, const struct dp_conf_args *a)
{
    struct boot_server *s = &c->boot.server;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    s->port = a->port >= 0 ? (uint64_t)a->port : s->port;
    s->ops_port = a->ops_port >= 0 ? (uint64_t)a->ops_port : s->ops_port;
    s->address.s = a->address != NULL ? a->address : s->address.s;
    s->workers = a->workers > 0 ? (uint64_t)a->workers : s->workers;
    c->workers = s->workers > 0 ? (unsigned)s->workers : (unsigned)(cores > 0 ? cores : 1);
    c->data_dir = a->data_dir;
    c->ready_file = a->ready_file;
    c->insecure_no_auth = a->insecure_no_auth;
    c->cluster_secret_file = a->cluster_secret_file != NULL ? a->cluster_secret_file
                                                            : c->boot.control.cluster_secret_file.s;
    c->cluster_secret_file = in_data_dir(c, c->cluster_secret_file, "cluster-secret");
    c->public_key_file = a->control_public_key_file;
    if (c->public_key_file == NULL && c->boot.control.public_key_file.n > 0) {
        c->public_key_file = c->boot.control.public_key_file.items[0].s;
    }
    c->public_key_file = in_data_dir(c, c->public_key_file, "control-public-key");
    c->ca_file = c->boot.egress.ca_file.s;
}

bool dp_conf_load(const struct dp_conf_args *a, const char *path, struct dp_conf *ret)
{
    *ret = (struct dp_conf){.workers = 1};
    arena_init(&ret->arena, 4096, 0);
    if (!read_boot(ret, path)) {
        return false;
    }
    apply_args(ret, a);
    return resolve_endpoints(ret, a) && resolve_tls(ret);
}

void dp_conf_done(struct dp_conf *c)
{
    if (c->tls_key != NULL) {
        mem_wipe(c->tls_key, strlen(c->tls_key));
    }
    arena_done(&c->arena);
}
