// SPDX-License-Identifier: Apache-2.0
// The text is kept as runs of characters of one width, in UTF-8: "Été" is 2 1 2, so byte 3 is
// behind two characters. English is one run, however long; of other languages there are many, so
// one takes four bytes. Texts come escaped (jtext) and are not decoded: an escape is one character.
// A mark at every so many runs says where it begins, so that the one in which a byte lies is soon
// found: an answer may have a million places that are cited.
#include "dataplane/dialect_gemini_cite.h"

#include <string.h>

#define RUNS_MAX      65536u // of a text; what changes its widths more often is not cited
#define STRIDE        64u    // runs from one mark to the next
#define CITATIONS_MAX 256u   // of one answer or event
#define CHARS_MAX     ((1u << 30) - 1)

struct dialect_gemini_run {
    uint32_t code; // characters * 4 + bytes of each - 1
};

struct dialect_gemini_mark {
    uint64_t bytes, chars; // before the run
};

static uint32_t chars_of(struct dialect_gemini_run r)
{
    return r.code >> 2;
}

static uint32_t width_of(struct dialect_gemini_run r)
{
    return (r.code & 3) + 1;
}

static void grow(struct dialect_gemini_cite *s, struct arena *a)
{
    uint32_t cap = s->cap == 0 ? 4 : s->cap * 2;
    struct dialect_gemini_run *runs = arena_alloc(a, cap * sizeof(*runs));
    struct dialect_gemini_mark *marks = arena_alloc(a, (cap / STRIDE + 1) * sizeof(*marks));

    if (s->runs != NULL) {
        memcpy(runs, s->runs, s->n * sizeof(*runs));
        memcpy(marks, s->marks, ((s->n - 1) / STRIDE + 1) * sizeof(*marks));
    }
    s->runs = runs;
    s->marks = marks;
    s->cap = cap;
}

static void add(struct dialect_gemini_cite *s, uint32_t width, struct arena *a)
{
    struct dialect_gemini_run *last = s->runs == NULL ? NULL : &s->runs[s->n - 1];

    if (last != NULL && width_of(*last) == width && chars_of(*last) < CHARS_MAX) {
        last->code += 4;
    } else if (s->n < RUNS_MAX) {
        if (s->runs == NULL || s->n == s->cap) {
            grow(s, a);
        }
        if (s->n % STRIDE == 0) {
            s->marks[s->n / STRIDE] = (struct dialect_gemini_mark){s->bytes, s->chars};
        }
        s->runs[s->n++].code = 4 + width - 1;
    }
    s->bytes += width;
    s->chars++;
}

// "00e9" -> 0xe9. The text is valid JSON: four hex digits are there.
static unsigned code_unit(const char *p)
{
    unsigned v = 0;

    for (size_t i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)p[i];

        v = v << 4 | (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return v;
}

// Of the character at the front of the text: *ret_width in UTF-8, and its bytes in the text.
static size_t character(struct slice text, uint32_t *ret_width)
{
    unsigned char c = (unsigned char)text.p[0];
    unsigned unit;

    if (c == '\\' && text.n >= 6 && text.p[1] == 'u') {
        unit = code_unit(text.p + 2);
        if (unit >= 0xD800 && unit < 0xDC00 && text.n >= 12) { // and the other half
            *ret_width = 4;
            return 12;
        }
        *ret_width = unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
        return 6;
    }
    *ret_width = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    return c == '\\' ? 2 : (size_t)*ret_width;
}

void dialect_gemini_cite_text(struct dialect_gemini_cite *s, struct slice text, struct arena *a)
{
    while (text.n > 0) {
        uint32_t width;
        size_t n = character(text, &width);

        add(s, width, a);
        text = slice_from(text, n);
    }
}

// Characters that begin before so many bytes of the text.
static uint64_t characters(const struct dialect_gemini_cite *s, uint64_t bytes)
{
    uint32_t low = 0, high = s->n == 0 ? 0 : (s->n - 1) / STRIDE + 1;
    struct dialect_gemini_mark at = {0, 0};

    while (low + 1 < high) { // the last mark before that byte
        uint32_t middle = low + (high - low) / 2;

        if (s->marks[middle].bytes < bytes) {
            low = middle;
        } else {
            high = middle;
        }
    }
    if (high > 0) {
        at = s->marks[low];
    }
    for (uint32_t i = low * STRIDE; i < s->n && at.bytes < bytes; i++) {
        uint32_t width = width_of(s->runs[i]), all = chars_of(s->runs[i]);
        uint64_t here = (bytes - at.bytes + width - 1) / width;

        here = here < all ? here : all;
        at.chars += here;
        at.bytes += here * width;
    }
    return at.chars;
}

static uint32_t element(const struct tape *t, uint32_t list, uint64_t index)
{
    TAPE_ITEMS(t, list, i)
    {
        if (index-- == 0) {
            return i;
        }
    }
    return TAPE_NONE;
}

struct builder {
    const struct tape *t;
    struct arena *a;
    uint32_t chunks;
    struct canon_citation **tail;
    size_t n;
};

// The sources of one part of the text.
static void add_sources(struct builder *b, uint32_t support, uint64_t begin, uint64_t end)
{
    TAPE_ITEMS(b->t, tape_get(b->t, support, "groundingChunkIndices"), k)
    {
        uint64_t index = 0;
        uint32_t web;

        if (!tape_u64(b->t, k, &index) || b->n++ >= CITATIONS_MAX) {
            continue;
        }
        web = tape_get(b->t, element(b->t, b->chunks, index), "web");
        if (tape_get_text(b->t, web, "uri").p == NULL) {
            continue;
        }
        *b->tail = arena_zalloc(b->a, sizeof(**b->tail));
        (*b->tail)->url = tape_get_text(b->t, web, "uri");
        (*b->tail)->title = tape_get_text(b->t, web, "title");
        (*b->tail)->begin = begin;
        (*b->tail)->end = end;
        b->tail = &(*b->tail)->next;
    }
}

struct canon_citation *dialect_gemini_cite_sources(struct dialect_gemini_cite *s,
                                                   const struct tape *t, uint32_t candidate,
                                                   struct arena *a)
{
    uint32_t meta = tape_given(t, candidate, "groundingMetadata");
    struct canon_citation *list = NULL;
    struct builder b = {.t = t, .a = a, .chunks = tape_get(t, meta, "groundingChunks")};
    uint64_t before = s->cited;

    b.tail = &list;
    TAPE_ITEMS(t, tape_get(t, meta, "groundingSupports"), i)
    {
        uint32_t segment = tape_get(t, i, "segment");
        uint64_t begin = 0, end = 0;

        (void)!tape_u64(t, tape_get(t, segment, "startIndex"), &begin);
        (void)!tape_u64(t, tape_get(t, segment, "endIndex"), &end);
        if (end <= before) {
            continue; // an earlier event told them
        }
        add_sources(&b, i, characters(s, begin), characters(s, end));
        s->cited = end > s->cited ? end : s->cited;
    }
    return list;
}
