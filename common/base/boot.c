// SPDX-License-Identifier: Apache-2.0
// Tables of the start-up sections and the checks that a table cannot express: addresses, URLs,
// networks, the two spellings of TLS, and what Helicone's telemetry section means here.
#include "common/base/boot.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cidr.h"
#include "common/base/log.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define SEC ((uint64_t)1000000)
#define DAY (86400 * SEC)

enum format { FORMAT_TEXT, FORMAT_JSON };

#define S(member) .offset = offsetof(struct boot_server, member)

// One field, one paragraph: the tables are laid out by hand.
// clang-format off

static const struct conf_field tls_enabled_fields[] = {
    {.key = "cert", .type = CONF_STRING, .required = true,
     .offset = offsetof(struct boot_tls, helicone.cert) - offsetof(struct boot_tls, helicone)},
    {.key = "key", .type = CONF_STRING, .required = true,
     .offset = offsetof(struct boot_tls, helicone.key) - offsetof(struct boot_tls, helicone)},
};
static const struct conf_table tls_enabled_table = {
    .name = "tls.Enabled",
    .size = sizeof(((struct boot_tls *)NULL)->helicone),
    .fields = tls_enabled_fields,
    .n = ARRAY_LEN(tls_enabled_fields),
};
static const struct conf_field tls_fields[] = {
    {.key = "cert", .type = CONF_STRING, .offset = offsetof(struct boot_tls, cert),
     .help = "File with the certificate chain, PEM."},
    {.key = "key", .type = CONF_STRING, .offset = offsetof(struct boot_tls, key),
     .help = "File with the private key, PEM."},
    {.key = "Enabled", .type = CONF_SECTION, .table = &tls_enabled_table, .aliases = "enabled",
     .offset = offsetof(struct boot_tls, helicone)},
    {.key = "word", .type = CONF_STRING, .offset = offsetof(struct boot_tls, word)},
};
static const struct conf_table tls_table = {
    .name = "tls",
    .size = sizeof(struct boot_tls),
    .fields = tls_fields,
    .n = ARRAY_LEN(tls_fields),
    .shorthand = "word",
    .help = "TLS for clients, for small set-ups; larger ones put a TLS proxy in front. Helicone's "
            "`tls: {Enabled: {cert, key}}` and `tls: Disabled` are read, too.",
};

static const struct conf_field server_fields[] = {
    {.key = "address", .type = CONF_STRING, S(address), .def = "127.0.0.1",
     .help = "Address to listen on: IPv4 or IPv6; `0.0.0.0` or `::` for all."},
    {.key = "port", .type = CONF_INT, S(port), .def = "8080", .max = 65535,
     .help = "Port of the data plane; 0 takes a free one."},
    {.key = "tls", .type = CONF_SECTION, S(tls), .table = &tls_table, .help = ""},
    {.key = "max-body", .type = CONF_SIZE, S(max_body), .def = "32MiB", .min = KIB, .max = 2 * GIB,
     .help = "Largest request body; a larger one is answered with 413."},
    {.key = "max-buffered", .type = CONF_SIZE, S(max_buffered), .def = "1GiB", .min = MIB,
     .max = 1024 * GIB,
     .help = "Bound for the bodies of all requests together; above it new ones get 503."},
    {.key = "header-memory", .type = CONF_SIZE, S(header_memory), .def = "16KiB", .min = 4 * KIB,
     .max = MIB, .help = "Memory for the head of one request; a larger head is answered with 431."},
    {.key = "max-connections", .type = CONF_INT, S(max_connections), .def = "0", .max = 10000000,
     .help = "Client connections at once; 0: as many as the limit of open files allows."},
    {.key = "drain-delay", .type = CONF_DURATION, S(drain_delay_us), .def = "0s", .max = 3600 * SEC,
     .reload = true,
     .help = "After SIGTERM: how long the listener stays open while readiness is already off."},
    {.key = "shutdown-timeout", .type = CONF_DURATION, S(shutdown_timeout_us), .def = "30s",
     .aliases = "shutdown_timeout", .max = DAY, .reload = true,
     .help = "After SIGTERM: how long requests may go on before they are cut."},
    {.key = "workers", .type = CONF_INT, S(workers), .def = "0", .max = 1024,
     .help = "Worker threads; 0: one for each core."},
    {.key = "ops-address", .type = CONF_STRING, S(ops_address), .def = "127.0.0.1",
     .help = "Address of `/metrics`, `/healthz`, `/readyz` and `/debug/requests`."},
    {.key = "ops-port", .type = CONF_INT, S(ops_port), .def = "9464", .max = 65535,
     .help = "Port of the same; 0 takes a free one."},
};
const struct conf_table boot_server_table = {
    .name = "server",
    .size = sizeof(struct boot_server),
    .fields = server_fields,
    .n = ARRAY_LEN(server_fields),
    .help = "Where and within which bounds a proxy serves. Read by the proxy when it starts.",
};

