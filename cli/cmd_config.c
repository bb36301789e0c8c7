// SPDX-License-Identifier: Apache-2.0
// Commands that another of our programs does better: this process becomes that program.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "common/base/mem.h"
#include "common/io/proc.h"

#define ARGS_MAX 64

static int become(const char *program, char **args)
{
    char *path = proc_sibling(program);

    args[0] = path;
    execv(path, args);
    (void)fprintf(stderr, "sluice: cannot run %s: %s\n", path, strerror(errno));
    mem_free(path);
    return 1;
}

int cmd_config(int argc, char **argv)
{
    static const char usage[] = "usage: sluice config check FILE\n"
                                "       sluice config docs\n";
    static char check[] = "--check-config", docs[] = "--config-docs";
    bool is_check = argc == 2 && strcmp(argv[0], "check") == 0;
    bool is_docs = argc == 1 && strcmp(argv[0], "docs") == 0;
    char *args[] = {NULL, is_check ? check : docs, is_check ? argv[1] : NULL, NULL};

    if (argc == 1 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        (void)fputs(usage, stdout);
        return 0;
    }
    if (!is_check && !is_docs) {
        (void)fputs(usage, stderr);
        return 2;
    }
    return become("sluice-control", args);
}

int cmd_mock(int argc, char **argv)
{
    char *args[ARGS_MAX + 2] = {NULL};

    if (argc > ARGS_MAX) {
        (void)fprintf(stderr, "sluice mock: too many arguments\n");
        return 2;
    }
    for (int i = 0; i < argc; i++) {
        args[i + 1] = argv[i];
    }
    return become("sluice-mock", args);
}
