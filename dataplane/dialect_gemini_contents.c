// SPDX-License-Identifier: Apache-2.0
// Canonical messages -> `contents` and `systemInstruction`.
//
// Turns of one role are one `contents` entry: an entry is opened when the role changes and closed
// when the next one differs or the messages end; a message without parts opens nothing.
#include <string.h>

#include "common/io/crypto.h"
#include "dataplane/dialect_gemini_contents.h"

struct writer {
    struct jwrite *w;
    const struct canon_request *r;
    const struct canon_target *t;
    struct canon_outcome *o;
    enum canon_role open; // CANON_SYSTEM: no entry is open
    bool call_seen;       // in the open entry
    bool any;             // some entry was opened
};

// --- media -------------------------------------------------------------------------------------

// YouTube's addresses, which Google takes as they are.
static bool is_video(struct slice url)
{
    return slice_starts(url, SLICE("https://www.youtube.com/")) ||
           slice_starts(url, SLICE("https://youtube.com/")) ||
           slice_starts(url, SLICE("https://youtu.be/"));
}

// An id that is an address is one of Google's own files.
static bool is_address(struct slice id)
{
    return slice_starts(id, SLICE("https://")) || slice_starts(id, SLICE("gs://"));
}

// The type of what stands at an address, by its ending.
static const char *type_by_extension(const struct canon_part *p)
{
    static const struct {
        const char *end, *type;
    } list[] = {{".png", "image/png"},       {".jpg", "image/jpeg"},  {".jpeg", "image/jpeg"},
                {".gif", "image/gif"},       {".webp", "image/webp"}, {".heic", "image/heic"},
                {".pdf", "application/pdf"}, {".mp4", "video/mp4"},   {".mov", "video/quicktime"},
                {".webm", "video/webm"},     {".mp3", "audio/mp3"},   {".wav", "audio/wav"},
                {".ogg", "audio/ogg"},       {".flac", "audio/flac"}, {".txt", "text/plain"}};
    struct slice path = p->data;

    (void)slice_cut(path, '#', &path);
    (void)slice_cut(path, '?', &path);
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        size_t n = strlen(list[i].end);

        if (path.n > n && slice_eq_nocase(slice_from(path, path.n - n), slice_str(list[i].end))) {
            return list[i].type;
        }
    }
    if (p->kind == CANON_FILE) {
        return "application/pdf";
    }
    return is_video(p->data) ? "video/mp4" : "image/jpeg";
}

static bool put_media(struct writer *x, const struct canon_part *p)
{
    enum canon_source source = p->source;

    if (source == CANON_FILE_ID && is_address(p->data)) {
        source = CANON_URL;
    }
    switch (source) {
    case CANON_BASE64:
        jwrite_object(x->w);
        jwrite_object_in(x->w, "inlineData");
        jwrite_text_in(x->w, "mimeType",
                       p->media_type.n > 0 ? p->media_type : SLICE("application/octet-stream"));
        jwrite_text_in(x->w, "data", p->data);
        jwrite_object_end(x->w);
        jwrite_object_end(x->w);
        return true;
    case CANON_URL:
        jwrite_object(x->w);
        jwrite_object_in(x->w, "fileData");
        jwrite_text_in(x->w, "mimeType",
                       p->media_type.n > 0 ? p->media_type : slice_str(type_by_extension(p)));
        jwrite_text_in(x->w, "fileUri", p->data);
        jwrite_object_end(x->w);
        jwrite_object_end(x->w);
        return true;
    case CANON_PLAIN:
        jwrite_object(x->w);
        jwrite_text_in(x->w, "text", p->data);
        jwrite_object_end(x->w);
        return true;
    case CANON_FILE_ID:
        break;
    }
    return canon_refuse(x->o, x->t, "messages",
                        "a file_id names a file at another provider; send the file itself");
}

// --- parts -------------------------------------------------------------------------------------

static void put_text(struct writer *x, const struct canon_part *p)
{
    jwrite_object(x->w);
    jwrite_text_in(x->w, "text", p->text.p == NULL ? SLICE("") : p->text);
    if (!x->t->strip_signatures && p->google_signature.n > 0) {
        jwrite_text_in(x->w, "thoughtSignature", p->google_signature);
    }
    jwrite_object_end(x->w);
}

