// SPDX-License-Identifier: Apache-2.0
// Snapshots: lookups, deltas that leave the base alone, derived tables, digests; size and speed
// with 100,000 keys; hand-over between threads (the reason it is run under TSan).
#include "dataplane/snapshot.h"

#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/mono.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURE 0 // sanitizers change sizes and times
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MEASURE 0
#endif
#endif
#ifndef MEASURE
#define MEASURE 1
#endif

static const uint8_t epoch[16] = {1, 2, 3};
static const char *const star[] = {"*"};

static struct resource *make_provider(const char *name, uint64_t version)
{
    struct resource *r = resource_new(RESOURCE_PROVIDER, slice_str(name), version);

    r->u.provider->dialect = "openai";
    return r;
}

static struct resource *make_provider_key(const char *id, const char *provider, bool active)
{
    struct resource *r = resource_new(RESOURCE_PROVIDER_KEY, slice_str(id), 1);

    r->u.provider_key->provider = provider;
    r->u.provider_key->weight = 1;
    r->u.provider_key->state = active ? RESOURCE_ACTIVE : RESOURCE_DISABLED;
    return r;
}

static struct resource *make_key(unsigned i, uint64_t version)
{
    struct resource *r;
    char id[32];

    (void)snprintf(id, sizeof(id), "key%019u", i);
    r = resource_new(RESOURCE_KEY, slice_str(id), version);
    r->u.key->name = "load-test";
    r->u.key->models = r->u.key->routers = star;
    r->u.key->n_models = r->u.key->n_routers = 1;
    r->u.key->origin = "api";
    r->u.key->created_wall_us = i;
    return r;
}

static struct resource *make_model(const char *name, const struct resource_model_at *at,
                                   size_t n_at, const char *const *aliases, size_t n_aliases)
{
    struct resource *r = resource_new(RESOURCE_MODEL, slice_str(name), 1);

    r->u.model->at = at;
    r->u.model->n_at = n_at;
    r->u.model->aliases = aliases;
    r->u.model->n_aliases = n_aliases;
    return r;
}

// A snapshot of the list; the list's references are given up.
static struct snapshot *snapshot_of(uint64_t seq, struct resource **list, size_t n)
{
    struct snapshot *s = snapshot_new(epoch, seq, list, n);

    for (size_t i = 0; i < n; i++) {
        resource_unref(&list[i]);
    }
    return s;
}

// The next snapshot with one upsert (reference given up) or one delete.
static struct snapshot *with(const struct snapshot *base, struct resource *up,
                             enum resource_kind kind, const char *del)
{
    const struct snapshot_delete deletes[] = {{kind, del}};
    struct snapshot_delta d = {
        .prev_seq = snapshot_seq(base),
        .seq = snapshot_seq(base) + 1,
        .upserts = &up,
        .n_upserts = up != NULL,
        .deletes = deletes,
        .n_deletes = del != NULL,
    };
    struct snapshot *s = snapshot_apply(base, &d);

    resource_unref(&up);
    return s;
}

static void drop(struct snapshot **s)
{
    snapshot_unref(s);
    snapshot_reap();
}

static void empty_has_defaults(void **state)
{
    struct snapshot *s = snapshot_new(epoch, 7, NULL, 0);
    struct snapshot_model m;
    size_t n;

    (void)state;
    assert_int_equal(snapshot_seq(s), 7);
    assert_memory_equal(snapshot_epoch(s), epoch, 16);
    assert_true(snapshot_digest(s) == 0);
    assert_int_equal(snapshot_settings(s)->max_attempts, 5);
    assert_true(snapshot_settings(s)->timeouts.total_us == 900 * MONO_SEC);
    assert_null(snapshot_find(s, RESOURCE_KEY, SLICE("nobody")));
    assert_null(snapshot_provider(s, SLICE("openai")));
    (void)snapshot_providers(s, &n);
    assert_int_equal(n, 0);
    assert_false(snapshot_model_by_name(s, SLICE("gpt"), &m));
    assert_false(snapshot_model_at(s, SLICE("openai"), SLICE("gpt"), &m));
    drop(&s);
}

