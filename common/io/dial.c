// SPDX-License-Identifier: Apache-2.0
// Connections by libcurl, used as a connector only (CURLOPT_CONNECT_ONLY).
//
// A struct dial_conn through its states:
//
//   dial_start --+-- name being resolved by another --> WAITING --(resolved)--> KICKED --+
//                |                                                                       |
//                +--------------------> CONNECTING <-------------------------------------+
//                                        |   |   |
//                             ORPHAN <---+   |   +---> FAILED
//          (dial_close while its own         v
//           resolution runs, until it ends) READY
//
// Where the libcurl handle is: CONNECTING and ORPHAN hold one, inside a multi. READY keeps it only
// where TLS needs it. From a plain TCP connection we take the socket (libcurl's close callback lets
// it live) and recycle the handle, so such a connection costs this struct and nothing of libcurl,
// and is no longer in any multi. That keeps multis, whose connection walks cost, for connecting and
// for TLS.
//
// Names: one leader per host resolves, through the DNS cache shared by all handles; the others wait
// until the leader opens its first socket, which is when the answer is in the cache. A leader that
// is closed early stays as an orphan: stopping it would leave its resolver thread behind for each
// client that goes away, and the answer is wanted by those who wait.
#include "common/io/dial.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/cidr.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/dial_handle.h"
#include "common/io/multis.h"

#define SPARE_HANDLES 64u

enum conn_state {
    CONN_WAITING,
    CONN_KICKED,
    CONN_CONNECTING,
    CONN_ORPHAN,
    CONN_READY,
    CONN_FAILED
};

// A name being resolved. In d->hosts until the leader opened a socket or ended.
struct host {
    char *name; // owned; the key in d->hosts
    struct list waiters;
};

struct dial_conn {
    struct dial *d;
    enum conn_state state;
    bool tls;
    bool taken;                 // fd is ours, not libcurl's
    bool forbidden;             // its address is in none of the allowed networks
    int fd;                     // READY
    struct dial_handle *handle; // owned; NULL when WAITING, KICKED, FAILED and when taken
    struct multis_one *multi;   // holds the handle
    struct host *host;          // WAITING: waits for it. CONNECTING, ORPHAN: leads it
    struct list_node node;      // of host->waiters, d->kicked, d->orphans
    enum dial_result outcome;   // KICKED: what the resolution came to
    struct loop_timer timer;    // WAITING, KICKED: the deadline (libcurl keeps it afterwards)
    uint64_t deadline_us;
    char *origin; // owned; until the handle has it
    void (*fn)(void *arg, enum dial_result r, const char *message);
    void *arg;
};

struct dial {
    struct loop *l;
    char *proxy, *ca_file;             // owned
    struct dial_handle_options common; // of all handles
    struct cidr *allowed;              // owned
    size_t n_allowed;
    bool tls_proxy; // the proxy itself is spoken to over TLS
    struct multis multis;
    struct list spare; // handles
    struct map hosts;  // name -> struct host
    struct list kicked, orphans;
    struct loop_timer kick; // serves `kicked`
    size_t n_conns;         // orphans included
};

static void on_deadline(struct loop_timer *t);
static void host_release(struct dial_conn *c, enum dial_result outcome);

// --- libcurl's callbacks: they record, nothing of libcurl is called from them --------------------

// The name (if it was one) is resolved: libcurl wants a socket for one of its addresses.
static curl_socket_t on_open_socket(void *p, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct dial_conn *c = p;

    (void)purpose;
    host_release(c, DIAL_OK);
    if (c->state == CONN_ORPHAN) {
        return CURL_SOCKET_BAD; // only the resolution was wanted
    }
    if (c->d->n_allowed > 0 && !cidr_contains(c->d->allowed, c->d->n_allowed, &a->addr)) {
        c->forbidden = true;
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);
}

static int on_close_socket(void *p, curl_socket_t fd)
{
    struct dial_conn *c = p;

    return c->taken && fd == c->fd ? 0 : close(fd);
}

