// SPDX-License-Identifier: Apache-2.0
// `sluice config` where it needs a control plane: apply, diff, rollback, revisions, show.
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "cli/options.h"
#include "common/base/mem.h"
#include "common/io/proc.h"

#define FILE_MAX ((size_t)4 << 20)
#define PATH_LEN 700u

static const char usage[] =
    "usage: sluice config diff FILE       what applying it would change\n"
    "       sluice config apply FILE      all of it in one change, or nothing; [--dry-run]\n"
    "       sluice config revisions       files that were applied\n"
    "       sluice config rollback SEQ    bring one of them back; [--dry-run]\n"
    "       sluice config show            what is in force, as JSON, without secrets\n"
    "  FILE `-` is the standard input\n"
    "  --wait 5s                          return when every live proxy has it\n"
    "  -o table|json  --admin-url URL  --admin-token-file FILE  --data-dir DIR\n";

static const struct options_def defs[] = {{"dry-run", true}};

static const struct admin_column revisions[] = {
    {"SEQ", "seq"},     {"CURRENT", "current"}, {"AT", "at"},
    {"ACTOR", "actor"}, {"SOURCE", "source"},   {"CHANGES", "changes"},
};

static const struct admin_column counts[] = {
    {"SEQ", "seq"}, {"CREATED", "creates"}, {"UPDATED", "updates"}, {"DELETED", "deletes"}};

// --- what a dry run tells -----------------------------------------------------------------------

static struct slice text_at(const struct json_at *o, const char *name)
{
    struct json_at at = json_member(o, name);
    struct json_report ignored = {0};
    struct slice s = SLICE("");

    (void)json_want_raw_text(&at, 0, 4096, &s, &ignored);
    return s;
}

static void value_text(const struct json_at *at, struct buf *out)
{
    struct json_out o = json_out_to(out);

    if (json_present(at)) {
        json_out_value(&o, at->value);
    } else {
        buf_append_str(out, "(not set)");
    }
}

struct sides {
    const struct json_at *other;
    bool second; // members of the second side: only those that the first lacks
    char path[200];
};

static void print_sides(const char *path, const struct json_at *a, const struct json_at *b);

static bool print_member(void *ctx, const struct json_at *at)
{
    const struct sides *s = ctx;
    struct json_at other = json_member(s->other, at->name);
    char path[JSON_PATH_MAX + 200];

    (void)snprintf(path, sizeof(path), "%s%s%s", s->path, s->path[0] == '\0' ? "" : ".", at->name);
    if (!s->second) {
        print_sides(path, at, &other);
    } else if (!json_present(&other)) {
        print_sides(path, &other, at);
    }
    return true;
}

static bool is_map(const struct json_at *at)
{
    struct json_report r = {0};

    return json_want_map(at, SIZE_MAX, &r);
}

// "  path: old -> new" for each part that differs.
static void print_sides(const char *path, const struct json_at *a, const struct json_at *b)
{
    struct buf x, y;

    if (is_map(a) && is_map(b)) {
        struct sides first = {.other = b}, second = {.other = a, .second = true};

        (void)snprintf(first.path, sizeof(first.path), "%.199s", path);
        (void)snprintf(second.path, sizeof(second.path), "%.199s", path);
        json_each(a, print_member, &first);
        json_each(b, print_member, &second);
        return;
    }
    buf_init(&x, FILE_MAX * 4);
    buf_init(&y, FILE_MAX * 4);
    value_text(a, &x);
    value_text(b, &y);
    if (!slice_eq(buf_slice(&x), buf_slice(&y))) {
        (void)printf("    %s: %.200s -> %.200s\n", path, buf_cstr(&x), buf_cstr(&y));
    }
    buf_done(&x);
    buf_done(&y);
}

static void print_change(const struct json_at *change)
{
    struct json_at before = json_member(change, "before"), after = json_member(change, "after");
    struct json_at over = json_member(change, "takes_over");
    struct slice action = text_at(change, "action");
    char sign = slice_eq_str(action, "create") ? '+' : slice_eq_str(action, "delete") ? '-' : '~';

    (void)printf("%c " SLICE_FMT " " SLICE_FMT "%s\n", sign, SLICE_ARG(text_at(change, "kind")),
                 SLICE_ARG(text_at(change, "id")),
                 json_present(&over) ? "    (made by the API: the file takes it over)" : "");
    if (sign == '~') {
        print_sides("", &before, &after);
    }
}

