// SPDX-License-Identifier: Apache-2.0
// Provider keys over the admin API. A key's value is read from a file, a variable or standard
// input; it is never an argument (the process list shows those) and its memory is wiped.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/options.h"
#include "common/base/mem.h"
#include "common/io/proc.h"

#define VALUE_MAX 4096u

static const char usage[] =
    "usage: sluice provider-keys list\n"
    "       sluice provider-keys add PROVIDER [--name NAME] [--weight N] < value\n"
    "       sluice provider-keys rotate ID < value\n"
    "       sluice provider-keys test|disable|enable|delete ID\n"
    "  --value-file FILE         the key from a file\n"
    "  --value-env NAME          the key from a variable\n"
    "  --wait 5s                 return when every live proxy has it\n"
    "  -o table|json  --admin-url URL  --admin-token-file FILE  --data-dir DIR\n";

static const struct options_def defs[] = {
    {"name", false}, {"weight", false}, {"value-file", false}, {"value-env", false}};

static const struct admin_column columns[] = {
    {"ID", "id"},         {"PROVIDER", "provider"}, {"NAME", "name"},     {"KEY", "hint"},
    {"WEIGHT", "weight"}, {"STATE", "state"},       {"ORIGIN", "origin"},
};

static int usage_error(const char *what)
{
    (void)fprintf(stderr, "sluice provider-keys: %s\n%s", what, usage);
    return 2;
}

static bool read_stdin(struct buf *out)
{
    if (isatty(STDIN_FILENO)) {
        (void)fprintf(stderr, "key: ");
    }
    while (out->n < VALUE_MAX) {
        size_t room = 0;
        char *at;
        ssize_t n;

        if (!buf_try_reserve(out, 1)) {
            return false;
        }
        at = buf_tail(out, &room);
        n = read(STDIN_FILENO, at, room);
        if (n <= 0) {
            return n == 0;
        }
        buf_commit(out, (size_t)n);
        if (isatty(STDIN_FILENO)) {
            return true;
        }
    }
    return true;
}

// The value without its line end. Prints why not.
static bool read_value(const struct options *opt, struct buf *out)
{
    const char *file = options_get(opt, "value-file"), *name = options_get(opt, "value-env");
    struct err e = {0};

    if (name != NULL) {
        if (getenv(name) == NULL) {
            (void)fprintf(stderr, "sluice: the variable %s is not set\n", name);
            return false;
        }
        buf_append_str(out, getenv(name));
    } else if (file != NULL) {
        if (!proc_read_file(file, VALUE_MAX, out, &e)) {
            (void)fprintf(stderr, "sluice: %s\n", e.message);
            return false;
        }
    } else if (!read_stdin(out)) {
        (void)fprintf(stderr, "sluice: cannot read the key from standard input\n");
        return false;
    }
    while (out->n > 0 && strchr("\r\n", out->p[out->off + out->n - 1]) != NULL) {
        out->n--;
    }
    if (out->n == 0) {
        (void)fprintf(stderr, "sluice: the key is empty\n");
    }
    return out->n > 0;
}

static void wipe(struct buf *b)
{
    if (b->p != NULL) {
        mem_wipe(b->p, b->cap);
    }
    buf_done(b);
}

static int send_value(struct options *opt, const char *path, const char *provider)
{
    struct json_out o;
    struct buf value, body;
    int code = 1;

    buf_init(&value, VALUE_MAX + 1);
    buf_init(&body, 65536);
    if (read_value(opt, &value)) {
        o = json_out_to(&body);
        json_out_open(&o, '{');
        if (provider != NULL) {
            json_out_field_str(&o, "provider", provider);
            json_out_field_str(&o, "name",
                               options_has(opt, "name") ? options_get(opt, "name") : "main");
        }
        json_out_field(&o, "value", buf_slice(&value));
        if (options_has(opt, "weight")) {
            json_out_key(&o, "weight");
            json_out_u64(&o, strtoull(options_get(opt, "weight"), NULL, 10));
        }
        json_out_close(&o, '}');
        code = admin_show(&opt->admin, "POST", path, &body, columns, ARRAY_LEN(columns));
    }
    wipe(&body);
    wipe(&value);
    return code;
}

static int set_state(struct options *opt, const char *path, const char *state)
{
    struct buf body;
    int code;

    buf_init(&body, 256);
    buf_printf(&body, "{\"state\":\"%s\"}", state);
    code = admin_show(&opt->admin, "PATCH", path, &body, columns, ARRAY_LEN(columns));
    buf_done(&body);
    return code;
}

static int test_key(struct options *opt, const char *path)
{
    static const struct admin_column result[] = {
        {"OK", "ok"}, {"STATUS", "status"}, {"MESSAGE", "message"}};

    return admin_show(&opt->admin, "POST", path, NULL, result, ARRAY_LEN(result));
}

static int on_one(struct options *opt, const char *action, const char *id)
{
    char escaped[400], path[512];

    (void)snprintf(path, sizeof(path), "/provider-keys/%s", admin_escape(id, escaped));
    if (strcmp(action, "disable") == 0 || strcmp(action, "enable") == 0) {
        return set_state(opt, path, strcmp(action, "enable") == 0 ? "active" : "disabled");
    }
    if (strcmp(action, "delete") == 0) {
        return admin_show(&opt->admin, "DELETE", path, NULL, NULL, 0);
    }
    (void)snprintf(path, sizeof(path), "/provider-keys/%s/%s", escaped, action);
    return strcmp(action, "test") == 0 ? test_key(opt, path) : send_value(opt, path, NULL);
}

static int run(struct options *opt)
{
    const char *action = opt->n_words == 0 ? "list" : opt->words[0];

    if (strcmp(action, "list") == 0) {
        return admin_list(&opt->admin, "/provider-keys", columns, ARRAY_LEN(columns));
    }
    if (strcmp(action, "add") == 0) {
        return send_value(opt, "/provider-keys", opt->words[1]);
    }
    return on_one(opt, action, opt->words[1]);
}

int cmd_provider_keys(int argc, char **argv)
{
    static const char *const actions[] = {"list",    "add",    "rotate", "test",
                                          "disable", "enable", "delete"};
    struct options opt;
    bool known = false;
    int code;

    if (!options_read(&opt, argc, argv, defs, ARRAY_LEN(defs))) {
        return 2;
    }
    if (opt.help) {
        (void)fputs(usage, stdout);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        known = known || opt.n_words == 0 || strcmp(opt.words[0], actions[i]) == 0;
    }
    if (!known) {
        return usage_error("unknown action");
    }
    if (opt.n_words > 0 && opt.n_words != (strcmp(opt.words[0], "list") == 0 ? 1u : 2u)) {
        return usage_error("this takes one provider or id");
    }
    code = admin_open(&opt.admin);
    if (code == 0) {
        code = run(&opt);
    }
    admin_close(&opt.admin);
    return code;
}
