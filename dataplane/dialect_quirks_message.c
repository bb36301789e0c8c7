// SPDX-License-Identifier: Apache-2.0
// Message by message, member by member. Neighbours of one role are joined where the vendor wants
// roles to alternate; ids of tool calls are made to fit, the same in call and result.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/dialect_openai_write.h"
#include "dataplane/dialect_quirks_editor.h"

// --- ids of tool calls -------------------------------------------------------------------------

static bool fits(const struct dialect_quirks_editor *e, char c)
{
    const char *more = e->q->tool_id_punctuation;

    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (more != NULL && c != '\0' && strchr(more, c) != NULL);
}

// What does not fit becomes '_', or goes where that does not fit either; then the id is cut or
// filled with zeros. Another one that came to the same gets a number at its end.
static struct slice fit(struct dialect_quirks_editor *e, struct slice id)
{
    size_t max = e->q->tool_id_length, n = 0, whole;
    bool bar = e->q->tool_id_punctuation != NULL && strchr(e->q->tool_id_punctuation, '_') != NULL;
    char *out = arena_alloc(e->a, max);
    struct canon_index_slot *same;

    id = jtext_decode(id, e->a);
    for (size_t i = 0; i < id.n && n < max; i++) {
        if (fits(e, id.p[i])) {
            out[n++] = id.p[i];
        } else if (bar && ((unsigned char)id.p[i] & 0xC0) != 0x80) { // once a character
            out[n++] = '_';
        }
    }
    while (n < max && (e->q->tool_id_exact || n == 0)) {
        out[n++] = '0';
    }
    whole = n;
    same = canon_index_find(&e->taken_ids, (struct slice){out, n});
    while (same != NULL && canon_index_find(&e->taken_ids, (struct slice){out, n}) != NULL) {
        char tail[24];
        size_t m =
            (size_t)snprintf(tail, sizeof(tail), "%s%" PRIu64, bar ? "_" : "", ++same->number + 1);

        if (m >= max) {
            break;
        }
        n = whole + m <= max && !e->q->tool_id_exact ? whole : max - m;
        memcpy(out + n, tail, m);
        n += m;
    }
    (void)canon_index_add(&e->taken_ids, e->a, (struct slice){out, n});
    return (struct slice){out, n};
}

static void put_id(struct dialect_quirks_editor *e, uint32_t value)
{
    struct slice id = tape_text(e->t, value);
    struct canon_index_slot *s;

    if (e->q->tool_id_length == 0 || id.p == NULL) {
        jwrite_raw(&e->w, tape_raw(e->t, value));
        return;
    }
    s = canon_index_add(&e->ids, e->a, id);
    if (s->value.p == NULL) {
        s->value = fit(e, id);
    }
    e->touched = e->touched || !slice_eq(s->key, s->value);
    jwrite_text(&e->w, s->value);
}

// What another provider's answer carried for itself; Google's own endpoint takes its part back.
static bool is_foreign(const struct dialect_quirks_editor *e, uint32_t name)
{
    if (!tape_eq(e->t, name, "extra_content") && !tape_eq(e->t, name, "reasoning_items")) {
        return false;
    }
    for (size_t i = 0; i < e->q->n_takes; i++) {
        if (tape_eq(e->t, name, e->q->takes[i])) {
            return false;
        }
    }
    return true;
}

static bool is_signed(const struct dialect_quirks_editor *e, uint32_t call)
{
    uint32_t google = tape_get(e->t, tape_get(e->t, call, "extra_content"), "google");

    return tape_get_text(e->t, google, "thought_signature").n > 0;
}

