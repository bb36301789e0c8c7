// SPDX-License-Identifier: Apache-2.0
// Virtual keys over the admin API.
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/options.h"
#include "common/base/mono.h"
#include "common/base/text.h"

static const char usage[] =
    "usage: sluice keys list\n"
    "       sluice keys get|rotate|disable|enable|delete ID\n"
    "       sluice keys create --name NAME [--models A,B] [--routers A,B] [--limit AMOUNT/PER]...\n"
    "                          [--expires 30d|RFC3339] [--owner X] [--team X]\n"
    "  --limit 1000/1m           requests; also tokens:50000/1h, usd:10/30d, usd:100/month\n"
    "  --grace 5m                rotate: the old secret works so much longer\n"
    "  --wait 5s                 return when every live proxy has it\n"
    "  -o table|json  --admin-url URL  --admin-token-file FILE  --data-dir DIR\n";

static const struct options_def defs[] = {
    {"name", false},    {"models", false}, {"routers", false}, {"limit", false},
    {"expires", false}, {"owner", false},  {"team", false},    {"grace", false},
};

static const struct admin_column columns[] = {
    {"ID", "id"},         {"NAME", "name"},          {"STATE", "state"},
    {"MODELS", "models"}, {"ROUTERS", "routers"},    {"EXPIRES", "expires_at"},
    {"ORIGIN", "origin"}, {"CREATED", "created_at"},
};

static int usage_error(const char *what)
{
    (void)fprintf(stderr, "sluice keys: %s\n%s", what, usage);
    return 2;
}

// "a,b" -> ["a","b"]; NULL -> ["*"].
static void put_list(struct json_out *o, const char *name, const char *list)
{
    struct slice rest = slice_str(list == NULL ? "*" : list);

    json_out_key(o, name);
    json_out_open(o, '[');
    while (rest.n > 0) {
        struct slice item;

        rest = slice_cut(rest, ',', &item);
        json_out_text(o, slice_trim(item));
    }
    json_out_close(o, ']');
}

// "[unit:]AMOUNT/PER"
static bool put_limit(struct json_out *o, const char *text)
{
    struct slice unit = SLICE("requests"), rest = slice_str(text), amount, head;
    struct slice after = slice_cut(rest, ':', &head);

    if (after.p != NULL) {
        unit = head;
        rest = after;
    }
    rest = slice_cut(rest, '/', &amount);
    if (rest.n == 0 || amount.n == 0) {
        return false;
    }
    json_out_open(o, '{');
    json_out_field(o, "unit", unit);
    json_out_key(o, "amount");
    for (size_t i = 0; i < amount.n; i++) {
        if ((amount.p[i] < '0' || amount.p[i] > '9') && amount.p[i] != '.') {
            return false;
        }
    }
    json_out_raw(o, amount);
    json_out_field(o, "per", rest);
    json_out_close(o, '}');
    return true;
}

// "30d" from now, or a time as it is.
static void put_expiry(struct json_out *o, const char *text)
{
    uint64_t us = 0;
    char out[32];

    if (text_parse_duration_us(slice_str(text), &us)) {
        text = text_format_rfc3339(mono_wall_us() + us, out);
    }
    json_out_field_str(o, "expires_at", text);
}

static bool put_limits(struct json_out *o, const struct options *opt)
{
    json_out_key(o, "limits");
    json_out_open(o, '[');
    for (size_t i = 0; i < opt->n_given; i++) {
        if (strcmp(opt->given[i].name, "limit") == 0 && !put_limit(o, opt->given[i].value)) {
            return false;
        }
    }
    json_out_close(o, ']');
    return true;
}

// The secret, which an answer shows once.
static void print_key(const struct json_value *answer)
{
    struct json_at root = json_root(answer), key = json_member(&root, "key");
    struct json_report ignored = {0};
    struct slice text = SLICE("");

    (void)json_want_raw_text(&key, 1, 1024, &text, &ignored);
    (void)printf("%.*s\n", SLICE_ARG(text));
}