static void put_call(struct writer *x, const struct canon_part *p)
{
    struct slice signature = x->t->strip_signatures ? SLICE_NULL : p->google_signature;

    // Gemini 3 checks the first call of a turn; what it did not sign itself carries the sentinel.
    if (signature.n == 0) {
        signature = x->t->gemini3 && !x->call_seen ? SLICE(CANON_GOOGLE_UNSIGNED) : SLICE_NULL;
    }
    x->call_seen = true;
    jwrite_object(x->w);
    jwrite_object_in(x->w, "functionCall");
    jwrite_text_in(x->w, "id", p->id);
    jwrite_text_in(x->w, "name", p->name);
    jwrite_name(x->w, "args");
    jwrite_compact(x->w, p->args.p == NULL ? SLICE("{}") : p->args);
    jwrite_object_end(x->w);
    jwrite_text_in(x->w, "thoughtSignature", signature);
    jwrite_object_end(x->w);
}

static bool is_object(struct slice json)
{
    size_t i = 0;

    while (i < json.n && memchr(" \t\r\n", json.p[i], 4) != NULL) {
        i++;
    }
    return i < json.n && json.p[i] == '{';
}

// A JSON object is the result as it is; all else goes under a name.
static void put_response(struct writer *x, const struct canon_part *p)
{
    struct slice text =
        p->text.p != NULL ? p->text : canon_join_texts(p->parts, "\\n", x->o->arena);
    const char *name = p->is_error ? "error" : "output";
    struct slice json;
    bool is_json = text.n > 0 && !jtext_is_blank(text) && !p->is_error &&
                   jtext_to_json(text, x->o->arena, &json);

    jwrite_name(x->w, "response");
    if (is_json && is_object(json)) {
        jwrite_compact(x->w, json);
        return;
    }
    jwrite_object(x->w);
    if (is_json) {
        jwrite_name(x->w, name);
        jwrite_compact(x->w, json);
    } else {
        jwrite_text_in(x->w, name, text.p == NULL ? SLICE("") : text);
    }
    jwrite_object_end(x->w);
}

static bool is_media(const struct canon_part *p)
{
    return p->kind == CANON_IMAGE || p->kind == CANON_FILE || p->kind == CANON_AUDIO;
}

// A text document where only media may stand.
static void put_plain_as_media(struct writer *x, const struct canon_part *p)
{
    struct slice chars = jtext_decode(p->data, x->o->arena);
    char *text = arena_alloc(x->o->arena, CRYPTO_BASE64_BYTES(chars.n));

    crypto_base64(text, chars.p, chars.n);
    jwrite_object(x->w);
    jwrite_object_in(x->w, "inlineData");
    jwrite_string_in(x->w, "mimeType", SLICE("text/plain"));
    jwrite_string_in(x->w, "data", slice_str(text));
    jwrite_object_end(x->w);
    jwrite_object_end(x->w);
}

// Media of a result: inside of it from generation 3 on, as parts behind it before.
static bool put_result_media(struct writer *x, const struct canon_part *p, bool inside)
{
    bool any = false, ok = true;

    for (const struct canon_part *q = p->parts; q != NULL && ok; q = q->next) {
        if (!is_media(q)) {
            continue;
        }
        if (inside && !any) {
            jwrite_array_in(x->w, "parts");
            any = true;
        }
        if (inside && q->source == CANON_PLAIN) {
            put_plain_as_media(x, q);
        } else {
            ok = put_media(x, q);
        }
    }
    if (any) {
        jwrite_array_end(x->w);
    }
    return ok;
}

static bool put_result(struct writer *x, const struct canon_part *p)
{
    struct slice name = canon_tool_name(x->r, p->id);
    bool ok;

    if (name.p == NULL) {
        return canon_bad_request(x->o, "messages",
                                 "a tool result names the call \"" SLICE_FMT
                                 "\", which is in no earlier message",
                                 SLICE_ARG(slice_head(p->id, 64)));
    }
    jwrite_object(x->w);
    jwrite_object_in(x->w, "functionResponse");
    jwrite_text_in(x->w, "id", p->id);
    jwrite_text_in(x->w, "name", name);
    put_response(x, p);
    ok = !x->t->gemini3 || put_result_media(x, p, true);
    jwrite_object_end(x->w);
    jwrite_object_end(x->w);
    return ok && (x->t->gemini3 || put_result_media(x, p, false));
}

