// SPDX-License-Identifier: Apache-2.0
// Providers and models known without being told: catalog/*.yaml, built into the program, or the
// same two files of a directory.
#ifndef SLUICE_PROTO_CONFIG_CATALOG_H
#define SLUICE_PROTO_CONFIG_CATALOG_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/conf.h"
#include "common/base/problem.h"
#include "common/base/slice.h"
#include "proto/config/schema.h"

struct catalog {
    struct conf_entries providers; // struct schema_provider
    struct conf_entries models;    // struct schema_model
    struct conf_entries families;  // list of struct schema_family
    const char *as_of;             // date of the prices
};

// Fills *out, everything in `a`. dir NULL: the built-in files. False after reporting.
bool catalog_load(struct catalog *out, const char *dir, struct arena *a,
                  struct problem_list *problems);

// The built-in catalogue, read at the first call and kept until the process ends. Any thread.
const struct catalog *catalog_builtin(void);

// A provider by name or alias; NULL if absent. Borrowed.
const struct conf_entry *catalog_provider(const struct catalog *c, struct slice name);
// The provider whose `model-names` match a bare model name; NULL if none.
const struct conf_entry *catalog_vendor(const struct catalog *c, struct slice model);

#endif
