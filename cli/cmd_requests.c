// SPDX-License-Identifier: Apache-2.0
// `sluice requests` and `sluice usage`: what was asked and what it cost.
//
// `tail` asks for the newest page again each second and shows what it has not shown: the API has no
// cursor forwards, and a second is what a person can read.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cmd.h"
#include "cli/options.h"
#include "common/base/map.h"
#include "common/base/mem.h"

#define PATH_MAX_BYTES 4000u
#define SHOWN_MAX      100000u // ids remembered by tail, then it starts anew

static const char requests_usage[] =
    "usage: sluice requests [tail] [--status 429|5xx|error] [--key ID] [--model M] [--provider P]\n"
    "                       [--router R] [--team T] [--user U] [--tag T] [--from T] [--to T]\n"
    "                       [--limit 20]\n"
    "       sluice requests ID\n"
    "  tail           the last ones, then each as it ends, until Ctrl-C\n"
    "  -o table|json  --admin-url URL  --admin-token-file FILE  --data-dir DIR\n";

static const char usage_usage[] =
    "usage: sluice usage [--by key,team,user,model,provider,router,tag] [--from T] [--to T]\n"
    "                    [--bucket hour|day] [--key ID] [--model M] [--provider P] ...\n"
    "  --by           default: model\n"
    "  --from, --to   RFC 3339 times; default: the last day\n"
    "  -o table|json  --admin-url URL  --admin-token-file FILE  --data-dir DIR\n";

static const struct options_def defs[] = {
    {"status", false}, {"key", false},  {"model", false},  {"provider", false}, {"router", false},
    {"team", false},   {"user", false}, {"tag", false},    {"from", false},     {"to", false},
    {"limit", false},  {"by", false},   {"bucket", false},
};

static const struct admin_column request_columns[] = {
    {"TIME", "time"},     {"STATUS", "status"}, {"PROVIDER", "provider"}, {"MODEL", "model"},
    {"ROUTER", "router"}, {"KEY", "key"},       {"IN", "input_tokens"},   {"OUT", "output_tokens"},
    {"USD", "cost_usd"},  {"US", "latency_us"}, {"OUTCOME", "outcome"},   {"ID", "id"},
};

// Appends "&name=value" for each option in `names` that was given.
static void put_filters(const struct options *opt, const char *const *names, size_t n,
                        struct buf *path)
{
    char escaped[400];

    for (size_t i = 0; i < n; i++) {
        const char *value = options_get(opt, names[i]);

        if (value != NULL && path->n + 500 < PATH_MAX_BYTES) {
            buf_printf(path, "&%s=%s", names[i], admin_escape(value, escaped));
        }
    }
}

// --- requests -----------------------------------------------------------------------------------

static int get_page(struct options *opt, const char *limit, bool quiet, struct json_value **ret)
{
    static const char *const names[] = {"status", "key",  "model", "provider", "router",
                                        "team",   "user", "tag",   "from",     "to"};
    char escaped[400];
    struct buf path;
    bool json = opt->admin.json;
    int code;

    buf_init(&path, PATH_MAX_BYTES + 1000);
    buf_printf(&path, "/requests?limit=%s", admin_escape(limit, escaped));
    put_filters(opt, names, ARRAY_LEN(names), &path);
    opt->admin.json = json && !quiet;
    code = admin_call(&opt->admin, "GET", buf_cstr(&path), NULL, ret);
    opt->admin.json = json;
    buf_done(&path);
    return code;
}

static int list(struct options *opt)
{
    const char *limit = options_get(opt, "limit");
    struct json_value *answer = NULL;
    int code = get_page(opt, limit == NULL ? "20" : limit, false, &answer);

    if (code == 0) {
        admin_table(&opt->admin, answer, request_columns, ARRAY_LEN(request_columns));
    }
    json_free(&answer);
    return code;
}

static int show(struct options *opt, const char *id)
{
    char escaped[400], path[512];

    opt->admin.json = true; // one request is a document, not a row
    (void)snprintf(path, sizeof(path), "/requests/%s", admin_escape(id, escaped));
    return admin_show(&opt->admin, "GET", path, NULL, NULL, 0);
}

static void print_line(const struct options *opt, const struct json_at *row)
{
    struct json_out o;
    struct buf text;

    if (!opt->admin.json) {
        admin_row(row, request_columns, ARRAY_LEN(request_columns));
        return;
    }
    buf_init(&text, 1u << 20);
    o = json_out_to(&text);
    json_out_value(&o, row->value);
    (void)printf("%s\n", buf_cstr(&text));
    buf_done(&text);
}

