// SPDX-License-Identifier: Apache-2.0
#include "tests/mock/mock_route.h"

#include "common/base/text.h"
#include "tests/mock/mock_script.h"
#include "tests/mock/mock_shape.h"

// Paths are told by their end; `get`: GET only. Of several the first counts.
static const struct route {
    const char *part;
    bool anywhere, get;
    const struct mock_shape *shape;
    enum mock_api api;
} routes[] = {
    {"/chat/completions", false, false, &mock_openai, MOCK_CHAT},
    {"/responses/input_tokens", false, false, &mock_openai, MOCK_COUNT},
    {"/completions", false, false, &mock_openai, MOCK_COMPLETIONS},
    {"/embeddings", false, false, &mock_openai, MOCK_EMBEDDINGS},
    {"/v1/messages", false, false, &mock_anthropic, MOCK_CHAT},
    {"/v1/messages/count_tokens", false, false, &mock_anthropic, MOCK_COUNT},
    {":generateContent", false, false, &mock_gemini, MOCK_CHAT},
    {":streamGenerateContent", false, false, &mock_gemini, MOCK_CHAT},
    {":countTokens", false, false, &mock_gemini, MOCK_COUNT},
    {":embedContent", false, false, &mock_gemini, MOCK_EMBED_ONE},
    {":batchEmbedContents", false, false, &mock_gemini, MOCK_EMBEDDINGS},
    {"/api/chat", false, false, &mock_ollama, MOCK_CHAT},
    {"/api/embed", false, false, &mock_ollama, MOCK_EMBEDDINGS},
    {"/api/tags", false, true, &mock_ollama, MOCK_MODELS},
    {"/v1beta/models", false, true, &mock_gemini, MOCK_MODELS},
    {"/v1beta/models/", true, true, &mock_gemini, MOCK_MODEL},
    {"/models", false, true, &mock_openai, MOCK_MODELS},
    {"/models/", true, true, &mock_openai, MOCK_MODEL},
};

static void set_route(const struct mock_head *h, struct mock_subject *s)
{
    bool get = slice_eq(h->method, SLICE("GET"));

    s->shape = &mock_openai;
    s->api = MOCK_ECHO;
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        const struct route *r = &routes[i];
        struct slice part = slice_str(r->part);

        if ((get || !r->get) &&
            (r->anywhere ? slice_find(h->path, part) != SIZE_MAX : slice_ends(h->path, part))) {
            s->shape = r->shape;
            s->api = r->api;
            break;
        }
    }
    if (s->api == MOCK_MODELS || s->api == MOCK_MODEL) {
        // One list, three shapes; nothing but the header tells the first two apart.
        s->shape = mock_shape_header(h, "anthropic-version").p != NULL ? &mock_anthropic : s->shape;
    }
}

// "gemini-3.5-flash" of "/v1beta/models/gemini-3.5-flash:generateContent".
static struct slice model_in_path(const struct mock_head *h)
{
    size_t at = slice_find(h->path, SLICE("/models/"));
    struct slice rest = at == SIZE_MAX ? SLICE_NULL : slice_from(h->path, at + 8);

    for (size_t i = rest.n; i > 0 && !slice_eq(h->method, SLICE("GET")); i--) {
        if (rest.p[i - 1] == ':') {
            return slice_head(rest, i - 1);
        }
    }
    return rest;
}

// Percent signs undone; at most what fits.
static struct slice unescape(struct slice s, char out[MOCK_MODEL_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < s.n && n < MOCK_MODEL_MAX; i++) {
        uint8_t byte = 0;

        if (s.p[i] == '%' && i + 2 < s.n && text_unhex(SLICE_MAKE(s.p + i + 1, 2), &byte, 1)) {
            out[n++] = (char)byte;
            i += 2;
        } else {
            out[n++] = s.p[i];
        }
    }
    return SLICE_MAKE(out, n);
}

// What other shapes do not say in the members that mock_ask_scan knows.
static void complete_ask(const struct mock_head *h, struct slice body, struct mock_script *s)
{
    if (s->subject.shape == &mock_gemini || s->subject.api == MOCK_MODEL) {
        s->ask.model = unescape(model_in_path(h), s->model);
        s->ask.stream = slice_ends(h->path, SLICE(":streamGenerateContent"));
    } else if (s->subject.shape == &mock_ollama && s->subject.api == MOCK_CHAT) {
        s->ask.stream = !slice_eq(mock_ask_field(body, "stream"), SLICE("false"));
    }
    if (s->subject.shape == &mock_ollama || s->subject.shape == &mock_anthropic) {
        s->subject.date = slice_str(text_format_rfc3339(s->subject.created_s * 1000000, s->date));
    }
}

void mock_route_set(const struct mock_head *h, struct slice body, struct mock_script *s)
{
    set_route(h, &s->subject);
    complete_ask(h, body, s);
}
