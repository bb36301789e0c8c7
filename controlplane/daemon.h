// SPDX-License-Identifier: Apache-2.0
// The control plane as one object: store, sockets towards the proxies, admin API, the configuration
// file, signals. Everything on one loop, in the calling thread.
#ifndef SLUICE_CONTROLPLANE_DAEMON_H
#define SLUICE_CONTROLPLANE_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "controlplane/conffile.h"
#include "proto/config/config.h"

// What to run with; strings borrowed for the run.
struct daemon_config {
    struct conffile_options file;
    const char *data_dir;
    const char *redis_url;
    const char *listen;        // towards the proxies
    const char *admin_address; // numeric
    uint16_t admin_port;
    const char *admin_token_file; // made when absent
    const char *cluster_secret_file, *signing_key_file, *master_key_file;
    const char *ready_file; // NULL: none
    // An empty Redis may be given an epoch, but only until data_dir holds a file `initialised`,
    // which is made when Redis has one: an empty Redis after that is a lost one.
    bool init;
    const char *epoch_file; // of `sluice init`: as `init`, but with this epoch; NULL: none
};

// Runs until SIGTERM or SIGINT. first: the configuration read at start; taken over. False with *e:
// ERR_INVALID for what the user must mend (exit code 2), others 1.
MUST_CHECK bool daemon_run(const struct daemon_config *c, struct config *first, struct err *e);

#endif
