// SPDX-License-Identifier: Apache-2.0
// From the filled schema to resources: cross-checks and the meaning of every section. config.h is
// what callers use; this header is for the files that share the work.
//
//   config_compile.c    order of work, settings, virtual keys, the helicone notice
//   config_provider.c   providers
//   config_provider_key.c  their keys
//   config_dialect.c    which dialect a provider is spoken to in
//   config_quirks.c     what vendors do otherwise, what models can
//   config_model.c      models, references to models
//   config_router.c     routers: balances, fallbacks, mappings
//   config_limit.c      limits, caches and retries, which several sections have
#ifndef SLUICE_PROTO_CONFIG_CONFIG_COMPILE_H
#define SLUICE_PROTO_CONFIG_CONFIG_COMPILE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/cdefs.h"
#include "common/base/conf.h"
#include "common/base/map.h"
#include "proto/config/config.h"

// What goes with a dialect where nothing else is said.
struct config_dialect {
    struct slice name;
    bool spoken; // by this version
    const char *path;
    const char *auth_header; // NULL: authorization, Bearer
    const char *version_header, *version;
};

// How a provider is spoken to.
struct config_api {
    const char *dialect;
    const struct config_dialect *row;   // never NULL: the first one's where `known` is false
    const struct schema_dialect *other; // NULL: the provider's first dialect
    bool known;                         // there is such a dialect
};

// A provider that the catalogue or the document knows.
struct config_provider {
    const char *name;                  // canonical
    const struct conf_entry *file;     // of the document, or NULL
    const struct schema_provider *doc; // file's value, or NULL
    const struct schema_provider *cat; // of the catalogue, or NULL
    bool named;                        // the document names it
    bool has_key;                      // one of its variables is in the environment
    struct config_api api;             // while its resource is made
};

struct config_compile {
    struct conf_ctx *ctx;
    struct config *out;
    const struct schema *doc;
    const struct catalog *catalog;
    const struct config_options *options;
    struct config_provider *providers; // in order: catalogue, then the document's own
    size_t n_providers;
    struct map model_names; // name or alias -> struct conf_entry * of the model
    struct map key_ids;     // id of a virtual key -> its resource
    struct map listed;      // model listed by a provider of the document -> that provider's entry
    struct map models; // canonical name -> const struct conf_entry *, document before catalogue
};

// Fills c->resources and c->keys; problems go to c->problems.
void config_compile(struct config *c, struct conf_ctx *ctx, const struct config_options *o);
// Takes the reference. n: what it was made from, NULL for the catalogue's. Returns its place
// ("f:12") or NULL.
const char *config_compile_add(struct config_compile *k, struct resource *r, const struct node *n);
// "[A-Za-z0-9][A-Za-z0-9._-]*" of at most max bytes, or a complaint at the key of n.
bool config_compile_name(struct config_compile *k, const struct node *n, const char *name,
                         size_t max);
// Copies into the resource's arena.
const char *config_compile_str(struct resource *r, const struct conf_text *t); // NULL stays NULL
const char *const *config_compile_strs(struct resource *r, const struct conf_texts *t,
                                       size_t *ret_n);
const struct resource_pair *config_compile_pairs(struct resource *r, const struct conf_entries *e,
                                                 size_t *ret_n);

// --- config_provider.c
void config_provider_collect(struct config_compile *k);
// By name or alias; NULL if unknown. Marks it as named.
struct config_provider *config_provider_named(struct config_compile *k, struct slice name);
// Is it one of those that only the caller knows (options.has_provider)?
bool config_provider_outside(const struct config_compile *k, struct slice name);
// The same as config_provider_named, or a complaint at n with a near match.
struct config_provider *config_provider_want(struct config_compile *k, const struct node *n,
                                             struct slice name);
void config_provider_emit(struct config_compile *k);
// Will there be a resource for it?
bool config_provider_present(const struct config_compile *k, const struct config_provider *p);

// --- config_provider_key.c
// Resources for the keys of p; fills in needs_key and key_variable of its resource r.
void config_provider_key_put(struct config_compile *k, const struct config_provider *p,
                             struct resource *r);

// Is one of the variables that hold its key set?
bool config_provider_key_is_set(const struct config_compile *k, const struct config_provider *p);

// --- config_dialect.c
struct config_api config_dialect_of(const struct config_provider *p);
// Fills in the dialect of p's resource; true if this version can speak it, else after a problem.
bool config_dialect_put(struct config_compile *k, const struct config_provider *p,
                        struct resource *r);

// --- config_quirks.c
// Fills in the quirks of a provider's resource r / the traits of a model's (own: the schema's) /
// the families of the settings'.
void config_quirks_put(struct config_compile *k, const struct config_provider *p,
                       struct resource *r);
void config_traits_put(struct config_compile *k, const struct schema_traits *own,
                       struct resource *r);
void config_families_put(struct config_compile *k, struct resource *r);

// --- config_model.c
void config_model_collect(struct config_compile *k);
void config_model_emit(struct config_compile *k);
// What a mapping or fallback means by a name: "provider/model" with a known provider stays (with
// its canonical name), a known bare name stays, a bare name of a known vendor becomes
// "vendor/name". NULL: nobody is known for it. In arena a.
const char *config_model_ref(struct config_compile *k, struct arena *a, struct slice name);

// --- config_router.c
void config_router_emit(struct config_compile *k);
// model-mappings, default-model-mapping.
const struct resource_mapping *config_router_mappings(struct config_compile *k, struct resource *r,
                                                      const struct conf_entries *e, size_t *ret_n);

// --- config_limit.c
struct config_limit_source {
    const struct schema_rate_limit *rate_limit; // may be NULL
    const struct conf_entries *limits;          // list of schema_limit
};
const struct resource_limit *config_limit_all(struct config_compile *k, struct resource *r,
                                              const struct config_limit_source *from,
                                              size_t *ret_n);
struct resource_cache config_limit_cache(struct config_compile *k, struct resource *r,
                                         const struct schema_cache *s);
// Attempts, 0 = not said.
uint32_t config_limit_attempts(struct config_compile *k, const struct schema_retries *s);
struct resource_timeouts config_limit_timeouts(const struct schema_timeouts *s);

#endif
