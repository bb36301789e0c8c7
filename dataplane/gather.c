// SPDX-License-Identifier: Apache-2.0
// Each choice has a list of parts in the order in which they began. Text of one kind that follows
// itself is one part; arguments find their call by its number, in an array. Texts grow in bufs of
// their own and become part of the answer when it is finished.
#include "dataplane/gather.h"

#include "common/base/mem.h"
#include "dataplane/jtext.h"
#include "dataplane/scan.h"

#define TEXT_MAX ((size_t)64 * 1024 * 1024) // of one part; the stream is bounded by its reader

struct part {
    struct part *next;
    enum canon_part_kind kind;
    struct buf text; // jtext: of its kind, or a call's arguments
    struct canon_part out;
};

struct gather_choice {
    struct gather_choice *next;
    uint32_t index;
    struct part *parts, **tail, *last;
    struct part **calls; // by their numbers, which count from 0; NULL: has not begun
    uint32_t n_calls;    // places
    struct buf logprobs; // elements of `content`, with commas
    struct canon_citation *citations, **cited;
    enum canon_finish finish;
    struct slice stop_sequence;
};

void gather_init(struct gather *g, struct arena *arena)
{
    *g = (struct gather){.arena = arena};
}

void gather_done(struct gather *g)
{
    for (struct gather_choice *k = g->choices; k != NULL; k = k->next) {
        for (struct part *p = k->parts; p != NULL; p = p->next) {
            buf_done(&p->text);
        }
        buf_done(&k->logprobs);
    }
    *g = (struct gather){.arena = NULL};
}

static struct slice kept(struct gather *g, struct slice s)
{
    return s.p == NULL ? s : arena_dup(g->arena, s);
}

// --- parts -------------------------------------------------------------------------------------

static struct gather_choice *choice_of(struct gather *g, uint32_t index)
{
    struct gather_choice **at = &g->choices;

    while (*at != NULL && (*at)->index < index) {
        at = &(*at)->next;
    }
    if (*at == NULL || (*at)->index != index) {
        struct gather_choice *k = arena_zalloc(g->arena, sizeof(*k));

        k->index = index;
        k->tail = &k->parts;
        k->cited = &k->citations;
        buf_init_soft(&k->logprobs, TEXT_MAX);
        k->next = *at;
        *at = k;
    }
    return *at;
}

static struct part *add(struct gather *g, struct gather_choice *k, enum canon_part_kind kind)
{
    struct part *p = arena_zalloc(g->arena, sizeof(*p));

    p->kind = p->out.kind = kind;
    buf_init_soft(&p->text, TEXT_MAX);
    *k->tail = p;
    k->tail = &p->next;
    k->last = p;
    return p;
}

// One more piece of text: of the part that is under way where it is of the same kind, unsigned.
static void add_text(struct gather *g, struct gather_choice *k, enum canon_part_kind kind,
                     struct slice text)
{
    struct part *p = k->last;

    if (p == NULL || p->kind != kind || p->out.signature.n > 0) {
        p = add(g, k, kind);
    }
    buf_append(&p->text, text);
}

static void add_signature(struct gather *g, struct gather_choice *k, struct slice text)
{
    struct part *p = k->last;

    if (p == NULL || p->kind != CANON_REASONING) {
        p = add(g, k, CANON_REASONING);
    }
    p->out.signature = kept(g, text);
}

static void grow_calls(struct gather *g, struct gather_choice *k, uint32_t tool)
{
    uint32_t n = tool < 4 ? 8 : tool * 2;
    struct part **more = arena_zalloc(g->arena, n * sizeof(struct part *));

    for (uint32_t i = 0; i < k->n_calls; i++) {
        more[i] = k->calls[i];
    }
    k->calls = more;
    k->n_calls = n;
}

static void add_call(struct gather *g, struct gather_choice *k, const struct canon_event *ev)
{
    struct part *p = add(g, k, CANON_TOOL_CALL);

    if (ev->tool >= k->n_calls) {
        grow_calls(g, k, ev->tool);
    }
    k->calls[ev->tool] = p;
    p->out.id = kept(g, ev->id);
    p->out.name = kept(g, ev->name);
    p->out.google_signature = kept(g, ev->google_signature);
}

static void add_args(struct gather_choice *k, const struct canon_event *ev)
{
    if (ev->tool < k->n_calls && k->calls[ev->tool] != NULL) {
        buf_append(&k->calls[ev->tool]->text, ev->text);
    }
}

static void add_media(struct gather *g, struct gather_choice *k, const struct canon_part *part)
{
    struct part *p = add(g, k, CANON_IMAGE);

    p->out.source = part->source;
    p->out.media_type = kept(g, part->media_type);
    p->out.data = kept(g, part->data);
    p->out.detail = kept(g, part->detail);
}

static void add_citation(struct gather *g, struct gather_choice *k, const struct canon_citation *c)
{
    struct canon_citation *own = arena_alloc(g->arena, sizeof(*own));

    *own = (struct canon_citation){NULL, kept(g, c->url), kept(g, c->title), c->begin, c->end};
    *k->cited = own;
    k->cited = &own->next;
}

