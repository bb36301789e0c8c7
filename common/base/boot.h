// SPDX-License-Identifier: Apache-2.0
// The sections of the configuration file that a process reads for itself when it starts: server,
// control, logging, telemetry and egress (proxies and control planes), redis and admin (control
// planes only). Everything else is the control plane's and comes to the proxies as resources.
#ifndef SLUICE_BASE_BOOT_H
#define SLUICE_BASE_BOOT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/conf.h"
#include "common/base/node.h"

struct boot_tls {
    const struct node *node;
    bool enabled; // after boot_read: cert and key are both set
    struct conf_text cert, key;
    struct { // Helicone's spelling "tls: {Enabled: {cert, key}}"; boot_read merges it
        const struct node *node;
        struct conf_text cert, key;
    } helicone;
    struct conf_text word; // "tls: Disabled"
};

struct boot_server {
    const struct node *node;
    struct conf_text address;
    uint64_t port;
    struct boot_tls tls;
    uint64_t max_body, max_buffered, header_memory; // bytes
    uint64_t max_connections;                       // 0 = as the descriptor limit allows
    uint64_t drain_delay_us, shutdown_timeout_us;
    uint64_t workers; // 0 = one for each core
    struct conf_text ops_address;
    uint64_t ops_port;
};

struct boot_control {
    const struct node *node;
    struct conf_texts endpoints; // of control planes, for proxies
    struct conf_text listen;     // for control planes
    struct conf_text cluster_secret_file, signing_key_file;
    struct conf_texts public_key_file;
    uint64_t max_stale_us; // 0 = never
};

struct boot_logging {
    const struct node *node;
    int level;  // enum log_level
    int format; // as read; use json
    bool json;
    bool access;
};

enum boot_exporter { BOOT_EXPORT_NONE, BOOT_EXPORT_OTLP };

struct boot_telemetry {
    const struct node *node;
    struct conf_text level; // env_logger syntax: "info,ai_gateway=trace"
    int exporter;           // read; no effect, like these:
    struct conf_text otlp_endpoint, service_name;
    bool propagate;
    int format;
};

#define BOOT_NETWORKS_MAX 64u // egress.allowed-networks

struct boot_egress {
    const struct node *node;
    struct conf_text proxy;
    struct conf_text ca_file;
    struct conf_texts allowed_networks; // CIDR; none = everything
};

struct boot_redis {
    const struct node *node;
    struct conf_text url;
    uint64_t connection_timeout_us; // read; no effect
};

struct boot_admin {
    const struct node *node;
    struct conf_text address;
    uint64_t port;
    struct conf_text token_file;
};

struct boot {
    const struct node *node;
    struct boot_server server;
    struct boot_control control;
    struct boot_logging logging;
    struct boot_telemetry telemetry;
    struct boot_egress egress;
    struct boot_redis redis;
    struct boot_admin admin;
};

extern const struct conf_table boot_server_table, boot_control_table, boot_logging_table,
    boot_telemetry_table, boot_egress_table, boot_redis_table, boot_admin_table;
// All of them as sections, for a process that knows no others.
extern const struct conf_table boot_table;

// Names of every top-level section of the file, so that a proxy can tell a section that is not its
// own from a mistake. Ends with NULL.
extern const char *const boot_other_sections[];

// Fills *out from a whole document (NULL: defaults), skipping the sections of boot_other_sections.
// Strings live in the arena of c or in the document. True if no error was added.
bool boot_read(struct conf_ctx *c, const struct node *root, struct boot *out);
// What boot_read checks across fields once the sections are filled by somebody else.
bool boot_check(struct conf_ctx *c, struct boot *b);
// ", "-separated keys that differ and need a restart of the process.
void boot_restart_keys(const struct boot *a, const struct boot *b, struct buf *out);

// True for 127.0.0.0/8, ::1, "localhost" and unix sockets.
bool boot_is_loopback(const char *address);

#endif