#define C(member) .offset = offsetof(struct boot_control, member)
static const struct conf_field control_fields[] = {
    {.key = "endpoints", .type = CONF_STRINGS, C(endpoints),
     .help = "Control planes a proxy connects to: `tcp://host:7400` or `ipc:///dir`."},
    {.key = "listen", .type = CONF_STRING, C(listen), .def = "tcp://127.0.0.1:7400",
     .help = "Where a control plane listens for proxies: `tcp://address:port` or `ipc:///dir`."},
    {.key = "cluster-secret-file", .type = CONF_STRING, C(cluster_secret_file),
     .help = "File with the secret that seals what the planes say to each other. Default: "
     "`cluster-secret` in the data directory."},
    {.key = "signing-key-file", .type = CONF_STRING, C(signing_key_file),
     .help = "Control plane: file with its signing key. Default: `signing-key` in the data "
     "directory."},
    {.key = "public-key-file", .type = CONF_STRINGS, C(public_key_file),
     .help = "Proxy: files with the public keys of control planes it believes; several while a key "
     "is being replaced."},
    {.key = "max-stale", .type = CONF_DURATION, C(max_stale_us), .def = "0s", .max = 3650 * DAY,
     .reload = true,
     .help = "After so long without a heartbeat of a control plane, virtual keys are refused; 0s: "
     "never."},
};
const struct conf_table boot_control_table = {
    .name = "control",
    .size = sizeof(struct boot_control),
    .fields = control_fields,
    .n = ARRAY_LEN(control_fields),
    .help = "How proxies and control planes find and trust each other.",
};

static const struct conf_word levels[] = {
    {"debug", LOG_DEBUG}, {"info", LOG_INFO},    {"warn", LOG_WARN}, {"error", LOG_ERROR},
    {"trace", LOG_DEBUG}, {"warning", LOG_WARN}, {NULL, 0}};
static const struct conf_word formats[] = {{"text", FORMAT_TEXT}, {"json", FORMAT_JSON}, {NULL, 0}};
#define L(member) .offset = offsetof(struct boot_logging, member)
static const struct conf_field logging_fields[] = {
    {.key = "level", .type = CONF_ENUM, L(level), .def = "info", .words = levels, .reload = true,
     .help = "What is written to stderr."},
    {.key = "format", .type = CONF_ENUM, L(format), .def = "text", .words = formats,
     .help = "Form of a log line."},
    {.key = "access", .type = CONF_BOOL, L(access), .def = "true", .aliases = "access-log",
     .help = "One line of JSON for each request, to stdout. Prompts and answers are never part of it."},
};
const struct conf_table boot_logging_table = {
    .name = "logging",
    .size = sizeof(struct boot_logging),
    .fields = logging_fields,
    .n = ARRAY_LEN(logging_fields),
    .help = "Logs of the process.",
};

static const struct conf_word exporters[] = {{"none", BOOT_EXPORT_NONE},
                                             {"stdout", BOOT_EXPORT_NONE},
                                             {"otlp", BOOT_EXPORT_OTLP},
                                             {"both", BOOT_EXPORT_OTLP},
                                             {NULL, 0}};
static const struct conf_word telemetry_formats[] = {
    {"pretty", FORMAT_TEXT}, {"compact", FORMAT_TEXT}, {"json", FORMAT_JSON}, {NULL, 0}};