static void put_calls(struct dialect_quirks_editor *e, uint32_t calls)
{
    bool first = true; // of a message, which Gemini wants signed

    jwrite_array(&e->w);
    TAPE_ITEMS(e->t, calls, i)
    {
        bool sign = first && dialect_quirks_editor_signs(e->q, e->tr) && !is_signed(e, i);

        first = false;
        if (!tape_is(e->t, i, SCAN_OBJECT)) {
            jwrite_raw(&e->w, tape_raw(e->t, i));
            continue;
        }
        jwrite_object(&e->w);
        TAPE_MEMBERS(e->t, i, k)
        {
            if (is_foreign(e, k) || (sign && tape_eq(e->t, k, "extra_content"))) {
                e->touched = true;
                continue;
            }
            jwrite_name_text(&e->w, tape_text(e->t, k));
            if (tape_eq(e->t, k, "id")) {
                put_id(e, k + 1);
            } else {
                jwrite_raw(&e->w, tape_raw(e->t, k + 1));
            }
        }
        if (sign) {
            dialect_openai_write_google_signature(&e->w, SLICE(CANON_GOOGLE_UNSIGNED));
            e->touched = true;
        }
        jwrite_object_end(&e->w);
    }
    jwrite_array_end(&e->w);
}

// --- content -----------------------------------------------------------------------------------

static bool is_text(const struct tape *t, uint32_t part)
{
    return tape_eq(t, tape_get(t, part, "type"), "text") &&
           tape_get_text(t, part, "text").p != NULL;
}

static bool is_all_text(const struct tape *t, uint32_t content)
{
    TAPE_ITEMS(t, content, i)
    {
        if (!is_text(t, i)) {
            return false;
        }
    }
    return tape_is(t, content, SCAN_ARRAY) && tape_first(t, content) != TAPE_NONE;
}

static void put_flat(struct dialect_quirks_editor *e, uint32_t content)
{
    bool first = true;

    e->touched = true;
    jwrite_text_begin(&e->w);
    TAPE_ITEMS(e->t, content, i)
    {
        jwrite_text_more(&e->w, first ? SLICE("") : SLICE("\\n"));
        jwrite_text_more(&e->w, tape_get_text(e->t, i, "text"));
        first = false;
    }
    jwrite_text_end(&e->w);
}

// Why the vendor cannot take a part; NULL: it can.
static const char *objection(const struct dialect_quirks_editor *e, uint32_t part)
{
    uint32_t type = tape_get(e->t, part, "type"), image = tape_get(e->t, part, "image_url");

    if (tape_eq(e->t, type, "image_url")) {
        struct slice url = tape_text(e->t, image);

        url = url.p != NULL ? url : tape_get_text(e->t, image, "url");
        if (dialect_quirks_has(e, RESOURCE_NO_IMAGES)) {
            return "images are not supported by this provider";
        }
        if (dialect_quirks_has(e, RESOURCE_IMAGE_DATA_ONLY) &&
            !slice_starts_nocase(url, SLICE("data:"))) {
            return "images by address are not supported by this provider";
        }
    } else if (tape_eq(e->t, type, "input_audio") && dialect_quirks_has(e, RESOURCE_NO_AUDIO)) {
        return "audio is not supported by this provider";
    } else if (tape_eq(e->t, type, "file") && dialect_quirks_has(e, RESOURCE_NO_FILES)) {
        return "files are not supported by this provider";
    }
    return NULL;
}

static void put_part(struct dialect_quirks_editor *e, uint32_t part)
{
    const char *why = objection(e, part);

    if (why != NULL) {
        e->touched = true;
        e->failed = e->failed || !canon_refuse(e->o, e->target, "messages", "%s", why);
        return;
    }
    if (dialect_quirks_has(e, RESOURCE_TAKES_CACHE_CONTROL) ||
        tape_get(e->t, part, "cache_control") == TAPE_NONE) {
        jwrite_raw(&e->w, tape_raw(e->t, part));
        return;
    }
    e->touched = true;
    jwrite_object(&e->w);
    TAPE_MEMBERS(e->t, part, i)
    {
        if (!tape_eq(e->t, i, "cache_control")) {
            jwrite_name_text(&e->w, tape_text(e->t, i));
            jwrite_raw(&e->w, tape_raw(e->t, i + 1));
        }
    }
    jwrite_object_end(&e->w);
}

static void put_text_part(struct dialect_quirks_editor *e, struct slice text)
{
    jwrite_object(&e->w);
    jwrite_string_in(&e->w, "type", SLICE("text"));
    jwrite_text_in(&e->w, "text", text);
    jwrite_object_end(&e->w);
}