// OpenAI's form: {"content":[...]}.
static void add_logprobs(struct gather_choice *k, struct slice logprobs)
{
    struct slice list;

    if (logprobs.p == NULL || !scan_get(logprobs, "content", &list) ||
        scan_type_of(list) != SCAN_ARRAY) {
        return;
    }
    list = slice_trim((struct slice){list.p + 1, list.n - 2});
    if (list.n > 0) {
        buf_append(&k->logprobs, k->logprobs.n > 0 ? SLICE(",") : SLICE(""));
        buf_append(&k->logprobs, list);
    }
}

// --- events ------------------------------------------------------------------------------------

static void take_finish(struct gather *g, struct gather_choice *k, const struct canon_event *ev)
{
    k->finish = ev->finish;
    k->stop_sequence = kept(g, ev->stop_sequence);
}

static void take_content(struct gather *g, const struct canon_event *ev)
{
    struct gather_choice *k = choice_of(g, ev->choice);

    add_logprobs(k, ev->logprobs);
    switch ((int)ev->kind) {
    case CANON_EV_TEXT:
        add_text(g, k, CANON_TEXT, ev->text);
        break;
    case CANON_EV_REFUSAL:
        add_text(g, k, CANON_REFUSAL, ev->text);
        break;
    case CANON_EV_REASONING:
        add_text(g, k, CANON_REASONING, ev->text);
        break;
    case CANON_EV_SIGNATURE:
        add_signature(g, k, ev->text);
        break;
    case CANON_EV_REDACTED:
        add(g, k, CANON_REDACTED)->out.data = kept(g, ev->text);
        break;
    case CANON_EV_TOOL:
        add_call(g, k, ev);
        break;
    case CANON_EV_ARGS:
        add_args(k, ev);
        break;
    case CANON_EV_IMAGE:
        add_media(g, k, ev->part);
        break;
    case CANON_EV_CITATION:
        add_citation(g, k, ev->citation);
        break;
    case CANON_EV_GOOGLE_SIGNATURE:
        if (k->last != NULL) {
            k->last->out.google_signature = kept(g, ev->text);
        }
        break;
    default:
        take_finish(g, k, ev);
        break;
    }
}

void gather_tell(void *ctx, const struct canon_event *ev)
{
    struct gather *g = ctx;

    if (g->ended || g->failed) {
        return;
    }
    switch ((int)ev->kind) {
    case CANON_EV_START:
        g->answer.id = kept(g, ev->id);
        g->answer.model = kept(g, ev->model);
        g->answer.service_tier = kept(g, ev->service_tier);
        break;
    case CANON_EV_USAGE:
        g->answer.usage = *ev->usage;
        break;
    case CANON_EV_END:
        g->ended = true;
        break;
    case CANON_EV_ERROR:
        g->failed = true;
        g->error_status = ev->error->status;
        break;
    default:
        take_content(g, ev);
        break;
    }
}

// --- the answer --------------------------------------------------------------------------------

// Arguments that are no JSON object stay a text.
static void finish_call(struct gather *g, struct part *p)
{
    struct slice text = kept(g, buf_slice(&p->text));

    if (text.n == 0) {
        p->out.args = SLICE("{}");
    } else if (!jtext_to_object(text, g->arena, &p->out.args)) {
        p->out.args = SLICE_NULL;
        p->out.text = text;
    }
}

static struct canon_choice_out *finish_choice(struct gather *g, struct gather_choice *k)
{
    struct canon_choice_out *out = arena_zalloc(g->arena, sizeof(*out));
    struct canon_part **tail = &out->parts;

    for (struct part *p = k->parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TOOL_CALL) {
            finish_call(g, p);
        } else if (p->kind != CANON_REDACTED && p->kind != CANON_IMAGE) {
            p->out.text = kept(g, buf_slice(&p->text));
        }
        *tail = &p->out;
        tail = &p->out.next;
    }
    out->index = k->index;
    out->citations = k->citations;
    out->finish = k->finish;
    out->stop_sequence = k->stop_sequence;
    if (k->logprobs.n > 0) {
        buf_append(&k->logprobs, SLICE("],\"refusal\":null}"));
        out->logprobs = jtext_join(SLICE("{\"content\":["), buf_slice(&k->logprobs), g->arena);
    }
    return out;
}

bool gather_finish(struct gather *g, struct canon_answer *ret)
{
    struct canon_choice_out **tail = &g->answer.choices;

    if (!g->ended || g->failed || g->choices == NULL) {
        return false;
    }
    for (struct gather_choice *k = g->choices; k != NULL; k = k->next) {
        for (struct part *p = k->parts; p != NULL; p = p->next) {
            if (p->text.over) { // a part of it must not pass for the whole
                return false;
            }
        }
        *tail = finish_choice(g, k);
        tail = &(*tail)->next;
    }
    *ret = g->answer;
    return true;
}
