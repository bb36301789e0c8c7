// SPDX-License-Identifier: Apache-2.0
// libcurl's socket and timer callbacks on the loop.
//
//   libcurl                       here                                     loop
//   socket callback  --> struct sock per fd, exactly what libcurl says --> level-triggered watch
//   timer callback   --> one-shot, rounded up by 1 ms, cleared
//                        before it is served; asked for if not renewed --> timer
//   finished         <-- harvest after each socket_action              <-- watch or timer fired
//
// The lazy registration that pays for transfers is not worth it here: these multis connect, and
// what was connected is watched by its user. A libcurl socket leaves the loop before it is closed,
// because libcurl tells its socket callback first.
#include "common/io/multis.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/mono.h"

#define PER_MULTI      16u
#define TURN_BUDGET_US (5 * MONO_MS) // for connecting, in one turn of the loop
#define MAX_CONNECTS                                                                               \
    64L // more than a multi ever holds: libcurl must not close connections by itself

struct multis_one {
    struct multis *set;
    CURLM *m;                // owned
    struct loop_timer timer; // libcurl's, one-shot
    bool timer_told;         // libcurl has set or cleared the timer since it was last asked
    unsigned used;           // handles inside
    struct list_node node;   // in set->with_room while used < PER_MULTI
    struct multis_one *next; // all of them
};

// One socket libcurl wants to be watched. Owned by libcurl's socket table (curl_multi_assign).
struct sock {
    struct loop_watch watch;
    struct loop_grave grave;
    struct multis_one *multi;
};

static int on_curl_timer(CURLM *curl, long timeout_ms, void *p)
{
    struct multis_one *m = p;
    struct loop *l = m->set->l;

    (void)curl;
    m->timer_told = true;
    if (timeout_ms < 0) {
        loop_timer_cancel(l, &m->timer);
    } else if (timeout_ms == 0) {
        loop_timer_set(l, &m->timer, 1); // next timer phase
    } else {
        // One more: the loop's stamp is older than the clock libcurl has read.
        loop_timer_set(l, &m->timer, loop_now_us(l) + ((uint64_t)timeout_ms + 1) * MONO_MS);
    }
    return 0;
}

static void harvest(struct multis_one *m)
{
    CURLMsg *msg;
    int left;

    // on_done may add and remove handles: each round asks anew, and msg is not used behind it.
    while ((msg = curl_multi_info_read(m->m, &left)) != NULL) {
        if (msg->msg == CURLMSG_DONE) {
            m->set->on_done(msg->easy_handle, msg->data.result);
        }
    }
}

// A TLS handshake costs up to a millisecond, and hundreds may be due at once: when a turn has spent
// its budget on them, the others have to wait so that traffic does not.
static bool in_budget(struct multis *ms)
{
    if (ms->turn_us != loop_now_us(ms->l)) {
        ms->turn_us = loop_now_us(ms->l);
        ms->spent_us = 0;
    }
    return ms->spent_us < TURN_BUDGET_US;
}

static void on_timer(struct loop_timer *t)
{
    struct multis_one *m = container_of(t, struct multis_one, timer);
    struct multis *ms = m->set;
    uint64_t start_us = mono_now_us();
    long timeout_ms = -1;
    int running;

    if (!in_budget(ms)) {
        loop_timer_set(ms->l, t, 1); // next turn
        return;
    }
    m->timer_told = false;
    // A failure here is about single transfers, which say so in their message.
    (void)curl_multi_socket_action(m->m, CURL_SOCKET_TIMEOUT, 0, &running);
    if (!m->timer_told && curl_multi_timeout(m->m, &timeout_ms) == CURLM_OK) {
        (void)on_curl_timer(m->m, timeout_ms, m); // always 0
    }
    ms->spent_us += mono_now_us() - start_us;
    harvest(m);
}

