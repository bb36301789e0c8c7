// SPDX-License-Identifier: Apache-2.0
// A table of part types, each with its reader. Data URLs are taken apart here, once.
#include "dataplane/dialect_openai_part.h"

#include "common/base/text.h"

bool dialect_openai_part_fail(struct dialect_openai_part_reader *r, const char *member,
                              const char *what)
{
    *r->ret_param =
        arena_printf(r->a, "messages[%u]%s%s", r->message, *member == '\0' ? "" : ".", member);
    return err_set(r->e, ERR_INVALID, "%s %s", *r->ret_param, what);
}

static bool fail_part(struct dialect_openai_part_reader *r, unsigned k, const char *member,
                      const char *what)
{
    return dialect_openai_part_fail(r, arena_printf(r->a, "content[%u]%s", k, member), what);
}

static bool starts(struct slice text, const char *prefix)
{
    return slice_starts_nocase(text, slice_str(prefix));
}

// --- kinds of parts ----------------------------------------------------------------------------

struct place { // what a part's reader needs to know
    struct dialect_openai_part_reader *r;
    uint32_t part;
    unsigned k;
    struct canon_part ***tail;
};

static bool read_text(const struct place *at)
{
    struct slice text = tape_get_text(at->r->t, at->part, "text");

    if (text.p == NULL) {
        return fail_part(at->r, at->k, ".text", "must be a string");
    }
    canon_add_part(at->r->a, at->tail, CANON_TEXT)->text = text;
    return true;
}

static bool read_refusal(const struct place *at)
{
    struct slice text = tape_get_text(at->r->t, at->part, "refusal");

    if (text.p == NULL) {
        return fail_part(at->r, at->k, ".refusal", "must be a string");
    }
    canon_add_part(at->r->a, at->tail, CANON_REFUSAL)->text = text;
    return true;
}

// Mistral's {type: thinking, thinking: text or [{text}]}, in the history of an assistant: a part
// for each text.
static bool read_thinking(const struct place *at)
{
    const struct tape *t = at->r->t;
    uint32_t thinking = tape_get(t, at->part, "thinking");
    struct canon_part *p = canon_add_part(at->r->a, at->tail, CANON_REASONING);

    p->text = tape_text(t, thinking);
    TAPE_ITEMS(t, thinking, i)
    {
        if (p->text.p != NULL) {
            p = canon_add_part(at->r->a, at->tail, CANON_REASONING);
        }
        p->text = tape_get_text(t, i, "text");
    }
    p->signature = tape_get_text(t, at->part, "signature");
    return true;
}

static bool take_url(const struct place *at, struct slice url, struct canon_part *p)
{
    if (jtext_data_url(url, at->r->a, &p->media_type, &p->data)) {
        p->source = CANON_BASE64;
        return true;
    }
    p->source = CANON_URL;
    p->data = url;
    return !starts(url, "data:");
}

static bool read_image(const struct place *at)
{
    const struct tape *t = at->r->t;
    uint32_t image = tape_get(t, at->part, "image_url");
    struct slice url = tape_text(t, image); // some clients send the bare address
    struct canon_part *p = canon_add_part(at->r->a, at->tail, CANON_IMAGE);

    if (url.p == NULL) {
        url = tape_get_text(t, image, "url");
        p->detail = tape_get_text(t, image, "detail");
    }
    if (url.n == 0) {
        return fail_part(at->r, at->k, ".image_url.url", "must be a string that is not empty");
    }
    return take_url(at, url, p) || fail_part(at->r, at->k, ".image_url.url",
                                             "must be an address or a data: URL with base64 data");
}

static bool read_audio(const struct place *at)
{
    const struct tape *t = at->r->t;
    uint32_t audio = tape_get(t, at->part, "input_audio");
    struct slice format = tape_get_text(t, audio, "format");
    struct canon_part *p = canon_add_part(at->r->a, at->tail, CANON_AUDIO);

    p->source = CANON_BASE64;
    p->data = tape_get_text(t, audio, "data");
    if (p->data.n == 0) {
        return fail_part(at->r, at->k, ".input_audio.data", "must be base64 data");
    }
    if (format.n == 0) {
        return fail_part(at->r, at->k, ".input_audio.format", "must be wav or mp3");
    }
    p->media_type = jtext_join(SLICE("audio/"), format, at->r->a);
    return true;
}

