// SPDX-License-Identifier: Apache-2.0
// First the parts are sorted into turns, then the turns are written. Sorting is where Anthropic's
// rules are kept: roles alternate, results come first, nothing is blank, reasoning is signed and
// leads the assistant's message.
//
//   canon   S  U  U(result)  S  A(text, reasoning, call)  A(text)  U(text, result)
//   turns   system   user            assistant                     user
//           [S, S]   [result, U]     [reasoning, text, call, text] [result, text]
#include "dataplane/dialect_anthropic_turns.h"

#include "common/io/crypto.h"
#include "dataplane/jtext.h"

// --- sorting -----------------------------------------------------------------------------------

struct sorter {
    const struct canon_request *r;
    const struct canon_target *t;
    struct canon_outcome *o;
    struct dialect_anthropic_turns *turns;
    struct dialect_anthropic_turn **tail;
};

static void add_block(struct sorter *s, struct dialect_anthropic_blocks *list,
                      const struct canon_part *p)
{
    struct dialect_anthropic_block *b = arena_zalloc(s->o->arena, sizeof(*b));

    b->part = p;
    if (list->tail == NULL) {
        list->tail = &list->first;
    }
    *list->tail = b;
    list->tail = &b->next;
}

static struct dialect_anthropic_turn *turn_of(struct sorter *s, enum canon_role role)
{
    struct dialect_anthropic_turn *turn = s->turns->last;

    if (turn == NULL || turn->role != role) {
        turn = arena_zalloc(s->o->arena, sizeof(*turn));
        turn->role = role;
        *s->tail = turn;
        s->tail = &turn->next;
        s->turns->last = turn;
    }
    return turn;
}

static void add_to(struct sorter *s, enum canon_role role, const struct canon_part *p)
{
    add_block(s, &turn_of(s, role)->blocks, p);
}

static bool refuse(struct sorter *s, const char *what)
{
    return canon_refuse(s->o, s->t, "messages", "%s is not supported by this provider", what);
}

// Media types Anthropic has a document for.
static bool is_document(struct slice type)
{
    return slice_eq_nocase(type, SLICE("application/pdf")) ||
           slice_starts_nocase(type, SLICE("text/"));
}

static bool can_write_media(const struct canon_part *p)
{
    return p->source != CANON_FILE_ID &&
           (p->kind != CANON_FILE || p->source != CANON_BASE64 || is_document(p->media_type));
}

// *ret_taken: it can be written. False: refused.
static bool check_media(struct sorter *s, const struct canon_part *p, bool *ret_taken)
{
    *ret_taken = false;
    if (p->source == CANON_FILE_ID) {
        return refuse(s, "file_id");
    }
    if (!can_write_media(p)) {
        return canon_refuse(s->o, s->t, "messages",
                            "a file of type %.60s is not supported by this provider",
                            arena_strndup(s->o->arena, p->media_type.p, p->media_type.n));
    }
    *ret_taken = true;
    return true;
}

static bool refuse_part(struct sorter *s, const struct canon_part *p)
{
    return canon_refuse(s->o, s->t, "messages",
                        "a part of type %.60s is not supported by this provider",
                        arena_strndup(s->o->arena, p->name.p, p->name.n));
}

// What a result holds is written with it, as far as it can be (is_written_in_result).
static bool check_result(struct sorter *s, const struct canon_part *result)
{
    bool taken;

    for (const struct canon_part *p = result->parts; p != NULL; p = p->next) {
        if ((p->kind == CANON_AUDIO && !refuse(s, "input_audio")) ||
            (p->kind == CANON_OTHER && !refuse_part(s, p)) ||
            ((p->kind == CANON_IMAGE || p->kind == CANON_FILE) && !check_media(s, p, &taken))) {
            return false;
        }
    }
    return true;
}

static bool sort_user_part(struct sorter *s, const struct canon_part *p)
{
    bool taken = false;

    switch (p->kind) {
    case CANON_TEXT:
    case CANON_REFUSAL:
        taken = !jtext_is_blank(p->text);
        break;
    case CANON_IMAGE:
    case CANON_FILE:
        if (!check_media(s, p, &taken)) {
            return false;
        }
        break;
    case CANON_AUDIO:
        return refuse(s, "input_audio");
    case CANON_OTHER:
        return refuse_part(s, p);
    case CANON_TOOL_RESULT:
        if (!check_result(s, p)) {
            return false;
        }
        add_block(s, &turn_of(s, CANON_USER)->results, p);
        return true;
    case CANON_REASONING:
    case CANON_REDACTED:
    case CANON_TOOL_CALL:
        break; // not a user's to send
    }
    if (taken) {
        add_to(s, CANON_USER, p);
    }
    return true;
}

