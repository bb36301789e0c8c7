// SPDX-License-Identifier: Apache-2.0
//   IDLE --start--> READING (thread) --result (mailbox)--> IDLE, done
//                      | start: again                  `--again--> READING
#include "controlplane/reader.h"

#include <pthread.h>
#include <stdbool.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/io/mbox.h"
#include "common/io/proc.h"

struct reader {
    struct loop *loop;
    struct config *(*read)(void *arg);
    void (*done)(void *arg, struct config *c);
    void *arg;
    struct mbox *mbox;
    struct mbox_msg message; // the thread's until it is sent
    struct config *made;     // the same
    pthread_t thread;
    bool reading, again, ending;
};

static void *thread_main(void *arg)
{
    struct reader *r = arg;

    proc_name_thread("sluice-reader");
    r->made = r->read(r->arg);
    CHECK(mbox_send(r->mbox, &r->message)); // one message at a time: there is room
    return NULL;
}

static void on_read(void *arg, struct mbox_msg *m)
{
    struct reader *r = arg;
    struct config *made = r->made;

    (void)m;
    if (r->ending) {
        return; // joined already
    }
    CHECK(pthread_join(r->thread, NULL) == 0);
    r->made = NULL;
    r->reading = false;
    if (r->again) {
        config_free(&made);
        reader_start(r);
    } else {
        r->done(r->arg, made);
    }
}

void reader_start(struct reader *r)
{
    r->again = r->reading;
    if (r->reading) {
        return;
    }
    r->reading = true;
    if (pthread_create(&r->thread, NULL, thread_main, r) != 0) { // then as it was without one
        r->reading = false;
        r->done(r->arg, r->read(r->arg));
    }
}

struct reader *reader_new(struct loop *l, struct config *(*read)(void *arg),
                          void (*done)(void *arg, struct config *c), void *arg, struct err *e)
{
    struct reader *r = mem_zalloc(sizeof(*r));

    r->loop = l;
    r->read = read;
    r->done = done;
    r->arg = arg;
    r->mbox = mbox_new(l, 1, on_read, r, e);
    if (r->mbox == NULL) {
        mem_free(r);
        return NULL;
    }
    return r;
}

void reader_free(struct reader **rp)
{
    struct reader *r = *rp;

    *rp = NULL;
    if (r == NULL) {
        return;
    }
    r->ending = true;
    if (r->reading) {
        CHECK(pthread_join(r->thread, NULL) == 0);
        config_free(&r->made);
    }
    mbox_free(&r->mbox); // passes on what is in it
    mem_free(r);
}