static int create(struct options *opt)
{
    struct json_value *answer = NULL;
    struct json_out o;
    struct buf body;
    int code;

    if (!options_has(opt, "name")) {
        return usage_error("create takes --name");
    }
    buf_init(&body, 65536);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    json_out_field_str(&o, "name", options_get(opt, "name"));
    json_out_field_str(&o, "owner", options_get(opt, "owner"));
    json_out_field_str(&o, "team", options_get(opt, "team"));
    put_list(&o, "models", options_get(opt, "models"));
    put_list(&o, "routers", options_get(opt, "routers"));
    if (options_has(opt, "expires")) {
        put_expiry(&o, options_get(opt, "expires"));
    }
    if (!put_limits(&o, opt)) {
        buf_done(&body);
        return usage_error("--limit is [requests|tokens|usd:]AMOUNT/PER");
    }
    json_out_close(&o, '}');
    code = admin_call(&opt->admin, "POST", "/keys", &body, &answer);
    if (code == 0 && !opt->admin.json) {
        print_key(answer);
        (void)fprintf(stderr, "(the key is shown this once; use it as the API key of your SDK)\n");
    }
    json_free(&answer);
    buf_done(&body);
    return code;
}

static int rotate(struct options *opt, const char *path)
{
    struct json_value *answer = NULL;
    struct json_out o;
    struct buf body;
    int code;

    buf_init(&body, 4096);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    if (options_has(opt, "grace")) {
        json_out_field_str(&o, "grace", options_get(opt, "grace"));
    }
    json_out_close(&o, '}');
    code = admin_call(&opt->admin, "POST", path, &body, &answer);
    if (code == 0 && !opt->admin.json) {
        print_key(answer);
    }
    json_free(&answer);
    buf_done(&body);
    return code;
}

static int on_one(struct options *opt, const char *action, const char *id)
{
    char escaped[400], path[512];
    const char *method = "POST";

    (void)snprintf(path, sizeof(path), "/keys/%s", admin_escape(id, escaped));
    if (strcmp(action, "get") == 0) {
        method = "GET";
    } else if (strcmp(action, "delete") == 0) {
        method = "DELETE";
    } else {
        (void)snprintf(path, sizeof(path), "/keys/%s/%s", escaped, action);
    }
    if (strcmp(action, "rotate") == 0) {
        return rotate(opt, path);
    }
    return admin_show(&opt->admin, method, path, NULL, columns,
                      strcmp(action, "delete") == 0 ? 0 : ARRAY_LEN(columns));
}

static bool is_action_on_one(const char *action)
{
    static const char *const actions[] = {"get", "rotate", "disable", "enable", "delete"};

    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (strcmp(action, actions[i]) == 0) {
            return true;
        }
    }
    return false;
}

int cmd_keys(int argc, char **argv)
{
    struct options opt;
    const char *action;
    int code;

    if (!options_read(&opt, argc, argv, defs, ARRAY_LEN(defs))) {
        return 2;
    }
    if (opt.help) {
        (void)fputs(usage, stdout);
        return 0;
    }
    action = opt.n_words == 0 ? "list" : opt.words[0];
    if (is_action_on_one(action) ? opt.n_words != 2 : opt.n_words > 1) {
        return usage_error(is_action_on_one(action) ? "this takes the id of one key"
                                                    : "too many words");
    }
    if (!is_action_on_one(action) && strcmp(action, "list") != 0 && strcmp(action, "create") != 0) {
        return usage_error("unknown action");
    }
    code = admin_open(&opt.admin);
    if (code == 0) {
        code = strcmp(action, "list") == 0
                   ? admin_list(&opt.admin, "/keys", columns, ARRAY_LEN(columns))
               : strcmp(action, "create") == 0 ? create(&opt)
                                               : on_one(&opt, action, opt.words[1]);
    }
    admin_close(&opt.admin);
    return code;
}