#define T(member) .offset = offsetof(struct boot_telemetry, member)
static const struct conf_field telemetry_fields[] = {
    {.key = "level", .type = CONF_STRING, T(level),
     .help = "Helicone's spelling of `logging.level` (`info,ai_gateway=trace`): its first plain word "
     "is used where `logging.level` is not set."},
    {.key = "exporter", .type = CONF_ENUM, T(exporter), .def = "none", .words = exporters,
     .inert = "OTLP export is not part of this version: nothing is sent; metrics are on the ops "
     "port in Prometheus format",
     .help = "Where telemetry goes besides the ops port. OTLP is not part of this version."},
    {.key = "otlp-endpoint", .type = CONF_STRING, T(otlp_endpoint),
     .def = "http://localhost:4317/v1/metrics",
     .help = "Where OTLP would be sent; read, not used by this version."},
    {.key = "service-name", .type = CONF_STRING, T(service_name), .def = "sluice",
     .help = "Name of this service in OTLP; read, not used by this version."},
    {.key = "propagate", .type = CONF_BOOL, T(propagate), .def = "true",
     .help = "Pass `traceparent` on to providers."},
    {.key = "format", .type = CONF_ENUM, T(format), .def = "pretty", .words = telemetry_formats,
     .help = "Helicone's spelling of `logging.format`; used where that one is not set."},
};
const struct conf_table boot_telemetry_table = {
    .name = "telemetry",
    .size = sizeof(struct boot_telemetry),
    .fields = telemetry_fields,
    .n = ARRAY_LEN(telemetry_fields),
    .help = "Telemetry of the process. Prometheus metrics are always served on the ops port.",
};

#define E(member) .offset = offsetof(struct boot_egress, member)
static const struct conf_field egress_fields[] = {
    {.key = "proxy", .type = CONF_STRING, E(proxy),
     .help = "Proxy for connections to providers: `http://`, `https://`, `socks5://` or "
     "`socks5h://host:port`."},
    {.key = "ca-file", .type = CONF_STRING, E(ca_file),
     .help = "PEM file of the authorities that certificates of providers are checked against. "
     "Default: the system's."},
    {.key = "allowed-networks", .type = CONF_STRINGS, E(allowed_networks),
     .aliases = "allowed_networks",
     .help = "Networks (CIDR) that providers may be in; default: everywhere."},
};
const struct conf_table boot_egress_table = {
    .name = "egress",
    .size = sizeof(struct boot_egress),
    .fields = egress_fields,
    .n = ARRAY_LEN(egress_fields),
    .help = "Connections to providers.",
};

#define R(member) .offset = offsetof(struct boot_redis, member)
static const struct conf_field redis_fields[] = {
    {.key = "url", .type = CONF_SECRET, R(url), .aliases = "host-url",
     .help = "`unix:/path` or `redis://[user:pass@]host:port/db`. `rediss://` is not part of this "
     "version: use stunnel or a unix socket. `sluice up` starts its own Redis."},
    {.key = "connection-timeout", .type = CONF_DURATION, R(connection_timeout_us), .def = "1s",
     .min = 1000, .max = 60 * SEC,
     .inert = "has no effect in this version: a connection to Redis has 2 s to come up",
     .help = "Read; not used by this version: a connection to Redis has 2 s to come up."},
};
const struct conf_table boot_redis_table = {
    .name = "redis",
    .size = sizeof(struct boot_redis),
    .fields = redis_fields,
    .n = ARRAY_LEN(redis_fields),
    .shorthand = "url",
    .help = "The control plane's store.",
};

#define A(member) .offset = offsetof(struct boot_admin, member)
static const struct conf_field admin_fields[] = {
    {.key = "address", .type = CONF_STRING, A(address), .def = "127.0.0.1",
     .help = "Address of the admin API."},
    {.key = "port", .type = CONF_INT, A(port), .def = "8081", .max = 65535,
     .help = "Port of the admin API; 0 takes a free one."},
    {.key = "token-file", .type = CONF_STRING, A(token_file),
     .help = "File that holds the admin token (made if it is not there, mode 0600). Default: "
     "`admin-token` in the data directory."},
};
const struct conf_table boot_admin_table = {
    .name = "admin",
    .size = sizeof(struct boot_admin),
    .fields = admin_fields,
    .n = ARRAY_LEN(admin_fields),
    .help = "The control plane's admin API.",
};