static void print_warnings(const struct json_at *root)
{
    struct json_at list = json_member(root, "warnings");

    for (size_t i = 0; i < json_size(&list); i++) {
        struct json_at one = json_element(&list, i);

        (void)fprintf(stderr, "warning: " SLICE_FMT ": " SLICE_FMT "\n",
                      SLICE_ARG(text_at(&one, "field")), SLICE_ARG(text_at(&one, "problem")));
    }
}

static void print_answer(const struct options *opt, const struct json_value *answer, bool dry_run)
{
    struct json_at root = json_root(answer), changes = json_member(&root, "changes");

    if (opt->admin.json) {
        return;
    }
    print_warnings(&root);
    if (!dry_run) {
        admin_table(&opt->admin, answer, counts, ARRAY_LEN(counts));
        return;
    }
    for (size_t i = 0; i < json_size(&changes); i++) {
        struct json_at change = json_element(&changes, i);

        print_change(&change);
    }
    if (json_size(&changes) == 0) {
        (void)fputs("no changes\n", stdout);
    }
}

// --- actions ------------------------------------------------------------------------------------

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return strcmp(path, "-") == 0 ? "stdin" : slash == NULL ? path : slash + 1;
}

static int apply(struct options *opt, const char *file, bool dry_run)
{
    struct json_value *answer = NULL;
    char escaped[400], path[PATH_LEN];
    struct err e = {0};
    struct buf text;
    int code = 1;

    buf_init(&text, FILE_MAX);
    if (!proc_read_file(strcmp(file, "-") == 0 ? "/dev/stdin" : file, FILE_MAX, &text, &e)) {
        (void)fprintf(stderr, "sluice: %s\n", e.message);
    } else {
        (void)snprintf(path, sizeof(path), "/config?dry_run=%d&name=%s", dry_run,
                       admin_escape(base_name(file), escaped));
        opt->admin.type = "application/yaml";
        code = admin_call(&opt->admin, "PUT", path, &text, &answer);
    }
    if (code == 0) {
        print_answer(opt, answer, dry_run);
    }
    json_free(&answer);
    mem_wipe(text.p, text.cap); // files may hold keys
    buf_done(&text);
    return code;
}

static int rollback(struct options *opt, const char *seq, bool dry_run)
{
    struct json_value *answer = NULL;
    char escaped[400], path[PATH_LEN];
    int code;

    (void)snprintf(path, sizeof(path), "/config/revisions/%s/rollback?dry_run=%d",
                   admin_escape(seq, escaped), dry_run);
    code = admin_call(&opt->admin, "POST", path, NULL, &answer);
    if (code == 0) {
        print_answer(opt, answer, dry_run);
    }
    json_free(&answer);
    return code;
}

static int show(struct options *opt)
{
    opt->admin.json = true;
    return admin_show(&opt->admin, "GET", "/config", NULL, NULL, 0);
}

static int run(struct options *opt)
{
    const char *word = opt->words[0], *what = opt->n_words == 2 ? opt->words[1] : NULL;
    bool dry_run = options_has(opt, "dry-run");

    if (what != NULL && strcmp(word, "apply") == 0) {
        return apply(opt, what, dry_run);
    }
    if (what != NULL && strcmp(word, "diff") == 0) {
        return apply(opt, what, true);
    }
    if (what != NULL && strcmp(word, "rollback") == 0) {
        return rollback(opt, what, dry_run);
    }
    if (what == NULL && opt->n_words == 1 && strcmp(word, "revisions") == 0) {
        return admin_list(&opt->admin, "/config/revisions", revisions, ARRAY_LEN(revisions));
    }
    if (what == NULL && opt->n_words == 1 && strcmp(word, "show") == 0) {
        return show(opt);
    }
    (void)fputs(usage, stderr);
    return 2;
}

int cmd_apply(int argc, char **argv)
{
    struct options opt;
    int code;

    if (!options_read(&opt, argc, argv, defs, ARRAY_LEN(defs))) {
        return 2;
    }
    if (opt.help || opt.n_words == 0) {
        (void)fputs(usage, opt.help ? stdout : stderr);
        return opt.help ? 0 : 2;
    }
    code = admin_open(&opt.admin);
    if (code == 0) {
        code = run(&opt);
    }
    admin_close(&opt.admin);
    return code;
}
