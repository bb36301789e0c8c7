// SPDX-License-Identifier: Apache-2.0
//   waiting --begin--> now (thread) --made (mailbox)--> done, and the next one begins
//      ^                 |
//      `--started again--'
#include "controlplane/reader.h"

#include <pthread.h>
#include <stdbool.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/io/mbox.h"
#include "common/io/proc.h"

struct reader {
    struct loop *loop;
    struct list waiting; // struct reading
    struct reading *now; // NULL: none
    struct mbox *mbox;
    struct mbox_msg message; // the thread's until it is sent
    struct config *made;     // the same
    pthread_t thread;
    bool ending;
};

static void *thread_main(void *arg)
{
    struct reader *r = arg;

    proc_name_thread("sluice-reader");
    r->made = r->now->read(r->now);
    CHECK(mbox_send(r->mbox, &r->message)); // one message at a time: there is room
    return NULL;
}

static void begin(struct reader *r)
{
    while (r->now == NULL && r->waiting.count > 0) {
        struct reading *g = container_of(list_pop_front(&r->waiting), struct reading, node);

        r->now = g;
        if (pthread_create(&r->thread, NULL, thread_main, r) != 0) { // then as it was without one
            r->now = NULL;
            g->done(g, g->read(g));
        }
    }
}

static void on_made(void *arg, struct mbox_msg *m)
{
    struct reader *r = arg;
    struct reading *g = r->now;
    struct config *made = r->made;

    (void)m;
    if (r->ending) {
        return; // joined already
    }
    CHECK(pthread_join(r->thread, NULL) == 0);
    r->now = NULL;
    r->made = NULL;
    g->done(g, made);
    begin(r);
}

void reader_start(struct reader *r, struct reading *g)
{
    if (!list_in_one(&g->node)) {
        list_push_back(&r->waiting, &g->node);
        begin(r);
    }
}

struct reader *reader_new(struct loop *l, struct err *e)
{
    struct reader *r = mem_zalloc(sizeof(*r));

    r->loop = l;
    list_init(&r->waiting);
    r->mbox = mbox_new(l, 1, on_made, r, e);
    if (r->mbox == NULL) {
        mem_free(r);
        return NULL;
    }
    return r;
}

void reader_free(struct reader **rp)
{
    struct reader *r = *rp;
    struct list_node *n;

    *rp = NULL;
    if (r == NULL) {
        return;
    }
    r->ending = true;
    if (r->now != NULL) {
        CHECK(pthread_join(r->thread, NULL) == 0);
        config_free(&r->made);
        if (!list_in_one(&r->now->node)) {
            list_push_back(&r->waiting, &r->now->node);
        }
    }
    mbox_free(&r->mbox); // passes on what is in it
    while ((n = list_pop_front(&r->waiting)) != NULL) {
        struct reading *g = container_of(n, struct reading, node);

        g->done(g, NULL);
    }
    mem_free(r);
}
