// SPDX-License-Identifier: Apache-2.0
// Ollama's own API as a provider: /api/chat, streamed as lines of JSON, and /api/embed. What it
// answers is read in dialect_ollama_read.c.
#include "common/base/text.h"
#include "dataplane/canon.h"
#include "dataplane/dialect.h"
#include "dataplane/dialect_error.h"
#include "dataplane/dialect_limits.h"
#include "dataplane/dialect_ollama_read.h"
#include "dataplane/tape.h"

static bool serves(enum dialect_endpoint ep)
{
    return ep == DIALECT_CHAT || ep == DIALECT_COMPLETIONS || ep == DIALECT_MESSAGES ||
           ep == DIALECT_EMBEDDINGS;
}

static void write_path(const struct dialect_call *c, struct buf *out)
{
    buf_append_str(out, c->endpoint == DIALECT_EMBEDDINGS ? "embed" : "chat"); // below api/
}

// --- request: messages -------------------------------------------------------------------------

struct writer {
    struct jwrite w;
    const struct canon_request *r;
    const struct canon_target *t;
    struct canon_outcome *o;
};

static const char *role_name(enum canon_role role)
{
    return role == CANON_SYSTEM ? "system" : role == CANON_USER ? "user" : "assistant";
}

// Text, refusals and plain documents, joined without separator.
static void put_content(struct writer *x, const struct canon_part *parts)
{
    jwrite_name(&x->w, "content");
    jwrite_text_begin(&x->w);
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TEXT || p->kind == CANON_REFUSAL) {
            jwrite_text_more(&x->w, p->text);
        } else if (p->kind == CANON_FILE && p->source == CANON_PLAIN) {
            jwrite_text_more(&x->w, p->data);
        }
    }
    jwrite_text_end(&x->w);
}

static bool put_images(struct writer *x, const struct canon_part *parts)
{
    bool any = false;

    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind != CANON_IMAGE) {
            continue;
        }
        if (p->source != CANON_BASE64) {
            if (!canon_refuse(x->o, x->t, "messages",
                              "this provider takes images as data URLs only")) {
                return false;
            }
            continue;
        }
        if (!any) {
            jwrite_array_in(&x->w, "images");
            any = true;
        }
        jwrite_text(&x->w, p->data);
    }
    if (any) {
        jwrite_array_end(&x->w);
    }
    return true;
}

static void put_calls(struct writer *x, const struct canon_part *parts)
{
    jwrite_array_in(&x->w, "tool_calls");
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TOOL_CALL && !p->custom) {
            jwrite_object(&x->w);
            jwrite_object_in(&x->w, "function");
            jwrite_text_in(&x->w, "name", p->name);
            jwrite_name(&x->w, "arguments");
            jwrite_compact(&x->w, p->args.p == NULL ? SLICE("{}") : p->args);
            jwrite_object_end(&x->w);
            jwrite_object_end(&x->w);
        }
    }
    jwrite_array_end(&x->w);
}

// Parts that Ollama has no place for.
static bool check_parts(struct writer *x, const struct canon_part *parts)
{
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        bool taken = p->kind != CANON_AUDIO && p->kind != CANON_OTHER && !p->custom &&
                     (p->kind != CANON_FILE || p->source == CANON_PLAIN);

        if (!taken && !canon_refuse(x->o, x->t, "messages",
                                    "this provider takes text, images and tool calls only")) {
            return false;
        }
    }
    return true;
}

static void put_thinking(struct writer *x, const struct canon_part *parts)
{
    bool any = false;

    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == CANON_REASONING && p->text.n > 0) {
            if (!any) {
                jwrite_name(&x->w, "thinking");
                jwrite_text_begin(&x->w);
                any = true;
            }
            jwrite_text_more(&x->w, p->text);
        }
    }
    if (any) {
        jwrite_text_end(&x->w);
    }
}

