// SPDX-License-Identifier: Apache-2.0
// The text of an answer is a list of tokens: token 0 says what was asked, the others are words from
// a list, or the turn's own text in pieces; a plain answer and the events of a stream carry the
// same text.
#include "tests/mock/mock_answer.h"

#include "tests/mock/mock_put.h"
#include "tests/mock/mock_shape.h"

#define EXCERPT_MAX   80u
#define PIECE_DEFAULT 8u

static const char *const word_list[] = {" alpha",   " bravo", " charlie", " delta", " echo",
                                        " foxtrot", " golf",  " hotel",   " india", " juliett"};

struct slice mock_answer_filler(void)
{
    static const char line[] = "lorem ipsum dolor sit amet, consectetur adipiscing elit sed do ";
    static char text[16384];

    // The same bytes whoever writes them, so threads may race here.
    if (text[sizeof(text) - 1] == 0) {
        for (size_t i = 0; i < sizeof(text); i++) {
            text[i] = line[i % (sizeof(line) - 1)];
        }
    }
    return SLICE_MAKE(text, sizeof(text));
}

// The beginning of an escaped string, cut where neither an escape nor a character is broken.
static struct slice excerpt(struct slice s)
{
    size_t i = 0;

    while (i < s.n && i < EXCERPT_MAX) {
        unsigned char c = (unsigned char)s.p[i];
        size_t step = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

        if (c == '\\' && i + 1 < s.n) {
            step = s.p[i + 1] == 'u' ? 6 : 2;
            if (step == 6 && i + 3 < s.n && (s.p[i + 2] | 0x20) == 'd' && s.p[i + 3] > '7') {
                step = 12; // a surrogate pair
            }
        }
        if (i + step > s.n || i + step > EXCERPT_MAX) {
            break;
        }
        i += step;
    }
    return slice_head(s, i);
}

static uint32_t piece_size(const struct mock_subject *s)
{
    return s->behave->piece > 0 ? s->behave->piece : PIECE_DEFAULT;
}

uint64_t mock_answer_tokens(const struct mock_subject *s)
{
    uint64_t n = s->behave->tokens > 0 ? s->behave->tokens : MOCK_TOKENS_DEFAULT;

    if (s->turn->quiet) {
        return 0;
    }
    if (s->turn->written) {
        n = mock_turn_pieces(mock_turn_text(s->turn), piece_size(s));
    }
    return s->ask->max_tokens > 0 && s->ask->max_tokens < n && s->behave->tokens == 0
               ? s->ask->max_tokens
               : n;
}

bool mock_answer_whole_calls(const struct mock_subject *s)
{
    return s->shape->whole_calls || (s->behave->wishes & MOCK_WISH_VENDOR) != 0;
}

uint64_t mock_answer_call_events(const struct mock_subject *s, size_t call)
{
    return mock_answer_whole_calls(s)
               ? call == 0
               : 1 + mock_turn_pieces(mock_turn_args(s->turn, call), piece_size(s));
}

uint64_t mock_answer_events(const struct mock_subject *s)
{
    uint64_t n = mock_answer_tokens(s);

    for (size_t i = 0; i < s->turn->n_calls; i++) {
        n += mock_answer_call_events(s, i);
    }
    return n;
}

struct mock_piece mock_answer_piece(const struct mock_subject *s, uint64_t index)
{
    struct mock_piece p = {.call = -1, .part = index};
    uint64_t n = mock_answer_tokens(s);

    p.last = index + 1 == n;
    for (size_t i = 0; i < s->turn->n_calls && p.part >= n; i++) {
        p.part -= n;
        p.call = (int)i;
        n = mock_answer_call_events(s, i);
        p.last = p.part + 1 == n;
    }
    return p;
}

void mock_answer_put_args(const struct mock_subject *s, const struct mock_piece *p, struct buf *out)
{
    struct slice args = mock_turn_args(s->turn, (size_t)p->call);

    if (p->part > 0) {
        text_json_escape(out, mock_turn_piece(args, p->part - 1, piece_size(s)));
    }
}

