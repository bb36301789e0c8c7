// SPDX-License-Identifier: Apache-2.0
// Images: every resource once, in chunks that can be asked for again; frozen while the state goes
// on; the shelf shares and tidies them.
#include "controlplane/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "controlplane/shelf.h"

static const uint8_t epoch[16] = {1};

static struct resource *make_team(unsigned i, uint64_t version, size_t padding)
{
    struct resource *r;
    char id[32];
    char *name;

    (void)snprintf(id, sizeof(id), "t%06u", i);
    r = resource_new(RESOURCE_TEAM, slice_str(id), version);
    name = arena_zalloc(&r->arena, padding + 1);
    memset(name, 'n', padding);
    r->u.team->name = name;
    return r;
}

static struct state *make_state(uint64_t seq, unsigned n, size_t padding)
{
    struct resource **list = mem_zalloc_array(n + 1, sizeof(struct resource *));
    struct state *s = state_new();

    for (unsigned i = 0; i < n; i++) {
        list[i] = make_team(i, 1, padding);
    }
    state_load(s, epoch, seq, list, n);
    for (unsigned i = 0; i < n; i++) {
        resource_unref(&list[i]);
    }
    mem_free(list);
    return s;
}

static void change(struct state *s, struct resource *r)
{
    struct state_change c = {
        .prev_seq = state_seq(s), .seq = state_seq(s) + 1, .upserts = &r, .n_upserts = 1};

    assert_true(state_apply(s, &c));
    resource_unref(&r);
}

// Reads an image through; returns its number of chunks.
static uint32_t read_through(struct image *i, uint64_t expect, bool first)
{
    struct message_sync_chunk c = {.last = false};
    uint64_t items = 0, digest = 0;
    struct arena arena;
    struct buf bytes;
    uint32_t n = 0;

    arena_init(&arena, 4096, 0);
    buf_init(&bytes, 1);
    while (!c.last) {
        size_t size = 0;

        if (first) {
            assert_false(image_chunk(i, n + 1, &arena, &bytes, &c)); // not before n
        }
        assert_true(image_chunk(i, n, &arena, &bytes, &c));
        assert_int_equal(c.chunk, n);
        for (size_t k = 0; k < c.n_items; k++) {
            struct resource *r = resource_decode(c.items[k].resource, NULL);

            assert_non_null(r);
            assert_string_equal(r->id, c.items[k].id);
            digest ^= resource_digest(r->kind, slice_str(r->id), r->version);
            size += message_item_size(&c.items[k]);
            resource_unref(&r);
        }
        assert_true(size <= MESSAGE_CHUNK || c.n_items == 1);
        items += c.n_items;
        n++;
    }
    assert_int_equal(items, expect);
    assert_int_equal(c.total, expect);
    assert_true(digest == c.digest);
    arena_done(&arena);
    buf_done(&bytes);
    return n;
}

static void every_resource_once(void **state)
{
    static const struct {
        unsigned n;
        size_t padding;
    } cases[] = {{0, 0}, {1, 0}, {5000, 0}, {300, 2000}};

    (void)state;
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        struct state *s = make_state(7, cases[k].n, cases[k].padding);
        struct image *i = image_new(s, 1);

        (void)read_through(i, cases[k].n, true);
        (void)read_through(i, cases[k].n, false); // again
        image_free(&i);
        assert_null(i);
        state_free(&s);
    }
}

static void frozen_while_the_state_goes_on(void **state)
{
    struct state *s = make_state(7, 100, 2000);
    struct image *i = image_new(s, 1);

    (void)state;
    change(s, make_team(50, 2, 10));
    change(s, make_team(500, 1, 10));
    assert_int_equal(image_seq(i), 7);
    assert_true(image_digest(i) != state_digest(s));
    assert_true(read_through(i, 100, true) > 1);
    image_free(&i);
    state_free(&s);
}

static void the_shelf_shares_and_tidies(void **state)
{
    struct shelf shelf = {.made = 0};
    struct state *s = make_state(7, 10, 0);
    struct image *first = shelf_current(&shelf, s, MONO_SEC);
    uint64_t number = image_number(first), now = MONO_SEC;

    (void)state;
    assert_ptr_equal(shelf_current(&shelf, s, now), first);
    for (unsigned i = 0; i < SHELF_MAX - 1; i++) {
        change(s, make_team(i, 2, 0));
        assert_non_null(shelf_current(&shelf, s, now));
    }
    // All are being read: none is taken away, until the oldest has not been used for 2 s.
    change(s, make_team(9, 2, 0));
    assert_null(shelf_current(&shelf, s, now + MONO_SEC));
    assert_ptr_equal(shelf_find(&shelf, number, now + MONO_SEC), first);
    assert_non_null(shelf_current(&shelf, s, now + 2 * MONO_SEC));
    assert_ptr_equal(shelf_find(&shelf, number, now + 2 * MONO_SEC), first); // was used meanwhile
    assert_null(shelf_find(&shelf, number + 1, now));
    shelf_tidy(&shelf, now + 13 * MONO_SEC);
    assert_null(shelf_find(&shelf, number, now + 13 * MONO_SEC));
    shelf_done(&shelf);
    state_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_resource_once),
        cmocka_unit_test(frozen_while_the_state_goes_on),
        cmocka_unit_test(the_shelf_shares_and_tidies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
