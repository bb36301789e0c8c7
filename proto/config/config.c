// SPDX-License-Identifier: Apache-2.0
// Puts the stages together and owns what they make.
#include "proto/config/config.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"
#include "common/io/document.h"
#include "proto/config/config_compile.h"

static struct config *config_new(void)
{
    struct config *c = mem_zalloc(sizeof(*c));

    arena_init(&c->arena, 16384, 0);
    problem_list_init(&c->problems);
    return c;
}

static void drop_resources(struct config *c)
{
    for (size_t i = 0; i < c->n_resources; i++) {
        resource_unref(&c->resources[i]);
    }
    for (size_t i = 0; i < c->n_keys; i++) {
        secret_free(&c->keys[i].secret);
    }
    mem_free(c->resources);
    mem_free(c->where);
    mem_free(c->keys);
    c->resources = NULL;
    c->where = NULL;
    c->keys = NULL;
    c->n_resources = c->cap_resources = c->n_keys = 0;
}

void config_free(struct config **c)
{
    if (*c == NULL) {
        return;
    }
    drop_resources(*c);
    if ((*c)->root != NULL) {
        document_wipe((*c)->root);
    }
    problem_list_done(&(*c)->problems);
    arena_done(&(*c)->arena);
    mem_free(*c);
    *c = NULL;
}

// From the tree on. Boot sections are filled whatever happens.
static void build(struct config *c, const struct config_options *o)
{
    struct conf_ctx ctx;

    conf_init(&ctx, &c->arena, &c->problems);
    (void)conf_read(&ctx, &schema_table, c->root, &c->schema);
    (void)boot_check(&ctx, &c->schema.boot);
    if (o->catalog != NULL || o->catalog_dir == NULL) {
        c->catalog = *(o->catalog != NULL ? o->catalog : catalog_builtin());
    } else if (!catalog_load(&c->catalog, o->catalog_dir, &c->arena, &c->problems)) {
        return;
    }
    config_compile(c, &ctx, o);
    if (!config_ok(c)) {
        drop_resources(c);
    }
}

struct config *config_load(const char *path, const struct config_options *o)
{
    struct config *c = config_new();

    CHECK(o->env != NULL && o->read == NULL);
    c->root = document_load(&c->arena, path, o->env, &c->problems);
    build(c, o);
    return c;
}

struct config *config_parse(const char *name, struct slice text, const struct config_options *o)
{
    const struct document_env from = {o->env, o->read};
    struct config *c = config_new();

    CHECK(o->env != NULL);
    c->root = document_parse(&c->arena, name, text, &from, &c->problems);
    build(c, o);
    return c;
}

void config_hash_keys(struct config *c, const uint8_t key_hash_key[32])
{
    for (size_t i = 0; i < c->n_keys; i++) {
        struct slice secret = secret_reveal(c->keys[i].secret);
        uint8_t *hash = c->keys[i].resource->u.key->hash;

        crypto_keyed_hash(hash, 32, key_hash_key, &secret, 1);
    }
}

bool config_lets_strangers_in(const struct config *c)
{
    for (size_t i = 0; i < c->n_resources; i++) {
        const struct resource *r = c->resources[i];

        if (r->kind == RESOURCE_SETTINGS && (r->u.settings->auth_mode == RESOURCE_AUTH_OPTIONAL ||
                                             r->u.settings->auth_mode == RESOURCE_AUTH_OFF)) {
            return true;
        }
    }
    return false;
}

bool config_check(const char *file, const struct env *env, struct buf *report)
{
    struct env *own = NULL;
    struct config_options o = {.env = env};
    struct config *c;
    bool ok;

    if (env == NULL) {
        struct problem_list none;

        problem_list_init(&none);
        own = env_new();
        (void)document_read_env(own, NULL, false, &none);
        problem_list_done(&none);
        o.env = own;
    }
    c = config_load(file, &o);
    ok = config_ok(c);
    problem_render_all(&c->problems, report);
    if (ok) {
        buf_printf(report, "%s: ok, %zu warning%s\n", file, c->problems.warnings,
                   c->problems.warnings == 1 ? "" : "s");
    } else {
        buf_printf(report, "%s: %zu error%s\n", file, c->problems.errors,
                   c->problems.errors == 1 ? "" : "s");
    }
    config_free(&c);
    env_free(&own);
    return ok;
}
