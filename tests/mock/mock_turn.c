// SPDX-License-Identifier: Apache-2.0
#include "tests/mock/mock_turn.h"

#include "common/base/text.h"
#include "common/io/crypto.h"
#include "tests/mock/mock_put.h"
#include "tests/mock/mock_schema.h"

#define STORE_MAX     ((size_t)96 << 20)
#define THINK_DEFAULT 3u

void mock_turn_init(struct mock_turn *t)
{
    buf_init(&t->store, STORE_MAX);
}

void mock_turn_done(struct mock_turn *t)
{
    buf_done(&t->store);
}

static void clear(struct mock_turn *t, const struct mock_behave *b)
{
    buf_clear(&t->store);
    t->n_calls = 0;
    t->written = t->logprobs = t->think_hidden = t->redacted = t->unsigned_thinking = false;
    t->refusal = (b->wishes & MOCK_WISH_REFUSAL) != 0;
    t->quiet = false;
    t->think = b->think;
    t->signature[0] = t->redacted_data[0] = 0;
}

static void add_call(struct mock_turn *t, struct slice name, struct slice model)
{
    struct mock_call *c = &t->calls[t->n_calls++];
    struct slice args = buf_slice(&t->store);

    c->name = name;
    c->args_n = args.n - c->args_at;
    mock_turn_sign(model, "call", slice_from(args, c->args_at), c->signature);
}

static void begin_call(struct mock_turn *t)
{
    t->calls[t->n_calls].args_at = t->store.n;
}

void mock_turn_plain(struct mock_turn *t, const struct mock_behave *b)
{
    clear(t, b);
    if ((b->flags & MOCK_TOOL_CALL) != 0) {
        begin_call(t);
        put(&t->store, "{\"city\":\"Rome\"}");
        add_call(t, SLICE("get_weather"), SLICE(""));
        t->quiet = true;
    }
}

static size_t tool_of_choice(const struct mock_wants *w)
{
    for (size_t i = 0; i < w->n_tools && w->choice == MOCK_CHOICE_NAMED; i++) {
        if (slice_eq(w->tools[i], w->named)) {
            return i;
        }
    }
    return 0;
}

static void call_tools(struct mock_turn *t, const struct mock_wants *w, const struct mock_behave *b,
                       struct slice model)
{
    bool two = (b->wishes & MOCK_WISH_PARALLEL) != 0 && !w->one_call;
    size_t first = tool_of_choice(w);

    for (unsigned k = 0; k < (two ? 2u : 1u); k++) {
        size_t i = w->choice == MOCK_CHOICE_NAMED ? first : (first + k) % w->n_tools;

        begin_call(t);
        mock_schema_value(w->schemas[i], k, (size_t)b->args_size, &t->store);
        add_call(t, w->tools[i], model);
    }
    t->quiet = (b->wishes & MOCK_WISH_PREFACE) == 0;
}

static void quote_results(struct mock_turn *t, const struct mock_wants *w)
{
    put(&t->store, "Tool results: ");
    for (size_t i = 0; i < w->n_results; i++) {
        buf_append_str(&t->store, i > 0 ? "; " : "");
        if (w->objects[i] != NULL) {
            struct json_out o = json_out_to(&t->store);

            json_out_value(&o, w->objects[i]);
        } else {
            buf_append(&t->store, w->results[i]);
        }
    }
}

static void write_text(struct mock_turn *t, const struct mock_wants *w, const struct mock_behave *b)
{
    t->text_at = t->store.n;
    if (w->json && w->schema == NULL) {
        put(&t->store, "{\"answer\":\"Zürich\"}");
    } else if (w->json) {
        mock_schema_value(w->schema, 0, (size_t)b->args_size, &t->store);
    } else {
        quote_results(t, w);
    }
    t->text_n = t->store.n - t->text_at;
    t->written = true;
}

void mock_turn_build(struct mock_turn *t, const struct mock_wants *w, const struct mock_behave *b,
                     struct slice model)
{
    bool calls = w->n_tools > 0 && w->choice != MOCK_CHOICE_NONE && !w->answered &&
                 (b->wishes & (MOCK_WISH_NO_TOOLS | MOCK_WISH_REFUSAL)) == 0;

    clear(t, b);
    t->logprobs = w->logprobs;
    if (w->think && t->think == 0) {
        t->think = THINK_DEFAULT;
    }
    if (t->think > 0) {
        struct buf *s = &t->store;

        for (uint32_t i = 0; i < t->think && !w->think_hidden; i++) {
            put(s, " hmm");
        }
        mock_turn_sign(model, "thinking", buf_slice(s), t->signature);
        mock_turn_sign(model, "redacted", SLICE(""), t->redacted_data);
        t->think_hidden = w->think_hidden;
        t->redacted = (b->wishes & MOCK_WISH_REDACTED) != 0;
        t->unsigned_thinking = (b->wishes & MOCK_WISH_UNSIGNED) != 0;
    }
    if (calls) {
        call_tools(t, w, b, model);
    } else if ((b->flags & MOCK_TOOL_CALL) != 0 && !w->answered) {
        begin_call(t);
        put(&t->store, "{\"city\":\"Rome\"}");
        add_call(t, SLICE("get_weather"), model);
        t->quiet = (b->wishes & MOCK_WISH_PREFACE) == 0;
    } else if (!t->refusal && (w->json || w->n_results > 0)) {
        write_text(t, w, b);
    }
}

struct slice mock_turn_text(const struct mock_turn *t)
{
    return slice_head(slice_from(buf_slice(&t->store), t->text_at), t->text_n);
}

struct slice mock_turn_args(const struct mock_turn *t, size_t call)
{
    const struct mock_call *c = &t->calls[call];

    return slice_head(slice_from(buf_slice(&t->store), c->args_at), c->args_n);
}

void mock_turn_sign(struct slice model, const char *what, struct slice text,
                    char out[MOCK_SIGN_CHARS + 1])
{
    const struct slice parts[] = {model, SLICE("|"), slice_str(what), SLICE("|"), text};
    uint8_t digest[CRYPTO_SHA256_BYTES];

    crypto_sha256(digest, parts, ARRAY_LEN(parts));
    crypto_base64(out, digest, sizeof(digest));
    out[MOCK_SIGN_CHARS] = 0;
}

static size_t boundary(struct slice s, uint64_t at)
{
    size_t i = at < s.n ? (size_t)at : s.n;

    while (i < s.n && ((unsigned char)s.p[i] & 0xc0) == 0x80) {
        i++;
    }
    return i;
}

struct slice mock_turn_piece(struct slice s, uint64_t i, uint32_t size)
{
    size_t from = boundary(s, i * size);

    return SLICE_MAKE(s.p + from, boundary(s, (i + 1) * size) - from);
}

uint64_t mock_turn_pieces(struct slice s, uint32_t size)
{
    return (s.n + size - 1) / size;
}