static bool put_result(struct writer *x, const struct canon_part *p)
{
    struct slice name = canon_tool_name(x->r, p->id);
    bool ok;

    jwrite_object(&x->w);
    jwrite_string_in(&x->w, "role", SLICE("tool"));
    jwrite_name(&x->w, "content");
    jwrite_text_begin(&x->w);
    jwrite_text_more(&x->w, p->is_error ? SLICE("Error: ") : SLICE(""));
    jwrite_text_more(&x->w,
                     p->text.p != NULL ? p->text : canon_join_texts(p->parts, "\\n", x->o->arena));
    jwrite_text_end(&x->w);
    ok = put_images(x, p->parts);
    jwrite_text_in(&x->w, "tool_name", name);
    jwrite_object_end(&x->w);
    return ok;
}

// Results are messages of their own, before what else the turn holds.
static bool put_message(struct writer *x, const struct canon_message *m)
{
    bool rest = m->parts == NULL, ok;

    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind != CANON_TOOL_RESULT) {
            rest = true;
        } else if (!put_result(x, p)) {
            return false;
        }
    }
    if (!rest) {
        return true;
    }
    jwrite_object(&x->w);
    jwrite_string_in(&x->w, "role", slice_str(role_name(m->role)));
    put_content(x, m->parts);
    if (m->role == CANON_ASSISTANT) {
        put_thinking(x, m->parts);
    }
    ok = check_parts(x, m->parts) && put_images(x, m->parts);
    if (canon_has_tool_calls(m->parts)) {
        put_calls(x, m->parts);
    }
    jwrite_object_end(&x->w);
    return ok;
}

// --- request: the rest -------------------------------------------------------------------------

static bool is_chosen(const struct canon_request *r)
{
    return r->choice == CANON_CHOICE_ALLOWED || r->choice == CANON_CHOICE_NAMED;
}

static void put_tool(struct writer *x, const struct canon_tool *tool)
{
    jwrite_object(&x->w);
    jwrite_string_in(&x->w, "type", SLICE("function"));
    jwrite_object_in(&x->w, "function");
    jwrite_text_in(&x->w, "name", tool->name);
    jwrite_text_in(&x->w, "description", tool->description);
    jwrite_raw_in(&x->w, "parameters", tool->parameters);
    jwrite_object_end(&x->w);
    jwrite_object_end(&x->w);
}

// There is no tool_choice: "none" leaves the tools out, a choice of some leaves the others out, and
// that it is no longer a must is said.
static bool put_tools(struct writer *x)
{
    const struct canon_request *r = x->r;
    struct canon_index chosen = {.n = 0};
    bool any = false;

    for (size_t i = 0; is_chosen(r) && i < r->n_names; i++) {
        (void)canon_index_add(&chosen, x->o->arena, r->names[i]);
    }
    if (r->choice == CANON_CHOICE_REQUIRED || r->choice == CANON_CHOICE_NAMED ||
        (r->choice == CANON_CHOICE_ALLOWED && r->choice_required)) {
        canon_drop(x->o, r->tool_choice.name);
    }
    for (const struct canon_tool *tool = r->choice == CANON_CHOICE_NONE ? NULL : r->tools;
         tool != NULL; tool = tool->next) {
        if (tool->kind == CANON_CUSTOM) {
            if (!canon_refuse(x->o, x->t, "tools",
                              "tools of type custom are not supported by this provider")) {
                return false;
            }
        } else if (tool->kind == CANON_TYPED) {
            canon_drop(x->o, arena_printf(x->o->arena, "tools." SLICE_FMT,
                                          SLICE_ARG(slice_head(tool->type, 64))));
        } else if (!is_chosen(r) || canon_index_find(&chosen, tool->name) != NULL) {
            if (!any) {
                jwrite_array_in(&x->w, "tools");
                any = true;
            }
            put_tool(x, tool);
        }
    }
    if (any) {
        jwrite_array_end(&x->w);
    }
    return true;
}

static void put_format(struct writer *x)
{
    if (x->r->format == CANON_FORMAT_JSON) {
        jwrite_string_in(&x->w, "format", SLICE("json"));
    } else if (x->r->format == CANON_FORMAT_SCHEMA) {
        jwrite_raw_in(&x->w, "format", x->r->schema);
    }
}

// Ollama's own words, which a client of OpenAI's dialect may add: top-level members, and options at
// the top or in an object of that name (which goes before what is translated).
static bool is_one_of(struct slice name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (slice_eq_str(name, list[i])) {
            return true;
        }
    }
    return false;
}

