// SPDX-License-Identifier: Apache-2.0
// `sluice mock`: this process becomes sluice-mock.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "common/base/mem.h"
#include "common/io/proc.h"

#define ARGS_MAX 64

int cmd_mock(int argc, char **argv)
{
    char *path = proc_sibling("sluice-mock");
    char *args[ARGS_MAX + 2] = {path};

    if (argc > ARGS_MAX) {
        (void)fprintf(stderr, "sluice mock: too many arguments\n");
        mem_free(path);
        return 2;
    }
    for (int i = 0; i < argc; i++) {
        args[i + 1] = argv[i];
    }
    (void)execv(path, args); // comes back only when it failed
    (void)fprintf(stderr, "sluice: cannot run %s: %s\n", path, strerror(errno));
    mem_free(path);
    return 1;
}