static void on_sock_event(struct loop_watch *w, uint32_t events)
{
    struct multis_one *m = container_of(w, struct sock, watch)->multi;
    struct multis *ms = m->set;
    uint64_t start_us = mono_now_us();
    int mask = 0, running;

    if (!in_budget(ms)) {
        return; // level-triggered: it comes again
    }
    mask |= (events & LOOP_READ) != 0 ? CURL_CSELECT_IN : 0;
    mask |= (events & LOOP_WRITE) != 0 ? CURL_CSELECT_OUT : 0;
    mask |= (events & LOOP_ERROR) != 0 ? CURL_CSELECT_ERR : 0;
    (void)curl_multi_socket_action(m->m, w->fd, mask, &running); // as in on_timer
    ms->spent_us += mono_now_us() - start_us;
    harvest(m);
}

static void bury_sock(struct loop_grave *g)
{
    mem_free(container_of(g, struct sock, grave));
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *p, void *sock)
{
    struct multis_one *m = p;
    struct sock *s = sock;
    uint32_t events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s != NULL) {
            loop_watch_remove(m->set->l, &s->watch);
            (void)curl_multi_assign(m->m, fd, NULL); // the entry goes away anyhow
            s->grave.fn = bury_sock;
            loop_bury(m->set->l, &s->grave);
        }
        return 0;
    }
    events |= what == CURL_POLL_IN || what == CURL_POLL_INOUT ? LOOP_READ : 0;
    events |= what == CURL_POLL_OUT || what == CURL_POLL_INOUT ? LOOP_WRITE : 0;
    if (s != NULL) {
        loop_watch_set(m->set->l, &s->watch, events);
        return 0;
    }
    s = mem_zalloc(sizeof(*s));
    *s = (struct sock){.multi = m, .watch = {.fd = fd, .fn = on_sock_event}};
    if (!loop_watch_add(m->set->l, &s->watch, events, NULL) ||
        curl_multi_assign(m->m, fd, s) != CURLM_OK) {
        loop_watch_remove(m->set->l, &s->watch);
        mem_free(s);
        // An error returned from here would end all transfers of the multi; this one times out.
    }
    return 0;
}

static struct multis_one *one_new(struct multis *ms)
{
    struct multis_one *m = mem_zalloc(sizeof(*m));

    m->set = ms;
    m->timer.fn = on_timer;
    m->m = curl_multi_init();
    if (m->m == NULL ||
        curl_multi_setopt(m->m, CURLMOPT_SOCKETFUNCTION, on_curl_socket) != CURLM_OK ||
        curl_multi_setopt(m->m, CURLMOPT_SOCKETDATA, m) != CURLM_OK ||
        curl_multi_setopt(m->m, CURLMOPT_TIMERFUNCTION, on_curl_timer) != CURLM_OK ||
        curl_multi_setopt(m->m, CURLMOPT_TIMERDATA, m) != CURLM_OK ||
        curl_multi_setopt(m->m, CURLMOPT_MAXCONNECTS, MAX_CONNECTS) != CURLM_OK) {
        (void)curl_multi_cleanup(m->m); // NULL or empty
        mem_free(m);
        return NULL;
    }
    m->next = ms->all;
    ms->all = m;
    list_push_front(&ms->with_room, &m->node);
    return m;
}

struct multis_one *multis_add(struct multis *ms, CURL *easy)
{
    struct list_node *n = list_first(&ms->with_room);
    struct multis_one *m = n != NULL ? container_of(n, struct multis_one, node) : one_new(ms);

    if (m == NULL || curl_multi_add_handle(m->m, easy) != CURLM_OK) {
        return NULL;
    }
    if (++m->used == PER_MULTI) {
        list_remove(&ms->with_room, &m->node);
    }
    return m;
}

void multis_remove(struct multis_one *m, CURL *easy)
{
    (void)curl_multi_remove_handle(m->m, easy); // fails only for a handle that is not in it
    if (m->used-- == PER_MULTI) {
        list_push_front(&m->set->with_room, &m->node);
    }
}

void multis_init(struct multis *ms, struct loop *l, void (*on_done)(CURL *easy, CURLcode rc))
{
    *ms = (struct multis){.l = l, .on_done = on_done};
    list_init(&ms->with_room);
}

void multis_done(struct multis *ms)
{
    while (ms->all != NULL) {
        struct multis_one *m = ms->all;

        CHECK(m->used == 0);
        ms->all = m->next;
        (void)curl_multi_cleanup(m->m); // empty
        loop_timer_cancel(ms->l, &m->timer);
        mem_free(m);
    }
}