static bool is_own_option(struct slice name)
{
    static const char *const names[] = {"num_ctx", "num_keep", "min_p", "repeat_penalty",
                                        "repeat_last_n"};

    return is_one_of(name, names, ARRAY_LEN(names));
}

static struct slice extra_of(const struct canon_request *r, const char *name)
{
    for (const struct canon_extra *e = r->extras; e != NULL; e = e->next) {
        if (slice_eq_str(e->name, name)) {
            return e->raw;
        }
    }
    return SLICE_NULL;
}

// Models with levels (gpt-oss) take a level, the others yes or no.
static void put_think(struct writer *x)
{
    const struct canon_request *r = x->r;
    enum canon_effort e = r->effort;
    bool levels = slice_find(x->t->model, SLICE("gpt-oss")) != SIZE_MAX;

    if (extra_of(r, "think").p != NULL) {
        jwrite_raw_in(&x->w, "think", extra_of(r, "think"));
        return;
    }
    if (r->thinking == CANON_THINKING_DISABLED) {
        e = CANON_EFFORT_NONE;
    } else if (r->thinking != CANON_THINKING_NOT_GIVEN && e == CANON_EFFORT_NOT_GIVEN) {
        e = CANON_EFFORT_HIGH;
    }
    if (e == CANON_EFFORT_NOT_GIVEN) {
        return;
    }
    if (levels) {
        const char *level = e <= CANON_EFFORT_LOW      ? "low"
                            : e == CANON_EFFORT_MEDIUM ? "medium"
                                                       : "high";

        jwrite_string_in(&x->w, "think", slice_str(level));
    } else {
        jwrite_bool_in(&x->w, "think", e != CANON_EFFORT_NONE);
    }
}

struct options {
    struct writer *x;
    struct tape own; // the client's object
};

static void put_option(struct options *o, const char *name, struct slice raw)
{
    if (raw.p != NULL && tape_get(&o->own, 0, name) == TAPE_NONE) {
        jwrite_raw_in(&o->x->w, name, raw);
    }
}

static void put_stops(struct options *o)
{
    const struct canon_request *r = o->x->r;

    if (r->n_stop == 0 || tape_get(&o->own, 0, "stop") != TAPE_NONE) {
        return;
    }
    jwrite_array_in(&o->x->w, "stop");
    for (size_t i = 0; i < r->n_stop; i++) {
        jwrite_text(&o->x->w, r->stop[i]);
    }
    jwrite_array_end(&o->x->w);
}

static void put_all_options(struct options *o)
{
    const struct canon_request *r = o->x->r;
    char digits[20];

    put_option(o, "num_predict",
               r->max_given ? text_format_u64(r->max_tokens, digits) : SLICE_NULL);
    put_option(o, "temperature", r->temperature.raw);
    put_option(o, "top_p", r->top_p.raw);
    put_option(o, "top_k", r->top_k.raw);
    put_option(o, "seed", r->seed.raw);
    put_option(o, "presence_penalty", r->presence_penalty.raw);
    put_option(o, "frequency_penalty", r->frequency_penalty.raw);
    for (const struct canon_extra *e = r->extras; e != NULL; e = e->next) {
        if (is_own_option(e->name)) {
            put_option(o, arena_strndup(o->x->o->arena, e->name.p, e->name.n), e->raw);
        }
    }
    put_stops(o);
    TAPE_MEMBERS(&o->own, 0, i)
    {
        jwrite_name_text(&o->x->w, tape_text(&o->own, i));
        jwrite_raw(&o->x->w, tape_raw(&o->own, i + 1));
    }
}

static void put_options(struct writer *x)
{
    struct slice own = extra_of(x->r, "options");
    struct options o = {.x = x, .own = {.tokens = NULL}};
    struct jwrite saved = x->w;
    size_t before = x->w.out->n, inside;

    if (own.p == NULL || !tape_parse(&o.own, own, NULL) || !tape_is(&o.own, 0, SCAN_OBJECT)) {
        (void)!tape_parse(&o.own, SLICE("{}"), NULL);
    }
    jwrite_object_in(&x->w, "options");
    inside = x->w.out->n;
    put_all_options(&o);
    tape_done(&o.own);
    if (x->w.out->n == inside) {
        x->w.out->n = before;
        x->w = saved;
        return;
    }
    jwrite_object_end(&x->w);
}