#define B(member) .type = CONF_SECTION, .offset = offsetof(struct boot, member), .help = ""
static const struct conf_field boot_fields[] = {
    {.key = "server", B(server), .table = &boot_server_table},
    {.key = "control", B(control), .table = &boot_control_table},
    {.key = "logging", B(logging), .table = &boot_logging_table},
    {.key = "telemetry", B(telemetry), .table = &boot_telemetry_table},
    {.key = "egress", B(egress), .table = &boot_egress_table},
    {.key = "redis", B(redis), .table = &boot_redis_table},
    {.key = "admin", B(admin), .table = &boot_admin_table},
};
const struct conf_table boot_table = {
    .name = "boot",
    .size = sizeof(struct boot),
    .fields = boot_fields,
    .n = ARRAY_LEN(boot_fields),
};

const char *const boot_other_sections[] = {
    "providers",
    "models",
    "routers",
    "unified-api",
    "global",
    "cache-store",
    "auth",
    "default-model-mapping",
    "rate-limit-store",
    "keys",
    "discover",
    "dispatcher",
    "helicone",
    "response-headers",
    "minio",
    "helicone-observability",
    "database",
    "control-plane",
    "deployment-target",
    NULL,
};

// clang-format on

// --- checks --------------------------------------------------------------------------------------

