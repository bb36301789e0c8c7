// SPDX-License-Identifier: Apache-2.0
// Lingering close. libmicrohttpd shuts down and closes right after an answer that went out before
// the request's body was read; the kernel then answers the bytes that still arrive with a reset,
// and the client may never see the answer. So the socket is kept by a duplicate of its descriptor,
// and read from, until the client closes, 1 MiB has come, or two seconds are over.
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/httpd_priv.h"

#define LINGER_MAX   256u // at a time: beyond, close at once
#define LINGER_BYTES (1u << 20)
#define LINGER_US    (2 * MONO_SEC)

// Owned by h->lingering; buried when done.
struct late_reader {
    struct httpd *h;
    struct list_node node;
    struct loop_watch watch;
    struct loop_timer timer;
    struct loop_grave grave;
    size_t bytes; // read so far
};

static void free_linger(struct loop_grave *g)
{
    mem_free(container_of(g, struct late_reader, grave));
}

static void stop(struct late_reader *g)
{
    loop_watch_remove(g->h->l, &g->watch);
    loop_timer_cancel(g->h->l, &g->timer);
    list_remove(&g->h->lingering, &g->node);
    (void)close(g->watch.fd); // nothing more is wanted from it
    loop_bury(g->h->l, &g->grave);
}

static void on_readable(struct loop_watch *w, uint32_t events)
{
    struct late_reader *g = container_of(w, struct late_reader, watch);
    char drop[16384];

    (void)events;
    for (int i = 0; i < 4; i++) { // 64 KiB a turn
        ssize_t n = recv(w->fd, drop, sizeof drop, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        g->bytes += n > 0 ? (size_t)n : 0;
        if (n <= 0 || g->bytes >= LINGER_BYTES) {
            stop(g);
            return;
        }
    }
}

static void on_time(struct loop_timer *t)
{
    stop(container_of(t, struct late_reader, timer));
}

void httpd_linger_start(struct httpd *h, int fd)
{
    struct late_reader *g;
    int copy;

    if (h->lingering.count >= LINGER_MAX) {
        return;
    }
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        return; // out of descriptors: the plain close has to do
    }
    g = mem_zalloc(sizeof *g);
    g->h = h;
    g->watch = (struct loop_watch){.fd = copy, .fn = on_readable};
    g->timer.fn = on_time;
    g->grave.fn = free_linger;
    if (!loop_watch_add(h->l, &g->watch, LOOP_READ, NULL)) {
        (void)close(copy); // as above
        mem_free(g);
        return;
    }
    list_push_back(&h->lingering, &g->node);
    loop_timer_set(h->l, &g->timer, loop_now_us(h->l) + LINGER_US);
}

void httpd_linger_stop_all(struct httpd *h)
{
    struct list_node *n;

    for (n = list_first(&h->lingering); n != NULL; n = list_first(&h->lingering)) {
        stop(container_of(n, struct late_reader, node));
    }
}
