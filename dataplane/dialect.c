// SPDX-License-Identifier: Apache-2.0
// Registry of dialects and what all of them share.
#include "dataplane/dialect.h"

#include "common/base/check.h"

static const struct dialect *const dialects[] = {&dialect_openai, &dialect_anthropic,
                                                 &dialect_gemini, &dialect_ollama};

const struct dialect *dialect_find(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        if (slice_eq_str(name, dialects[i]->name)) {
            return dialects[i];
        }
    }
    return NULL;
}

enum dialect_tier dialect_tier_of(struct slice word)
{
    static const struct {
        struct slice word;
        enum dialect_tier tier;
    } words[] = {{{"flex", 4}, DIALECT_TIER_FLEX},
                 {{"priority", 8}, DIALECT_TIER_PRIORITY},
                 {{"batch", 5}, DIALECT_TIER_BATCH},
                 {{"fast", 4}, DIALECT_TIER_FAST}};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        struct slice own = words[i].word;

        if (word.n >= own.n && slice_eq_nocase(slice_from(word, word.n - own.n), own)) {
            return words[i].tier;
        }
    }
    return DIALECT_TIER_STANDARD;
}

uint64_t dialect_estimate_tokens(uint64_t bytes)
{
    return bytes / 4 + (bytes % 4 != 0 ? 1 : 0);
}

size_t dialect_spliced(struct slice body, const struct dialect_splice *sp, size_t n,
                       struct slice *pieces, size_t max, size_t *ret_bytes)
{
    size_t count = 0, at = 0, bytes = 0;

    CHECK(max >= 2 * n + 1);
    for (size_t i = 0; i <= n; i++) {
        size_t until = i < n ? sp[i].begin : body.n;

        if (until > at) {
            pieces[count++] = (struct slice){body.p + at, until - at};
            bytes += until - at;
        }
        if (i < n) {
            if (sp[i].text.n > 0) {
                pieces[count++] = sp[i].text;
                bytes += sp[i].text.n;
            }
            at = sp[i].end;
        }
    }
    *ret_bytes = bytes;
    return count;
}