bool boot_is_loopback(const char *address)
{
    struct slice s = slice_str(address);
    struct in_addr v4;
    struct in6_addr v6;

    if (slice_eq(s, SLICE("localhost")) || slice_starts(s, SLICE("unix:")) ||
        slice_starts(s, SLICE("/"))) {
        return true;
    }
    if (inet_pton(AF_INET, address, &v4) == 1) {
        return (ntohl(v4.s_addr) >> 24) == 127;
    }
    return inet_pton(AF_INET6, address, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

// NULL: of the wrong type, which was said already.
static bool is_address(const char *s)
{
    struct in6_addr any;

    return s == NULL || strcmp(s, "localhost") == 0 || inet_pton(AF_INET, s, &any) == 1 ||
           inet_pton(AF_INET6, s, &any) == 1;
}

// "10.0.0.0/8", "fd00::/8", or one address.
static bool is_network(const char *s)
{
    struct cidr ignored;

    return cidr_parse(slice_str(s), &ignored);
}

static bool starts_with_one_of(const char *s, const char *const *prefixes)
{
    for (; *prefixes != NULL; prefixes++) {
        if (slice_starts(slice_str(s), slice_str(*prefixes)) && s[strlen(*prefixes)] != '\0') {
            return true;
        }
    }
    return false;
}

// Complains about one value under `path` unless it is fine. Shown only where it is no secret.
static void want(struct conf_ctx *c, const char *path, const struct conf_text *t, bool fine,
                 const char *what)
{
    size_t mark;

    if (fine || t->node == NULL) {
        return;
    }
    mark = conf_enter(c, path, SIZE_MAX);
    conf_complain(c, PROBLEM_ERROR, t->node, false, "expected %s, found %s", what,
                  problem_show(c->problems, t->node));
    conf_leave(c, mark);
}

static void check_tls(struct conf_ctx *c, struct boot_tls *t)
{
    if (t->helicone.node != NULL && t->cert.s == NULL && t->key.s == NULL) {
        t->cert = t->helicone.cert;
        t->key = t->helicone.key;
    }
    want(c, "server.tls", &t->word,
         t->word.s == NULL || slice_eq_nocase(slice_str(t->word.s), SLICE("disabled")),
         "a map with cert and key, or Disabled");
    t->enabled = t->cert.s != NULL && t->key.s != NULL;
    if ((t->cert.s != NULL) != (t->key.s != NULL)) {
        size_t mark = conf_enter(c, "server.tls", SIZE_MAX);

        conf_complain(c, PROBLEM_ERROR, t->node, true, "\"%s\" is missing",
                      t->cert.s == NULL ? "cert" : "key");
        conf_leave(c, mark);
    }
}

static void check_endpoints(struct conf_ctx *c, struct boot_control *b)
{
    static const char *const schemes[] = {"tcp://", "ipc://", NULL};

    for (size_t i = 0; i < b->endpoints.n; i++) {
        want(c, "control.endpoints", &b->endpoints.items[i],
             starts_with_one_of(b->endpoints.items[i].s, schemes),
             "tcp://host:port or ipc:///directory");
    }
    want(c, "control.listen", &b->listen, starts_with_one_of(b->listen.s, schemes),
         "tcp://address:port or ipc:///directory");
}

// The first word of "info,ai_gateway=trace" that is a level by itself.
static bool level_of(struct slice rest, int *ret)
{
    while (rest.p != NULL) {
        struct slice one;

        rest = slice_cut(rest, ',', &one);
        one = slice_trim(one);
        for (const struct conf_word *w = levels; w->word != NULL; w++) {
            if (slice_eq_nocase(one, slice_str(w->word))) {
                *ret = w->value;
                return true;
            }
        }
        if (slice_eq_nocase(one, SLICE("off"))) {
            *ret = LOG_ERROR;
            return true;
        }
    }
    return false;
}

static void check_logging(struct boot *b)
{
    const struct boot_telemetry *t = &b->telemetry;
    const struct node *logging = b->logging.node;

    if (t->level.s != NULL && node_get(logging, SLICE("level")) == NULL) {
        (void)level_of(slice_str(t->level.s), &b->logging.level);
    }
    if (node_get(logging, SLICE("format")) == NULL && node_get(t->node, SLICE("format")) != NULL) {
        b->logging.format = t->format;
    }
    b->logging.json = b->logging.format == FORMAT_JSON;
}

static void check_redis(struct conf_ctx *c, struct boot_redis *r)
{
    static const char *const schemes[] = {"redis://", "unix:", NULL};

    if (r->url.s == NULL || starts_with_one_of(r->url.s, schemes)) {
        return;
    }
    size_t mark = conf_enter(c, "redis.url", SIZE_MAX);

    conf_complain(c, PROBLEM_ERROR, r->url.node, false, "%s",
                  slice_starts(slice_str(r->url.s), SLICE("rediss://"))
                      ? "rediss:// is not part of this version: use stunnel or a unix socket"
                      : "expected unix:/path or redis://[user:pass@]host:port/db");
    conf_leave(c, mark);
}

bool boot_check(struct conf_ctx *c, struct boot *b)
{
    static const char *const proxies[] = {"http://", "https://", "socks5://", "socks5h://", NULL};
    size_t errors = c->problems->errors;
    struct boot_egress *e = &b->egress;

    want(c, "server.address", &b->server.address, is_address(b->server.address.s),
         "an IPv4 or IPv6 address");
    want(c, "server.ops-address", &b->server.ops_address, is_address(b->server.ops_address.s),
         "an IPv4 or IPv6 address");
    want(c, "admin.address", &b->admin.address, is_address(b->admin.address.s),
         "an IPv4 or IPv6 address");
    check_tls(c, &b->server.tls);
    check_endpoints(c, &b->control);
    want(c, "egress.proxy", &e->proxy,
         e->proxy.s == NULL || starts_with_one_of(e->proxy.s, proxies),
         "a proxy such as http://host:port");
    for (size_t i = 0; i < e->allowed_networks.n; i++) {
        want(c, "egress.allowed-networks", &e->allowed_networks.items[i],
             is_network(e->allowed_networks.items[i].s) && i < BOOT_NETWORKS_MAX,
             "a network such as 10.0.0.0/8, at most 64 of them");
    }
    check_redis(c, &b->redis);
    check_logging(b);
    return c->problems->errors == errors;
}

// --- reading -------------------------------------------------------------------------------------

static bool is_other_section(struct slice name)
{
    for (const char *const *s = boot_other_sections; *s != NULL; s++) {
        if (slice_eq_str(name, *s)) {
            return true;
        }
    }
    return false;
}

// The document without the sections of others: a shallow copy of the top level.
static struct node *own_sections(struct arena *a, const struct node *root)
{
    struct node *own = node_new(a, NODE_MAP);

    own->file = root->file;
    for (const struct node *it = root->first; it != NULL; it = it->next) {
        if (!is_other_section(it->key)) {
            struct node *n = node_new(a, it->kind);

            *n = *it;
            node_append(own, n);
        }
    }
    return own;
}

bool boot_read(struct conf_ctx *c, const struct node *root, struct boot *out)
{
    bool ok = conf_read(c, &boot_table, root == NULL ? NULL : own_sections(c->arena, root), out);

    return boot_check(c, out) && ok;
}

void boot_restart_keys(const struct boot *a, const struct boot *b, struct buf *out)
{
    conf_restart_keys(&boot_table, "", a, b, out);
}
