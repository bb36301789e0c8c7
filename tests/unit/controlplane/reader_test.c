// SPDX-License-Identifier: Apache-2.0
// The loop goes on while a file is read, one reading at a time; who asks meanwhile is told of a
// later one.
#include "controlplane/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "common/base/env.h"
#include "common/base/mono.h"

// Readings wait until the test lets them go on.
struct fixture {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned begun, allowed, readers; // under the lock
    bool fails;                       // the same
    struct loop *loop;
    struct reader *reader;
    unsigned done, nothing; // loop
};

static struct config *read_slowly(void *arg)
{
    struct fixture *f = arg;
    struct config *c;
    struct env *env;
    unsigned mine;
    bool fails;

    pthread_mutex_lock(&f->lock);
    mine = ++f->begun;
    assert_int_equal(++f->readers, 1);
    pthread_cond_broadcast(&f->changed);
    while (f->allowed < mine) {
        pthread_cond_wait(&f->changed, &f->lock);
    }
    f->readers--;
    fails = f->fails;
    pthread_mutex_unlock(&f->lock);
    if (fails) {
        return NULL;
    }
    env = env_new();
    c = config_load(NULL, &(const struct config_options){.env = env});
    env_free(&env);
    return c;
}

static void on_done(void *arg, struct config *c)
{
    struct fixture *f = arg;

    f->done++;
    f->nothing += c == NULL;
    config_free(&c);
}

static void allow(struct fixture *f, unsigned n)
{
    pthread_mutex_lock(&f->lock);
    f->allowed += n;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void until_begun(struct fixture *f, unsigned n)
{
    pthread_mutex_lock(&f->lock);
    while (f->begun < n) {
        pthread_cond_wait(&f->changed, &f->lock);
    }
    pthread_mutex_unlock(&f->lock);
}

static void until_done(struct fixture *f, unsigned n)
{
    while (f->done < n) {
        loop_turn(f->loop, 20 * MONO_MS);
    }
}

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){.done = 0};
    pthread_mutex_init(&f.lock, NULL);
    pthread_cond_init(&f.changed, NULL);
    f.loop = loop_new(NULL);
    f.reader = reader_new(f.loop, read_slowly, on_done, &f, NULL);
    assert_non_null(f.reader);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    reader_free(&f->reader);
    loop_free(&f->loop);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    return 0;
}

static void the_loop_goes_on(void **state)
{
    struct fixture *f = *state;

    reader_start(f->reader);
    until_begun(f, 1);
    loop_turn(f->loop, 0);
    assert_int_equal(f->done, 0);
    allow(f, 1);
    until_done(f, 1);
    assert_int_equal(f->nothing, 0);
    pthread_mutex_lock(&f->lock);
    f->fails = true;
    pthread_mutex_unlock(&f->lock);
    reader_start(f->reader);
    allow(f, 1);
    until_done(f, 2);
    assert_int_equal(f->nothing, 1);
}

static void who_asks_meanwhile_hears_of_a_later_one(void **state)
{
    struct fixture *f = *state;

    reader_start(f->reader);
    until_begun(f, 1);
    for (int i = 0; i < 3; i++) {
        reader_start(f->reader);
    }
    allow(f, 2);
    until_done(f, 1);
    assert_int_equal(f->begun, 2);
    for (int i = 0; i < 3; i++) {
        loop_turn(f->loop, 0);
    }
    assert_int_equal(f->done, 1);
}

// With a reading under way, and with one that is done and not told of.
static void it_ends_at_any_time(void **state)
{
    struct fixture *f = *state;

    reader_start(f->reader);
    until_begun(f, 1);
    allow(f, 1);
    reader_free(&f->reader);
    assert_int_equal(f->done, 0);
    assert_null(f->reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_loop_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(who_asks_meanwhile_hears_of_a_later_one, setup, teardown),
        cmocka_unit_test_setup_teardown(it_ends_at_any_time, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
