// SPDX-License-Identifier: Apache-2.0
#include "tests/mock/mock_shape.h"

#include <stdarg.h>
#include <stdio.h>

bool mock_shape_refuse(struct mock_request *q, uint32_t status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(q->message, sizeof(q->message), fmt, args);
    va_end(args);
    q->status = status;
    q->code = NULL;
    return false;
}

bool mock_shape_refuse_code(struct mock_request *q, uint32_t status, const char *code,
                            const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(q->message, sizeof(q->message), fmt, args);
    va_end(args);
    q->status = status;
    q->code = code;
    return false;
}

bool mock_shape_add_tool(struct mock_request *q, struct slice name, const struct json_at *schema)
{
    struct mock_wants *w = &q->wants;

    if (w->n_tools == MOCK_TOOLS_MAX) {
        return mock_shape_refuse(q, 400, "Too many tools: at most %u.", MOCK_TOOLS_MAX);
    }
    w->tools[w->n_tools] = name;
    w->schemas[w->n_tools++] = schema->value;
    return true;
}

void mock_shape_add_result(struct mock_request *q, struct slice result)
{
    struct mock_wants *w = &q->wants;

    if (w->n_results < MOCK_RESULTS_MAX) {
        w->results[w->n_results++] = result.p == NULL ? SLICE("") : result;
    }
}

struct slice mock_shape_header(const struct mock_head *h, const char *name)
{
    struct slice rest = h->headers, n, v;

    while (mock_head_next(&rest, &n, &v)) {
        if (slice_eq_nocase(n, slice_str(name))) {
            return v;
        }
    }
    return SLICE_NULL;
}
