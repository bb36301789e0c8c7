// SPDX-License-Identifier: Apache-2.0
// The grammar of behaviours: one table row per word. A row is a flag (the word stands alone) or has
// an argument behind a '-' that is stored in a field of struct mock_behave.
#include "tests/mock/mock_behave.h"

#include <stddef.h>

#include "common/base/text.h"

enum arg {
    ARG_FLAG,
    ARG_WISH, // as ARG_FLAG, but `flag` is an enum mock_wish
    ARG_U32,
    ARG_I64,
    ARG_SIZE,
    ARG_DURATION,
    ARG_STATUS,
    ARG_LIMITS,
    ARG_USAGE,
    ARG_CACHED
};

struct word {
    const char *name;
    enum arg arg;
    uint32_t flag;   // set when the word is found; of ARG_WISH and ARG_CACHED an enum mock_wish
    size_t offset;   // of the field, for arguments
    uint64_t preset; // value without argument; 0 = the argument is required
};

#define FIELD(f) offsetof(struct mock_behave, f)

static const struct word words[] = {
    {"args-size", ARG_SIZE, 0, FIELD(args_size), 0},
    {"bad-json", ARG_FLAG, MOCK_BAD_JSON, 0, 0},
    {"bad-status-line", ARG_FLAG, MOCK_BAD_STATUS_LINE, 0, 0},
    {"cached", ARG_CACHED, MOCK_WISH_CACHED, 0, 0},
    {"chunked", ARG_FLAG, MOCK_CHUNKED, 0, 0},
    {"close", ARG_FLAG, MOCK_CLOSE, 0, 0},
    {"close-quietly", ARG_FLAG, MOCK_CLOSE_QUIETLY, 0, 0},
    {"content-type-json", ARG_FLAG, MOCK_TYPE_JSON, 0, 0},
    {"cut-after", ARG_I64, 0, FIELD(cut_after), 0},
    {"delay", ARG_DURATION, 0, FIELD(delay_us), 0},
    {"early", ARG_FLAG, MOCK_EARLY, 0, 0},
    {"empty-deltas", ARG_U32, 0, FIELD(empty_deltas), 0},
    {"end-after", ARG_I64, 0, FIELD(end_after), 0},
    {"error-event", ARG_FLAG, 0, 0, 0}, // see apply_bare
    {"error-event-after", ARG_I64, 0, FIELD(error_after), 0},
    {"event-size", ARG_SIZE, 0, FIELD(event_size), 0},
    {"fail-first", ARG_U32, 0, FIELD(fail_first), 0},
    {"flaky", ARG_U32, 0, FIELD(flaky), 0},
    {"gzip", ARG_FLAG, MOCK_GZIP, 0, 0},
    {"half-head", ARG_FLAG, MOCK_HALF_HEAD, 0, 0},
    {"head-size", ARG_SIZE, 0, FIELD(head_size), 0},
    {"html-200", ARG_FLAG, MOCK_HTML, 0, 0},
    {"huge-body", ARG_SIZE, 0, FIELD(size), 50u << 20},
    {"interim", ARG_FLAG, MOCK_INTERIM, 0, 0},
    {"keepalive-comments", ARG_DURATION, 0, FIELD(comments_us), 100000},
    {"limit-headers", ARG_LIMITS, MOCK_LIMIT_HEADERS, 0, 0},
    {"lognormal", ARG_DURATION, 0, FIELD(lognormal_us), 0},
    {"malformed-chunk", ARG_FLAG, MOCK_MALFORMED_CHUNK, 0, 0},
    {"no-done", ARG_FLAG, MOCK_NO_DONE, 0, 0},
    {"no-finish", ARG_FLAG, MOCK_NO_FINISH, 0, 0},
    {"no-stream", ARG_FLAG, MOCK_NO_STREAM, 0, 0},
    {"no-tools", ARG_WISH, MOCK_WISH_NO_TOOLS, 0, 0},
    {"no-usage", ARG_FLAG, MOCK_NO_USAGE, 0, 0},
    {"pace", ARG_DURATION, 0, FIELD(pace_us), 0},
    {"parallel", ARG_WISH, MOCK_WISH_PARALLEL, 0, 0},
    {"piece", ARG_U32, 0, FIELD(piece), 0},
    {"preface", ARG_WISH, MOCK_WISH_PREFACE, 0, 0},
    {"redacted", ARG_WISH, MOCK_WISH_REDACTED, 0, 0},
    {"refusal", ARG_WISH, MOCK_WISH_REFUSAL, 0, 0},
    {"reset", ARG_FLAG, MOCK_RESET, 0, 0},
    {"reset-after", ARG_I64, 0, FIELD(reset_after), 0},
    {"reset-mid", ARG_FLAG, MOCK_RESET_MID, 0, 0},
    {"reset-reused", ARG_FLAG, MOCK_RESET_REUSED, 0, 0},
    {"role-then-stall", ARG_FLAG, MOCK_ROLE_THEN_STALL, 0, 0},
    {"short-body", ARG_FLAG, MOCK_SHORT_BODY, 0, 0},
    {"silence", ARG_FLAG, MOCK_SILENCE, 0, 0},
    {"size", ARG_SIZE, 0, FIELD(size), 0},
    {"slow-read", ARG_SIZE, 0, FIELD(slow_read), 0},
    {"slow-write", ARG_SIZE, 0, FIELD(slow_write), 0},
    {"split", ARG_FLAG, MOCK_SPLIT, 0, 0},
    {"stall-after", ARG_I64, 0, FIELD(stall_after), 0},
    {"stall-first", ARG_FLAG, MOCK_STALL_FIRST, 0, 0},
    {"stamp", ARG_FLAG, MOCK_STAMP, 0, 0},
    {"status", ARG_STATUS, 0, 0, 0},
    {"strict", ARG_WISH, MOCK_WISH_STRICT, 0, 0},
    {"think", ARG_U32, 0, FIELD(think), 0},
    {"tokens", ARG_U32, 0, FIELD(tokens), 0},
    {"tool-call", ARG_FLAG, MOCK_TOOL_CALL, 0, 0},
    {"ttft", ARG_DURATION, 0, FIELD(ttft_us), 0},
    {"two-lengths", ARG_FLAG, MOCK_TWO_LENGTHS, 0, 0},
    {"unknown-model", ARG_FLAG, MOCK_UNKNOWN_MODEL, 0, 0},
    {"unsigned", ARG_WISH, MOCK_WISH_UNSIGNED, 0, 0},
    {"until-close", ARG_FLAG, MOCK_UNTIL_CLOSE, 0, 0},
    {"usage", ARG_USAGE, MOCK_USAGE, 0, 0},
    {"vendor", ARG_WISH, MOCK_WISH_VENDOR, 0, 0},
};

