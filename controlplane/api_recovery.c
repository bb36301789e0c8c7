// SPDX-License-Identifier: Apache-2.0
// POST /recovery {"action": "adopt", "supersedes": "<epoch in hex>"?}
#include "common/base/text.h"
#include "controlplane/api_priv.h"
#include "controlplane/recovery.h"

#define EPOCH_HEX (2 * STATE_EPOCH_BYTES)

static void put_epoch(struct json_out *o, const char *bytes)
{
    char hex[EPOCH_HEX + 1];

    text_hex((const uint8_t *)bytes, STATE_EPOCH_BYTES, hex);
    json_out_text(o, slice_str(hex));
}

static void answer(struct api_call *c, const struct recovery_result *r)
{
    struct json_out o;
    struct buf body;

    buf_init(&body, 4096);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    json_out_field_str(&o, "action", "adopt");
    json_out_key(&o, "epoch");
    put_epoch(&o, (const char *)r->epoch);
    json_out_key(&o, "superseded");
    json_out_open(&o, '[');
    for (size_t i = 0; i + STATE_EPOCH_BYTES <= r->superseded.n; i += STATE_EPOCH_BYTES) {
        put_epoch(&o, r->superseded.p + i);
    }
    json_out_close(&o, ']');
    json_out_field_u64(&o, "seq", r->seq);
    json_out_close(&o, '}');
    api_send(c, 200, &body, 0);
}

static void on_adopted(void *arg, const struct recovery_result *r)
{
    struct api_call *c = arg;

    switch (r->outcome) {
    case RECOVERY_DONE:
        answer(c, r);
        break;
    case RECOVERY_NOT_NEEDED:
        api_error(c, 409, "not_regressed", "%s", r->message);
        break;
    case RECOVERY_CHANGED:
        api_error(c, 409, "changed_meanwhile", "%s: look at /readyz, then decide again",
                  r->message);
        break;
    case RECOVERY_UNAVAILABLE:
        api_error(c, 503, "store_unavailable", "%s; nothing was changed", r->message);
        break;
    case RECOVERY_UNKNOWN:
        api_error(c, 503, "store_unavailable",
                  "%s; it is not known whether it was done: look at /readyz", r->message);
        break;
    }
    api_release(c);
}

static void put_audit(struct api_call *c, struct buf *b)
{
    struct json_out o = json_out_to(b);

    api_write_audit_head(c, &o, "recovery.adopt");
    json_out_close(&o, '}');
}

// False: replied. *ret_named: has an epoch been named?
static bool read_body(struct api_call *c, uint8_t named[STATE_EPOCH_BYTES], bool *ret_named)
{
    static const char *const names[] = {"action", "supersedes"};
    struct json_at body = json_root(c->doc), action = json_member(&body, "action");
    struct json_at supersedes = json_member(&body, "supersedes");
    struct slice s;

    *ret_named = false;
    if (json_require(&body, &c->report) && json_want_map(&body, 16, &c->report)) {
        json_known(&body, names, ARRAY_LEN(names), &c->report);
        if (json_require(&action, &c->report) && json_want_text(&action, 1, 16, &s, &c->report) &&
            !slice_eq_str(s, "adopt")) {
            json_note(&c->report, &action, "must be \"adopt\"");
        }
        if (!json_present_null(&supersedes) &&
            json_want_text(&supersedes, EPOCH_HEX, EPOCH_HEX, &s, &c->report)) {
            *ret_named = text_unhex(s, named, STATE_EPOCH_BYTES);
            if (!*ret_named) {
                json_note(&c->report, &supersedes, "must be an epoch: 32 hex digits");
            }
        }
    }
    if (c->report.n > 0) {
        api_invalid(c);
        return false;
    }
    return true;
}

void api_recovery_post(struct api_call *c)
{
    uint8_t named[STATE_EPOCH_BYTES];
    struct buf audit;
    bool has_named;

    if (!read_body(c, named, &has_named)) {
        return;
    }
    buf_init(&audit, 4096);
    put_audit(c, &audit);
    api_hold(c);
    recovery_adopt(c->api->store, has_named ? named : NULL, buf_slice(&audit), on_adopted, c);
    buf_done(&audit);
}
