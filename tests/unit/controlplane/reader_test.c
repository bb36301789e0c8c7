// SPDX-License-Identifier: Apache-2.0
// The loop goes on while something is read, one reading at a time; each is told of, also when it
// was started again meanwhile.
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
    struct reading file, text;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned begun, allowed, readers; // under the lock
    bool fails;                       // the same
    struct loop *loop;
    struct reader *reader;
    unsigned done, nothing, texts; // loop
};

static struct config *read_slowly(struct fixture *f)
{
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

static struct config *read_file(struct reading *g)
{
    return read_slowly(container_of(g, struct fixture, file));
}

static struct config *read_text(struct reading *g)
{
    return read_slowly(container_of(g, struct fixture, text));
}

static void on_text(struct reading *g, struct config *c)
{
    struct fixture *f = container_of(g, struct fixture, text);

    f->texts++;
    f->nothing += c == NULL;
    config_free(&c);
}

static void on_done(struct reading *g, struct config *c)
{
    struct fixture *f = container_of(g, struct fixture, file);

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

    f = (struct fixture){.file = {.read = read_file, .done = on_done},
                         .text = {.read = read_text, .done = on_text}};
    pthread_mutex_init(&f.lock, NULL);
    pthread_cond_init(&f.changed, NULL);
    f.loop = loop_new(NULL);
    f.reader = reader_new(f.loop, NULL);
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

    reader_start(f->reader, &f->file);
    until_begun(f, 1);
    loop_turn(f->loop, 0);
    assert_int_equal(f->done, 0);
    allow(f, 1);
    until_done(f, 1);
    assert_int_equal(f->nothing, 0);
    pthread_mutex_lock(&f->lock);
    f->fails = true;
    pthread_mutex_unlock(&f->lock);
    reader_start(f->reader, &f->file);
    allow(f, 1);
    until_done(f, 2);
    assert_int_equal(f->nothing, 1);
}

// However often it is started: what is being read is told of, and then the newest is read once.
static void what_is_being_read_is_not_thrown_away(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 1; i <= 20; i++) {
        for (int k = 0; k < 3; k++) {
            reader_start(f->reader, &f->file);
        }
        until_begun(f, i);
        for (int k = 0; k < 3; k++) { // before it is made
            reader_start(f->reader, &f->file);
        }
        allow(f, 1);
        until_done(f, i);
    }
    allow(f, 1);
    until_done(f, 21);
    for (int i = 0; i < 3; i++) {
        loop_turn(f->loop, 0);
    }
    assert_int_equal(f->begun, 21);
    assert_int_equal(f->done, 21);
}

// A file that is read over and over lets others have their turn.
static void they_take_turns(void **state)
{
    struct fixture *f = *state;

    reader_start(f->reader, &f->file);
    until_begun(f, 1);
    reader_start(f->reader, &f->text);
    reader_start(f->reader, &f->file);
    allow(f, 1);
    until_done(f, 1);
    allow(f, 1);
    while (f->texts == 0) {
        loop_turn(f->loop, 20 * MONO_MS);
    }
    assert_int_equal(f->done, 1);
    allow(f, 1);
    until_done(f, 2);
    assert_int_equal(f->texts, 1);
}

// With a reading under way, with one that is made and not told of, with some that wait: all are
// told that there is nothing.
static void it_ends_at_any_time(void **state)
{
    struct fixture *f = *state;

    reader_start(f->reader, &f->file);
    until_begun(f, 1);
    reader_start(f->reader, &f->file);
    reader_start(f->reader, &f->text);
    allow(f, 1);
    reader_free(&f->reader);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->texts, 1);
    assert_int_equal(f->nothing, 2);
    assert_int_equal(f->begun, 1);
    assert_null(f->reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_loop_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_being_read_is_not_thrown_away, setup, teardown),
        cmocka_unit_test_setup_teardown(they_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(it_ends_at_any_time, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
