// SPDX-License-Identifier: Apache-2.0
// Command lines of `sluice SUBCOMMAND [ACTION] [words] [--options]`: one table for each command,
// one reader for all.
#ifndef SLUICE_CLI_OPTIONS_H
#define SLUICE_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/admin.h"
#include "common/base/cdefs.h"

#define OPTIONS_VALUES_MAX 64u
#define OPTIONS_WORDS_MAX  8u

struct options_def {
    const char *name; // "models" for --models
    bool flag;        // takes no value
};

// What was on the command line; everything borrowed from argv.
struct options {
    const char *words[OPTIONS_WORDS_MAX]; // what is not an option
    size_t n_words;
    struct {
        const char *name, *value; // value "" for flags
    } given[OPTIONS_VALUES_MAX];
    size_t n_given;
    struct admin admin; // --admin-url --admin-token-file --data-dir --wait -o/--output
    bool help;
};

// Options of the command (defs) and those of the admin API may stand anywhere. False: printed what
// is wrong; exit 2.
MUST_CHECK bool options_read(struct options *o, int argc, char **argv,
                             const struct options_def *defs, size_t n);
// Last value given, or NULL.
const char *options_get(const struct options *o, const char *name);
bool options_has(const struct options *o, const char *name);

#endif
