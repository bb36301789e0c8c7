// SPDX-License-Identifier: Apache-2.0
// Three tables: who there is and how it is reached, what each does otherwise, the models with their
// prices. The order is the catalogue's.
#include "proto/config/catalog_doc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/node.h"

// --- cells ---------------------------------------------------------------------------------------

// A node as it would be written in YAML on one line; '|' would end the cell.
static void put_node(struct buf *out, const struct node *n)
{
    const char *between = "";

    if (n->kind == NODE_SCALAR) {
        buf_append(out, n->text.n == 0 ? SLICE("\"\"") : n->text);
        return;
    }
    buf_append_char(out, n->kind == NODE_LIST ? '[' : '{');
    for (const struct node *c = n->first; c != NULL; c = c->next) {
        buf_append_str(out, between);
        if (n->kind == NODE_MAP) {
            buf_printf(out, SLICE_FMT ": ", SLICE_ARG(c->key));
        }
        put_node(out, c);
        between = ", ";
    }
    buf_append_char(out, n->kind == NODE_LIST ? ']' : '}');
}

static void put_texts(struct buf *out, const struct conf_texts *t, const char *between)
{
    for (size_t i = 0; i < t->n; i++) {
        buf_printf(out, "%s`%s`", i == 0 ? "" : between, t->items[i].s);
    }
}

// 1e-12 USD a token as USD a million, without zeros at the end.
static void put_money(struct buf *out, const struct node *section, const char *key, uint64_t pico)
{
    char text[40];
    int n;

    if (section == NULL || node_get(section, slice_str(key)) == NULL) {
        buf_append_str(out, "-");
        return;
    }
    n = snprintf(text, sizeof(text), "%" PRIu64 ".%06" PRIu64, pico / 1000000, pico % 1000000);
    while (n > 1 && text[n - 1] == '0') {
        text[--n] = '\0';
    }
    if (text[n - 1] == '.') {
        text[n - 1] = '\0';
    }
    buf_append_str(out, text);
}

// --- providers -----------------------------------------------------------------------------------

static const char *presence(const struct schema_provider *p)
{
    return p->only_when_named ? "named" : p->only_with_key ? "key" : "always";
}

static void put_provider(struct buf *out, const struct conf_entry *e)
{
    const struct schema_provider *p = e->value;

    buf_printf(out, "| `%s`", e->name);
    for (size_t i = 0; i < p->aliases.n; i++) {
        buf_printf(out, ", `%s`", p->aliases.items[i].s);
    }
    buf_printf(out, " | %s | `%s`", p->title.s, p->dialect.s != NULL ? p->dialect.s : "openai");
    for (size_t i = 0; i < p->dialects.n; i++) {
        buf_printf(out, ", `%s`", p->dialects.items[i].name);
    }
    buf_printf(out, " | `%s` | ", p->base_url.s);
    put_texts(out, &p->key_variables, ", ");
    buf_printf(out, "%s | %s | %s |\n", p->key_variables.n == 0 ? "none" : "", presence(p),
               p->notes.s != NULL ? p->notes.s : "");
}

static void put_providers(struct buf *out, const struct catalog *c)
{
    buf_printf(
        out,
        "## Providers\n\n%zu of them. The first dialect is the one that is spoken unless "
        "`dialect` says another. *Here*: `always`; with a `key` in the environment or when the "
        "configuration names it; only when it is `named`. `{NAME}` in an address is that "
        "variable.\n\n"
        "| name | vendor | dialects | base URL | key from | here | remarks |\n"
        "|---|---|---|---|---|---|---|\n",
        c->providers.n);
    for (size_t i = 0; i < c->providers.n; i++) {
        put_provider(out, &c->providers.items[i]);
    }
}