// --- handles -------------------------------------------------------------------------------------

// Takes the handle out of its multi, which closes the connection (not a taken socket), and keeps it
// for later.
static void handle_release(struct dial_conn *c)
{
    struct dial *d = c->d;
    struct multis_one *m = c->multi;
    struct dial_handle *h = c->handle;

    c->handle = NULL;
    c->multi = NULL;
    if (h == NULL) {
        return;
    }
    if (m != NULL) {
        multis_remove(m, h->easy);
    }
    if (d->spare.count < SPARE_HANDLES) {
        list_push_front(&d->spare, &h->node);
    } else {
        dial_handle_free(&h);
    }
}

// Hands the connection to libcurl. On failure the state is FAILED.
static bool launch(struct dial_conn *c, struct err *e)
{
    struct dial *d = c->d;
    struct list_node *n = list_pop_front(&d->spare);
    uint64_t now_us = loop_now_us(d->l);
    uint64_t left_us = c->deadline_us > now_us ? c->deadline_us - now_us : 0;

    c->state = CONN_CONNECTING;
    c->handle = n != NULL ? container_of(n, struct dial_handle, node) : dial_handle_new(&d->common);
    if (c->handle != NULL && dial_handle_aim(c->handle, c->origin, left_us, c)) {
        c->multi = multis_add(&d->multis, c->handle->easy);
    }
    if (c->multi == NULL) {
        handle_release(c);
        c->state = CONN_FAILED;
        return err_set(e, ERR_INTERNAL, "libcurl could not start a connection to %s", c->origin);
    }
    mem_free(c->origin);
    c->origin = NULL;
    return true;
}

// --- names ---------------------------------------------------------------------------------------

static void kick(struct dial_conn *c, enum dial_result outcome)
{
    c->state = CONN_KICKED;
    c->outcome = outcome;
    list_push_back(&c->d->kicked, &c->node);
    loop_timer_set(c->d->l, &c->d->kick, 1); // next timer phase
}

// c leads no resolution any more; those who waited may go on with `outcome`. No-op for others.
static void host_release(struct dial_conn *c, enum dial_result outcome)
{
    struct host *h = c->host;
    struct list_node *n;

    if (h == NULL) {
        return;
    }
    c->host = NULL;
    while ((n = list_pop_front(&h->waiters)) != NULL) {
        struct dial_conn *w = container_of(n, struct dial_conn, node);

        w->host = NULL;
        kick(w, outcome);
    }
    (void)map_del(&c->d->hosts, slice_str(h->name)); // it is there
    mem_free(h->name);
    mem_free(h);
}

// The leader ended without an answer that holds for the others: the next one leads.
static void host_pass_on(struct dial_conn *c)
{
    struct host *h = c->host;
    struct list_node *n = h == NULL ? NULL : list_pop_front(&h->waiters);

    if (n == NULL) {
        host_release(c, DIAL_OK);
        return;
    }
    c->host = NULL;
    kick(container_of(n, struct dial_conn, node), DIAL_OK); // its ->host stays: it leads now
}

static void host_lead_or_wait(struct dial_conn *c, struct slice name)
{
    struct dial *d = c->d;
    struct host *h = map_get(&d->hosts, name);

    c->state = CONN_CONNECTING;
    if (h != NULL) {
        c->state = CONN_WAITING;
        list_push_back(&h->waiters, &c->node);
        loop_timer_set(d->l, &c->timer, c->deadline_us);
    } else {
        h = mem_zalloc(sizeof(*h));
        h->name = mem_strndup(name.p, name.n);
        list_init(&h->waiters);
        (void)map_put(&d->hosts, name, h); // there was none
    }
    c->host = h;
}

// --- ends ----------------------------------------------------------------------------------------

static void conn_free(struct dial_conn *c)
{
    struct dial *d = c->d;

    loop_timer_cancel(d->l, &c->timer);
    mem_free(c->origin);
    mem_free(c);
    d->n_conns--;
}

