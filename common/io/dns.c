// SPDX-License-Identifier: Apache-2.0
// One detached helper thread for each struct dns, made with the first question.
//
//   loop thread:   dns_resolve -> asked list ---.             on_answer <- mbox
//   helper thread:                 take <-------'  getaddrinfo --> mbox_send (under the lock)
//
// The part both threads know (`shared`) is counted: the last of the two to leave frees it. Once
// `closed` is set the helper neither takes nor delivers anything, so dns_free need not wait for a
// resolver that hangs.
#include "common/io/dns.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/io/mbox.h"

#define QUESTIONS_MAX 1024

struct dns_query {
    struct mbox_msg msg;   // first
    struct list_node node; // in shared.asked
    dns_fn fn;             // NULL: cancelled. Loop thread only.
    void *arg;
    char name[DNS_NAME_MAX + 1];
    char text[DNS_ADDRESSES_MAX][INET6_ADDRSTRLEN]; // the answer: helper thread until it is sent
    size_t n;
    struct err err;
};

struct shared {
    pthread_mutex_t lock;
    pthread_cond_t asked_some;
    struct list asked; // struct dns_query
    struct mbox *mbox; // NULL once closed
    bool closed;
    unsigned holders; // of this struct
};

struct dns {
    struct loop *loop;
    struct shared *shared;
    bool has_thread;
};

// ---- helper thread ---------------------------------------------------------------------------

static bool is_new(const struct dns_query *q, const char *text)
{
    for (size_t i = 0; i < q->n; i++) {
        if (strcmp(q->text[i], text) == 0) {
            return false;
        }
    }
    return true;
}

static void note_address(struct dns_query *q, const struct sockaddr *sa)
{
    char *text = q->text[q->n];
    const void *from;

    if (sa->sa_family == AF_INET) {
        from = &((const struct sockaddr_in *)(const void *)sa)->sin_addr;
    } else if (sa->sa_family == AF_INET6) {
        from = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
    } else {
        return;
    }
    if (inet_ntop(sa->sa_family, from, text, sizeof(q->text[0])) != NULL && is_new(q, text)) {
        q->n++;
    }
}

static void resolve(struct dns_query *q)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(q->name, NULL, &hints, &list);

    if (rc != 0) {
        err_set(&q->err, ERR_UNAVAILABLE, "%s: %s", q->name, gai_strerror(rc));
        return;
    }
    for (struct addrinfo *a = list; a != NULL && q->n < DNS_ADDRESSES_MAX; a = a->ai_next) {
        note_address(q, a->ai_addr);
    }
    freeaddrinfo(list);
    if (q->n == 0) {
        err_set(&q->err, ERR_NOT_FOUND, "%s: no address", q->name);
    }
}

// Drops one holder; lock held on entry, not after.
static void leave(struct shared *s)
{
    bool last = --s->holders == 0;

    CHECK(pthread_mutex_unlock(&s->lock) == 0);
    if (last) {
        (void)pthread_cond_destroy(&s->asked_some);
        (void)pthread_mutex_destroy(&s->lock);
        mem_free(s);
    }
}

static void *helper(void *arg)
{
    struct shared *s = arg;

    CHECK(pthread_mutex_lock(&s->lock) == 0);
    for (;;) {
        struct list_node *n;
        struct dns_query *q;

        while (!s->closed && s->asked.count == 0) {
            CHECK(pthread_cond_wait(&s->asked_some, &s->lock) == 0);
        }
        if (s->closed) {
            break;
        }
        n = list_pop_front(&s->asked);
        q = container_of(n, struct dns_query, node);
        CHECK(pthread_mutex_unlock(&s->lock) == 0);
        resolve(q);
        CHECK(pthread_mutex_lock(&s->lock) == 0);
        // The mailbox holds as many as there can be questions, so a refusal means closed.
        if (s->closed || !mbox_send(s->mbox, &q->msg)) {
            mem_free(q);
        }
    }
    leave(s);
    return NULL;
}

// ---- loop thread -----------------------------------------------------------------------------

