// SPDX-License-Identifier: Apache-2.0
// The ready file is one JSON object; `sluice up` and the tests wait for it and read from it which
// ports were bound.
#include "controlplane/ready.h"

#include <unistd.h>

#include "common/base/log.h"
#include "common/io/json.h"
#include "common/io/proc.h"

static void write_file(const struct ready *r)
{
    struct json_out o;
    struct buf text;
    struct err e;

    buf_init(&text, 8192);
    o = json_out_to(&text);
    json_out_open(&o, '{');
    json_out_field_u64(&o, "pid", (uint64_t)getpid());
    json_out_field_str(&o, "admin_address", r->admin_address);
    json_out_field_u64(&o, "admin_port", r->admin_port);
    json_out_field_str(&o, "listen", r->listen);
    json_out_field_u64(&o, "seq", state_seq(r->state));
    json_out_close(&o, '}');
    buf_append_char(&text, '\n');
    if (!proc_write_file(r->file, buf_slice(&text), 0600, &e)) {
        LOG(ERROR, "control.ready_file", LOG_ERR(&e));
    }
    buf_done(&text);
}

void ready_tell(struct ready *r)
{
    if (r->told) {
        return;
    }
    r->told = true;
    LOG(INFO, "control.ready", LOG_UINT("admin_port", r->admin_port), LOG_STR("listen", r->listen),
        LOG_UINT("seq", state_seq(r->state)));
    if (r->file != NULL) {
        write_file(r);
    }
    (void)proc_notify("READY=1"); // without a service manager there is nobody to tell
}
