// SPDX-License-Identifier: Apache-2.0
// Requests of OpenAI clients: what is read can be written for a provider of the same dialect, with
// and without quirks, as valid JSON, and read back to the same body. The quirk editor on the body
// itself leaves valid JSON and announces that it touches it.
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "dataplane/dialect_quirks.h"
#include "dataplane/xlate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX ((size_t)64 << 20)

static const char *const drop[] = {"stop", "metadata"};
static const char *const refuse[] = {"n"};
static const char *const efforts[] = {"none", "high"};
static const struct resource_pair renamed[] = {{"seed", "random_seed"}};

static const struct resource_quirks all_quirks[] = {
    {.flags = 0},
    {.flags = RESOURCE_NO_DEVELOPER_ROLE | RESOURCE_NO_TOOL_STRICT | RESOURCE_NO_FILES,
     .drop = drop,
     .n_drop = 2,
     .rename = renamed,
     .n_rename = 1,
     .prefill = "prefix",
     .tool_id_length = 9,
     .tool_id_exact = true,
     .efforts = efforts,
     .n_efforts = 2,
     .reasoning_history = RESOURCE_HISTORY_PARTS},
    {.flags = RESOURCE_ALTERNATE_ROLES | RESOURCE_LAST_USER | RESOURCE_NO_MESSAGE_NAMES |
              RESOURCE_FLATTEN_TEXT | RESOURCE_IMAGE_DATA_ONLY,
     .refuse = refuse,
     .n_refuse = 1,
     .tool_choices = RESOURCE_CHOICE_AUTO,
     .formats = RESOURCE_FORMAT_JSON_OBJECT,
     .temperature_min = 10,
     .temperature_max = 1000,
     .top_p_max = 990,
     .stop_max = 1,
     .reasoning = RESOURCE_REASONING_THINKING,
     .reasoning_history = RESOURCE_HISTORY_REASONING_DETAILS,
     .tool_id_length = 12,
     .tool_id_punctuation = "_"},
    {.flags = RESOURCE_TAKES_CACHE_CONTROL | RESOURCE_SCHEMA_STRICT | RESOURCE_NO_IMAGES,
     .max_tokens_name = RESOURCE_MAX_COMPLETION_TOKENS,
     .plain_max_tokens = 100,
     .tool_choices = RESOURCE_CHOICE_AUTO | RESOURCE_CHOICE_REQUIRED,
     .reasoning = RESOURCE_REASONING_ENABLE,
     .reasoning_history = RESOURCE_HISTORY_REASONING},
};
static const struct resource_traits all_traits[] = {
    {.flags = 0},
    {.flags = RESOURCE_NO_SAMPLING | RESOURCE_SAMPLING_UNREASONED | RESOURCE_COMPLETION_TOKENS |
              RESOURCE_NO_FORCED_TOOLS,
     .drop = drop,
     .n_drop = 1},
};

static struct canon_target target_of(uint8_t flags)
{
    return (struct canon_target){.model = SLICE("up"),
                                 .quirks = &all_quirks[flags & 3],
                                 .traits = &all_traits[flags >> 2 & 1],
                                 .reasoning_model = (flags & 4) != 0,
                                 .openai = (flags & 8) != 0,
                                 .wants_reasoning = (flags & 16) != 0,
                                 .drop_unsupported = (flags & 32) != 0,
                                 .forward_unknown = (flags & 64) != 0};
}

static void edit(const struct dialect_request *rq, struct slice body, uint8_t flags,
                 struct arena *a)
{
    struct canon_target t = target_of(flags);
    struct canon_outcome o = {.arena = a};
    enum dialect_quirks_result result;
    struct buf out;

    buf_init(&out, OUT_MAX);
    result = dialect_quirks_edit(body, rq->endpoint, NULL, &t, &o, &out);
    CHECK((result == DIALECT_QUIRKS_EDITED) == (out.n > 0));
    CHECK(result != DIALECT_QUIRKS_REFUSED || o.code != NULL);
    CHECK(result == DIALECT_QUIRKS_NONE || slice_find_char(body, '\\') != SIZE_MAX ||
          dialect_quirks_may_touch(&rq->top, body, &t));
    CHECK(out.n == 0 || scan_validate(buf_slice(&out), NULL));
    buf_done(&out);
}

static bool write(struct slice body, const struct dialect_request *rq, const struct canon_target *t,
                  struct arena *a, struct buf *out)
{
    struct xlate_refusal why;
    struct rng rng;
    struct xlate x;
    struct err e;
    bool ok;

    rng_init(&rng, 1);
    xlate_init(&x, &dialect_openai, a, &rng);
    ok = xlate_request(&x, &dialect_openai, t, rq, body, out, &why, &e);
    CHECK(ok || (why.code != NULL && e.message[0] != '\0'));
    xlate_done(&x);
    return ok;
}

static void translate(const struct dialect_request *rq, struct slice body, uint8_t flags,
                      struct arena *a)
{
    struct canon_target t = target_of(flags);
    struct dialect_request again;
    const char *code, *param;
    struct buf out, back;

    buf_init(&out, OUT_MAX);
    buf_init(&back, OUT_MAX);
    if (write(body, rq, &t, a, &out)) {
        CHECK(scan_validate(buf_slice(&out), NULL));
        t.quirks = NULL;
        if ((flags & 7) == 0 && rq->endpoint == DIALECT_CHAT && !t.forward_unknown &&
            dialect_openai.parse_request(buf_slice(&out), DIALECT_CHAT, a, &again, &code, &param,
                                         NULL) &&
            write(buf_slice(&out), &again, &t, a, &back)) {
            CHECK(scan_validate(buf_slice(&back), NULL));
        }
    }
    buf_done(&out);
    buf_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dialect_endpoint eps[] = {DIALECT_CHAT, DIALECT_CHAT, DIALECT_CHAT,
                                                DIALECT_COMPLETIONS, DIALECT_EMBEDDINGS};
    struct slice body = {(const char *)data + 1, size - 1};
    struct dialect_request rq;
    const char *code, *param;
    struct arena a;

    if (size == 0) {
        return 0;
    }
    arena_init(&a, 4096, 0);
    if (dialect_openai.parse_request(body, eps[size % ARRAY_LEN(eps)], &a, &rq, &code, &param,
                                     NULL)) {
        edit(&rq, body, data[0], &a);
        translate(&rq, body, data[0], &a);
    }
    arena_done(&a);
    return 0;
}
