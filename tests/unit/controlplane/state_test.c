// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "common/base/rng.h"
#include "controlplane/state.h"

static const uint8_t epoch[STATE_EPOCH_BYTES] = "epoch";

static struct resource *team(const char *id, uint64_t version)
{
    struct resource *r = resource_new(RESOURCE_TEAM, slice_str(id), version);

    r->u.team->name = arena_strdup(&r->arena, id);
    return r;
}

struct heard {
    struct state_listener l;
    int calls;
    uint64_t prev_seq, seq;
    size_t n_upserts, n_deletes;
};

static void on_change(struct state_listener *l, const struct state_change *c)
{
    struct heard *h = container_of(l, struct heard, l);

    h->calls++;
    h->prev_seq = c->prev_seq;
    h->seq = c->seq;
    h->n_upserts = c->n_upserts;
    h->n_deletes = c->n_deletes;
}

struct ids {
    char text[200];
    size_t max, n;
};

static bool collect(void *ctx, struct resource *r)
{
    struct ids *ids = ctx;

    (void)snprintf(ids->text + strlen(ids->text), sizeof(ids->text) - strlen(ids->text), "%s ",
                   r->id);
    return ++ids->n < ids->max;
}

static void loads_and_applies(void **state)
{
    struct state *s = state_new();
    struct heard h = {.l.fn = on_change};
    struct resource *all[] = {team("m", 1), team("c", 2), team("z", 1)};
    struct resource *put[] = {team("d", 1), team("c", 3)};
    struct state_change c = {.prev_seq = 7, .seq = 8, .upserts = put, .n_upserts = 2};
    struct ids ids = {.max = 99};
    uint64_t digest;

    (void)state;
    state_listen(s, &h.l);
    assert_false(state_ready(s));
    assert_false(state_apply(s, &c));
    state_load(s, epoch, 7, all, 3);
    assert_true(state_ready(s));
    assert_int_equal(h.calls, 1);
    assert_int_equal(h.prev_seq, 0);
    assert_int_equal(h.n_upserts, 3);
    assert_memory_equal(state_epoch(s), epoch, sizeof(epoch));
    state_each(s, RESOURCE_TEAM, SLICE_NULL, collect, &ids);
    assert_string_equal(ids.text, "c m z ");
    digest = state_digest(s);

    // Only the change that connects.
    c.prev_seq = 6;
    assert_false(state_apply(s, &c));
    assert_int_equal(h.calls, 1);
    assert_true(state_digest(s) == digest);
    c.prev_seq = 7;
    assert_true(state_apply(s, &c));
    assert_int_equal(h.calls, 2);
    assert_int_equal(state_seq(s), 8);
    assert_int_equal(state_count(s, RESOURCE_TEAM), 4);
    assert_int_equal(state_find(s, RESOURCE_TEAM, SLICE("c"))->version, 3);
    assert_null(state_find(s, RESOURCE_TEAM, SLICE("x")));
    assert_null(state_find(s, RESOURCE_KEY, SLICE("c")));
    assert_false(state_apply(s, &c));

    ids = (struct ids){.max = 2};
    state_each(s, RESOURCE_TEAM, SLICE("c"), collect, &ids);
    assert_string_equal(ids.text, "d m ");
    ids = (struct ids){.max = 9};
    state_each(s, RESOURCE_TEAM, SLICE("cc"), collect, &ids);
    assert_string_equal(ids.text, "d m z ");
    ids = (struct ids){.max = 9};
    state_each(s, (enum resource_kind)0, SLICE_NULL, collect, &ids);
    assert_string_equal(ids.text, "c d m z ");

    state_unlisten(s, &h.l);
    state_unlisten(s, &h.l);
    for (size_t i = 0; i < 3; i++) {
        resource_unref(&all[i]);
    }
    resource_unref(&put[0]);
    resource_unref(&put[1]);
    state_free(&s);
    assert_null(s);
}

// However it came about, the same content has the same digest.
static void digest_follows_content(void **state)
{
    struct state *a = state_new(), *b = state_new();
    struct resource *now[26] = {NULL};
    struct resource *all[26];
    struct rng rng;
    size_t n = 0;

    (void)state;
    rng_init(&rng, 4);
    state_load(a, epoch, 0, NULL, 0);
    for (uint64_t seq = 1; seq < 500; seq++) {
        char id[2] = {(char)('a' + rng_below(&rng, 26)), '\0'};
        size_t at = (size_t)(id[0] - 'a');
        struct state_change c = {.prev_seq = seq - 1, .seq = seq};

        if (rng_below(&rng, 3) == 0) {
            c.deletes = &(const struct state_delete){RESOURCE_TEAM, id};
            c.n_deletes = 1;
            resource_unref(&now[at]);
            assert_true(state_apply(a, &c));
        } else {
            resource_unref(&now[at]);
            now[at] = team(id, seq);
            c.upserts = &now[at];
            c.n_upserts = 1;
            assert_true(state_apply(a, &c));
        }
    }
    for (size_t i = 0; i < 26; i++) {
        if (now[i] != NULL) {
            all[n++] = now[i];
        }
    }
    state_load(b, epoch, 499, all, n);
    assert_true(state_digest(a) == state_digest(b));
    assert_int_equal(state_count(a, RESOURCE_TEAM), n);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(state_find(a, RESOURCE_TEAM, slice_str(all[i]->id)), all[i]);
        resource_unref(&all[i]);
    }
    state_free(&a);
    state_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_and_applies),
        cmocka_unit_test(digest_follows_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