// Those of the page that were not seen, oldest first, the newest `most` of them; all are seen now.
static void print_new(const struct options *opt, const struct json_value *answer, struct map *shown,
                      uint64_t most)
{
    struct json_at root = json_root(answer), data = json_member(&root, "data");

    for (size_t i = json_size(&data); i > 0; i--) {
        struct json_at row = json_element(&data, i - 1), id = json_member(&row, "id");
        struct json_report ignored = {0};
        struct slice text;

        if (json_want_raw_text(&id, 1, 256, &text, &ignored) && map_get(shown, text) == NULL) {
            (void)map_put(shown, text, shown); // a set
            if (i <= most) {
                print_line(opt, &row);
            }
        }
    }
}

static int tail(struct options *opt)
{
    const struct timespec pause = {.tv_sec = 1};
    const char *limit = options_get(opt, "limit");
    uint64_t most = 20;
    struct map shown;
    int code = 0;

    if (limit != NULL && !slice_to_u64(slice_str(limit), &most)) {
        (void)fputs(requests_usage, stderr);
        return 2;
    }
    map_init(&shown);
    if (!opt->admin.json) {
        admin_titles(request_columns, ARRAY_LEN(request_columns));
    }
    while (code == 0) {
        struct json_value *answer = NULL;

        code = get_page(opt, "1000", true, &answer);
        if (code == 0) {
            print_new(opt, answer, &shown, most);
            if (map_count(&shown) > SHOWN_MAX) { // of which the page is all that matters
                map_done(&shown);
                map_init(&shown);
                print_new(opt, answer, &shown, 0);
            }
            json_free(&answer);
            most = UINT64_MAX;
            code = fflush(stdout) == 0 ? 0 : 1;
            (void)nanosleep(&pause, NULL);
        }
    }
    map_done(&shown);
    return code;
}

static int begin(struct options *opt, int argc, char **argv, const char *usage)
{
    if (!options_read(opt, argc, argv, defs, ARRAY_LEN(defs))) {
        return 2;
    }
    if (opt->help || opt->n_words > 1) {
        (void)fputs(usage, opt->help ? stdout : stderr);
        return opt->help ? -1 : 2;
    }
    return admin_open(&opt->admin);
}

int cmd_requests(int argc, char **argv)
{
    struct options opt;
    int code = begin(&opt, argc, argv, requests_usage);

    if (code == 0 && opt.n_words == 0) {
        code = list(&opt);
    } else if (code == 0 && strcmp(opt.words[0], "tail") == 0) {
        code = tail(&opt);
    } else if (code == 0) {
        code = show(&opt, opt.words[0]);
    }
    admin_close(&opt.admin);
    return code < 0 ? 0 : code;
}

// --- usage --------------------------------------------------------------------------------------

static int print_usage(struct options *opt)
{
    static const char *const names[] = {"from", "to",     "bucket",   "key",  "model",
                                        "team", "router", "provider", "user", "tag"};
    static const char *const metrics[] = {"requests",     "errors",        "cache_hits",
                                          "input_tokens", "output_tokens", "cost_usd"};
    static const char *const titles[] = {"REQUESTS", "ERRORS", "CACHED", "IN", "OUT", "USD"};
    const char *by = options_get(opt, "by") == NULL ? "model" : options_get(opt, "by");
    struct admin_column columns[12] = {{"BUCKET", "bucket"}};
    struct slice rest = slice_str(by), one;
    char escaped[400], fields[5][64];
    struct buf path;
    size_t n = 1;
    int code;

    while (rest.p != NULL && n < 6) {
        rest = slice_cut(rest, ',', &one);
        (void)snprintf(fields[n - 1], sizeof(fields[0]), SLICE_FMT, SLICE_ARG(slice_trim(one)));
        columns[n] = (struct admin_column){fields[n - 1], fields[n - 1]};
        n++;
    }
    for (size_t i = 0; i < ARRAY_LEN(metrics); i++) {
        columns[n++] = (struct admin_column){titles[i], metrics[i]};
    }
    buf_init(&path, PATH_MAX_BYTES + 1000);
    buf_printf(&path, "/usage?group_by=%s", admin_escape(by, escaped));
    put_filters(opt, names, ARRAY_LEN(names), &path);
    code = admin_show(&opt->admin, "GET", buf_cstr(&path), NULL, columns, n);
    buf_done(&path);
    return code;
}

int cmd_usage(int argc, char **argv)
{
    struct options opt;
    int code = begin(&opt, argc, argv, usage_usage);

    if (code == 0 && opt.n_words > 0) {
        (void)fputs(usage_usage, stderr);
        code = 2;
    } else if (code == 0) {
        code = print_usage(&opt);
    }
    admin_close(&opt.admin);
    return code < 0 ? 0 : code;
}
