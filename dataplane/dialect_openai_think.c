// SPDX-License-Identifier: Apache-2.0
//   BEGIN --"<think>"--> INSIDE --"</think>"--> TRIM --no white space--> OUTSIDE
//     +---anything else--------------------------------------------------^
//
// The tags are looked for in escaped text: '<' and '>' also come as \u003c and \u003e. White space
// behind the closing tag goes.
#include "dataplane/dialect_openai_think.h"

#include <string.h>

#include "common/base/buf.h"

enum { BEGIN, INSIDE, TRIM, OUTSIDE };

struct teller {
    void (*fn)(void *ctx, bool thought, struct slice text);
    void *ctx;
};

static void tell(const struct teller *to, bool thought, struct slice text)
{
    if (text.n > 0) {
        to->fn(to->ctx, thought, text);
    }
}

// Bytes of the character `c` at the front of the text; 0: it is another one. *ret_more: the text
// ends before that can be said.
static size_t match_char(struct slice text, char c, bool *ret_more)
{
    static const char hex[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', '0', '0', hex[(unsigned char)c >> 4], hex[(unsigned char)c & 15]};
    size_t n = text.n < sizeof(escape) ? text.n : sizeof(escape);

    if (text.n == 0) {
        *ret_more = true;
        return 0;
    }
    if (text.p[0] == c) {
        return 1;
    }
    if (!slice_eq_nocase((struct slice){text.p, n}, (struct slice){escape, n})) {
        return 0;
    }
    *ret_more = n < sizeof(escape);
    return n < sizeof(escape) ? 0 : n;
}

// Bytes of the tag at the front of the text; 0: none. *ret_more as above.
static size_t match_tag(struct slice text, const char *tag, bool *ret_more)
{
    size_t at = 0;

    *ret_more = false;
    for (; *tag != '\0'; tag++) {
        size_t n = match_char(slice_from(text, at), *tag, ret_more);

        if (n == 0) {
            return 0;
        }
        at += n;
    }
    return at;
}

static struct slice trim(struct slice text)
{
    for (;;) {
        if (text.n > 0 && text.p[0] == ' ') {
            text = slice_from(text, 1);
        } else if (text.n > 1 && text.p[0] == '\\' && memchr("nrt", text.p[1], 3) != NULL) {
            text = slice_from(text, 2);
        } else {
            return text;
        }
    }
}

// The first place where the closing tag is, or may begin; the text's end when there is none.
static size_t find_close(struct slice text, size_t *ret_tag)
{
    size_t i = 0;

    *ret_tag = 0;
    while (i < text.n) {
        bool more = false;

        *ret_tag = match_tag(slice_from(text, i), "</think>", &more);
        if (*ret_tag > 0 || more) {
            return i;
        }
        i += text.p[i] == '\\' && i + 1 < text.n ? 2 : 1; // never into an escape
    }
    return text.n;
}

static void hold(struct dialect_openai_think *s, struct slice text)
{
    s->n = (uint8_t)(text.n < sizeof(s->held) ? text.n : sizeof(s->held));
    if (s->n > 0) {
        memmove(s->held, text.p, s->n);
    }
}

static void feed(struct dialect_openai_think *s, struct slice text, const struct teller *to)
{
    size_t tag, at;
    bool more;

    if (s->state == BEGIN) {
        tag = match_tag(text, "<think>", &more);
        if (more) {
            hold(s, text);
            return;
        }
        s->state = tag > 0 ? INSIDE : OUTSIDE;
        text = slice_from(text, tag);
    }
    if (s->state == INSIDE) {
        at = find_close(text, &tag);
        tell(to, true, slice_head(text, at));
        if (tag == 0) {
            hold(s, slice_from(text, at));
            return;
        }
        s->state = TRIM;
        text = slice_from(text, at + tag);
    }
    if (s->state == TRIM) {
        text = trim(text);
        s->state = text.n > 0 ? OUTSIDE : TRIM;
    }
    tell(to, false, text);
}

bool dialect_openai_think_is_open(struct slice text)
{
    size_t tag, begins;
    bool more;

    begins = match_tag(text, "<think>", &more);
    (void)find_close(text, &tag);
    return begins == 0 && tag > 0;
}

void dialect_openai_think_feed(struct dialect_openai_think *s, struct slice text,
                               void (*fn)(void *ctx, bool thought, struct slice text), void *ctx)
{
    struct teller to = {fn, ctx};
    struct buf joined;

    if (s->n == 0) {
        feed(s, text, &to);
        return;
    }
    buf_init(&joined, s->n + text.n);
    buf_append(&joined, (struct slice){s->held, s->n});
    buf_append(&joined, text);
    s->n = 0;
    feed(s, buf_slice(&joined), &to);
    buf_done(&joined);
}

void dialect_openai_think_end(struct dialect_openai_think *s,
                              void (*fn)(void *ctx, bool thought, struct slice text), void *ctx)
{
    struct teller to = {fn, ctx};

    tell(&to, s->state == INSIDE, (struct slice){s->held, s->n});
    s->n = 0;
    s->state = OUTSIDE;
}
