// SPDX-License-Identifier: Apache-2.0
// Anthropic's wire format: so far its error bodies, for clients that call /v1/messages. The
// vtable's other entries are NULL: no provider speaks this dialect until its translation exists,
// and config check says so.
#include "common/base/text.h"
#include "dataplane/dialect.h"

static const char *error_type(unsigned status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 402:
        return "billing_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 413:
        return "request_too_large";
    case 429:
        return "rate_limit_error";
    case 503:
    case 529:
        return "overloaded_error";
    case 504:
        return "timeout_error";
    default:
        return status >= 500 ? "api_error" : "invalid_request_error";
    }
}

static void write_error(const struct dialect_error *er, struct buf *out)
{
    buf_append_str(out, "{\"type\":\"error\",\"error\":{\"type\":");
    text_json_string(out, slice_str(er->type != NULL ? er->type : error_type(er->status)));
    buf_append_str(out, ",\"message\":");
    text_json_string(out, er->message);
    if (er->attempts > 1) {
        buf_printf(out, ",\"attempts\":%u", er->attempts);
    }
    buf_append_str(out, "},\"request_id\":");
    text_json_string(out, er->request_id);
    buf_append_char(out, '}');
}

static void write_error_event(const struct dialect_error *er, struct buf *out)
{
    buf_append_str(out, "event: error\ndata: ");
    write_error(er, out);
    buf_append_str(out, "\n\n");
}

const struct dialect dialect_anthropic = {
    .name = "anthropic",
    .write_error = write_error,
    .write_error_event = write_error_event,
};
