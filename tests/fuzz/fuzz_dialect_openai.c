// SPDX-License-Identifier: Apache-2.0
// A request that parses, once edited, is valid JSON with the upstream's model and no extensions;
// include_usage is there when asked for; every other member is there byte for byte, in order. The
// same bytes as an answer and as stream events do no harm.
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "dataplane/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MODEL "up/stream-1 \"\xc3\xa9\""

static bool is_extension(struct slice key)
{
    static const char *const names[] = {"models", "provider", "route", "transforms", "usage"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_eq_str(key, names[i])) {
            return true;
        }
    }
    return false;
}

// Members of a that `skip` does not name, in order; both have the same ones, byte for byte.
static void check_same(const struct scan_object *a, const struct scan_object *b,
                       bool (*skip)(struct slice key))
{
    size_t i = 0, k = 0;

    for (;;) {
        while (i < a->n && skip(a->members[i].key)) {
            i++;
        }
        while (k < b->n && skip(b->members[k].key)) {
            k++;
        }
        if (i == a->n || k == b->n) {
            break;
        }
        CHECK(slice_eq(a->members[i].key, b->members[k].key));
        CHECK(slice_eq(a->members[i].value, b->members[k].value));
        i++;
        k++;
    }
    CHECK(i == a->n && k == b->n);
}

static bool is_edited(struct slice key)
{
    return is_extension(key) || slice_eq_str(key, "model") || slice_eq_str(key, "stream_options");
}

static bool is_include_usage(struct slice key)
{
    return slice_eq_str(key, "include_usage");
}

static void check_stream_options(const struct dialect_request *r, const struct scan_object *edited,
                                 bool asked, struct arena *a)
{
    const struct scan_member *m = scan_find(edited, "stream_options");
    bool inject = asked && r->stream && !r->include_usage &&
                  (r->endpoint == DIALECT_CHAT || r->endpoint == DIALECT_COMPLETIONS);
    struct scan_object before = {.n = 0}, after;

    if (!inject) {
        CHECK((m == NULL) == (r->stream_options == NULL));
        CHECK(m == NULL || slice_eq(m->value, r->stream_options->value));
        return;
    }
    CHECK(m != NULL && scan_nested(m->value, a, &after));
    if (r->stream_options != NULL) {
        (void)!scan_nested(r->stream_options->value, a, &before);
    }
    check_same(&before, &after, is_include_usage);
    for (size_t i = after.n; i > 0; i--) {
        if (is_include_usage(after.members[i - 1].key)) {
            CHECK(after.members[i - 1].type == SCAN_TRUE);
            return;
        }
    }
    CHECK(false);
}

static void check_edit(const struct dialect_request *r, struct slice body, bool asked,
                       struct arena *a)
{
    struct dialect_splice sp[DIALECT_SPLICES_MAX];
    struct slice pieces[2 * DIALECT_SPLICES_MAX + 1], model;
    const struct scan_member *m;
    struct scan_object edited;
    size_t bytes, n, count, at = 0;
    struct err e;
    char *text;

    n = dialect_openai.edit_request(r, body, SLICE(MODEL), asked, a, sp, ARRAY_LEN(sp));
    count = dialect_spliced(body, sp, n, pieces, ARRAY_LEN(pieces), &bytes);
    CHECK(count <= 15);
    text = mem_alloc(bytes + 1);
    for (size_t i = 0; i < count; i++) {
        memcpy(text + at, pieces[i].p, pieces[i].n);
        at += pieces[i].n;
    }
    CHECK(at == bytes);
    CHECK(scan_object((struct slice){text, bytes}, a, &edited, &e));
    m = scan_find(&edited, "model");
    CHECK(m != NULL && scan_string(m->value, a, &model) && slice_eq(model, SLICE(MODEL)));
    for (size_t i = 0; i < edited.n; i++) {
        CHECK(!is_extension(edited.members[i].key));
    }
    check_same(&r->top, &edited, is_edited);
    check_stream_options(r, &edited, asked, a);
    mem_free(text);
}

static void check_events(struct slice data)
{
    for (int seen = 0; seen < 2; seen++) {
        struct dialect_stream s = {.content_seen = seen == 1};
        struct dialect_event ev = dialect_openai.observe_event(&s, SLICE_NULL, data);

        CHECK(!ev.error || (ev.error_status >= 400 && ev.error_status < 600));
        CHECK(!ev.malformed || !ev.content);
        CHECK(!ev.usage_only || !ev.content);
        CHECK((s.choices_finished & ~s.choices_seen) == 0);
    }
    (void)dialect_openai.observe_answer(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = {(const char *)data + 1, size - 1};
    struct dialect_request r;
    const char *code, *param;
    struct arena a;

    if (size == 0) {
        return 0;
    }
    arena_init(&a, 4096, 0);
    if (dialect_openai.parse_request(body, (enum dialect_endpoint)(data[0] / 2 % 6), &a, &r, &code,
                                     &param, NULL)) {
        check_edit(&r, body, data[0] % 2 == 0, &a);
    }
    check_events(body);
    arena_done(&a);
    return 0;
}
