// SPDX-License-Identifier: Apache-2.0
// The two files are read with the tables of the configuration document, so that they cannot drift
// apart. The built-in copies are made by cmake/embed.cmake.
#include "proto/config/catalog.h"

#include <pthread.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/io/document.h"
#include "common/io/yaml.h"

extern const unsigned char catalog_providers_yaml[], catalog_models_yaml[];
extern const size_t catalog_providers_yaml_size, catalog_models_yaml_size;

struct file {
    const struct node *node;
    struct conf_text as_of;
    struct conf_entries providers, models, families;
};

static const struct conf_field file_fields[] = {
    {.key = "as-of", .type = CONF_STRING, .offset = offsetof(struct file, as_of), .required = true},
    {.key = "providers",
     .type = CONF_MAP,
     .offset = offsetof(struct file, providers),
     .table = &schema_provider_table},
    {.key = "models",
     .type = CONF_MAP,
     .offset = offsetof(struct file, models),
     .table = &schema_model_table},
    {.key = "families",
     .type = CONF_LIST,
     .offset = offsetof(struct file, families),
     .table = &schema_family_table},
};
static const struct conf_table file_table = {
    .name = "catalogue",
    .size = sizeof(struct file),
    .fields = file_fields,
    .n = ARRAY_LEN(file_fields),
};

static bool read_text(struct file *out, const char *name, struct slice text, struct arena *a,
                      struct problem_list *problems)
{
    const struct node *root = yaml_parse(a, name, text, problems);
    struct conf_ctx c;

    conf_init(&c, a, problems);
    return root != NULL && conf_read(&c, &file_table, root, out);
}

static bool read_file(struct file *out, const char *dir, const char *name, struct arena *a,
                      struct problem_list *problems)
{
    const char *path = arena_printf(a, "%s/%s", dir, name);
    struct err err;
    size_t n;
    char *text = document_read_file(NULL, path, YAML_BYTES_MAX, &n, &err);
    bool ok;

    if (text == NULL) {
        problem_add(problems, PROBLEM_ERROR, (struct problem_place){path, 0, 0}, "", "%s",
                    err.message);
        return false;
    }
    ok = read_text(out, path, (struct slice){text, n}, a, problems);
    mem_free(text);
    return ok;
}

bool catalog_load(struct catalog *out, const char *dir, struct arena *a,
                  struct problem_list *problems)
{
    struct file providers, models;
    bool ok;

    if (dir == NULL) {
        struct slice p = {(const char *)catalog_providers_yaml, catalog_providers_yaml_size};
        struct slice m = {(const char *)catalog_models_yaml, catalog_models_yaml_size};

        ok = read_text(&providers, "catalog/providers.yaml", p, a, problems);
        ok = read_text(&models, "catalog/models.yaml", m, a, problems) && ok;
    } else {
        ok = read_file(&providers, dir, "providers.yaml", a, problems);
        ok = read_file(&models, dir, "models.yaml", a, problems) && ok;
    }
    if (ok) {
        *out =
            (struct catalog){providers.providers, models.models, models.families, models.as_of.s};
    }
    return ok;
}

static struct catalog builtin;

// Its arena is never freed: what is made from the catalogue borrows from it.
static void load_builtin(void)
{
    static struct arena arena;
    struct problem_list problems;

    arena_init(&arena, (size_t)64 * 1024, 0);
    problem_list_init(&problems);
    CHECK(catalog_load(&builtin, NULL, &arena, &problems)); // held by tests
    problem_list_done(&problems);
}

const struct catalog *catalog_builtin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    CHECK(pthread_once(&once, load_builtin) == 0);
    return &builtin;
}

static bool in(const struct conf_texts *names, struct slice name)
{
    for (size_t i = 0; i < names->n; i++) {
        if (slice_eq_str(name, names->items[i].s)) {
            return true;
        }
    }
    return false;
}

const struct conf_entry *catalog_provider(const struct catalog *c, struct slice name)
{
    for (size_t i = 0; i < c->providers.n; i++) {
        const struct conf_entry *e = &c->providers.items[i];

        if (slice_eq_str(name, e->name) ||
            in(&((const struct schema_provider *)e->value)->aliases, name)) {
            return e;
        }
    }
    return NULL;
}

const struct conf_entry *catalog_vendor(const struct catalog *c, struct slice model)
{
    for (size_t i = 0; i < c->providers.n; i++) {
        const struct schema_provider *p = c->providers.items[i].value;

        for (size_t k = 0; k < p->model_names.n; k++) {
            if (text_glob(slice_str(p->model_names.items[k].s), model)) {
                return &c->providers.items[i];
            }
        }
    }
    return NULL;
}
