// SPDX-License-Identifier: Apache-2.0
// One mutex over all of it; a flag lets the usual request (no mode, no scenario, no counter) pass
// without taking it.
#include "tests/mock/mock_rules.h"

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/text.h"

struct rule {
    struct list_node node;
    uint16_t port;   // 0 = any
    char *pattern;   // owned
    char *behaviour; // owned; checked when it was read
};

struct mode {
    struct list_node node;
    uint16_t port;
    char *behaviour; // owned
};

struct mock_rules {
    pthread_mutex_t lock;
    atomic_bool active; // there is a rule or a mode
    struct list rules, modes;
    struct map counters; // model -> uint64_t *, owned
};

struct mock_rules *mock_rules_new(void)
{
    struct mock_rules *r = mem_zalloc(sizeof(*r));

    (void)pthread_mutex_init(&r->lock, NULL); // cannot fail with default attributes on Linux
    list_init(&r->rules);
    list_init(&r->modes);
    map_init(&r->counters);
    return r;
}

static void drop_rules(struct list *l)
{
    for (struct list_node *n = list_pop_front(l); n != NULL; n = list_pop_front(l)) {
        struct rule *rule = container_of(n, struct rule, node);

        mem_free(rule->pattern);
        mem_free(rule->behaviour);
        mem_free(rule);
    }
}

static void drop_modes(struct mock_rules *r, uint16_t port)
{
    list_foreach_safe (n, &r->modes) {
        struct mode *m = container_of(n, struct mode, node);

        if (port == 0 || m->port == port) {
            list_remove(&r->modes, n);
            mem_free(m->behaviour);
            mem_free(m);
        }
    }
}

static void drop_counters(struct mock_rules *r)
{
    map_foreach (e, &r->counters) {
        mem_free(e->value);
    }
    map_done(&r->counters);
    map_init(&r->counters);
}

static void set_active(struct mock_rules *r)
{
    atomic_store(&r->active, r->rules.count > 0 || r->modes.count > 0);
}

void mock_rules_free(struct mock_rules **rp)
{
    struct mock_rules *r = *rp;

    if (r == NULL) {
        return;
    }
    drop_rules(&r->rules);
    drop_modes(r, 0);
    drop_counters(r);
    map_done(&r->counters);
    (void)pthread_mutex_destroy(&r->lock);
    mem_free(r);
    *rp = NULL;
}

static struct slice next_word(struct slice *line)
{
    struct slice s = slice_trim(*line);
    size_t n = 0;

    while (n < s.n && s.p[n] != ' ' && s.p[n] != '\t') {
        n++;
    }
    *line = slice_from(s, n);
    return slice_head(s, n);
}

static bool add_rule(struct list *rules, struct slice line, struct err *e)
{
    struct slice port = next_word(&line), pattern = next_word(&line), words = next_word(&line);
    struct mock_behave ignored;
    struct rule *rule;
    uint64_t n = 0;
    unsigned found = 0;

    if (!slice_eq(port, SLICE("*")) && (!slice_to_u64(port, &n) || n == 0 || n > 65535)) {
        return err_set(e, ERR_INVALID, "\"" SLICE_FMT "\" is neither a port nor *",
                       SLICE_ARG(port));
    }
    if (words.n == 0 || slice_trim(line).n > 0) {
        return err_set(e, ERR_INVALID, "expected: PORT|* MODEL-PATTERN BEHAVIOUR");
    }
    mock_behave_init(&ignored);
    if (!mock_behave_parse(words, &ignored, &found, e)) {
        return false;
    }
    if (found == 0 && !slice_eq(words, SLICE("plain"))) {
        return err_set(e, ERR_INVALID, "\"" SLICE_FMT "\" is no behaviour", SLICE_ARG(words));
    }
    rule = mem_zalloc(sizeof(*rule));
    rule->port = (uint16_t)n;
    rule->pattern = mem_strndup(pattern.p, pattern.n);
    rule->behaviour = mem_strndup(words.p, words.n);
    list_push_back(rules, &rule->node);
    return true;
}