// Bare base64 has no type: by the file's name, PDF where that says nothing.
static struct slice type_by_name(struct slice name)
{
    static const struct {
        const char *end;
        struct slice type;
    } types[] = {{".txt", {"text/plain", 10}},
                 {".md", {"text/markdown", 13}},
                 {".csv", {"text/csv", 8}},
                 {".html", {"text/html", 9}},
                 {".json", {"application/json", 16}}};

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (slice_ends(name, slice_str(types[i].end))) {
            return types[i].type;
        }
    }
    return SLICE("application/pdf");
}

static bool read_file(const struct place *at)
{
    const struct tape *t = at->r->t;
    uint32_t file = tape_get(t, at->part, "file");
    struct slice data = tape_get_text(t, file, "file_data");
    struct canon_part *p = canon_add_part(at->r->a, at->tail, CANON_FILE);

    p->name = tape_get_text(t, file, "filename");
    if (data.n == 0) {
        p->source = CANON_FILE_ID;
        p->data = tape_get_text(t, file, "file_id");
        return p->data.n > 0 || fail_part(at->r, at->k, ".file", "must have file_data or file_id");
    }
    if (starts(data, "data:") || starts(data, "http://") || starts(data, "https://") ||
        starts(data, "gs://")) {
        return take_url(at, data, p) ||
               fail_part(at->r, at->k, ".file.file_data", "must be a data: URL with base64 data");
    }
    p->source = CANON_BASE64;
    p->media_type = type_by_name(p->name);
    p->data = data;
    return true;
}

static bool read_other(const struct place *at, uint32_t type)
{
    struct canon_part *p = canon_add_part(at->r->a, at->tail, CANON_OTHER);

    p->name = tape_text(at->r->t, type);
    p->raw = tape_raw(at->r->t, at->part);
    return true;
}

// --- content -----------------------------------------------------------------------------------

static bool read_part(const struct place *at, enum canon_role role)
{
    static const struct {
        const char *type;
        bool (*read)(const struct place *at);
        bool assistant, other; // whose messages have it
    } types[] = {
        {"text", read_text, true, true},         {"image_url", read_image, true, true},
        {"input_audio", read_audio, true, true}, {"file", read_file, true, true},
        {"refusal", read_refusal, true, false},  {"thinking", read_thinking, true, false},
    };
    const struct tape *t = at->r->t;
    uint32_t type = tape_get(t, at->part, "type");

    if (!tape_is(t, type, SCAN_STRING)) {
        return fail_part(at->r, at->k, ".type", "must be a string");
    }
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (tape_eq(t, type, types[i].type) &&
            (role == CANON_ASSISTANT ? types[i].assistant : types[i].other)) {
            return types[i].read(at);
        }
    }
    return read_other(at, type);
}

bool dialect_openai_part_content(struct dialect_openai_part_reader *r, uint32_t content,
                                 enum canon_role role, struct canon_part ***tail)
{
    struct place at = {.r = r, .tail = tail};

    if (tape_is(r->t, content, SCAN_STRING)) {
        if (tape_text(r->t, content).n > 0) {
            canon_add_part(r->a, tail, CANON_TEXT)->text = tape_text(r->t, content);
        }
        return true;
    }
    if (!tape_is(r->t, content, SCAN_ARRAY)) {
        return dialect_openai_part_fail(r, "content", "must be a string or an array of parts");
    }
    TAPE_ITEMS(r->t, content, i)
    {
        struct canon_part **before = *tail;
        uint32_t mark = tape_given(r->t, i, "cache_control");

        at.part = i;
        if (!read_part(&at, role)) {
            return false;
        }
        if (mark != TAPE_NONE) {
            (*before)->cache_control = tape_raw(r->t, mark);
        }
        at.k++;
    }
    return true;
}
