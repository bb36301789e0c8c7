// SPDX-License-Identifier: Apache-2.0
// Tape and writer against jansson: what the tape takes, jansson takes (but for what it refuses
// beyond the grammar); the text written anew from the tokens is the same document to jansson;
// strings read alike; compaction and quoting lose nothing.
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/io/json.h"
#include "dataplane/jtext.h"
#include "dataplane/jwrite.h"
#include "dataplane/tape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX ((size_t)64 * 1024 * 1024)

// Every value from its tokens; containers by their children.
static void rewrite(struct jwrite *w, const struct tape *t, uint32_t i)
{
    if (tape_is(t, i, SCAN_OBJECT)) {
        jwrite_object(w);
        TAPE_MEMBERS(t, i, k)
        {
            jwrite_name_text(w, tape_text(t, k));
            rewrite(w, t, k + 1);
        }
        jwrite_object_end(w);
    } else if (tape_is(t, i, SCAN_ARRAY)) {
        jwrite_array(w);
        TAPE_ITEMS(t, i, k)
        {
            rewrite(w, t, k);
        }
        jwrite_array_end(w);
    } else if (tape_is(t, i, SCAN_STRING)) {
        jwrite_text(w, tape_text(t, i));
    } else {
        jwrite_raw(w, tape_raw(t, i));
    }
}

static struct json_value *oracle(struct slice text)
{
    struct err e;

    return json_parse(text, OUT_MAX, SCAN_DEPTH_MAX + 1, &e);
}

static void dump(const struct json_value *v, struct buf *out)
{
    struct json_out o = json_out_to(out);

    json_out_value(&o, v);
}

// Both are the same document to jansson, where it takes them.
static void check_same(struct slice a, struct slice b)
{
    struct json_value *x = oracle(a), *y = oracle(b);
    struct buf p, q;

    CHECK((x == NULL) == (y == NULL));
    if (x != NULL) {
        buf_init(&p, OUT_MAX);
        buf_init(&q, OUT_MAX);
        dump(x, &p);
        dump(y, &q);
        CHECK(slice_eq(buf_slice(&p), buf_slice(&q)));
        buf_done(&p);
        buf_done(&q);
    }
    json_free(&x);
    json_free(&y);
}

static void check_strings(const struct tape *t, struct arena *a)
{
    for (uint32_t i = 0; i < t->n; i++) {
        struct slice text = tape_text(t, i), plain, again;

        if (text.p == NULL) {
            continue;
        }
        plain = jtext_decode(text, a);
        again = jtext_decode(jtext_encode(plain, a), a);
        CHECK(slice_eq(plain, again));
        if (scan_string(tape_raw(t, i), a, &again)) { // no lone surrogate
            CHECK(slice_eq(plain, again));
        }
        CHECK(jtext_trim_end(text).n <= text.n);
        CHECK(!jtext_is_blank(text) || jtext_trim_end(text).n == 0);
    }
}

static void check_writer(const struct tape *t, struct slice text, struct arena *a)
{
    struct buf b;
    struct jwrite w;
    struct slice back;

    buf_init(&b, OUT_MAX);
    w = jwrite_to(&b);
    rewrite(&w, t, 0);
    check_same(text, buf_slice(&b));
    struct slice rewritten = arena_dup(a, buf_slice(&b));
    buf_clear(&b);
    w = jwrite_to(&b);
    jwrite_compact(&w, text);
    CHECK(b.n <= rewritten.n); // without white space, and letters are letters
    check_same(text, buf_slice(&b));
    buf_clear(&b);
    w = jwrite_to(&b);
    jwrite_quoted(&w, text);
    CHECK(b.n >= 2);
    CHECK(jtext_to_json((struct slice){buf_slice(&b).p + 1, b.n - 2}, a, &back));
    check_same(text, back);
    buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size};
    struct tape t = {.tokens = NULL};
    struct arena a;
    struct err e;
    bool ok;

    if (size > 65536) {
        return 0;
    }
    arena_init(&a, 65536, 0);
    ok = tape_parse(&t, text, &e);
    CHECK(ok == scan_validate(text, NULL));
    if (ok) {
        CHECK(t.tokens[0].next == t.n);
        check_strings(&t, &a);
        check_writer(&t, text, &a);
    } else {
        struct json_value *v = oracle(text);

        CHECK(v == NULL); // jansson never takes more
        json_free(&v);
    }
    tape_done(&t);
    arena_done(&a);
    return 0;
}
