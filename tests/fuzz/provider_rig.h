// SPDX-License-Identifier: Apache-2.0
// A provider dialect under fuzzing, for targets that only name it: its answers, errors and events
// are read and written for both client dialects, requests of both clients are written for it.
// Whatever comes out is well formed, errors have a status of an error, nothing follows the end.
//
//   first byte: bits 0-1 what the rest is (0 answer, 1 events by line, 2 OpenAI's request, 3
//   Anthropic's), bit 2 Anthropic's client, bit 3 as a stream, bits 4-5 endpoint, bit 6 target
//   flags
#ifndef SLUICE_TESTS_FUZZ_PROVIDER_RIG_H
#define SLUICE_TESTS_FUZZ_PROVIDER_RIG_H

#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "dataplane/xlate.h"

#define RIG_OUT_MAX ((size_t)512 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void rig_check_events(struct slice text)
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

static enum dialect_endpoint rig_endpoint(uint8_t flags, bool anthropic)
{
    bool second = (flags >> 4 & 3) == 3;

    if (anthropic) {
        return second ? DIALECT_COUNT_TOKENS : DIALECT_MESSAGES;
    }
    return second ? DIALECT_EMBEDDINGS : (flags >> 4 & 3) == 2 ? DIALECT_COMPLETIONS : DIALECT_CHAT;
}

static void rig_open(struct xlate *x, const struct dialect *provider, uint8_t flags,
                     struct arena *a, struct rng *rng)
{
    bool anthropic = (flags & 4) != 0;

    rng_init(rng, 1);
    xlate_init(x, anthropic ? &dialect_anthropic : &dialect_openai, a, rng);
    x->provider = provider;
    x->context = (struct canon_context){.arena = a,
                                        .rng = rng,
                                        .endpoint = rig_endpoint(flags, anthropic),
                                        .model = SLICE("m"),
                                        .include_usage = (flags & 64) != 0,
                                        .base64 = (flags & 64) != 0};
}

static void rig_answer(const struct dialect *provider, struct slice body, uint8_t flags,
                       struct arena *a)
{
    struct dialect_error er = {.status = 0};
    struct dialect_answer seen;
    struct rng rng;
    struct xlate x;
    struct buf out;
    bool stream = (flags & 8) != 0;

    rig_open(&x, provider, flags, a, &rng);
    stream = stream && x.context.endpoint != DIALECT_EMBEDDINGS &&
             x.context.endpoint != DIALECT_COUNT_TOKENS;
    buf_init(&out, RIG_OUT_MAX);
    if (provider->serves(x.context.endpoint) && xlate_answer(&x, body, stream, &out, &seen)) {
        if (stream) {
            rig_check_events(buf_slice(&out));
        } else {
            CHECK(scan_validate(buf_slice(&out), NULL));
        }
    }
    provider->read_error(200 + flags * 2u, body, a, &er);
    CHECK(er.status >= 400 && er.status < 600 && er.message.n > 0);
    buf_done(&out);
    xlate_done(&x);
}

static void rig_events(const struct dialect *provider, struct slice text, uint8_t flags,
                       struct arena *a)
{
    struct dialect_stream s = {.content_seen = false};
    bool over = false;
    struct rng rng;
    struct xlate x;
    struct buf out;

    rig_open(&x, provider, flags & 0xCF, a, &rng); // chats only
    buf_init(&out, RIG_OUT_MAX);
    while (text.p != NULL) {
        struct dialect_event ev;
        struct slice line;

        text = slice_cut(text, '\n', &line);
        buf_clear(&out);
        ev = xlate_event(&x, &s, SLICE_NULL, line, &out);
        rig_check_events(buf_slice(&out));
        CHECK(!over || out.n == 0);
        CHECK(!ev.error || (ev.error_status >= 400 && ev.error_status < 600));
        over = over || ev.error || ev.terminator;
    }
    buf_clear(&out);
    xlate_end(&x, &s, &out);
    CHECK(!over || out.n == 0);
    rig_check_events(buf_slice(&out));
    buf_done(&out);
    xlate_done(&x);
}

static void rig_request(const struct dialect *provider, struct slice body, uint8_t flags,
                        struct arena *a)
{
    struct xlate_refusal why;
    bool odd = (flags & 64) != 0;
    struct canon_target t = {.model = SLICE("m/1 x"),
                             .default_max_tokens = 4096,
                             .gemini3 = odd,
                             .gemini_schema = !odd,
                             .gemini_low = odd,
                             .forward_unknown = odd,
                             .drop_unsupported = (flags & 8) != 0,
                             .strip_signatures = (flags & 16) != 0};
    const char *code = NULL, *param = NULL;
    struct dialect_request rq;
    struct rng rng;
    struct xlate x;
    struct buf out;
    struct err e;

    rig_open(&x, provider, flags, a, &rng);
    if (!x.client->parse_request(body, rig_endpoint(flags, (flags & 4) != 0), a, &rq, &code, &param,
                                 &e) ||
        !provider->serves(rq.endpoint)) {
        xlate_done(&x);
        return;
    }
    buf_init(&out, RIG_OUT_MAX);
    if (xlate_request(&x, provider, &t, &rq, body, &out, &why, &e)) {
        CHECK(scan_validate(buf_slice(&out), NULL));
    } else {
        CHECK(why.code != NULL && e.message[0] != '\0');
    }
    buf_done(&out);
    xlate_done(&x);
}

static int rig_run(const struct dialect *provider, const uint8_t *data, size_t size)
{
    struct slice rest = {(const char *)data + 1, size - 1};
    struct arena a;

    if (size == 0 || size > 65536) {
        return 0;
    }
    arena_init(&a, 4096, 0);
    switch (data[0] & 3) {
    case 0:
        rig_answer(provider, rest, data[0], &a);
        break;
    case 1:
        rig_events(provider, rest, data[0], &a);
        break;
    case 2:
        rig_request(provider, rest, data[0] & ~4u, &a);
        break;
    default:
        rig_request(provider, rest, data[0] | 4u, &a);
        break;
    }
    arena_done(&a);
    return 0;
}

#endif