bool mock_rules_set_scenario(struct mock_rules *r, struct slice text, struct err *e)
{
    struct list rules;
    unsigned line_no = 0;

    list_init(&rules);
    while (text.n > 0) {
        struct slice line;

        text = slice_cut(text, '\n', &line);
        line_no++;
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        (void)slice_cut(line, '#', &line);
        if (slice_trim(line).n > 0 && !add_rule(&rules, line, e)) {
            drop_rules(&rules);
            return err_prefix(e, "scenario line %u", line_no);
        }
    }
    (void)pthread_mutex_lock(&r->lock);
    drop_rules(&r->rules);
    for (struct list_node *n = list_pop_front(&rules); n != NULL; n = list_pop_front(&rules)) {
        list_push_back(&r->rules, n);
    }
    set_active(r);
    (void)pthread_mutex_unlock(&r->lock);
    return true;
}

bool mock_rules_set_mode(struct mock_rules *r, uint16_t port, struct slice mode, struct err *e)
{
    struct mock_behave ignored;
    unsigned found = 0;

    mock_behave_init(&ignored);
    if (!mock_behave_parse(mode, &ignored, &found, e)) {
        return false;
    }
    if (mode.n > 0 && found == 0) {
        return err_set(e, ERR_INVALID, "\"" SLICE_FMT "\" is no behaviour", SLICE_ARG(mode));
    }
    (void)pthread_mutex_lock(&r->lock);
    drop_modes(r, port);
    if (mode.n > 0) {
        struct mode *m = mem_zalloc(sizeof(*m));

        m->port = port;
        m->behaviour = mem_strndup(mode.p, mode.n);
        list_push_back(&r->modes, &m->node);
    }
    set_active(r);
    (void)pthread_mutex_unlock(&r->lock);
    return true;
}

// Both were checked when they were set, so parsing cannot fail here.
static void apply_mode(struct mock_rules *r, uint16_t port, struct mock_behave *b)
{
    list_foreach (n, &r->modes) {
        struct mode *m = container_of(n, struct mode, node);

        if (m->port == port) {
            (void)!mock_behave_parse(slice_str(m->behaviour), b, NULL, NULL);
        }
    }
}

static void apply_rule(struct mock_rules *r, uint16_t port, struct slice model,
                       struct mock_behave *b)
{
    list_foreach (n, &r->rules) {
        struct rule *rule = container_of(n, struct rule, node);

        if ((rule->port == 0 || rule->port == port) && text_glob(slice_str(rule->pattern), model)) {
            (void)!mock_behave_parse(slice_str(rule->behaviour), b, NULL, NULL);
            return;
        }
    }
}

// Number of this attempt among those for `model`, from 1.
static uint64_t count(struct mock_rules *r, struct slice model)
{
    uint64_t *n, value;

    (void)pthread_mutex_lock(&r->lock);
    n = map_get(&r->counters, model);
    if (n == NULL) {
        n = mem_zalloc(sizeof(*n));
        (void)map_put(&r->counters, model, n); // it was absent
    }
    value = ++*n;
    (void)pthread_mutex_unlock(&r->lock);
    return value;
}

bool mock_rules_resolve(struct mock_rules *r, uint16_t port, struct slice model,
                        struct slice header, uint32_t dice, struct mock_behave *ret, struct err *e)
{
    struct slice name = mock_behave_of_model(model);
    unsigned words = 0;

    mock_behave_init(ret);
    if (!mock_behave_parse(name, ret, &words, e) || !mock_behave_parse(header, ret, NULL, e)) {
        return false;
    }
    if (atomic_load_explicit(&r->active, memory_order_acquire)) {
        (void)pthread_mutex_lock(&r->lock);
        if (words == 0) {
            apply_rule(r, port, name, ret);
        }
        apply_mode(r, port, ret);
        (void)pthread_mutex_unlock(&r->lock);
    }
    if (ret->fail_first == 0 && ret->flaky == 0) {
        return true;
    }
    if ((ret->fail_first > 0 && count(r, name) > ret->fail_first) ||
        (ret->flaky > 0 && dice >= ret->flaky)) {
        mock_behave_drop_faults(ret);
    } else if (!mock_behave_has_fault(ret)) {
        ret->status = 503;
    }
    return true;
}

void mock_rules_reset(struct mock_rules *r)
{
    (void)pthread_mutex_lock(&r->lock);
    drop_counters(r);
    drop_modes(r, 0);
    set_active(r);
    (void)pthread_mutex_unlock(&r->lock);
}