static const uint32_t fault_flags =
    MOCK_RESET | MOCK_RESET_MID | MOCK_SILENCE | MOCK_STALL_FIRST | MOCK_ROLE_THEN_STALL |
    MOCK_MALFORMED_CHUNK | MOCK_BAD_JSON | MOCK_NO_DONE | MOCK_NO_FINISH | MOCK_TYPE_JSON |
    MOCK_HTML | MOCK_GZIP | MOCK_HALF_HEAD | MOCK_BAD_STATUS_LINE | MOCK_UNKNOWN_MODEL |
    MOCK_CLOSE_QUIETLY | MOCK_RESET_REUSED | MOCK_NO_STREAM | MOCK_EARLY | MOCK_TWO_LENGTHS |
    MOCK_SHORT_BODY;

void mock_behave_init(struct mock_behave *b)
{
    *b = (struct mock_behave){.retry_after_s = -1,
                              .stall_after = -1,
                              .cut_after = -1,
                              .reset_after = -1,
                              .end_after = -1,
                              .error_after = -1};
}

// "512", "100k", "50m" (powers of 1,024).
static bool parse_size(struct slice s, uint64_t *ret)
{
    uint64_t unit = 1;

    if (s.n > 0 && (s.p[s.n - 1] == 'k' || s.p[s.n - 1] == 'm')) {
        unit = s.p[s.n - 1] == 'k' ? 1024 : 1024 * 1024;
        s.n--;
    }
    if (!slice_to_u64(s, ret) || *ret > ((uint64_t)1 << 34) / unit) {
        return false;
    }
    *ret *= unit;
    return true;
}

// "429" or "429-retry-after-2".
static bool parse_status(struct slice s, struct mock_behave *b)
{
    const struct slice infix = SLICE("-retry-after-");
    size_t at = slice_find(s, infix);
    uint64_t status = 0, seconds = 0;

    if (at != SIZE_MAX) {
        if (!slice_to_u64(slice_from(s, at + infix.n), &seconds) || seconds > 86400) {
            return false;
        }
        b->retry_after_s = (int32_t)seconds;
        s = slice_head(s, at);
    }
    if (!slice_to_u64(s, &status) || status < 200 || status > 599) {
        return false;
    }
    b->status = (uint32_t)status;
    return true;
}

// "0-1m30s": remaining requests and the time until they are whole again.
static bool parse_limits(struct slice s, struct mock_behave *b)
{
    struct slice remaining;
    struct slice reset = slice_cut(s, '-', &remaining);

    return slice_to_u64(remaining, &b->limit_remaining) && reset.p != NULL &&
           text_parse_duration_us(reset, &b->limit_reset_us);
}

