// SPDX-License-Identifier: Apache-2.0
// Keys of providers: those of the provider's `keys` list, else the first of its variables that is
// set in the environment. A key's value goes from there into a struct secret and into no message;
// its id is "<provider>.<name>", so that the same file makes the same resources again.
#include <ctype.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/io/document.h"
#include "proto/config/config_compile.h"

#define KEY_MAX_BYTES ((size_t)RESOURCE_STRING_MAX)

struct key_source {
    struct slice value;
    const char *name, *origin;
    const struct node *node; // for complaints; NULL: from the environment by itself
    uint64_t weight;
};

static bool add_key(struct config_compile *k, const struct config_provider *p,
                    const struct key_source *s)
{
    struct slice value = slice_trim(s->value);
    struct resource *r;
    char hint[8];
    const char *id;

    for (size_t i = 0; i < value.n; i++) {
        if ((unsigned char)value.p[i] <= 0x20 || (unsigned char)value.p[i] >= 0x7f) {
            conf_complain(k->ctx, PROBLEM_ERROR, s->node, false,
                          "the key \"%s\" holds spaces, control or non-ASCII characters", s->name);
            return false;
        }
    }
    if (value.n > KEY_MAX_BYTES) {
        conf_complain(k->ctx, PROBLEM_ERROR, s->node, false, "the key \"%s\" is too long", s->name);
        return false;
    }
    id = arena_printf(k->ctx->arena, "%s.%s", p->name, s->name);
    if (strlen(id) > RESOURCE_ID_MAX) {
        conf_complain(k->ctx, PROBLEM_ERROR, s->node, true, "the name of the key is too long");
        return false;
    }
    r = resource_new(RESOURCE_PROVIDER_KEY, slice_str(id), 1);
    r->parent = arena_strdup(&r->arena, p->name);
    r->u.provider_key->provider = r->parent;
    r->u.provider_key->name = arena_strdup(&r->arena, s->name);
    r->u.provider_key->value = secret_new(value);
    r->u.provider_key->weight = (uint32_t)s->weight;
    r->u.provider_key->origin = s->origin;
    secret_hint(r->u.provider_key->value, hint);
    r->u.provider_key->hint = arena_strdup(&r->arena, hint);
    (void)config_compile_add(k, r, s->node);
    return true;
}

// One entry of `keys`. True if it gave a key.
static bool add_listed(struct config_compile *k, const struct config_provider *p,
                       const struct conf_entry *e, size_t index)
{
    const struct schema_provider_key *s = e->value;
    int given = (s->env.s != NULL) + (s->file.s != NULL) + (s->value.s != NULL);
    struct key_source from = {.node = e->node, .weight = s->weight, .origin = "file"};
    struct err err;
    char *text;
    size_t n;
    bool ok;

    if (given != 1) {
        conf_complain(k->ctx, PROBLEM_ERROR, e->node, false,
                      "expected exactly one of env, file, value");
        return false;
    }
    from.name = s->name.s != NULL  ? s->name.s
                : s->env.s != NULL ? s->env.s
                                   : arena_printf(k->ctx->arena, "key-%zu", index + 1);
    if (!config_compile_name(k, s->name.node != NULL ? s->name.node : e->node, from.name, 64)) {
        return false;
    }
    if (s->file.s != NULL) {
        text = (k->options->read != NULL ? k->options->read : document_read_file)(
            NULL, s->file.s, ENV_VALUE_MAX, &n, &err);
        if (text == NULL) {
            conf_complain(k->ctx, PROBLEM_ERROR, s->file.node, false, "%s", err.message);
            return false;
        }
        while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r')) {
            text[--n] = '\0';
        }
        from.value = (struct slice){text, n};
        ok = n > 0 && add_key(k, p, &from);
        mem_wipe(text, n);
        mem_free(text);
        return ok;
    }
    if (s->env.s != NULL) {
        from.origin = "env";
        from.value = env_get(k->options->env, slice_str(s->env.s));
    } else {
        from.value = (struct slice){s->value.node->text.p, s->value.node->text.n};
        if (s->value.node->quoted || !s->value.node->expanded) {
            from.origin = "file";
        }
    }
    return slice_trim(from.value).n > 0 && add_key(k, p, &from);
}

static bool same_name_before(const struct conf_entries *keys, size_t i, const char *name)
{
    for (size_t j = 0; j < i; j++) {
        const struct schema_provider_key *s = keys->items[j].value;
        const char *other = s->name.s != NULL ? s->name.s : s->env.s;

        if (other != NULL && name != NULL && strcmp(other, name) == 0) {
            return true;
        }
    }
    return false;
}

