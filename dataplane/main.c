// SPDX-License-Identifier: Apache-2.0
// sluice-proxy: arguments, boot settings, run. Exit codes: 0 ok, 1 runtime failure, 2 usage or
// configuration.
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/io/libs.h"
#include "common/io/proc.h"
#include "dataplane/dp_conf.h"
#include "dataplane/proxy.h"
#include "dataplane/req.h"
#include "proto/router_check.h"

static void print(struct buf *text)
{
    (void)fwrite(buf_slice(text).p, 1, buf_slice(text).n, stdout); // nowhere to report to
    buf_done(text);
}

static int show_version(void)
{
    struct buf text;

    buf_init(&text, 4096);
    buf_append_str(&text, "sluice-proxy " SLUICE_VERSION "\n");
    libs_versions(&text);
    print(&text);
    return 0;
}

static int render_fsm(void)
{
    struct buf text;

    buf_init(&text, 1u << 20);
    req_render_dot(&text);
    print(&text);
    return 0;
}

static int check(const struct dp_conf_args *args)
{
    struct dp_conf conf;
    bool ok = dp_conf_load(args, args->check_file, &conf);

    dp_conf_done(&conf);
    if (ok) {
        (void)printf("%s: the proxy's sections are fine\n", args->check_file);
    }
    return ok ? 0 : 1;
}

static int run(const struct dp_conf_args *args)
{
    static const struct proxy_parts parts = {.check_router = router_check};
    struct dp_conf conf;
    struct err e;
    int code = 2;

    if (dp_conf_load(args, args->file, &conf)) {
        log_setup("sluice-proxy", (enum log_level)conf.boot.logging.level, conf.boot.logging.json);
        log_access_setup(1, conf.boot.logging.access);
        proc_harden();
        code = 0;
        if (!proxy_run(args, &conf, &parts, &e)) {
            LOG(ERROR, "proxy.failed", LOG_ERR(&e));
            code = e.code == ERR_INVALID ? 2 : 1;
        }
    }
    dp_conf_done(&conf);
    return code;
}

int main(int argc, char **argv)
{
    struct dp_conf_args args;

    proc_hide_env();
    if (!dp_conf_parse(argc, argv, &args)) {
        return 2;
    }
    switch (args.action) {
    case DP_CONF_HELP:
        dp_conf_usage();
        return 0;
    case DP_CONF_VERSION:
        return show_version();
    case DP_CONF_RENDER_FSM:
        return render_fsm();
    case DP_CONF_CHECK:
        return check(&args);
    case DP_CONF_RUN:
        break;
    }
    return run(&args);
}