// The elements of an open list of parts.
static void put_parts(struct dialect_quirks_editor *e, uint32_t content)
{
    if (tape_text(e->t, content).n > 0) {
        put_text_part(e, tape_text(e->t, content));
    }
    TAPE_ITEMS(e->t, content, i)
    {
        put_part(e, i);
    }
}

static void put_content(struct dialect_quirks_editor *e, uint32_t content)
{
    if (!tape_is(e->t, content, SCAN_ARRAY)) {
        jwrite_raw(&e->w, tape_raw(e->t, content));
    } else if (dialect_quirks_has(e, RESOURCE_FLATTEN_TEXT) && is_all_text(e->t, content)) {
        put_flat(e, content);
    } else {
        jwrite_array(&e->w);
        put_parts(e, content);
        jwrite_array_end(&e->w);
    }
}

// --- earlier reasoning -------------------------------------------------------------------------

static const char *const reasoning_names[] = {"reasoning_content", "reasoning", "reasoning_details",
                                              "thinking_blocks"};

static bool is_reasoning(const struct tape *t, uint32_t name)
{
    for (size_t i = 0; i < ARRAY_LEN(reasoning_names); i++) {
        if (tape_eq(t, name, reasoning_names[i])) {
            return true;
        }
    }
    return false;
}

static struct slice joined(const struct dialect_quirks_editor *e, uint32_t list, const char *member)
{
    struct slice out = SLICE_NULL;
    struct buf b;

    buf_init(&b, SIZE_MAX);
    TAPE_ITEMS(e->t, list, i)
    {
        buf_append(&b, tape_get_text(e->t, i, member));
    }
    if (b.n > 0) {
        out = arena_dup(e->a, buf_slice(&b));
    }
    buf_done(&b);
    return out;
}

// The reasoning of an assistant's message, in whichever form it is there.
static struct slice reasoning_of(const struct dialect_quirks_editor *e, uint32_t message)
{
    struct slice text = SLICE_NULL;

    for (size_t i = 0; i < ARRAY_LEN(reasoning_names) && text.n == 0; i++) {
        uint32_t value = tape_get(e->t, message, reasoning_names[i]);

        text = tape_is(e->t, value, SCAN_ARRAY) ? joined(e, value, i == 3 ? "thinking" : "text")
                                                : tape_text(e->t, value);
    }
    return text;
}

static void put_reasoning(struct dialect_quirks_editor *e, const char *name, struct slice text)
{
    jwrite_name(&e->w, name);
    if (strcmp(name, "reasoning_details") != 0) {
        jwrite_text(&e->w, text);
        return;
    }
    jwrite_array(&e->w);
    jwrite_object(&e->w);
    jwrite_string_in(&e->w, "type", SLICE("reasoning.text"));
    jwrite_text_in(&e->w, "text", text);
    jwrite_object_end(&e->w);
    jwrite_array_end(&e->w);
}

static void put_thought_part(struct dialect_quirks_editor *e, struct slice text)
{
    jwrite_object(&e->w);
    jwrite_string_in(&e->w, "type", SLICE("thinking"));
    jwrite_array_in(&e->w, "thinking");
    put_text_part(e, text);
    jwrite_array_end(&e->w);
    jwrite_object_end(&e->w);
}

// The member the vendor wants it back in; NULL: none.
static const char *history_name(const struct dialect_quirks_editor *e)
{
    switch ((enum resource_reasoning_history)e->q->reasoning_history) {
    case RESOURCE_HISTORY_REASONING_CONTENT:
        return "reasoning_content";
    case RESOURCE_HISTORY_REASONING:
        return "reasoning";
    case RESOURCE_HISTORY_REASONING_DETAILS:
        return "reasoning_details";
    case RESOURCE_HISTORY_DROP:
    case RESOURCE_HISTORY_PARTS:
        break;
    }
    return NULL;
}

// --- messages ----------------------------------------------------------------------------------

enum role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT, ROLE_OTHER };

static enum role role_of(const struct tape *t, uint32_t message)
{
    uint32_t role = tape_get(t, message, "role");

    if (tape_eq(t, role, "user")) {
        return ROLE_USER;
    }
    if (tape_eq(t, role, "assistant")) {
        return ROLE_ASSISTANT;
    }
    return tape_eq(t, role, "system") || tape_eq(t, role, "developer") ? ROLE_SYSTEM : ROLE_OTHER;
}

