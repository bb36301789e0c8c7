// SPDX-License-Identifier: Apache-2.0
// After Redis went back in time: what it means, and the decision to go on with what is there.
#include <stdio.h>

#include "cli/cmd.h"
#include "cli/options.h"

static const char usage[] =
    "usage: sluice recover --adopt [--supersedes EPOCH]\n"
    "  Redis went back in time (an older dump) or was emptied: control planes say state_regressed.\n"
    "  If the newer data can be brought back, do that: everything goes on by itself.\n"
    "  --adopt             go on with what Redis holds now; what is newer is lost for good. A new\n"
    "                      epoch begins, all control planes and proxies follow within seconds\n"
    "  --supersedes EPOCH  proxies that refuse it log which epoch they have: name that\n"
    "  -o table|json  --admin-url URL  --admin-token-file FILE  --data-dir DIR\n";

static const struct options_def defs[] = {{"adopt", true}, {"supersedes", false}};

static const struct admin_column columns[] = {
    {"EPOCH", "epoch"},
    {"SUPERSEDED", "superseded"},
    {"SEQ", "seq"},
};

static int adopt(struct options *opt)
{
    const char *supersedes = options_get(opt, "supersedes");
    struct json_out o;
    struct buf body;
    int code;

    buf_init(&body, 4096);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    json_out_field_str(&o, "action", "adopt");
    if (supersedes != NULL) {
        json_out_field(&o, "supersedes", slice_head(slice_str(supersedes), 64));
    }
    json_out_close(&o, '}');
    code = admin_show(&opt->admin, "POST", "/recovery", &body, columns, ARRAY_LEN(columns));
    buf_done(&body);
    return code;
}

int cmd_recover(int argc, char **argv)
{
    struct options opt;
    int code;

    if (!options_read(&opt, argc, argv, defs, ARRAY_LEN(defs))) {
        return 2;
    }
    if (opt.help || !options_has(&opt, "adopt") || opt.n_words > 0) {
        (void)fputs(usage, opt.help ? stdout : stderr);
        return opt.help ? 0 : 2;
    }
    code = admin_open(&opt.admin);
    if (code == 0) {
        code = adopt(&opt);
    }
    admin_close(&opt.admin);
    return code;
}