static bool put_part(struct writer *x, const struct canon_part *p)
{
    switch (p->kind) {
    case CANON_TEXT:
    case CANON_REFUSAL:
        put_text(x, p);
        return true;
    case CANON_IMAGE:
    case CANON_AUDIO:
    case CANON_FILE:
        return put_media(x, p);
    case CANON_TOOL_CALL:
        if (p->custom) {
            return canon_refuse(x->o, x->t, "messages",
                                "calls of custom tools cannot be sent to this provider");
        }
        put_call(x, p);
        return true;
    case CANON_TOOL_RESULT:
        return put_result(x, p);
    case CANON_OTHER:
        return canon_refuse(x->o, x->t, "messages",
                            "content of type \"" SLICE_FMT "\" cannot be sent to this provider",
                            SLICE_ARG(slice_head(p->name, 64)));
    case CANON_REASONING:
    case CANON_REDACTED:
        break; // made by another model
    }
    return true;
}

static bool is_shown(const struct canon_part *p)
{
    return p->kind != CANON_REASONING && p->kind != CANON_REDACTED &&
           ((p->kind != CANON_TEXT && p->kind != CANON_REFUSAL) || p->text.n > 0 ||
            p->google_signature.n > 0);
}

// --- contents ----------------------------------------------------------------------------------

static void close_turn(struct writer *x)
{
    if (x->open != CANON_SYSTEM) {
        jwrite_array_end(x->w);
        jwrite_object_end(x->w);
        x->open = CANON_SYSTEM;
    }
}

static void open_turn(struct writer *x, enum canon_role role)
{
    if (x->open == role) {
        return;
    }
    close_turn(x);
    jwrite_object(x->w);
    jwrite_string_in(x->w, "role", role == CANON_USER ? SLICE("user") : SLICE("model"));
    jwrite_array_in(x->w, "parts");
    x->open = role;
    x->any = true;
    x->call_seen = false;
}

// calls: only the tool calls, else all but them: calls follow the text.
static bool put_parts(struct writer *x, const struct canon_message *m, bool calls)
{
    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if ((p->kind == CANON_TOOL_CALL) == calls && is_shown(p)) {
            open_turn(x, m->role);
            if (!put_part(x, p)) {
                return false;
            }
        }
    }
    return true;
}

bool dialect_gemini_write_contents(struct jwrite *w, const struct canon_request *r,
                                   const struct canon_target *t, struct canon_outcome *o)
{
    struct writer state = {.w = w, .r = r, .t = t, .o = o, .open = CANON_SYSTEM}, *x = &state;
    const struct canon_part nothing = {.kind = CANON_TEXT, .text = SLICE(".")};
    bool ok = true;

    jwrite_array_in(x->w, "contents");
    for (const struct canon_message *m = x->r->messages; m != NULL && ok; m = m->next) {
        ok = m->role == CANON_SYSTEM || (put_parts(x, m, false) && put_parts(x, m, true));
    }
    if (ok && !x->any) { // a list without contents is refused
        open_turn(x, CANON_USER);
        put_text(x, &nothing);
    }
    close_turn(x);
    jwrite_array_end(x->w);
    return ok;
}

void dialect_gemini_write_system(struct jwrite *w, const struct canon_request *r)
{
    bool any = false;

    for (const struct canon_message *m = r->messages; m != NULL; m = m->next) {
        for (const struct canon_part *p = m->parts; p != NULL && m->role == CANON_SYSTEM;
             p = p->next) {
            if (p->kind != CANON_TEXT || p->text.n == 0) {
                continue;
            }
            if (!any) {
                jwrite_object_in(w, "systemInstruction");
                jwrite_array_in(w, "parts");
                any = true;
            }
            jwrite_object(w);
            jwrite_text_in(w, "text", p->text);
            jwrite_object_end(w);
        }
    }
    if (any) {
        jwrite_array_end(w);
        jwrite_object_end(w);
    }
}
