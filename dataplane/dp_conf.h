// SPDX-License-Identifier: Apache-2.0
// Boot settings of a proxy: command line over environment (SLUICE__...) over file over defaults.
#ifndef SLUICE_DATAPLANE_DP_CONF_H
#define SLUICE_DATAPLANE_DP_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/boot.h"
#include "common/base/cdefs.h"

#define DP_CONF_ENDPOINTS_MAX 16u

enum dp_conf_action {
    DP_CONF_RUN,
    DP_CONF_CHECK,      // --check-config FILE
    DP_CONF_HELP,       // --help
    DP_CONF_VERSION,    // --version
    DP_CONF_RENDER_FSM, // --render-fsm: the request machine as a drawing
};

// What the command line says; NULL or -1: not given. Strings borrow argv.
struct dp_conf_args {
    enum dp_conf_action action;
    const char *file, *check_file, *control, *data_dir, *address, *ready_file;
    const char *cluster_secret_file, *control_public_key_file;
    long port, ops_port, workers;
    bool insecure_no_auth;
};

struct dp_conf {
    struct arena arena; // owns every string below
    struct boot boot;
    const char *data_dir, *ready_file;
    const char *endpoints[DP_CONF_ENDPOINTS_MAX];
    size_t n_endpoints;
    const char *cluster_secret_file, *public_key_file;
    char *tls_cert, *tls_key; // PEM, in the arena; NULL
    const char *ca_file;      // NULL: the system's
    unsigned workers;
    bool insecure_no_auth;
};

// False after printing what is wrong to stderr (exit code 2).
MUST_CHECK bool dp_conf_parse(int argc, char **argv, struct dp_conf_args *ret);
void dp_conf_usage(void);
// Reads file and environment, prints every problem to stderr. path NULL: no file. Fills *ret (free
// with dp_conf_done, also after false).
MUST_CHECK bool dp_conf_load(const struct dp_conf_args *a, const char *path, struct dp_conf *ret);
void dp_conf_done(struct dp_conf *c);

#endif
