// SPDX-License-Identifier: Apache-2.0
// Numbers between a vendor's bounds, the bound of an answer by the vendor's name, stop sequences.
#include <stdlib.h>
#include <string.h>

#include "dataplane/dialect_quirks_editor.h"

// --- sampling -----------------------------------------------------------------------------------

static bool number_of(const struct dialect_quirks_editor *e, uint32_t value, double *ret)
{
    struct slice raw = tape_raw(e->t, value);
    char text[40];

    if (!tape_is(e->t, value, SCAN_NUMBER) || raw.n >= sizeof(text)) {
        return false;
    }
    memcpy(text, raw.p, raw.n);
    text[raw.n] = '\0';
    *ret = strtod(text, NULL);
    return true;
}

static struct slice thousandths(struct arena *a, uint32_t v)
{
    struct slice out = slice_str(v % 1000 == 0 ? arena_printf(a, "%u", v / 1000)
                                               : arena_printf(a, "%u.%03u", v / 1000, v % 1000));

    while (v % 1000 != 0 && slice_ends(out, SLICE("0"))) {
        out.n--;
    }
    return out;
}

// Between the vendor's bounds; 0: none. A vendor without them is left to refuse what it does not
// take.
static void clamp(struct dialect_quirks_editor *e, uint32_t name, uint32_t min, uint32_t max)
{
    double v;
    bool number = number_of(e, name + 1, &v);

    if (number && (min != 0 || max != 0) && v * 1000.0 < (double)min) {
        dialect_quirks_editor_change(e, name, thousandths(e->a, min));
    } else if (number && max != 0 && v * 1000.0 > (double)max) {
        dialect_quirks_editor_change(e, name, thousandths(e->a, max));
    } else {
        dialect_quirks_editor_keep(e, name);
    }
}

// The model takes the default only.
static bool refuses_sampling(const struct dialect_quirks_editor *e, uint32_t value)
{
    double v;

    if (!dialect_quirks_model(e, RESOURCE_NO_SAMPLING) ||
        (dialect_quirks_model(e, RESOURCE_SAMPLING_UNREASONED) && e->effort == CANON_EFFORT_NONE)) {
        return false;
    }
    return !number_of(e, value, &v) || v < 1.0 || v > 1.0;
}

void dialect_quirks_number_temperature(struct dialect_quirks_editor *e, uint32_t name)
{
    double v;

    if (refuses_sampling(e, name + 1)) {
        dialect_quirks_editor_drop(e, name);
    } else if (e->q->greedy != NULL && number_of(e, name + 1, &v) && v <= 0.0) {
        e->touched = true;
        if (tape_given(e->t, 0, e->q->greedy) == TAPE_NONE) {
            jwrite_bool_in(&e->w, e->q->greedy, false);
        }
    } else {
        clamp(e, name, e->q->temperature_min, e->q->temperature_max);
    }
}

void dialect_quirks_number_top_p(struct dialect_quirks_editor *e, uint32_t name)
{
    bool second = dialect_quirks_model(e, RESOURCE_ONE_SAMPLING) &&
                  tape_given(e->t, 0, "temperature") != TAPE_NONE;

    if (second || refuses_sampling(e, name + 1)) {
        dialect_quirks_editor_drop(e, name);
    } else {
        clamp(e, name, 0, e->q->top_p_max);
    }
}

// --- the bound of an answer --------------------------------------------------------------------

static const char *bound_name(const struct dialect_quirks_editor *e, uint32_t name)
{
    if (!e->chat) { // the newer name is Chat Completions'
        return "max_tokens";
    }
    if (dialect_quirks_model(e, RESOURCE_COMPLETION_TOKENS)) {
        return "max_completion_tokens";
    }
    switch ((enum resource_max_tokens)e->q->max_tokens_name) {
    case RESOURCE_MAX_TOKENS:
        return "max_tokens";
    case RESOURCE_MAX_COMPLETION_TOKENS:
        return "max_completion_tokens";
    case RESOURCE_MAX_TOKENS_EITHER:
        break;
    }
    return tape_eq(e->t, name, "max_tokens") ? "max_tokens" : "max_completion_tokens";
}

void dialect_quirks_number_max_tokens(struct dialect_quirks_editor *e, uint32_t name)
{
    const char *wanted = bound_name(e, name);
    uint64_t v = 0;

    // Of two one is sent: the newer name's.
    if (tape_eq(e->t, name, "max_tokens") &&
        tape_given(e->t, 0, "max_completion_tokens") != TAPE_NONE) {
        e->touched = true;
        return;
    }
    e->touched = e->touched || !tape_eq(e->t, name, wanted);
    jwrite_name(&e->w, wanted);
    if (!e->stream && !e->forced && e->q->plain_max_tokens != 0 && tape_u64(e->t, name + 1, &v) &&
        v > e->q->plain_max_tokens) {
        jwrite_u64(&e->w, e->q->plain_max_tokens);
        e->touched = true;
    } else {
        jwrite_raw(&e->w, tape_raw(e->t, name + 1));
    }
}

void dialect_quirks_number_stops(struct dialect_quirks_editor *e, uint32_t name)
{
    uint32_t n = 0;

    TAPE_ITEMS(e->t, name + 1, i)
    {
        n++;
    }
    if (e->q->stop_max == 0 || n <= e->q->stop_max) {
        dialect_quirks_editor_keep(e, name);
        return;
    }
    e->touched = true;
    canon_drop(e->o, dialect_quirks_editor_client_name(e, name)); // some of them
    dialect_quirks_editor_begin(e, name);
    jwrite_array(&e->w);
    n = 0;
    TAPE_ITEMS(e->t, name + 1, i)
    {
        if (n++ < e->q->stop_max) {
            jwrite_raw(&e->w, tape_raw(e->t, i));
        }
    }
    jwrite_array_end(&e->w);
}