static void on_answer(void *arg, struct mbox_msg *m)
{
    struct dns_query *q = container_of(m, struct dns_query, msg);
    const char *addresses[DNS_ADDRESSES_MAX];
    struct dns *d = arg;

    for (size_t i = 0; i < q->n; i++) {
        addresses[i] = q->text[i];
    }
    if (q->fn != NULL && !d->shared->closed) {
        q->fn(q->arg, addresses, q->n, &q->err);
    }
    mem_free(q);
}

struct dns *dns_new(struct loop *l, struct err *e)
{
    struct dns *d = mem_zalloc(sizeof(*d));
    struct shared *s = mem_zalloc(sizeof(*s));

    d->loop = l;
    d->shared = s;
    CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
    CHECK(pthread_cond_init(&s->asked_some, NULL) == 0);
    list_init(&s->asked);
    s->holders = 1;
    s->mbox = mbox_new(l, QUESTIONS_MAX, on_answer, d, e);
    if (s->mbox == NULL) {
        dns_free(&d);
    }
    return d;
}

void dns_free(struct dns **d)
{
    struct dns *old = *d;
    struct list_node *n;
    struct shared *s;
    struct mbox *mbox;

    *d = NULL;
    if (old == NULL) {
        return;
    }
    s = old->shared;
    CHECK(pthread_mutex_lock(&s->lock) == 0);
    s->closed = true;
    mbox = s->mbox;
    s->mbox = NULL;
    while ((n = list_pop_front(&s->asked)) != NULL) {
        mem_free(container_of(n, struct dns_query, node));
    }
    CHECK(pthread_cond_signal(&s->asked_some) == 0);
    CHECK(pthread_mutex_unlock(&s->lock) == 0);
    // Nobody sends any more. Answers still inside are freed without being told.
    if (mbox != NULL) {
        mbox_free(&mbox);
    }
    CHECK(pthread_mutex_lock(&s->lock) == 0);
    leave(s);
    mem_free(old);
}

static bool start_helper(struct dns *d, struct err *e)
{
    pthread_attr_t attr;
    pthread_t thread;
    int rc;

    if (d->has_thread) {
        return true;
    }
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
    d->shared->holders++; // no other thread yet
    rc = pthread_create(&thread, &attr, helper, d->shared);
    (void)pthread_attr_destroy(&attr);
    if (rc != 0) {
        d->shared->holders--;
        return err_set(e, ERR_UNAVAILABLE, "resolver thread: %s", strerror(rc));
    }
    d->has_thread = true;
    return true;
}

struct dns_query *dns_resolve(struct dns *d, const char *name, dns_fn fn, void *arg, struct err *e)
{
    struct shared *s = d->shared;
    struct dns_query *q;
    size_t n = strlen(name);
    bool full;

    if (n == 0 || n > DNS_NAME_MAX) {
        err_set(e, ERR_INVALID, "a host name has 1 to %u characters", DNS_NAME_MAX);
        return NULL;
    }
    if (!start_helper(d, e)) {
        return NULL;
    }
    q = mem_zalloc(sizeof(*q));
    q->fn = fn;
    q->arg = arg;
    memcpy(q->name, name, n);
    CHECK(pthread_mutex_lock(&s->lock) == 0);
    full = s->asked.count >= QUESTIONS_MAX / 2; // the rest may sit in the mailbox
    if (!full) {
        list_push_back(&s->asked, &q->node);
        CHECK(pthread_cond_signal(&s->asked_some) == 0);
    }
    CHECK(pthread_mutex_unlock(&s->lock) == 0);
    if (full) {
        mem_free(q);
        err_set(e, ERR_UNAVAILABLE, "too many names are being resolved");
        return NULL;
    }
    return q;
}

void dns_cancel(struct dns_query **q)
{
    if (*q != NULL) {
        (*q)->fn = NULL; // it is freed when its answer comes
        *q = NULL;
    }
}

bool dns_is_numeric(struct slice host)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr out;

    if (host.n == 0 || host.n >= sizeof(text)) {
        return false;
    }
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    return inet_pton(AF_INET, text, &out) == 1 || inet_pton(AF_INET6, text, &out) == 1;
}