// "80-20": tokens read from the cache and written to it.
static bool parse_cached(struct slice s, struct mock_behave *b)
{
    struct slice rd;
    struct slice wr = slice_cut(s, '-', &rd);

    b->wishes |= MOCK_WISH_CACHED;
    return slice_to_u64(rd, &b->cache_read) && wr.p != NULL && slice_to_u64(wr, &b->cache_write);
}

static bool parse_usage(struct slice s, struct mock_behave *b)
{
    struct slice prompt;
    struct slice completion = slice_cut(s, '-', &prompt);

    return slice_to_u64(prompt, &b->usage_prompt) && completion.p != NULL &&
           slice_to_u64(completion, &b->usage_completion);
}

static bool apply_argument(const struct word *w, struct slice arg, struct mock_behave *b)
{
    void *field = (char *)b + w->offset;
    uint64_t n = 0;

    switch (w->arg) {
    case ARG_FLAG:
    case ARG_WISH:
        return false;
    case ARG_U32:
        if (!slice_to_u64(arg, &n) || n > UINT32_MAX) {
            return false;
        }
        *(uint32_t *)field = (uint32_t)n;
        return true;
    case ARG_I64:
        if (!slice_to_u64(arg, &n) || n > INT64_MAX) {
            return false;
        }
        *(int64_t *)field = (int64_t)n;
        return true;
    case ARG_SIZE:
        return parse_size(arg, field);
    case ARG_DURATION:
        return text_parse_duration_us(arg, field);
    case ARG_STATUS:
        return parse_status(arg, b);
    case ARG_LIMITS:
        return parse_limits(arg, b);
    case ARG_USAGE:
        return parse_usage(arg, b);
    case ARG_CACHED:
        return parse_cached(arg, b);
    }
    return false;
}

// A word without argument.
static bool apply_bare(const struct word *w, struct mock_behave *b)
{
    if (w->arg == ARG_WISH) {
        b->wishes |= w->flag;
        return true;
    }
    if (w->arg != ARG_FLAG && w->preset == 0) {
        return false;
    }
    if (w->preset != 0) {
        *(uint64_t *)(void *)((char *)b + w->offset) = w->preset;
    }
    if (w->arg == ARG_FLAG && w->flag == 0) {
        b->error_after = -2; // error-event: before even the role event
    }
    return true;
}

static bool takes_argument(const struct word *w)
{
    return w->arg != ARG_FLAG && w->arg != ARG_WISH;
}

// True: the part was a word (or *ret_bad says that it starts like one and is not).
static bool parse_part(struct slice part, struct mock_behave *b, bool *ret_bad)
{
    *ret_bad = false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        const struct word *w = &words[i];
        struct slice name = slice_str(w->name);

        if (!slice_starts(part, name)) {
            continue;
        }
        if (part.n == name.n ? apply_bare(w, b)
                             : part.p[name.n] == '-' && takes_argument(w) &&
                                   apply_argument(w, slice_from(part, name.n + 1), b)) {
            b->flags |= w->arg == ARG_WISH || w->arg == ARG_CACHED ? 0 : w->flag;
            return true;
        }
        *ret_bad |= takes_argument(w) && (part.n == name.n || part.p[name.n] == '-');
    }
    return false;
}

bool mock_behave_parse(struct slice text, struct mock_behave *b, unsigned *ret_words, struct err *e)
{
    unsigned found = 0;

    while (text.n > 0) {
        struct slice part;
        bool bad = false;

        text = slice_cut(text, '+', &part);
        if (parse_part(part, b, &bad)) {
            found++;
        } else if (bad) {
            return err_set(e, ERR_INVALID, "\"" SLICE_FMT "\" looks like a behaviour but is none",
                           SLICE_ARG(part));
        }
    }
    if (ret_words != NULL) {
        *ret_words = found;
    }
    return true;
}

struct slice mock_behave_of_model(struct slice model)
{
    struct slice rest = model;

    for (size_t i = model.n; i > 0; i--) {
        if (model.p[i - 1] == '/') {
            rest = slice_from(model, i);
            break;
        }
    }
    (void)slice_cut(rest, ':', &rest);
    return rest;
}

bool mock_behave_has_fault(const struct mock_behave *b)
{
    return (b->flags & fault_flags) != 0 || b->status >= 300 || b->stall_after >= 0 ||
           b->cut_after >= 0 || b->reset_after >= 0 || b->end_after >= 0 || b->error_after != -1;
}

void mock_behave_drop_faults(struct mock_behave *b)
{
    b->flags &= ~fault_flags;
    b->status = 0;
    b->retry_after_s = -1;
    b->stall_after = b->cut_after = b->reset_after = b->end_after = b->error_after = -1;
}