static void put_quirks(struct buf *out, const struct catalog *c)
{
    buf_append_str(out, "\n## What they do otherwise\n\n"
                        "The keys are explained in [configuration.md](configuration.md) "
                        "(`providers.*.quirks`). Of those that are not listed nothing is known, or "
                        "nothing is odd.\n\n| provider | quirks |\n|---|---|\n");
    for (size_t i = 0; i < c->providers.n; i++) {
        const struct schema_provider *p = c->providers.items[i].value;
        const char *between = "";

        if (p->quirks.node == NULL && p->stream_options != SCHEMA_FALSE) {
            continue;
        }
        buf_printf(out, "| `%s` | ", c->providers.items[i].name);
        if (p->stream_options == SCHEMA_FALSE) {
            buf_append_str(out, "`stream-options: false`");
            between = " ";
        }
        for (const struct node *n = p->quirks.node == NULL ? NULL : p->quirks.node->first;
             n != NULL; n = n->next) {
            buf_printf(out, "%s`" SLICE_FMT ": ", between, SLICE_ARG(n->key));
            put_node(out, n);
            buf_append_char(out, '`');
            between = " ";
        }
        buf_append_str(out, " |\n");
    }
}

// --- models --------------------------------------------------------------------------------------

static void put_tiers(struct buf *out, const struct schema_model_at *at)
{
    for (size_t i = 0; i < at->price.tiers.n; i++) {
        const struct schema_tier *t = at->price.tiers.items[i].value;

        buf_printf(out, "%s>%" PRIu64 ": ", i == 0 ? "" : "; ", t->above);
        put_money(out, t->node, "input", t->input);
        buf_append_char(out, '/');
        put_money(out, t->node, "output", t->output);
    }
    for (size_t i = 0; i < at->changes.n; i++) {
        const struct schema_price_change *x = at->changes.items[i].value;

        buf_printf(out, "from %s: ", x->from.s);
        put_money(out, x->price.node, "input", x->price.input);
        buf_append_char(out, '/');
        put_money(out, x->price.node, "output", x->price.output);
    }
}

static void put_count(struct buf *out, uint64_t n)
{
    if (n == 0) {
        buf_append_str(out, " - |");
    } else {
        buf_printf(out, " %" PRIu64 " |", n);
    }
}

static void put_model(struct buf *out, const struct conf_entry *e)
{
    const struct schema_model *m = e->value;
    const struct schema_model_at *first = m->at.items[0].value;

    buf_printf(out, "| `%s` |", e->name);
    put_count(out, m->context);
    put_count(out, m->max_output);
    buf_append_char(out, ' ');
    for (size_t i = 0; i < m->modalities.n; i++) {
        buf_printf(out, "%s%s", i == 0 ? "" : " ", m->modalities.items[i].s);
    }
    buf_append_str(out, " | ");
    put_money(out, first->price.node, "input", first->price.input);
    buf_append_str(out, " | ");
    put_money(out, first->price.node, "cached", first->price.cached);
    buf_append_str(out, " | ");
    put_money(out, first->price.node, "output", first->price.output);
    buf_append_str(out, " | ");
    put_tiers(out, first);
    buf_append_str(out, " | ");
    for (size_t i = 0; i < m->at.n; i++) {
        const struct schema_model_at *at = m->at.items[i].value;

        buf_printf(out, "%s%s", i == 0 ? "" : ", ", at->provider.s);
        if (at->id.s != NULL) {
            buf_printf(out, " `%s`", at->id.s);
        }
    }
    buf_append_str(out, " |\n");
}

static void put_models(struct buf *out, const struct catalog *c)
{
    buf_printf(
        out,
        "\n## Models\n\n%zu of them; prices as of **%s**, USD for 1,000,000 tokens, of the first "
        "place named; `-` is unknown, 0 is free. Above the length given after `>` (tokens of "
        "the prompt) input/output of the whole request cost what stands there.\n\n"
        "| model | context | most output | takes | input | cached | output | longer prompts, "
        "later days | where, and its id there |\n|---|--:|--:|---|--:|--:|--:|---|---|\n",
        c->models.n, c->as_of);
    for (size_t i = 0; i < c->models.n; i++) {
        put_model(out, &c->models.items[i]);
    }
}

void catalog_doc_render(const struct catalog *c, struct buf *out)
{
    put_providers(out, c);
    put_quirks(out, c);
    put_models(out, c);
}