static void delta_leaves_the_base_alone(void **state)
{
    struct resource *list[] = {make_key(1, 1), make_key(2, 1), make_provider("openai", 1)};
    struct snapshot *one = snapshot_of(10, list, 3), *two, *three;
    struct slice k1 = SLICE("key0000000000000000001"), k2 = SLICE("key0000000000000000002");
    uint64_t digest = snapshot_digest(one);

    (void)state;
    two = with(one, make_key(1, 2), 0, NULL);
    assert_int_equal(snapshot_seq(two), 11);
    assert_int_equal(snapshot_find(one, RESOURCE_KEY, k1)->version, 1);
    assert_int_equal(snapshot_find(two, RESOURCE_KEY, k1)->version, 2);
    assert_ptr_equal(snapshot_find(one, RESOURCE_KEY, k2), snapshot_find(two, RESOURCE_KEY, k2));
    assert_true(snapshot_digest(two) == (digest ^ resource_digest(RESOURCE_KEY, k1, 1) ^
                                         resource_digest(RESOURCE_KEY, k1, 2)));

    three = with(two, NULL, RESOURCE_KEY, "key0000000000000000002");
    assert_non_null(snapshot_find(two, RESOURCE_KEY, k2));
    assert_null(snapshot_find(three, RESOURCE_KEY, k2));
    assert_int_equal(snapshot_count(two, RESOURCE_KEY), 2);
    assert_int_equal(snapshot_count(three, RESOURCE_KEY), 1);
    assert_true(snapshot_digest(three) ==
                (snapshot_digest(two) ^ resource_digest(RESOURCE_KEY, k2, 1)));

    // Deleting what is not there changes nothing but the sequence.
    drop(&one);
    one = with(three, NULL, RESOURCE_TEAM, "nobody");
    assert_true(snapshot_digest(one) == snapshot_digest(three));
    drop(&one);
    drop(&two);
    assert_int_equal(snapshot_find(three, RESOURCE_KEY, k1)->version, 2);
    drop(&three);
}

// However a state was reached, its digest is the same.
static void digest_is_order_free(void **state)
{
    struct resource *forth[40], *back[40];
    struct snapshot *a, *b, *c;

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        forth[i] = make_key(i, 1);
        back[39 - i] = make_key(i, 1);
    }
    a = snapshot_of(1, forth, 40);
    b = snapshot_of(1, back, 40);
    c = snapshot_new(epoch, 1, NULL, 0);
    for (unsigned i = 0; i < 40; i++) {
        struct snapshot *next = with(c, make_key((i * 7) % 40, 1), 0, NULL);

        drop(&c);
        c = next;
    }
    assert_true(snapshot_digest(a) == snapshot_digest(b));
    assert_true(snapshot_digest(a) == snapshot_digest(c));
    drop(&a);
    drop(&b);
    drop(&c);
}

static void providers_have_their_active_keys(void **state)
{
    struct resource *list[] = {
        make_provider("openai", 1),
        make_provider("anthropic", 1),
        make_provider("gemini", 1),
        make_provider_key("b", "openai", true),
        make_provider_key("a", "openai", true),
        make_provider_key("c", "openai", false),
        make_provider_key("d", "gemini", true),
    };
    struct snapshot *s = snapshot_of(1, list, ARRAY_LEN(list)), *next;
    const struct snapshot_provider *const *all, *p;
    size_t n;

    (void)state;
    all = snapshot_providers(s, &n);
    assert_int_equal(n, 3);
    assert_string_equal(all[0]->res->id, "anthropic");
    assert_string_equal(all[2]->res->id, "openai");
    assert_int_equal(all[2]->index, 2);
    p = snapshot_provider(s, SLICE("openai"));
    assert_ptr_equal(p, all[2]);
    assert_int_equal(p->n_keys, 2);
    assert_string_equal(p->keys[0]->id, "a");
    assert_string_equal(p->keys[1]->id, "b");
    assert_int_equal(snapshot_provider(s, SLICE("anthropic"))->n_keys, 0);
    assert_null(snapshot_provider(s, SLICE("open")));

    // A virtual key's change shares the table; a provider key's does not.
    next = with(s, make_key(1, 1), 0, NULL);
    assert_ptr_equal(snapshot_provider(next, SLICE("openai")), p);
    drop(&s);
    s = with(next, make_provider_key("c", "openai", true), 0, NULL);
    assert_int_equal(snapshot_provider(next, SLICE("openai"))->n_keys, 2);
    assert_int_equal(snapshot_provider(s, SLICE("openai"))->n_keys, 3);
    drop(&next);
    next = with(s, NULL, RESOURCE_PROVIDER, "openai");
    assert_null(snapshot_provider(next, SLICE("openai")));
    assert_int_equal(snapshot_provider(next, SLICE("gemini"))->n_keys, 1);
    drop(&s);
    drop(&next);
}

