// SPDX-License-Identifier: Apache-2.0
// The `sluice` command: finds the subcommand, nothing else.
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/up.h"
#include "common/base/buf.h"
#include "common/base/slice.h"
#include "common/base/text.h"
#include "common/io/libs.h"
#include "common/io/proc.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"up", up_main, "everything on this machine: Redis, control plane, proxy"},
    {"init", cmd_init, "make the secrets of a new installation"},
    {"status", cmd_status, "proxies and targets"},
    {"keys", cmd_keys, "virtual keys: list, create, rotate, disable, enable, delete"},
    {"provider-keys", cmd_provider_keys,
     "provider keys: list, add, rotate, test, disable, enable, delete"},
    {"routers", cmd_routers, "routers"},
    {"proxies", cmd_proxies, "the fleet"},
    {"usage", cmd_usage, "requests, tokens and money, by key, model, provider, ..."},
    {"requests", cmd_requests, "the recent ones; tail: each as it ends"},
    {"config", cmd_config,
     "check, diff, apply, rollback a configuration; the manual of all settings"},
    {"recover", cmd_recover, "after Redis went back in time: go on with what it holds"},
    {"rotate", cmd_rotate, "replace the cluster secret, signing key or master key, step by step"},
    {"mock", cmd_mock, "run the scripted fake provider"},
};

static void usage(FILE *f)
{
    (void)fputs("usage: sluice COMMAND [...]\n\n", f);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        (void)fprintf(f, "  %-14s %s\n", commands[i].name, commands[i].help);
    }
    (void)fputs(
        "\n`sluice COMMAND --help` says more. Where the admin API is: --admin-url or SLUICE_ADMIN_URL,\n"
        "--admin-token-file, SLUICE_ADMIN_TOKEN or SLUICE_ADMIN_TOKEN_FILE, else the data directory of a\n"
        "running `sluice up`.\n",
        f);
}

static int unknown(const char *name)
{
    struct slice names[ARRAY_LEN(commands)], near;

    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        names[i] = slice_str(commands[i].name);
    }
    near = text_nearest(slice_str(name), names, ARRAY_LEN(names));
    (void)fprintf(stderr, "sluice: unknown command %s", name);
    if (near.p != NULL) {
        (void)fprintf(stderr, " (did you mean " SLICE_FMT "?)", SLICE_ARG(near));
    }
    (void)fputs("\n\n", stderr);
    usage(stderr);
    return 2;
}

static int show_version(void)
{
    struct buf text;

    buf_init(&text, 4096);
    buf_append_str(&text, "sluice " SLUICE_VERSION "\n");
    libs_versions(&text);
    (void)fwrite(buf_slice(&text).p, 1, buf_slice(&text).n, stdout); // nowhere to report to
    buf_done(&text);
    return 0;
}

int main(int argc, char **argv)
{
    // Tokens and provider keys pass through here, by file and by variable.
    proc_hide_env();
    proc_harden();
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        return show_version();
    }
    if (strcmp(argv[1], "--check-config") == 0 && argc == 3) {
        return cmd_check_config(argv[2]);
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 2, argv + 2);
        }
    }
    return unknown(argv[1]);
}