static bool sort_user(struct sorter *s, const struct canon_message *m)
{
    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if (!sort_user_part(s, p)) {
            return false;
        }
    }
    return true;
}

static bool has_text(const struct canon_message *m)
{
    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TEXT && !jtext_is_blank(p->text)) {
            return true;
        }
    }
    return false;
}

// Reasoning, then text, then calls, whatever their order was.
static void sort_assistant(struct sorter *s, const struct canon_message *m)
{
    bool spoken = has_text(m);

    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        bool is_signed = (p->kind == CANON_REASONING && p->signature.n > 0) ||
                         (p->kind == CANON_REDACTED && p->data.n > 0);

        if (is_signed && !s->t->strip_signatures) {
            add_to(s, CANON_ASSISTANT, p);
            s->turns->last->reasons = true;
        }
    }
    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if ((p->kind == CANON_TEXT || (p->kind == CANON_REFUSAL && !spoken)) &&
            !jtext_is_blank(p->text)) {
            add_to(s, CANON_ASSISTANT, p);
        }
    }
    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TOOL_CALL) {
            add_to(s, CANON_ASSISTANT, p);
            s->turns->last->calls = true;
        }
    }
}

// Models that take system messages in the middle take them behind a user's turn only.
static void sort_system(struct sorter *s, const struct canon_message *m)
{
    bool stays =
        s->t->keep_mid_system && s->turns->last != NULL && s->turns->last->role != CANON_ASSISTANT;

    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TEXT && !jtext_is_blank(p->text)) {
            if (stays) {
                add_to(s, CANON_SYSTEM, p);
            } else {
                add_block(s, &s->turns->system, p);
            }
        }
    }
}

static struct canon_part *make_text(struct sorter *s, struct slice text)
{
    struct canon_part *p = arena_zalloc(s->o->arena, sizeof(*p));

    p->kind = CANON_TEXT;
    p->text = text;
    return p;
}

// The conversation begins with the user.
static void put_user_first(struct sorter *s)
{
    struct dialect_anthropic_turn *first = s->turns->first;

    if (first == NULL || first->role != CANON_USER) {
        struct dialect_anthropic_turn *turn = arena_zalloc(s->o->arena, sizeof(*turn));

        turn->role = CANON_USER;
        add_block(s, &turn->blocks, make_text(s, SLICE(".")));
        turn->next = first;
        s->turns->first = turn;
        s->turns->last = first == NULL ? turn : s->turns->last;
    }
}

// Models that take no prefill want the user's word last.
static void put_user_last(struct sorter *s)
{
    if (s->turns->last->role == CANON_ASSISTANT && s->t->traits != NULL &&
        (s->t->traits->flags & RESOURCE_NO_PREFILL) != 0) {
        add_to(s, CANON_USER, make_text(s, SLICE("Continue.")));
    }
}

static void look_at_the_end(struct dialect_anthropic_turns *turns)
{
    const struct dialect_anthropic_turn *assistant = NULL;

    for (const struct dialect_anthropic_turn *k = turns->first; k != NULL; k = k->next) {
        if (k->role == CANON_ASSISTANT) {
            assistant = k;
        }
    }
    turns->goes_on_unreasoned = turns->last->results.first != NULL && assistant != NULL &&
                                assistant->calls && !assistant->reasons;
    turns->prefilled = turns->last->role == CANON_ASSISTANT;
}

bool dialect_anthropic_turns_make(const struct canon_request *r, const struct canon_target *t,
                                  struct canon_outcome *o, struct dialect_anthropic_turns *ret)
{
    struct sorter s = {r, t, o, ret, &ret->first};

    *ret = (struct dialect_anthropic_turns){.ids = {.arena = o->arena, .extra = "_-", .max = 64}};
    for (const struct canon_message *m = r->messages; m != NULL; m = m->next) {
        if (m->role == CANON_SYSTEM) {
            sort_system(&s, m);
        } else if (m->role == CANON_ASSISTANT) {
            sort_assistant(&s, m);
        } else if (!sort_user(&s, m)) {
            return false;
        }
    }
    put_user_first(&s);
    put_user_last(&s);
    look_at_the_end(ret);
    return true;
}

// --- writing -----------------------------------------------------------------------------------

static void write_mark(struct dialect_anthropic_turns *turns, const struct canon_part *p,
                       struct jwrite *w)
{
    jwrite_raw_in(w, "cache_control",
                  dialect_anthropic_marks_next(&turns->marks, p->cache_control));
}