static void deliver_failure(struct dial_conn *c, enum dial_result r, const char *message)
{
    loop_timer_cancel(c->d->l, &c->timer);
    c->state = CONN_FAILED;
    c->fn(c->arg, r, message); // c may be gone behind it
}

static void finish_failed(struct dial_conn *c, CURLcode rc)
{
    enum dial_result r = dial_handle_result(c->handle, rc);
    char message[CURL_ERROR_SIZE];

    const char *text = c->handle->error[0] != '\0' ? c->handle->error : curl_easy_strerror(rc);

    (void)snprintf(message, sizeof(message), "%s",
                   c->forbidden ? "its address is in none of egress.allowed-networks" : text);
    handle_release(c);
    // Before fn, which may dial the same name again.
    if (r == DIAL_DNS_FAILED) {
        host_release(c, r);
    } else {
        host_pass_on(c);
    }
    if (c->state == CONN_ORPHAN) {
        list_remove(&c->d->orphans, &c->node);
        conn_free(c);
        return;
    }
    deliver_failure(c, r, message);
}

// libcurl is done with connecting.
static void finish(struct dial_conn *c, CURLcode rc)
{
    curl_socket_t fd = CURL_SOCKET_BAD;

    if (rc == CURLE_OK && c->state == CONN_CONNECTING &&
        (curl_easy_getinfo(c->handle->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
         fd == CURL_SOCKET_BAD)) {
        rc = CURLE_COULDNT_CONNECT;
    }
    if (rc != CURLE_OK || c->state == CONN_ORPHAN) {
        finish_failed(c, rc);
        return;
    }
    host_release(c, DIAL_OK);
    c->state = CONN_READY;
    c->fd = fd;
    if (!c->tls && !c->d->tls_proxy) {
        c->taken = true;
        handle_release(c);
    }
    c->fn(c->arg, DIAL_OK, "");
}

static void on_done(CURL *easy, CURLcode rc)
{
    struct dial_conn *c = NULL;

    CHECK(curl_easy_getinfo(easy, CURLINFO_PRIVATE, &c) == CURLE_OK && c != NULL);
    finish(c, rc);
}

// Those whose name was resolved by another: connect, or share its failure.
static void on_kick(struct loop_timer *t)
{
    struct dial *d = container_of(t, struct dial, kick);
    struct list_node *n;

    while ((n = list_pop_front(&d->kicked)) != NULL) {
        struct dial_conn *c = container_of(n, struct dial_conn, node);
        struct err e;

        loop_timer_cancel(d->l, &c->timer);
        if (c->outcome != DIAL_OK) {
            deliver_failure(c, c->outcome, "name not resolved");
        } else if (!launch(c, &e)) {
            host_pass_on(c);
            deliver_failure(c, DIAL_FAILED, e.message);
        }
    }
}

// Takes a WAITING or KICKED connection out of its list.
static void unlist(struct dial_conn *c)
{
    if (c->state == CONN_WAITING) {
        list_remove(&c->host->waiters, &c->node);
        c->host = NULL;
    } else {
        list_remove(&c->d->kicked, &c->node);
        host_pass_on(c); // if it had just been made a leader
    }
}

static void on_deadline(struct loop_timer *t)
{
    struct dial_conn *c = container_of(t, struct dial_conn, timer);

    unlist(c);
    deliver_failure(c, DIAL_TIMED_OUT, "timed out waiting for the name to be resolved");
}

void dial_close(struct dial_conn **cp)
{
    struct dial_conn *c = *cp;

    *cp = NULL;
    if (c == NULL) {
        return;
    }
    switch (c->state) {
    case CONN_WAITING:
    case CONN_KICKED:
        unlist(c);
        break;
    case CONN_CONNECTING:
        if (c->host != NULL) {
            c->state = CONN_ORPHAN;
            c->fn = NULL;
            list_push_back(&c->d->orphans, &c->node);
            return;
        }
        handle_release(c);
        break;
    case CONN_READY:
        handle_release(c);
        if (c->taken) {
            (void)close(c->fd); // the descriptor is gone whatever it says
        }
        break;
    case CONN_FAILED:
        break;
    case CONN_ORPHAN:
        UNREACHABLE(); // nobody has its pointer
    }
    conn_free(c);
}

// --- start ---------------------------------------------------------------------------------------

// Host (without brackets) of "http[s]://host[:port]".
static bool parse_origin(struct slice s, bool *ret_tls, struct slice *ret_host, struct err *e)
{
    bool tls = slice_starts_nocase(s, SLICE("https://"));
    size_t scheme = tls ? 8 : 7, colon;
    struct slice rest = slice_from(s, scheme), host;
    uint64_t port = 1;

    if (!tls && !slice_starts_nocase(s, SLICE("http://"))) {
        return err_set(e, ERR_INVALID, "origin is neither http:// nor https://");
    }
    for (size_t i = 0; i < rest.n; i++) {
        if (!isalnum((unsigned char)rest.p[i]) && strchr("-._~:[]%", rest.p[i]) == NULL) {
            return err_set(e, ERR_INVALID, "origin has more than a host and a port");
        }
    }
    if (rest.n > 0 && rest.p[0] == '[') {
        size_t end = slice_find_char(rest, ']');

        if (end == SIZE_MAX) {
            return err_set(e, ERR_INVALID, "origin has an unclosed '['");
        }
        host = slice_from(slice_head(rest, end), 1);
        rest = slice_from(rest, end + 1);
    } else {
        colon = slice_find_char(rest, ':');
        host = slice_head(rest, colon == SIZE_MAX ? rest.n : colon);
        rest = slice_from(rest, host.n);
    }
    if (host.n == 0 ||
        (rest.n > 0 && (rest.p[0] != ':' || !slice_to_u64(slice_from(rest, 1), &port) ||
                        port == 0 || port > UINT16_MAX))) {
        return err_set(e, ERR_INVALID, "origin has no valid host and port");
    }
    *ret_tls = tls;
    *ret_host = host;
    return true;
}

static bool is_address(struct slice host)
{
    struct in6_addr a;
    char text[64];

    if (host.n >= sizeof(text)) {
        return false;
    }
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    text[strcspn(text, "%")] = '\0'; // a zone
    return inet_pton(AF_INET, text, &a) == 1 || inet_pton(AF_INET6, text, &a) == 1;
}

struct dial_conn *dial_start(struct dial *d, const char *origin, uint64_t timeout_us,
                             void (*fn)(void *arg, enum dial_result r, const char *message),
                             void *arg, struct err *e)
{
    struct slice host = SLICE("");
    bool tls = false;

    if (!parse_origin(slice_str(origin), &tls, &host, e)) {
        return NULL;
    }
    struct dial_conn *c = mem_zalloc(sizeof(*c));

    *c = (struct dial_conn){
        .d = d, .state = CONN_CONNECTING, .tls = tls, .fd = -1, .fn = fn, .arg = arg};
    c->timer.fn = on_deadline;
    c->deadline_us = loop_now_us(d->l) + timeout_us;
    c->origin = mem_strdup(origin);
    d->n_conns++;
    // Behind a proxy it is the proxy's name that gets resolved.
    if (d->proxy[0] != '\0') {
        host_lead_or_wait(c, SLICE("proxy"));
    } else if (!is_address(host)) {
        host_lead_or_wait(c, host);
    }
    if (c->state == CONN_CONNECTING && !launch(c, e)) {
        host_release(c, DIAL_OK); // nobody waits yet
        conn_free(c);
        return NULL;
    }
    return c;
}

// --- use -----------------------------------------------------------------------------------------

int dial_fd(const struct dial_conn *c)
{
    CHECK(c->state == CONN_READY);
    return c->fd;
}

bool dial_is_plain(const struct dial_conn *c)
{
    return c->taken;
}

static ssize_t fail_with(CURLcode rc)
{
    errno = rc == CURLE_AGAIN ? EAGAIN : ECONNRESET;
    return -1;
}

ssize_t dial_send(struct dial_conn *c, const void *p, size_t n)
{
    size_t sent = 0;

    if (LIKELY(c->taken)) {
        return send(c->fd, p, n, MSG_NOSIGNAL);
    }
    CURLcode rc = curl_easy_send(c->handle->easy, p, n, &sent);

    return rc == CURLE_OK ? (ssize_t)sent : fail_with(rc);
}

ssize_t dial_recv(struct dial_conn *c, void *p, size_t n)
{
    size_t got = 0;

    if (LIKELY(c->taken)) {
        return recv(c->fd, p, n, 0);
    }
    CURLcode rc = curl_easy_recv(c->handle->easy, p, n, &got);

    return rc == CURLE_OK ? (ssize_t)got : fail_with(rc);
}

// --- life ----------------------------------------------------------------------------------------

struct dial *dial_new(struct loop *l, const struct dial_config *cfg, struct err *e)
{
    if (!curl_priv_init()) {
        (void)err_set(e, ERR_INTERNAL, "libcurl does not initialise");
        return NULL;
    }
    struct dial *d = mem_zalloc(sizeof(*d));

    d->l = l;
    d->proxy = mem_strdup(cfg->proxy == NULL ? "" : cfg->proxy);
    d->ca_file = mem_strdup(cfg->ca_file);
    d->common = (struct dial_handle_options){
        .share = curl_share_init(),
        .proxy = d->proxy,
        .ca_file = d->ca_file,
        .ca_dir = cfg->ca_file == NULL ? dial_handle_ca_dir() : NULL,
        .insecure_tls = cfg->insecure_tls,
        .on_open_socket = on_open_socket,
        .on_close_socket = on_close_socket,
    };
    d->n_allowed = cfg->n_allowed;
    if (d->n_allowed > 0) {
        d->allowed = mem_zalloc_array(d->n_allowed, sizeof(*d->allowed));
        memcpy(d->allowed, cfg->allowed, d->n_allowed * sizeof(*d->allowed));
    }
    d->tls_proxy = slice_starts_nocase(slice_str(d->proxy), SLICE("https://"));
    d->kick.fn = on_kick;
    multis_init(&d->multis, l, on_done);
    list_init(&d->spare);
    list_init(&d->kicked);
    list_init(&d->orphans);
    map_init(&d->hosts);
    // No lock functions: all users are in this thread.
    if (d->common.share == NULL ||
        curl_share_setopt(d->common.share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) != CURLSHE_OK ||
        curl_share_setopt(d->common.share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) !=
            CURLSHE_OK) {
        (void)err_set(e, ERR_INTERNAL, "libcurl cannot share its caches");
        dial_free(&d);
    }
    return d;
}

static void free_curl(struct dial *d)
{
    struct list_node *n;

    while ((n = list_pop_front(&d->spare)) != NULL) {
        struct dial_handle *h = container_of(n, struct dial_handle, node);

        dial_handle_free(&h);
    }
    multis_done(&d->multis);
    (void)curl_share_cleanup(d->common.share); // NULL, or unused now
}

void dial_free(struct dial **dp)
{
    struct dial *d = *dp;
    struct list_node *n;

    *dp = NULL;
    if (d == NULL) {
        return;
    }
    CHECK(d->n_conns == d->orphans.count);
    while ((n = list_pop_front(&d->orphans)) != NULL) {
        struct dial_conn *c = container_of(n, struct dial_conn, node);

        handle_release(c);
        host_release(c, DIAL_OK); // nobody waits
        conn_free(c);
    }
    loop_timer_cancel(d->l, &d->kick);
    free_curl(d);
    map_done(&d->hosts);
    mem_free(d->proxy);
    mem_free(d->ca_file);
    mem_free(d->allowed);
    mem_free(d);
    curl_global_cleanup();
}
