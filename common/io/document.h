// SPDX-License-Identifier: Apache-2.0
// A configuration file from disk to a finished node tree: YAML, then SLUICE__ overrides, then
// ${NAME} and file:/path.
#ifndef SLUICE_IO_DOCUMENT_H
#define SLUICE_IO_DOCUMENT_H

#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/env.h"
#include "common/base/err.h"
#include "common/base/node.h"
#include "common/base/problem.h"
#include "common/base/slice.h"

// A whole regular file (or pipe) of at most `max` bytes, NUL behind it; free with mem_free. NULL
// with *e naming the path. ctx is not used (it makes this an env_read_fn). Blocks.
MUST_CHECK char *document_read_file(void *ctx, const char *path, size_t max, size_t *ret_n,
                                    struct err *e);

// Variables of the process, then those of env_file (NULL: none). A file that is not there is an
// error only if `must_exist`. False after reporting to problems.
bool document_read_env(struct env *e, const char *env_file, bool must_exist,
                       struct problem_list *problems);

// Where the values of a document come from besides its text.
struct document_env {
    const struct env *env;
    env_read_fn read; // for file:/path; NULL: document_read_file
};

// An env_read_fn that refuses: for documents that do not come from this machine's owner.
char *document_no_files(void *ctx, const char *path, size_t max, size_t *ret_n, struct err *e);

// The tree of a text; name is copied. NULL after reporting.
MUST_CHECK struct node *document_parse(struct arena *a, const char *name, struct slice text,
                                       const struct document_env *from,
                                       struct problem_list *problems);

// The tree of a file; path NULL: an empty document with the overrides put
// in. NULL after reporting.
MUST_CHECK struct node *document_load(struct arena *a, const char *path, const struct env *env,
                                      struct problem_list *problems);

// The same without the top-level sections named in `skip` (ends with NULL): what is not this
// process's need not make sense to it, since it may name variables and files that only another
// process has.
MUST_CHECK struct node *document_load_own(struct arena *a, const char *path,
                                          const char *const *skip, const struct env *env,
                                          struct problem_list *problems);

// Overwrites the text of every scalar below n that came from the environment or a file.
void document_wipe(struct node *n);

#endif
