// SPDX-License-Identifier: Apache-2.0
// A configuration file, from its bytes to the resources the control plane publishes:
//
//   file -> node tree -> overrides, ${}, file: -> struct schema -> checks -> struct resource[]
//   (document.h: the first three)                 (schema.h)       (config_compile.h)
//
// Every problem is collected; a document with errors yields no resources. Blocking file reads: for
// start, SIGHUP and the command line, not for a loop that serves. One thread.
#ifndef SLUICE_PROTO_CONFIG_CONFIG_H
#define SLUICE_PROTO_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/boot.h"
#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/env.h"
#include "common/base/problem.h"
#include "common/base/secret.h"
#include "common/base/slice.h"
#include "proto/config/catalog.h"
#include "proto/config/schema.h"
#include "proto/resource.h"

struct config_options {
    const struct env *env;   // variables (document_read_env); required, borrowed during the call
    env_read_fn read;        // config_parse: for file:/path and keys[].file; NULL: the file system.
                             // For texts that come over the network: document_no_files.
    const char *catalog_dir; // NULL: the built-in catalogue
    const struct catalog *catalog; // loaded already; outlives the config; NULL: the built-in one
    // Is there a provider of this name besides the document and the catalogue (made through the
    // API)? NULL: none.
    bool (*has_provider)(void *ctx, struct slice name);
    void *has_ctx;
    bool demo; // provider mock and model mock/gpt exist although nothing names them
};

// A virtual key that the document declares: its resource has no hash yet, since that is keyed by a
// secret of the store. Whoever applies the configuration calls config_hash_keys before sharing the
// resources.
struct config_key {
    struct resource *resource; // borrowed from config.resources
    struct secret *secret;     // owned by the config
};

struct config {
    struct arena arena;
    struct problem_list problems; // notices and warnings are for start-up lines, one each
    struct node *root;
    struct schema schema;
    struct catalog catalog;
    struct resource **resources; // one reference each; kinds in the order provider, provider key,
                                 // router, virtual key, model, settings
    const char **where;          // of each: "file.yaml:12", or the variable; NULL: not of the file
    size_t n_resources, cap_resources;
    struct config_key *keys;
    size_t n_keys;
    bool helicone; // a helicone block is there (the notice says that it has no effect)
};

// Never NULL; path NULL: no file, only overrides and defaults.
struct config *config_load(const char *path, const struct config_options *o);
// The same for a text, `name` for its problems (PUT /config, /validate-router-config).
struct config *config_parse(const char *name, struct slice text, const struct config_options *o);
// Wipes what came from the environment or files, drops every reference. *c becomes NULL; NULL
// allowed.
void config_free(struct config **c);

static inline bool config_ok(const struct config *c)
{
    return c->problems.errors == 0;
}
// Borrowed; the boot sections, filled also when the document has errors elsewhere.
static inline const struct boot *config_boot(const struct config *c)
{
    return &c->schema.boot;
}

// Its auth.mode serves callers without a key. Where others can reach a proxy that has to be asked
// for.
bool config_lets_strangers_in(const struct config *c);

// Fills in the hashes of the virtual keys that the document declares, with the settings'
// key_hash_key (32 bytes).
void config_hash_keys(struct config *c, const uint8_t key_hash_key[32]);

// --check-config: every problem of the file, a line each ("file:line:col: path: message"), and a
// last line that says how it ends. env NULL: the process's environment. True if it may be used.
bool config_check(const char *file, const struct env *env, struct buf *report);

#endif
