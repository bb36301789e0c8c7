// SPDX-License-Identifier: Apache-2.0
// The scanner against jansson: they agree on what is JSON (but for what jansson refuses beyond the
// grammar), on the names and the strings of the top-level object.
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/io/json.h"
#include "dataplane/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// jansson refuses some texts that are JSON: repeated names, U+0000, huge numbers, lone surrogates.
static bool may_differ(const struct err *e, struct slice text)
{
    if (strstr(e->message, "not valid JSON") == NULL) {
        return strstr(e->message, "UTF-8") == NULL && strstr(e->message, "deeper") == NULL;
    }
    return slice_find(text, SLICE("\\ud")) != SIZE_MAX ||
           slice_find(text, SLICE("\\uD")) != SIZE_MAX;
}

static void check_member(const struct scan_object *o, size_t i, const struct json_at *root,
                         struct slice text, struct arena *a)
{
    const struct scan_member *m = &o->members[i];
    char *name = mem_strndup(m->key.p, m->key.n);
    struct json_at at = json_member(root, name);
    struct json_report report = {.n = 0};
    struct slice ours, theirs, found;

    CHECK(json_present(&at));
    CHECK(text.p[m->begin] == '"' && text.p + m->end == m->value.p + m->value.n);
    CHECK(i == 0 || o->members[i - 1].end < m->begin);
    CHECK(scan_find(o, name) == m);
    CHECK(scan_validate(m->value, NULL));
    if (m->type == SCAN_STRING) {
        CHECK(scan_string(m->value, a, &ours));
        CHECK(json_want_raw_text(&at, 0, SIZE_MAX, &theirs, &report));
        CHECK(slice_eq(ours, theirs));
    }
    if (!m->key_escaped) {
        CHECK(scan_get(text, name, &found) && found.p == m->value.p && found.n == m->value.n);
    }
    mem_free(name);
}

static bool count_element(void *ctx, struct slice value, enum scan_type t)
{
    CHECK(scan_validate(value, NULL));
    CHECK(scan_type_of(value) == t);
    ++*(size_t *)ctx;
    return true;
}

static void check_array(struct slice text, const struct json_at *root)
{
    size_t n = 0;

    while (text.n > 0 && strchr(" \t\r\n", text.p[0]) != NULL) {
        text = slice_from(text, 1);
    }
    if (text.n > 0 && text.p[0] == '[') {
        scan_array(text, count_element, &n);
        CHECK(n == json_size(root));
    }
}

static void count_member(void *ctx, struct slice name, struct slice value)
{
    (void)name;
    CHECK(scan_validate(value, NULL));
    ++*(size_t *)ctx;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size};
    struct err e = {.code = ERR_NONE};
    struct json_value *v = json_parse(text, SIZE_MAX, SCAN_DEPTH_MAX, &e);
    bool ok = scan_validate(text, NULL);
    size_t members = 0;
    struct scan_object o;
    struct slice any;
    struct arena a;

    arena_init(&a, 4096, 64u << 20);
    CHECK(v == NULL || ok);
    CHECK(scan_members(text, count_member, &members) == ok);
    CHECK(!ok || v != NULL || may_differ(&e, text));
    (void)!scan_get(text, "a", &any);
    if (scan_object(text, &a, &o, NULL)) {
        struct json_at root = json_root(v);

        CHECK(ok);
        CHECK(members == o.n);
        CHECK(text.p[o.open] == '{' && text.p[o.close] == '}');
        if (v != NULL) {
            CHECK(o.n == json_size(&root));
            for (size_t i = 0; i < o.n; i++) {
                check_member(&o, i, &root, text, &a);
            }
        }
    } else if (v != NULL) {
        struct json_at root = json_root(v);

        CHECK(text.n == 0 || slice_find_char(text, '{') != 0 || json_size(&root) > 4096);
        check_array(text, &root);
    }
    json_free(&v);
    arena_done(&a);
    return 0;
}