static void models_are_found_by_every_name(void **state)
{
    static const struct resource_model_at mini[] = {
        {.provider = "openai", .id = "gpt-4o-mini-2024", .price = {.input = 0}},
        {.provider = "azure", .id = "mini", .price = {.input = 0}},
    };
    static const struct resource_model_at other[] = {
        {.provider = "openai", .id = "other", .price = {.input = 0}}};
    static const char *const aliases[] = {"small", "other"};
    struct resource *list[] = {
        make_model("gpt-4o-mini", mini, 2, aliases, 2),
        make_model("other", other, 1, NULL, 0),
    };
    struct snapshot *s = snapshot_of(1, list, 2), *next;
    struct snapshot_model m;
    char huge[2000];

    (void)state;
    assert_true(snapshot_model_by_name(s, SLICE("small"), &m));
    assert_string_equal(m.res->id, "gpt-4o-mini");
    assert_null(m.at);
    // A canonical name beats another model's alias.
    assert_true(snapshot_model_by_name(s, SLICE("other"), &m));
    assert_string_equal(m.res->id, "other");
    assert_true(snapshot_model_at(s, SLICE("azure"), SLICE("mini"), &m));
    assert_string_equal(m.res->id, "gpt-4o-mini");
    assert_string_equal(m.at->provider, "azure");
    assert_false(snapshot_model_at(s, SLICE("gemini"), SLICE("mini"), &m));
    memset(huge, 'x', sizeof(huge));
    assert_false(snapshot_model_at(s, SLICE("azure"), SLICE_MAKE(huge, sizeof(huge)), &m));
    assert_false(snapshot_model_at(s, SLICE_NULL, SLICE("mini"), &m));
    next = with(s, NULL, RESOURCE_MODEL, "gpt-4o-mini");
    assert_false(snapshot_model_by_name(next, SLICE("small"), &m));
    assert_true(snapshot_model_by_name(s, SLICE("small"), &m));
    drop(&s);
    drop(&next);
}

struct seen {
    char text[256];
    size_t stop_after;
};

static bool note_id(void *ctx, const struct resource *r)
{
    struct seen *seen = ctx;
    size_t n = strlen(seen->text);

    (void)snprintf(seen->text + n, sizeof(seen->text) - n, "%s ", r->id);
    return --seen->stop_after > 0;
}

static void each_comes_in_order(void **state)
{
    static const char *const names[] = {"m", "b", "z", "a", "q"};
    struct resource *list[10];
    struct seen seen = {"", 100};
    struct snapshot *s, *next;

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        list[i] = resource_new(RESOURCE_ROUTER, slice_str(names[i]), 1);
        list[5 + i] = resource_new(RESOURCE_TEAM, slice_str(names[i]), 1);
    }
    s = snapshot_of(1, list, 10);
    snapshot_each(s, RESOURCE_ROUTER, note_id, &seen);
    assert_string_equal(seen.text, "a b m q z ");
    seen = (struct seen){"", 2};
    snapshot_each(s, RESOURCE_TEAM, note_id, &seen); // in any order, as keys
    assert_int_equal(strlen(seen.text), 4);
    seen = (struct seen){"", 100};
    snapshot_each(s, RESOURCE_TEAM, note_id, &seen);
    assert_int_equal(strlen(seen.text), 10);
    for (unsigned i = 0; i < 5; i++) {
        assert_non_null(strstr(seen.text, names[i]));
    }
    next = with(s, resource_new(RESOURCE_ROUTER, SLICE("c"), 1), RESOURCE_ROUTER, "z");
    seen = (struct seen){"", 100};
    snapshot_each(next, RESOURCE_ROUTER, note_id, &seen);
    assert_string_equal(seen.text, "a b c m q ");
    drop(&s);
    drop(&next);
}

