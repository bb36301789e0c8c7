// SPDX-License-Identifier: Apache-2.0
// The text is put below "routers:" of an otherwise empty document, so that it meets the same tables
// and checks as a file does. What is reported about lines is counted in the text as it was sent.
#include "proto/router_check.h"

#include "common/io/document.h"
#include "proto/config/config.h"

#define TEXT_MAX   (256u * 1024)
#define HEADING    "routers:\n  checked:\n"
#define LINES_MORE 2u // of HEADING
#define INDENT     "    "

static void indent(struct slice text, struct buf *out)
{
    buf_append_str(out, HEADING);
    while (text.n > 0) {
        struct slice line;
        struct slice rest = slice_cut(text, '\n', &line);

        buf_append_str(out, INDENT);
        buf_append(out, line);
        buf_append_char(out, '\n');
        text = rest;
    }
}

static void report(const struct config *c, struct buf *ret_why)
{
    for (const struct problem *p = c->problems.first; p != NULL; p = p->next) {
        if (p->level != PROBLEM_ERROR) {
            continue;
        }
        // Cut where the answer is full: what is first matters most.
        (void)!buf_try_printf(ret_why, "%s", ret_why->n > 0 ? "; " : "");
        if (p->place.line > LINES_MORE) {
            (void)!buf_try_printf(ret_why, "line %u: ", p->place.line - LINES_MORE);
        }
        (void)!buf_try_printf(ret_why, "%s%s%s", p->path, p->path[0] != '\0' ? ": " : "",
                              p->message);
    }
}

bool router_check(struct slice text, struct buf *ret_why)
{
    struct config_options o = {.env = NULL, .read = document_no_files};
    struct config *c;
    struct env *env;
    struct buf whole;
    bool ok;

    if (text.n > TEXT_MAX || slice_trim(text).n == 0) {
        buf_append_str(ret_why, text.n > TEXT_MAX ? "larger than 256 KiB" : "empty");
        return false;
    }
    env = env_new();
    o.env = env;
    buf_init(&whole, TEXT_MAX * 8);
    indent(text, &whole);
    c = config_parse("router", buf_slice(&whole), &o);
    ok = config_ok(c);
    if (!ok) {
        report(c, ret_why);
    }
    config_free(&c);
    buf_done(&whole);
    env_free(&env);
    return ok;
}
