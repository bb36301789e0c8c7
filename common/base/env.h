// SPDX-License-Identifier: Apache-2.0
// The environment of a configuration: variables of the process and of a .env file, the
// SLUICE__SECTION__KEY overrides, and ${NAME} and file:/path in scalars. No I/O here: files are
// read through a callback. Values may be secrets: they are wiped by env_free and never put in
// messages.
#ifndef SLUICE_BASE_ENV_H
#define SLUICE_BASE_ENV_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/node.h"
#include "common/base/problem.h"
#include "common/base/slice.h"

#define ENV_VALUE_MAX    ((size_t)64 << 10) // bytes of a value, also of a file named by file:
#define ENV_EXPANDED_MAX ((size_t)16 << 20) // bytes of all that env_expand puts into one document
#define ENV_VARS_MAX     4096u

struct env;

// No variables; the process's own come in by env_import.
struct env *env_new(void);
// NULL content allowed; *e becomes NULL.
void env_free(struct env **e);

// Copies both; a later value replaces an earlier one. False (nothing changed) for a name that is
// not [A-Za-z_][A-Za-z0-9_]*, a value over ENV_VALUE_MAX or with a NUL, or too many variables.
bool env_set(struct env *e, struct slice name, struct slice value);
// Borrowed until the next env_set; SLICE_NULL if not set.
struct slice env_get(const struct env *e, struct slice name);
// Takes over "NAME=value" strings up to a NULL, as in `environ`; unusable ones are skipped.
void env_import(struct env *e, char *const *vars);

// The text of a .env file: NAME=value lines, `export` in front allowed, # comments, 'single' quotes
// literal, "double" quotes with \n \t \" \\ \$ escapes, no ${}. A variable that is set already
// keeps its value (the process's environment wins). Errors name file and line.
bool env_parse(struct env *e, const char *file, struct slice text, struct problem_list *problems);

// Reads a whole file of at most `max` bytes into memory the caller frees with mem_free (NUL behind
// it); NULL with *err. Used for file:/path.
typedef char *(*env_read_fn)(void *ctx, const char *path, size_t max, size_t *ret_n,
                             struct err *err);
// Parses the value of an override; NULL after reporting.
typedef struct node *(*env_yaml_fn)(struct arena *a, const char *name, struct slice text,
                                    struct problem_list *problems);

// Puts the value of each variable SLUICE__A__B_C into root at a.b-c (in order of name), making maps
// on the way; an existing entry is replaced, also when it is spelled b_c. False if something was
// reported.
bool env_overlay(const struct env *e, struct node *root, struct arena *a, env_yaml_fn yaml,
                 struct problem_list *problems);

// Replaces ${NAME}, ${NAME:-default} and a whole scalar "file:/path" (one newline at its end is
// dropped) in every scalar below root; "$${" stands for "${". What was replaced is marked
// `expanded`. False if something was reported.
bool env_expand(const struct env *e, struct node *root, struct arena *a, env_read_fn read,
                void *read_ctx, struct problem_list *problems);

#endif
