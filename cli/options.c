// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include <stdio.h>
#include <string.h>

#include "common/base/slice.h"
#include "common/base/text.h"

static const struct options_def common_defs[] = {
    {"admin-url", false}, {"admin-token-file", false}, {"data-dir", false},
    {"wait", false},      {"output", false},           {"help", true},
};

static const struct options_def *find(const struct options_def *defs, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++) {
        if (slice_eq_str(name, defs[i].name)) {
            return &defs[i];
        }
    }
    return NULL;
}

static bool unknown(struct slice name, const struct options_def *defs, size_t n)
{
    struct slice names[OPTIONS_VALUES_MAX];
    size_t count = 0;
    struct slice near;

    for (size_t i = 0; i < n && count < OPTIONS_VALUES_MAX; i++) {
        names[count++] = slice_str(defs[i].name);
    }
    for (size_t i = 0; i < ARRAY_LEN(common_defs) && count < OPTIONS_VALUES_MAX; i++) {
        names[count++] = slice_str(common_defs[i].name);
    }
    near = text_nearest(name, names, count);
    (void)fprintf(stderr, "sluice: unknown option --" SLICE_FMT "%s" SLICE_FMT "%s\n",
                  SLICE_ARG(name), near.p != NULL ? " (did you mean --" : "",
                  SLICE_ARG(near.p != NULL ? near : SLICE("")), near.p != NULL ? "?)" : "");
    return false;
}

static bool take_common(struct options *o, const char *name, const char *value)
{
    if (strcmp(name, "help") == 0) {
        o->help = true;
    } else if (strcmp(name, "admin-url") == 0) {
        o->admin.url = value;
    } else if (strcmp(name, "admin-token-file") == 0) {
        o->admin.token_file = value;
    } else if (strcmp(name, "data-dir") == 0) {
        o->admin.data_dir = value;
    } else if (strcmp(name, "wait") == 0) {
        o->admin.wait = value;
    } else if (slice_eq_str(SLICE("json"), value) || slice_eq_str(SLICE("table"), value)) {
        o->admin.json = slice_eq_str(SLICE("json"), value);
    } else {
        (void)fprintf(stderr, "sluice: -o takes table or json, not %s\n", value);
        return false;
    }
    return true;
}

// The option's name without dashes; SLICE_NULL when the word is not an option.
static struct slice option_name(const char *word)
{
    if (strcmp(word, "-o") == 0) {
        return SLICE("output");
    }
    if (strcmp(word, "-c") == 0) {
        return SLICE("config");
    }
    if (strcmp(word, "-h") == 0) {
        return SLICE("help");
    }
    return word[0] == '-' && word[1] == '-' && word[2] != '\0' ? slice_from(slice_str(word), 2)
                                                               : SLICE_NULL;
}

static bool take_option(struct options *o, int argc, char **argv, int *i,
                        const struct options_def *defs, size_t n)
{
    struct slice value, head;
    const struct options_def *def;
    bool common = false;

    value = slice_cut(option_name(argv[*i]), '=', &head);
    def = find(defs, n, head);
    if (def == NULL) {
        def = find(common_defs, ARRAY_LEN(common_defs), head);
        common = true;
    }
    if (def == NULL) {
        return unknown(head, defs, n);
    }
    if (def->flag) {
        value = SLICE("");
    } else if (value.p == NULL) {
        if (*i + 1 >= argc) {
            (void)fprintf(stderr, "sluice: --%s takes a value\n", def->name);
            return false;
        }
        value = slice_str(argv[++*i]);
    }
    if (common) {
        return take_common(o, def->name, value.p);
    }
    if (o->n_given == OPTIONS_VALUES_MAX) {
        (void)fprintf(stderr, "sluice: more than %u options\n", OPTIONS_VALUES_MAX);
        return false;
    }
    o->given[o->n_given].name = def->name;
    o->given[o->n_given++].value = value.p;
    return true;
}

bool options_read(struct options *o, int argc, char **argv, const struct options_def *defs,
                  size_t n)
{
    *o = (struct options){.n_words = 0};
    for (int i = 0; i < argc; i++) {
        if (option_name(argv[i]).p != NULL) {
            if (!take_option(o, argc, argv, &i, defs, n)) {
                return false;
            }
        } else if (argv[i][0] == '-' && argv[i][1] != '\0') {
            return unknown(slice_from(slice_str(argv[i]), 1), defs, n);
        } else if (o->n_words == OPTIONS_WORDS_MAX) {
            (void)fprintf(stderr, "sluice: too many words: %s\n", argv[i]);
            return false;
        } else {
            o->words[o->n_words++] = argv[i];
        }
    }
    return true;
}

const char *options_get(const struct options *o, const char *name)
{
    for (size_t i = o->n_given; i > 0; i--) {
        if (strcmp(o->given[i - 1].name, name) == 0) {
            return o->given[i - 1].value;
        }
    }
    return NULL;
}

bool options_has(const struct options *o, const char *name)
{
    return options_get(o, name) != NULL;
}
