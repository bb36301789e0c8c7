// SPDX-License-Identifier: Apache-2.0
// What is running and how it is: proxies, targets, routers.
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/options.h"

static const struct admin_column proxies[] = {
    {"PROXY", "id"},
    {"LIVE", "live"},
    {"VERSION", "version"},
    {"APPLIED", "applied_seq"},
    {"LAG", "lag"},
    {"IN FLIGHT", "in_flight"},
    {"LAST SEEN", "last_seen"},
};

static const struct admin_column targets[] = {
    {"PROVIDER", "provider"}, {"MODEL", "model"},     {"KEY", "key_id"},
    {"STATE", "state"},       {"TTFB MS", "ttfb_ms"}, {"IN FLIGHT", "in_flight"},
};

static const struct admin_column routers[] = {
    {"ROUTER", "id"},
    {"ORIGIN", "origin"},
    {"VERSION", "version"},
};

// Reads the options of a command that takes only the common ones and up to one word.
static int begin(struct options *opt, int argc, char **argv, const char *usage, size_t max_words)
{
    if (!options_read(opt, argc, argv, NULL, 0)) {
        return 2;
    }
    if (opt->help || opt->n_words > max_words) {
        (void)fputs(usage, opt->help ? stdout : stderr);
        return opt->help ? -1 : 2; // -1: done, all well
    }
    return admin_open(&opt->admin);
}

static int end(struct options *opt, int code)
{
    admin_close(&opt->admin);
    return code < 0 ? 0 : code;
}

int cmd_status(int argc, char **argv)
{
    struct options opt;
    int code =
        begin(&opt, argc, argv,
              "usage: sluice status [-o table|json] [--admin-url URL] [--data-dir DIR]\n", 0);

    if (code == 0) {
        code = admin_list(&opt.admin, "/proxies", proxies, ARRAY_LEN(proxies));
    }
    if (code == 0) {
        (void)fputs(opt.admin.json ? "" : "\n", stdout);
        code = admin_list(&opt.admin, "/health/targets", targets, ARRAY_LEN(targets));
    }
    return end(&opt, code);
}

int cmd_proxies(int argc, char **argv)
{
    struct options opt;
    int code = begin(&opt, argc, argv, "usage: sluice proxies [-o table|json]\n", 0);

    if (code == 0) {
        code = admin_list(&opt.admin, "/proxies", proxies, ARRAY_LEN(proxies));
    }
    return end(&opt, code);
}

int cmd_routers(int argc, char **argv)
{
    struct options opt;
    char escaped[400], path[512];
    int code = begin(&opt, argc, argv, "usage: sluice routers [NAME] [-o table|json]\n", 1);

    if (code == 0 && opt.n_words == 0) {
        code = admin_list(&opt.admin, "/routers", routers, ARRAY_LEN(routers));
    } else if (code == 0) {
        // One router is a document, not a row.
        opt.admin.json = true;
        (void)snprintf(path, sizeof(path), "/routers/%s", admin_escape(opt.words[0], escaped));
        code = admin_show(&opt.admin, "GET", path, NULL, NULL, 0);
    }
    return end(&opt, code);
}
