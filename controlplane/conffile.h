// SPDX-License-Identifier: Apache-2.0
// The configuration file of a control plane, or the environment in its place: read, and offered to
// Redis until it is applied, or it is clear that it will not be.
#ifndef SLUICE_CONTROLPLANE_CONFFILE_H
#define SLUICE_CONTROLPLANE_CONFFILE_H

#include <stdbool.h>

#include "common/base/cdefs.h"
#include "common/io/loop.h"
#include "controlplane/datadir.h"
#include "controlplane/reader.h"
#include "controlplane/ready.h"
#include "controlplane/state.h"
#include "controlplane/store.h"
#include "proto/config/config.h"

// Strings borrowed for as long as the struct is used.
struct conffile_options {
    const char *path;      // NULL: none
    const char *env_path;  // the env file; NULL: none
    bool insecure_no_auth; // auth.mode optional or off is allowed on every address
    bool quiet;            // notices and warnings are not printed
    bool demo;             // the built-in mock provider exists
};

// Reads the file with the process's environment and the env file; prints every problem to stderr.
// Owned by the caller; NULL after errors. Any thread, blocks.
MUST_CHECK struct config *conffile_read(const struct conffile_options *o);

struct conffile;

// Everything is borrowed until conffile_free, but for store and reader: until conffile_stop, behind
// which they are freed.
struct conffile_config {
    const struct conffile_options *options;
    const struct datadir *datadir; // remembers what was offered
    struct ready *ready;           // told when nothing waits to be applied any more
    struct loop *loop;
    struct state *state;
    struct store *store;
    struct reader *reader;
};

// What follows is for the loop's thread. first: what was read at the start; taken over. It waits
// for conffile_offer.
struct conffile *conffile_new(const struct conffile_config *c, struct config *first);
// The state is Redis's now: soon applies what waits for that. anew: it is of another epoch than
// before, so that what the file says may not be there any more: if nothing waits, the file is read
// again (blocks), and offered as at a start.
void conffile_offer(struct conffile *f, bool anew);
// SIGHUP: reads the file beside the loop and applies it, even if it was applied before. A broken
// one is refused with a line in the log; the old one stays.
void conffile_reload(struct conffile *f);
// The end: from now on nothing is begun. Before reader and store are freed, which end what is
// pending here. NULL allowed.
void conffile_stop(struct conffile *f);
// Behind that. *f becomes NULL; NULL allowed.
void conffile_free(struct conffile **f);

#endif