void dialect_anthropic_turns_write_text(struct dialect_anthropic_turns *turns,
                                        const struct canon_part *p, struct slice text,
                                        struct jwrite *w)
{
    jwrite_object(w);
    jwrite_text_in(w, "type", SLICE("text"));
    jwrite_text_in(w, "text", text);
    write_mark(turns, p, w);
    jwrite_object_end(w);
}

static void write_base64(const struct canon_part *p, struct jwrite *w)
{
    jwrite_text_in(w, "type", SLICE("base64"));
    jwrite_text_in(w, "media_type", p->media_type);
    jwrite_text_in(w, "data", p->data);
}

// The text in a base64 data URL.
static struct slice decoded(struct slice data, struct arena *a)
{
    size_t padding = 0, n;
    uint8_t *out;

    while (padding < data.n && data.p[data.n - 1 - padding] == '=') {
        padding++;
    }
    n = (data.n - padding) * 3 / 4;
    out = arena_alloc(a, n + 1);
    if (!crypto_unbase64(data, out, n)) {
        return SLICE("");
    }
    return (struct slice){(const char *)out, n};
}

static void write_source(const struct canon_part *p, struct arena *a, struct jwrite *w)
{
    jwrite_object_in(w, "source");
    if (p->source == CANON_URL) {
        jwrite_text_in(w, "type", SLICE("url"));
        jwrite_text_in(w, "url", p->data);
    } else if (p->source == CANON_BASE64 &&
               (p->kind == CANON_IMAGE ||
                slice_eq_nocase(p->media_type, SLICE("application/pdf")))) {
        write_base64(p, w);
    } else {
        jwrite_text_in(w, "type", SLICE("text"));
        jwrite_text_in(w, "media_type", SLICE("text/plain"));
        if (p->source == CANON_PLAIN) {
            jwrite_text_in(w, "data", p->data);
        } else {
            jwrite_string_in(w, "data", decoded(p->data, a));
        }
    }
    jwrite_object_end(w);
}

static void write_media(struct dialect_anthropic_turns *turns, const struct canon_part *p,
                        struct arena *a, struct jwrite *w)
{
    jwrite_object(w);
    jwrite_text_in(w, "type", p->kind == CANON_IMAGE ? SLICE("image") : SLICE("document"));
    write_source(p, a, w);
    write_mark(turns, p, w);
    jwrite_object_end(w);
}

static void write_reasoning(const struct canon_part *p, struct jwrite *w)
{
    jwrite_object(w);
    if (p->kind == CANON_REDACTED) {
        jwrite_text_in(w, "type", SLICE("redacted_thinking"));
        jwrite_text_in(w, "data", p->data);
    } else {
        jwrite_text_in(w, "type", SLICE("thinking"));
        jwrite_text_in(w, "thinking", p->text.p == NULL ? SLICE("") : p->text);
        jwrite_text_in(w, "signature", p->signature);
    }
    jwrite_object_end(w);
}

static void write_call(const struct canon_part *p, struct dialect_anthropic_turns *turns,
                       struct jwrite *w)
{
    jwrite_object(w);
    jwrite_text_in(w, "type", SLICE("tool_use"));
    jwrite_text_in(w, "id", canon_fit_id(&turns->ids, p->id));
    jwrite_text_in(w, "name", p->name);
    jwrite_name(w, "input");
    if (p->args.p != NULL) {
        jwrite_compact(w, p->args);
    } else { // of a custom tool: text
        jwrite_object(w);
        jwrite_text_in(w, "input", p->text.p == NULL ? SLICE("") : p->text);
        jwrite_object_end(w);
    }
    write_mark(turns, p, w);
    jwrite_object_end(w);
}

static bool is_written_in_result(const struct canon_part *p)
{
    return (p->kind == CANON_TEXT && !jtext_is_blank(p->text)) ||
           ((p->kind == CANON_IMAGE || p->kind == CANON_FILE) && can_write_media(p));
}

static void write_result_parts(struct dialect_anthropic_turns *turns, const struct canon_part *p,
                               struct arena *a, struct jwrite *w)
{
    bool open = false;

    for (const struct canon_part *q = p->parts; q != NULL; q = q->next) {
        if (!is_written_in_result(q)) {
            continue;
        }
        if (!open) {
            jwrite_array_in(w, "content");
            open = true;
        }
        if (q->kind == CANON_TEXT) {
            dialect_anthropic_turns_write_text(turns, q, q->text, w);
        } else {
            write_media(turns, q, a, w);
        }
    }
    if (open) {
        jwrite_array_end(w);
    }
}

