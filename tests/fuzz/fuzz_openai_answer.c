// SPDX-License-Identifier: Apache-2.0
// Answers and errors of OpenAI's dialect and its vendors: what is read can be written for either
// client, whole and as a stream, as valid JSON; no error has a status that is none. The bytes are
// read as a stream that is put together, too.
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "dataplane/dialect_error.h"
#include "dataplane/xlate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX ((size_t)256 << 20)

static void check_events(struct slice text)
{
    while (text.n > 0) {
        size_t end = slice_find(text, SLICE("\n\n"));
        struct slice event = slice_head(text, end), data;

        CHECK(end != SIZE_MAX);
        CHECK(slice_find(event, SLICE("data: ")) != SIZE_MAX);
        data = slice_from(event, slice_find(event, SLICE("data: ")) + 6);
        CHECK(slice_eq_str(data, "[DONE]") || scan_validate(data, NULL));
        text = slice_from(text, end + 2);
    }
}

static void answer(const struct dialect *client, enum dialect_endpoint ep, struct slice body,
                   uint8_t flags, struct arena *a)
{
    bool stream = (flags & 1) != 0 && ep != DIALECT_EMBEDDINGS;
    struct dialect_answer seen;
    struct rng rng;
    struct xlate x;
    struct buf out;

    rng_init(&rng, 1);
    xlate_init(&x, client, a, &rng);
    x.provider = &dialect_openai;
    x.context = (struct canon_context){.arena = a,
                                       .rng = &rng,
                                       .endpoint = ep,
                                       .model = SLICE("m"),
                                       .include_usage = (flags & 4) != 0,
                                       .base64 = (flags & 8) != 0};
    buf_init(&out, OUT_MAX);
    if (xlate_answer(&x, body, stream, &out, &seen)) {
        if (stream) {
            check_events(buf_slice(&out));
        } else {
            CHECK(scan_validate(buf_slice(&out), NULL));
        }
    }
    buf_done(&out);
    xlate_done(&x);
}

// The same bytes as a stream that is put together.
static void gathered(const struct dialect *client, enum dialect_endpoint ep, struct slice stream,
                     struct arena *a)
{
    struct dialect_answer seen;
    struct slice error;
    struct rng rng;
    struct xlate x;
    struct buf out;

    rng_init(&rng, 1);
    xlate_init(&x, client, a, &rng);
    x.provider = &dialect_openai;
    x.context =
        (struct canon_context){.arena = a, .rng = &rng, .endpoint = ep, .model = SLICE("m")};
    buf_init(&out, OUT_MAX);
    if (xlate_gather(&x, stream, &out, &seen, &error)) {
        CHECK(scan_validate(buf_slice(&out), NULL));
        CHECK(error.p == NULL);
    } else {
        CHECK(seen.error_status == 0 || (seen.error_status >= 400 && seen.error_status < 600));
    }
    buf_done(&out);
    xlate_done(&x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = {(const char *)data + 1, size - 1};
    struct dialect_error er;
    struct arena a;

    if (size == 0) {
        return 0;
    }
    arena_init(&a, 4096, 0);
    answer(&dialect_openai, DIALECT_CHAT, body, data[0], &a);
    answer(&dialect_openai, DIALECT_COMPLETIONS, body, data[0], &a);
    answer(&dialect_openai, DIALECT_EMBEDDINGS, body, data[0], &a);
    answer(&dialect_anthropic, DIALECT_MESSAGES, body, data[0], &a);
    gathered(&dialect_openai, DIALECT_CHAT, body, &a);
    gathered(&dialect_anthropic, DIALECT_MESSAGES, body, &a);
    dialect_error_read(200 + data[0] * 2u, body, &a, &er);
    CHECK(er.status >= 400 && er.status < 600 && er.type != NULL && er.message.n > 0);
    CHECK(!dialect_error_is_openai(er.status, body) || scan_validate(body, NULL));
    arena_done(&a);
    return 0;
}
