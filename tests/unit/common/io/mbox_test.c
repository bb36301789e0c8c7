// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "common/base/cdefs.h"
#include "common/base/mem.h"
#include "common/io/mbox.h"

enum { THREADS = 4, PER_THREAD = 5000 };

struct msg {
    struct mbox_msg m;
    int thread, number;
};

struct inbox {
    struct loop *l;
    struct mbox *mbox;
    int next[THREADS]; // number expected from each thread
    int n, out_of_order;
};

static void on_msg(void *arg, struct mbox_msg *m)
{
    struct inbox *in = arg;
    struct msg *msg = container_of(m, struct msg, m);

    in->out_of_order += msg->number != in->next[msg->thread];
    in->next[msg->thread] = msg->number + 1;
    in->n++;
    mem_free(msg);
}

static struct msg *make(int thread, int number)
{
    struct msg *msg = mem_zalloc(sizeof *msg);

    msg->thread = thread;
    msg->number = number;
    return msg;
}

static int setup(void **state)
{
    struct inbox *in = mem_zalloc(sizeof *in);

    in->l = loop_new(NULL);
    in->mbox = mbox_new(in->l, 64, on_msg, in, NULL);
    *state = in;
    return in->mbox == NULL;
}

static int teardown(void **state)
{
    struct inbox *in = *state;

    mbox_free(&in->mbox);
    loop_free(&in->l);
    mem_free(in);
    return 0;
}

static void messages_arrive_in_order(void **state)
{
    struct inbox *in = *state;

    for (int i = 0; i < 10; i++) {
        assert_true(mbox_send(in->mbox, &make(0, i)->m));
    }
    assert_int_equal(in->n, 0);
    loop_turn(in->l, UINT64_MAX);
    assert_int_equal(in->n, 10);
    assert_int_equal(in->out_of_order, 0);
    loop_turn(in->l, 0);
    assert_int_equal(in->n, 10);
}

static void a_full_mailbox_refuses(void **state)
{
    struct inbox *in = *state;
    struct msg *rest = make(0, 64);

    for (int i = 0; i < 64; i++) {
        assert_true(mbox_send(in->mbox, &make(0, i)->m));
    }
    assert_false(mbox_send(in->mbox, &rest->m));
    loop_turn(in->l, UINT64_MAX);
    assert_true(mbox_send(in->mbox, &rest->m));
    loop_turn(in->l, UINT64_MAX);
    assert_int_equal(in->n, 65);
}

static void what_is_left_is_delivered_at_the_end(void **state)
{
    struct inbox *in = *state;

    assert_true(mbox_send(in->mbox, &make(0, 0)->m));
    assert_true(mbox_send(in->mbox, &make(0, 1)->m));
    mbox_free(&in->mbox);
    assert_int_equal(in->n, 2);
    assert_null(in->mbox);
}

struct sender {
    struct inbox *in;
    int thread;
    pthread_t t;
};

static void *send_many(void *arg)
{
    struct sender *s = arg;

    for (int i = 0; i < PER_THREAD; i++) {
        struct msg *msg = make(s->thread, i);

        while (!mbox_send(s->in->mbox, &msg->m)) {
            loop_wake(s->in->l); // full: the receiver is slow
        }
    }
    return NULL;
}

static void many_threads_lose_nothing(void **state)
{
    struct inbox *in = *state;
    struct sender s[THREADS];

    for (int i = 0; i < THREADS; i++) {
        s[i] = (struct sender){.in = in, .thread = i};
        assert_int_equal(pthread_create(&s[i].t, NULL, send_many, &s[i]), 0);
    }
    while (in->n < THREADS * PER_THREAD) {
        loop_turn(in->l, UINT64_MAX); // a lost wake would hang here
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(s[i].t, NULL), 0);
    }
    assert_int_equal(in->out_of_order, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_arrive_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_mailbox_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_left_is_delivered_at_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(many_threads_lose_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