static void write_result(const struct canon_part *p, struct dialect_anthropic_turns *turns,
                         struct arena *a, struct jwrite *w)
{
    jwrite_object(w);
    jwrite_text_in(w, "type", SLICE("tool_result"));
    jwrite_text_in(w, "tool_use_id", canon_fit_id(&turns->ids, p->id));
    if (p->text.n > 0) {
        jwrite_text_in(w, "content", p->text);
    } else if (p->text.p == NULL) {
        write_result_parts(turns, p, a, w);
    }
    if (p->is_error) {
        jwrite_bool_in(w, "is_error", true);
    }
    write_mark(turns, p, w);
    jwrite_object_end(w);
}

static void write_block(const struct canon_part *p, bool trim,
                        struct dialect_anthropic_turns *turns, struct arena *a, struct jwrite *w)
{
    switch (p->kind) {
    case CANON_TEXT:
    case CANON_REFUSAL:
        dialect_anthropic_turns_write_text(turns, p, trim ? jtext_trim_end(p->text) : p->text, w);
        break;
    case CANON_REASONING:
    case CANON_REDACTED:
        write_reasoning(p, w);
        break;
    case CANON_IMAGE:
    case CANON_FILE:
        write_media(turns, p, a, w);
        break;
    case CANON_TOOL_CALL:
        write_call(p, turns, w);
        break;
    case CANON_TOOL_RESULT:
        write_result(p, turns, a, w);
        break;
    case CANON_AUDIO:
    case CANON_OTHER:
        break; // never sorted in
    }
}

// The last text of a list: Anthropic refuses white space at the end of a prefill.
static const struct canon_part *last_text(const struct dialect_anthropic_blocks *list)
{
    const struct canon_part *found = NULL;

    for (const struct dialect_anthropic_block *b = list->first; b != NULL; b = b->next) {
        if (b->part->kind == CANON_TEXT || b->part->kind == CANON_REFUSAL) {
            found = b->part;
        }
    }
    return found;
}

static void write_turn(const struct dialect_anthropic_turn *turn,
                       struct dialect_anthropic_turns *turns, struct arena *a, struct jwrite *w)
{
    static const char *const roles[] = {
        [CANON_SYSTEM] = "system", [CANON_USER] = "user", [CANON_ASSISTANT] = "assistant"};
    const struct canon_part *trimmed =
        turn->role == CANON_ASSISTANT && turn->next == NULL ? last_text(&turn->blocks) : NULL;

    jwrite_object(w);
    jwrite_text_in(w, "role", slice_str(roles[turn->role]));
    jwrite_array_in(w, "content");
    for (const struct dialect_anthropic_block *b = turn->results.first; b != NULL; b = b->next) {
        write_block(b->part, false, turns, a, w);
    }
    for (const struct dialect_anthropic_block *b = turn->blocks.first; b != NULL; b = b->next) {
        write_block(b->part, trimmed != NULL && b->part == trimmed, turns, a, w);
    }
    jwrite_array_end(w);
    jwrite_object_end(w);
}

// --- marks -------------------------------------------------------------------------------------

// As write_block has them.
static size_t marks_of(const struct canon_part *p)
{
    size_t n = 0;

    if (p->kind == CANON_REASONING || p->kind == CANON_REDACTED) {
        return 0;
    }
    if (p->kind == CANON_TOOL_RESULT && p->text.p == NULL) {
        for (const struct canon_part *q = p->parts; q != NULL; q = q->next) {
            n += is_written_in_result(q) && q->cache_control.p != NULL;
        }
    }
    return n + (p->cache_control.p != NULL);
}

static size_t marks_in(const struct dialect_anthropic_blocks *list)
{
    size_t n = 0;

    for (const struct dialect_anthropic_block *b = list->first; b != NULL; b = b->next) {
        n += marks_of(b->part);
    }
    return n;
}

size_t dialect_anthropic_turns_marks(const struct dialect_anthropic_turns *turns,
                                     size_t *ret_system)
{
    size_t n = 0;

    *ret_system = marks_in(&turns->system);
    for (const struct dialect_anthropic_turn *k = turns->first; k != NULL; k = k->next) {
        n += marks_in(&k->results) + marks_in(&k->blocks);
    }
    return n;
}

// --- the whole ---------------------------------------------------------------------------------

void dialect_anthropic_turns_write(struct dialect_anthropic_turns *turns, struct arena *a,
                                   struct jwrite *w)
{
    jwrite_array_in(w, "messages");
    for (const struct dialect_anthropic_turn *k = turns->first; k != NULL; k = k->next) {
        write_turn(k, turns, a, w);
    }
    jwrite_array_end(w);
}
