// SPDX-License-Identifier: Apache-2.0
// Mailbox into a loop: many senders, one receiver, no lock.
//
//   senders:   head -> m3 -> m2 -> m1          each pushes in front by compare-and-swap
//   receiver:  takes the whole chain at once, turns it round, and delivers m1, m2, m3
//
// Who pushes onto an empty chain writes the eventfd, so a burst costs one wake. No wake is lost:
// the receiver reads the eventfd before it takes the chain, and every write it has read came after
// its push.
#include "common/io/mbox.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"

struct mbox {
    struct loop *l; // borrowed
    struct loop_watch w;
    int fd; // eventfd
    _Atomic(struct mbox_msg *) head;
    _Atomic size_t n; // sent and not yet delivered
    size_t max;
    void (*fn)(void *arg, struct mbox_msg *m);
    void *arg;
};

static void deliver(struct mbox *m)
{
    struct mbox_msg *chain = atomic_exchange(&m->head, NULL), *first = NULL;

    while (chain != NULL) {
        struct mbox_msg *next = chain->next;

        chain->next = first;
        first = chain;
        chain = next;
    }
    while (first != NULL) {
        struct mbox_msg *msg = first;

        first = msg->next; // read before fn, which owns msg
        msg->next = NULL;
        atomic_fetch_sub(&m->n, 1);
        m->fn(m->arg, msg);
    }
}

static void on_readable(struct loop_watch *w, uint32_t events)
{
    struct mbox *m = container_of(w, struct mbox, w);
    uint64_t count;

    (void)events;
    (void)!read(m->fd, &count, sizeof count); // its value says nothing; EAGAIN cannot be
    deliver(m);
}

struct mbox *mbox_new(struct loop *l, size_t max_messages,
                      void (*fn)(void *arg, struct mbox_msg *m), void *arg, struct err *e)
{
    struct mbox *m = mem_zalloc(sizeof *m);

    CHECK(fn != NULL && max_messages > 0);
    m->l = l;
    m->max = max_messages;
    m->fn = fn;
    m->arg = arg;
    m->w.fn = on_readable;
    m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->fd < 0) {
        err_set(e, ERR_IO, "cannot make a mailbox: %s", strerror(errno));
        goto fail;
    }
    m->w.fd = m->fd;
    if (!loop_watch_add(l, &m->w, LOOP_READ, e)) {
        goto fail_fd;
    }
    return m;

fail_fd:
    (void)close(m->fd); // nothing was written to it
fail:
    mem_free(m);
    return NULL;
}

void mbox_free(struct mbox **mp)
{
    struct mbox *m = *mp;

    *mp = NULL;
    if (m == NULL) {
        return;
    }
    loop_watch_remove(m->l, &m->w);
    deliver(m);
    (void)close(m->fd); // as in mbox_new
    mem_free(m);
}

bool mbox_send(struct mbox *m, struct mbox_msg *msg)
{
    struct mbox_msg *head;
    uint64_t one = 1;

    if (atomic_fetch_add(&m->n, 1) >= m->max) {
        atomic_fetch_sub(&m->n, 1);
        return false;
    }
    head = atomic_load(&m->head);
    do {
        msg->next = head;
    } while (!atomic_compare_exchange_weak(&m->head, &head, msg));
    // From here on msg is the receiver's.
    if (head == NULL) {
        (void)!write(m->fd, &one, sizeof one); // EAGAIN: it is readable anyway
    }
    return true;
}