static void put_role(struct dialect_quirks_editor *e, uint32_t role)
{
    if (dialect_quirks_has(e, RESOURCE_NO_DEVELOPER_ROLE) && tape_eq(e->t, role, "developer")) {
        jwrite_string(&e->w, SLICE("system"));
        e->touched = true;
    } else {
        jwrite_raw(&e->w, tape_raw(e->t, role));
    }
}

// A member that goes.
static bool is_unwanted(const struct dialect_quirks_editor *e, uint32_t name, enum role role)
{
    return (tape_eq(e->t, name, "name") && role != ROLE_OTHER &&
            dialect_quirks_has(e, RESOURCE_NO_MESSAGE_NAMES)) ||
           (tape_eq(e->t, name, "cache_control") &&
            !dialect_quirks_has(e, RESOURCE_TAKES_CACHE_CONTROL)) ||
           (role == ROLE_ASSISTANT && is_reasoning(e->t, name)) || is_foreign(e, name);
}

static void put_member(struct dialect_quirks_editor *e, uint32_t name, struct slice thought)
{
    jwrite_name_text(&e->w, tape_text(e->t, name));
    if (tape_eq(e->t, name, "role")) {
        put_role(e, name + 1);
    } else if (tape_eq(e->t, name, "content") && thought.n > 0) {
        jwrite_array(&e->w);
        put_thought_part(e, thought);
        put_parts(e, name + 1);
        jwrite_array_end(&e->w);
    } else if (tape_eq(e->t, name, "content")) {
        put_content(e, name + 1);
    } else if (tape_eq(e->t, name, "tool_calls") && tape_is(e->t, name + 1, SCAN_ARRAY)) {
        put_calls(e, name + 1);
    } else if (tape_eq(e->t, name, "tool_call_id")) {
        put_id(e, name + 1);
    } else {
        jwrite_raw(&e->w, tape_raw(e->t, name + 1));
    }
}

// An assistant's reasoning as the vendor wants it; the member that is in that form already stays.
static void edit_members(struct dialect_quirks_editor *e, uint32_t message, enum role role)
{
    const char *wanted = role == ROLE_ASSISTANT ? history_name(e) : NULL;
    bool there = wanted != NULL && tape_given(e->t, message, wanted) != TAPE_NONE;
    bool parts = role == ROLE_ASSISTANT && e->q->reasoning_history == RESOURCE_HISTORY_PARTS;
    struct slice thought = parts ? reasoning_of(e, message) : SLICE_NULL;

    TAPE_MEMBERS(e->t, message, i)
    {
        if (there && tape_eq(e->t, i, wanted)) {
            jwrite_name_text(&e->w, tape_text(e->t, i));
            jwrite_raw(&e->w, tape_raw(e->t, i + 1));
        } else if (is_unwanted(e, i, role)) {
            e->touched = true;
        } else {
            put_member(e, i, thought);
        }
    }
    if (wanted != NULL && !there) {
        struct slice text = reasoning_of(e, message);

        if (text.n > 0) {
            put_reasoning(e, wanted, text);
            e->touched = true;
        }
    }
    if (thought.n > 0 && tape_get(e->t, message, "content") == TAPE_NONE) {
        jwrite_array_in(&e->w, "content");
        put_thought_part(e, thought);
        jwrite_array_end(&e->w);
    }
}

static void edit_message(struct dialect_quirks_editor *e, uint32_t message, bool last)
{
    enum role role = role_of(e->t, message);

    if (!tape_is(e->t, message, SCAN_OBJECT)) {
        jwrite_raw(&e->w, tape_raw(e->t, message));
        return;
    }
    jwrite_object(&e->w);
    edit_members(e, message, role);
    if (last && role == ROLE_ASSISTANT && e->q->prefill != NULL &&
        tape_get(e->t, message, e->q->prefill) == TAPE_NONE) {
        jwrite_bool_in(&e->w, e->q->prefill, true);
        e->touched = true;
    }
    jwrite_object_end(&e->w);
}

// --- runs of one role --------------------------------------------------------------------------