// MY_VLLM_API_KEY of my-vllm.
static const char *derived_variable(struct arena *a, const char *name)
{
    char *s = arena_printf(a, "%s_API_KEY", name);

    for (size_t i = 0; i < strlen(name); i++) {
        s[i] = isalnum((unsigned char)s[i]) ? (char)toupper((unsigned char)s[i]) : '_';
    }
    return s;
}

static size_t keys_from_list(struct config_compile *k, const struct config_provider *p,
                             struct resource *r)
{
    const struct conf_entries *keys = &p->doc->keys;
    size_t found = 0, top = conf_enter(k->ctx, "keys", SIZE_MAX);

    for (size_t i = 0; i < keys->n; i++) {
        const struct schema_provider_key *s = keys->items[i].value;
        const char *name = s->name.s != NULL ? s->name.s : s->env.s;
        size_t mark = conf_enter(k->ctx, NULL, i);

        if (r->u.provider->key_variable == NULL) {
            r->u.provider->key_variable = config_compile_str(r, &s->env);
        }
        if (same_name_before(keys, i, name)) {
            conf_complain(k->ctx, PROBLEM_ERROR, keys->items[i].node, false,
                          "another key of this provider has the name \"%s\"", name);
        } else {
            found += add_listed(k, p, &keys->items[i], i);
        }
        conf_leave(k->ctx, mark);
    }
    conf_leave(k->ctx, top);
    return found;
}

// The variables that are looked at when there is no list; own: room for the derived one.
static const struct conf_texts *variables_of(const struct config_compile *k,
                                             const struct config_provider *p,
                                             struct conf_text own[1], struct conf_texts *derived)
{
    const struct conf_texts *doc = p->doc == NULL ? NULL : &p->doc->key_variables;
    const struct conf_texts *names = doc != NULL && doc->n > 0 ? doc
                                     : p->cat != NULL          ? &p->cat->key_variables
                                                               : NULL;

    if (names != NULL && names->n > 0) {
        return names;
    }
    own[0] = (struct conf_text){derived_variable(k->ctx->arena, p->name), NULL};
    *derived = (struct conf_texts){own, 1, NULL};
    return derived;
}

bool config_provider_key_is_set(const struct config_compile *k, const struct config_provider *p)
{
    struct conf_text own[1];
    struct conf_texts derived;
    const struct conf_texts *names = variables_of(k, p, own, &derived);

    for (size_t i = 0; i < names->n; i++) {
        if (slice_trim(env_get(k->options->env, slice_str(names->items[i].s))).n > 0) {
            return true;
        }
    }
    return false;
}

static size_t keys_from_environment(struct config_compile *k, const struct config_provider *p,
                                    struct resource *r)
{
    struct conf_text own[1];
    struct conf_texts derived;
    const struct conf_texts *names = variables_of(k, p, own, &derived);

    r->u.provider->key_variable = config_compile_str(r, &names->items[0]);
    for (size_t i = 0; i < names->n; i++) {
        struct key_source from = {
            .value = env_get(k->options->env, slice_str(names->items[i].s)),
            .name = names->items[i].s,
            .origin = "env",
            .weight = 1,
        };

        if (slice_trim(from.value).n > 0) {
            return add_key(k, p, &from);
        }
    }
    return 0;
}

void config_provider_key_put(struct config_compile *k, const struct config_provider *p,
                             struct resource *r)
{
    bool listed = p->doc != NULL && p->doc->keys.node != NULL;
    size_t found = listed ? keys_from_list(k, p, r) : keys_from_environment(k, p, r);
    int required = p->doc != NULL && p->doc->key_required != SCHEMA_UNSET ? p->doc->key_required
                   : p->cat != NULL                                       ? p->cat->key_required
                                                                          : SCHEMA_UNSET;
    const char *variable = r->u.provider->key_variable;

    if (required == SCHEMA_UNSET) {
        r->u.provider->needs_key = p->cat != NULL || listed || found > 0;
    } else {
        r->u.provider->needs_key = required == SCHEMA_TRUE;
    }
    if (r->u.provider->needs_key && found == 0 && p->named) {
        problem_add(
            k->ctx->problems, PROBLEM_NOTICE, (struct problem_place){0}, k->ctx->path,
            "has no key and is left out of routing until it has one: set %s or add one with "
            "sluice provider-keys add",
            variable == NULL ? "one in its file" : variable);
    }
}
