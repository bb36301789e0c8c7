// SPDX-License-Identifier: Apache-2.0
// Which Redis is where we have been, and which went back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "controlplane/known.h"

#define OURS    "ours............"
#define OTHER   "other..........."
#define ADOPTED "adopted........."

static const uint8_t *epoch(const char *text)
{
    return (const uint8_t *)text;
}

static void redis_is_held_against_it(void **state)
{
    static const struct {
        const char *been, *redis, *superseded;
        uint64_t been_seq, redis_seq;
        const char *reason; // its beginning; NULL: it is where it should be
    } rows[] = {
        {NULL, OURS, "", 0, 0, NULL},
        {NULL, OURS, OTHER, 0, 9, NULL},
        {OURS, OURS, "", 7, 7, NULL},
        {OURS, OURS, "", 7, 8, NULL},
        {OURS, OURS, "", 7, 6, "Redis went back in time: its sequence is 6, 7 was seen"},
        {OURS, OTHER, "", 7, 8, "Redis has another epoch"},
        {OURS, ADOPTED, OURS, 7, 1, NULL},
        {OURS, ADOPTED, OTHER OURS, 7, 1, NULL},
        {OURS, ADOPTED, OTHER, 7, 9, "Redis has another epoch"},
        {OURS, ADOPTED, "ours..", 7, 9, "Redis has another epoch"}, // half an epoch is none
        {OURS, OURS, OURS, 7, 6, "Redis went back in time"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char message[KNOWN_REASON_CHARS];
        struct known k = {0};
        bool regressed;

        if (rows[i].been != NULL) {
            known_reach(&k, epoch(rows[i].been), rows[i].been_seq);
        }
        known_supersede(&k, slice_str(rows[i].superseded));
        regressed = known_has_regressed(&k, epoch(rows[i].redis), rows[i].redis_seq, message);
        assert_int_equal(regressed, rows[i].reason != NULL);
        if (rows[i].reason != NULL) {
            assert_memory_equal(message, rows[i].reason, strlen(rows[i].reason));
        }
    }
}

static void the_highest_counts(void **state)
{
    struct known k = {0};

    (void)state;
    known_hear(&k, epoch(OURS), 5);
    assert_false(k.somewhere);
    known_reach(&k, epoch(OURS), 5);
    known_reach(&k, epoch(OURS), 3);
    assert_int_equal(k.seq, 5);
    known_hear(&k, epoch(OTHER), 9);
    known_hear(&k, epoch(OURS), 4);
    assert_int_equal(k.seq, 5);
    known_hear(&k, epoch(OURS), 6);
    assert_int_equal(k.seq, 6);
    known_reach(&k, epoch(ADOPTED), 2);
    assert_memory_equal(k.epoch, ADOPTED, STATE_EPOCH_BYTES);
    assert_int_equal(k.seq, 2);
}

static void the_newest_superseded_are_kept(void **state)
{
    char list[KNOWN_SUPERSEDED_MAX + STATE_EPOCH_BYTES + 3], message[KNOWN_REASON_CHARS];
    struct known k = {0};

    (void)state;
    memset(list, 'x', sizeof(list));
    memcpy(list, OURS, STATE_EPOCH_BYTES);
    memcpy(list + KNOWN_SUPERSEDED_MAX, OTHER, STATE_EPOCH_BYTES);
    known_supersede(&k, SLICE_MAKE(list, sizeof(list)));
    assert_int_equal(k.n_superseded, KNOWN_SUPERSEDED_MAX);
    known_reach(&k, epoch(OURS), 1);
    assert_true(known_has_regressed(&k, epoch(ADOPTED), 1, message));
    known_reach(&k, epoch(OTHER), 1);
    assert_false(known_has_regressed(&k, epoch(ADOPTED), 1, message));
    known_supersede(&k, SLICE_NULL);
    assert_int_equal(k.n_superseded, 0);
    assert_true(known_has_regressed(&k, epoch(ADOPTED), 1, message));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redis_is_held_against_it),
        cmocka_unit_test(the_highest_counts),
        cmocka_unit_test(the_newest_superseded_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