static bool is_joinable(const struct dialect_quirks_editor *e, uint32_t message)
{
    enum role role = role_of(e->t, message);

    return (role == ROLE_USER || role == ROLE_ASSISTANT) &&
           tape_given(e->t, message, "tool_calls") == TAPE_NONE;
}

// The last message of the run that starts here.
static uint32_t run_end(const struct dialect_quirks_editor *e, uint32_t list, uint32_t first)
{
    uint32_t last = first, next;

    if (!dialect_quirks_has(e, RESOURCE_ALTERNATE_ROLES) || !is_joinable(e, first)) {
        return first;
    }
    while ((next = tape_after(e->t, list, last)) != TAPE_NONE && is_joinable(e, next) &&
           role_of(e->t, next) == role_of(e->t, first)) {
        last = next;
    }
    return last;
}

static void put_run_text(struct dialect_quirks_editor *e, uint32_t list, uint32_t first,
                         uint32_t last)
{
    bool begun = false;

    jwrite_text_begin(&e->w);
    for (uint32_t i = first; i != TAPE_NONE && i <= last; i = tape_after(e->t, list, i)) {
        jwrite_text_more(&e->w, begun ? SLICE("\\n\\n") : SLICE(""));
        jwrite_text_more(&e->w, tape_get_text(e->t, i, "content"));
        begun = true;
    }
    jwrite_text_end(&e->w);
}

static void put_run(struct dialect_quirks_editor *e, uint32_t list, uint32_t first, uint32_t last)
{
    bool texts = true;

    for (uint32_t i = first; i != TAPE_NONE && i <= last; i = tape_after(e->t, list, i)) {
        texts = texts && tape_is(e->t, tape_get(e->t, i, "content"), SCAN_STRING);
    }
    e->touched = true;
    jwrite_object(&e->w);
    jwrite_raw_in(&e->w, "role", tape_raw(e->t, tape_get(e->t, first, "role")));
    jwrite_name(&e->w, "content");
    if (texts) {
        put_run_text(e, list, first, last);
    } else {
        jwrite_array(&e->w);
        for (uint32_t i = first; i != TAPE_NONE && i <= last; i = tape_after(e->t, list, i)) {
            put_parts(e, tape_get(e->t, i, "content"));
        }
        jwrite_array_end(&e->w);
    }
    jwrite_object_end(&e->w);
}

// --- all of them -------------------------------------------------------------------------------

static void put_schema(struct dialect_quirks_editor *e)
{
    jwrite_object(&e->w);
    jwrite_string_in(&e->w, "role", SLICE("system"));
    jwrite_name(&e->w, "content");
    jwrite_text_begin(&e->w);
    jwrite_text_more(&e->w, SLICE("Respond with one valid JSON object and nothing else. It must "
                                  "follow this JSON schema: "));
    jwrite_quoted_more(&e->w, e->schema);
    jwrite_text_end(&e->w);
    jwrite_object_end(&e->w);
    e->touched = true;
}

static void put_last_user(struct dialect_quirks_editor *e)
{
    jwrite_object(&e->w);
    jwrite_string_in(&e->w, "role", SLICE("user"));
    jwrite_string_in(&e->w, "content", SLICE("Continue."));
    jwrite_object_end(&e->w);
    e->touched = true;
}

void dialect_quirks_message_list(struct dialect_quirks_editor *e, uint32_t messages)
{
    uint32_t last = TAPE_NONE;

    jwrite_array(&e->w);
    if (e->schema.p != NULL) {
        put_schema(e);
    }
    for (uint32_t i = tape_first(e->t, messages); i != TAPE_NONE && !e->failed;
         i = tape_after(e->t, messages, last)) {
        last = run_end(e, messages, i);
        if (last != i) {
            put_run(e, messages, i, last);
        } else {
            edit_message(e, i, tape_after(e->t, messages, i) == TAPE_NONE);
        }
    }
    if (last != TAPE_NONE && e->q->prefill == NULL &&
        (dialect_quirks_has(e, RESOURCE_LAST_USER) ||
         dialect_quirks_model(e, RESOURCE_NO_PREFILL)) &&
        role_of(e->t, last) == ROLE_ASSISTANT) {
        put_last_user(e);
    }
    jwrite_array_end(&e->w);
}