#define MANY 100000u

static void a_hundred_thousand_keys(void **state)
{
    struct resource **list = mem_zalloc_array(MANY, sizeof(struct resource *));
    size_t before = mallinfo2().uordblks, used;
    uint64_t best_us = UINT64_MAX;
    struct snapshot *s;
    struct buf b;

    (void)state;
    buf_init(&b, RESOURCE_BYTES_MAX);
    for (unsigned i = 0; i < MANY; i++) { // as they come from the wire: sized exactly
        struct resource *r = make_key(i, 1);

        buf_clear(&b);
        resource_encode(r, &b);
        resource_unref(&r);
        list[i] = resource_decode(buf_slice(&b), NULL);
        assert_non_null(list[i]);
    }
    buf_done(&b);
    s = snapshot_of(1, list, MANY);
    used = mallinfo2().uordblks - before;
    for (unsigned i = 0; i < 200; i++) {
        struct resource *key = make_key(i * 499, 2);
        uint64_t start = mono_now_us(), took;
        struct snapshot *next = with(s, key, 0, NULL);

        took = mono_now_us() - start;
        best_us = took < best_us ? took : best_us;
        drop(&s);
        s = next;
    }
    assert_int_equal(snapshot_count(s, RESOURCE_KEY), MANY);
    print_message("100k keys: %zu bytes each, delta %lu us\n", used / MANY, (unsigned long)best_us);
    if (MEASURE) {
        assert_true(used < 60U * 1000 * 1000);
        assert_true(best_us < 1000);
    }
    drop(&s);
    mem_free(list);
}

// ---- hand-over -------------------------------------------------------------------------------

struct stage {
    pthread_mutex_t lock;
    struct snapshot *current; // one reference
    atomic_bool stop;
    _Atomic uint64_t lookups;
};

static struct snapshot *take_current(struct stage *st)
{
    struct snapshot *s;

    pthread_mutex_lock(&st->lock);
    s = snapshot_ref(st->current);
    pthread_mutex_unlock(&st->lock);
    return s;
}

// A worker: holds the current one for a while, sees one consistent state, lets go.
static void *worker(void *arg)
{
    struct stage *st = arg;

    while (!atomic_load(&st->stop)) {
        struct snapshot *s = take_current(st);
        const struct resource *a = snapshot_find(s, RESOURCE_KEY, SLICE("key0000000000000000001"));
        const struct resource *b = snapshot_find(s, RESOURCE_KEY, SLICE("key0000000000000000002"));

        // Both are changed by every delta, always to the sequence.
        if (a == NULL || b == NULL || a->version != b->version || a->version != snapshot_seq(s)) {
            UNREACHABLE();
        }
        atomic_fetch_add(&st->lookups, 1);
        snapshot_unref(&s);
    }
    return NULL;
}

static void hand_over_between_threads(void **state)
{
    struct resource *list[] = {make_key(1, 1), make_key(2, 1)};
    struct stage st = {.lock = PTHREAD_MUTEX_INITIALIZER, .current = snapshot_of(1, list, 2)};
    pthread_t threads[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, worker, &st), 0);
    }
    for (uint64_t seq = 2; seq < 500 || atomic_load(&st.lookups) < 500; seq++) {
        struct resource *up[] = {make_key(1, seq), make_key(2, seq)};
        struct snapshot_delta d = {.prev_seq = seq - 1, .seq = seq, .upserts = up, .n_upserts = 2};
        struct snapshot *next = snapshot_apply(st.current, &d), *old;

        resource_unref(&up[0]);
        resource_unref(&up[1]);
        pthread_mutex_lock(&st.lock);
        old = st.current;
        st.current = next;
        pthread_mutex_unlock(&st.lock);
        snapshot_unref(&old);
        snapshot_reap();
    }
    atomic_store(&st.stop, true);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    drop(&st.current);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_has_defaults),
        cmocka_unit_test(delta_leaves_the_base_alone),
        cmocka_unit_test(digest_is_order_free),
        cmocka_unit_test(providers_have_their_active_keys),
        cmocka_unit_test(models_are_found_by_every_name),
        cmocka_unit_test(each_comes_in_order),
        cmocka_unit_test(a_hundred_thousand_keys),
        cmocka_unit_test(hand_over_between_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