enum mock_finish mock_answer_finish(const struct mock_subject *s)
{
    if (s->turn->refusal) {
        return MOCK_FINISH_REFUSAL;
    }
    if (s->turn->n_calls > 0) {
        return MOCK_FINISH_CALLS;
    }
    if (s->turn->written) {
        uint64_t all = mock_turn_pieces(mock_turn_text(s->turn), piece_size(s));

        return mock_answer_tokens(s) < all ? MOCK_FINISH_LENGTH : MOCK_FINISH_STOP;
    }
    return s->ask->max_tokens > 0 && s->ask->max_tokens <= mock_answer_tokens(s)
               ? MOCK_FINISH_LENGTH
               : MOCK_FINISH_STOP;
}

// Bytes of each content event when the behaviour fixes them, else 0.
static uint64_t fixed_event_size(const struct mock_subject *s)
{
    if (s->behave->event_size > 0) {
        return s->behave->event_size;
    }
    return s->behave->size > 0 ? s->behave->size / mock_answer_tokens(s) + 1 : 0;
}

static void put_filler(struct buf *out, uint64_t n)
{
    struct slice filler = mock_answer_filler();

    while (n > 0) {
        struct slice part = slice_head(filler, n < filler.n ? (size_t)n : filler.n);

        buf_append(out, part);
        n -= part.n;
    }
}

void mock_answer_put_token(const struct mock_subject *s, uint64_t index, struct buf *out)
{
    uint64_t fixed;
    size_t before = out->n;

    if (s->turn->written) {
        struct slice text = mock_turn_text(s->turn);

        text_json_escape(out, mock_turn_piece(text, index, piece_size(s)));
        return;
    }
    fixed = fixed_event_size(s);
    if (index == 0) {
        put(out, "Mock answer to: ");
        buf_append(out, excerpt(s->ask->user));
    } else {
        const char *w = word_list[index % ARRAY_LEN(word_list)];

        buf_append(out, SLICE_MAKE(w, strlen(w)));
    }
    if (fixed > out->n - before) {
        put_filler(out, fixed - (out->n - before));
    }
}

void mock_answer_put_text(const struct mock_subject *s, struct buf *out)
{
    uint64_t n = s->behave->size > 0 && !s->turn->written ? 1 : mock_answer_tokens(s);

    for (uint64_t i = 0; i < n; i++) {
        if (i == 0 && s->behave->size > 0 && !s->turn->written) {
            put(out, "Mock answer to: ");
            buf_append(out, excerpt(s->ask->user));
            put(out, " ");
        } else {
            mock_answer_put_token(s, i, out);
        }
    }
}

uint64_t mock_answer_filler_size(const struct mock_subject *s, const struct buf *pre,
                                 const struct buf *post)
{
    uint64_t natural = pre->n + post->n;

    return s->behave->size > natural && !s->turn->quiet ? s->behave->size - natural : 0;
}

struct mock_usage mock_answer_usage(const struct mock_subject *s)
{
    const struct mock_behave *b = s->behave;
    bool set = (b->flags & MOCK_USAGE) != 0;
    struct mock_usage u = {.prompt = set ? b->usage_prompt : 9 + s->body_length / 4,
                           .think = s->turn->think,
                           .cache_read = b->cache_read,
                           .cache_write = b->cache_write};

    if (s->turn->n_calls > 0 || s->turn->written) {
        u.completion = mock_answer_events(s) + u.think;
    } else {
        u.completion = mock_answer_tokens(s) + u.think;
    }
    u.completion = set ? b->usage_completion : u.completion;
    if (u.think > u.completion) {
        u.think = u.completion;
    }
    if (u.cache_read + u.cache_write > u.prompt) {
        u.prompt += u.cache_read + u.cache_write;
    }
    return u;
}