static void put_unknown(struct writer *x)
{
    static const char *const ours[] = {"options", "keep_alive", "format", "think", "images"};

    jwrite_raw_in(&x->w, "keep_alive", extra_of(x->r, "keep_alive"));
    for (const struct canon_extra *e = x->r->extras; x->t->forward_unknown && e != NULL;
         e = e->next) {
        if (!e->hint && !is_own_option(e->name) && !is_one_of(e->name, ours, ARRAY_LEN(ours))) {
            jwrite_name_text(&x->w, e->name);
            jwrite_raw(&x->w, e->raw);
        }
    }
}

static bool check_contract(struct writer *x)
{
    const struct canon_request *r = x->r;

    if (r->choices > 1 &&
        !canon_refuse(x->o, x->t, "n", "n > 1 is not supported by this provider")) {
        return false;
    }
    return r->audio.raw.p == NULL ||
           canon_refuse(x->o, x->t, "audio", "audio output is not supported by this provider");
}

static void drop_hints(struct writer *x)
{
    const struct canon_request *r = x->r;
    const struct canon_param *const hints[] = {&r->logit_bias,        &r->user,
                                               &r->safety_identifier, &r->service_tier,
                                               &r->verbosity,         &r->metadata};

    canon_drop_params(x->o, hints, ARRAY_LEN(hints));
    if (r->parallel == 0) {
        canon_drop(x->o, r->parallel_tool_calls.name);
    }
    canon_drop_hints(x->o, r);
}

static bool write_chat(struct writer *x)
{
    bool ok = true;

    if (!check_contract(x)) {
        return false;
    }
    jwrite_object(&x->w);
    jwrite_string_in(&x->w, "model", x->t->model);
    jwrite_array_in(&x->w, "messages");
    for (const struct canon_message *m = x->r->messages; m != NULL && ok; m = m->next) {
        ok = put_message(x, m);
    }
    jwrite_array_end(&x->w);
    if (!ok || !put_tools(x)) {
        return false;
    }
    put_format(x);
    put_think(x);
    jwrite_raw_in(&x->w, "logprobs", x->r->logprobs.raw);
    jwrite_raw_in(&x->w, "top_logprobs", x->r->top_logprobs.raw);
    put_options(x);
    jwrite_bool_in(&x->w, "stream", x->r->stream); // the default is true
    put_unknown(x);
    drop_hints(x);
    jwrite_object_end(&x->w);
    return true;
}

static bool is_texts(struct slice input)
{
    struct tape t = {.tokens = NULL};
    struct err e;
    bool ok = tape_parse(&t, input, &e);

    TAPE_ITEMS(&t, 0, i)
    {
        ok = ok && tape_is(&t, i, SCAN_STRING);
    }
    tape_done(&t);
    return ok;
}

static bool write_embeddings(struct writer *x)
{
    if (!is_texts(x->r->input) &&
        !canon_refuse(x->o, x->t, "input",
                      "token arrays are not supported by this provider; send texts")) {
        return false;
    }
    jwrite_object(&x->w);
    jwrite_string_in(&x->w, "model", x->t->model);
    jwrite_raw_in(&x->w, "input", x->r->input);
    jwrite_raw_in(&x->w, "dimensions", x->r->dimensions.raw);
    jwrite_object_end(&x->w);
    if (x->r->user.raw.p != NULL) {
        canon_drop(x->o, x->r->user.name);
    }
    return true;
}

static bool write_request(const struct canon_request *r, const struct canon_target *t,
                          struct canon_outcome *o, struct buf *out)
{
    struct writer x = {jwrite_to(out), r, t, o};

    return r->endpoint == DIALECT_EMBEDDINGS ? write_embeddings(&x) : write_chat(&x);
}

const struct dialect dialect_ollama = {
    .name = "ollama",
    .serves = serves,
    .write_path = write_path,
    .write_request = write_request,
    .read_answer = dialect_ollama_read_answer,
    .reader_size = DIALECT_OLLAMA_READER_SIZE,
    .read_event = dialect_ollama_read_event,
    .read_end = dialect_ollama_read_end,
    .read_error = dialect_error_read,
    .observe_limits = dialect_limits_read,
    .ndjson = true,
};
