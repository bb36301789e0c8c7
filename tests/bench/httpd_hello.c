// SPDX-License-Identifier: Apache-2.0
// The HTTP server alone: a fixed 200 answer of 1.1 KB, one loop. Not a test; measured with wrk:
//
//   taskset -c 0 httpd_hello 8099 &        taskset -c 1 wrk -t1 -c64 -d5 http://127.0.0.1:8099/
//
// httpd_hello PORT [later]: "later" answers from a task of the next turn, as a proxy does: the
// connection is suspended and resumed for each request.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/mem.h"
#include "common/io/httpd.h"
#include "common/io/loop.h"
#include "common/io/proc.h"

static struct loop *l;
static bool later;
static unsigned long answers;
static char text[1100];

struct job {
    struct loop_task t;
    struct httpd_req *q;
};

static void answer(struct httpd_req *q)
{
    const struct httpd_header h[] = {
        {SLICE("content-type"), SLICE("application/json")},
        {SLICE("x-request-id"), SLICE("0123456789abcdef0123456789abcdef")},
        {SLICE("x-sluice-provider"), SLICE("openai")},
        {SLICE("x-sluice-model"), SLICE("gpt-4o-mini")},
        {SLICE("x-sluice-attempts"), SLICE("1")},
        {SLICE("x-sluice-overhead-us"), SLICE("42")},
    };
    struct buf b;

    buf_init(&b, sizeof text);
    buf_append(&b, SLICE_MAKE(text, sizeof text));
    answers++;
    httpd_reply(q, 200, h, ARRAY_LEN(h), &b);
}

static void on_task(struct loop_task *t)
{
    struct job *j = (struct job *)t;

    answer(j->q); // on_done frees j
}

static void on_head(void *arg, struct httpd_req *q)
{
    (void)arg;
    (void)q;
}

static void on_ready(void *arg, struct httpd_req *q)
{
    struct job *j;

    (void)arg;
    if (!later) {
        answer(q);
        return;
    }
    j = mem_zalloc(sizeof *j);
    j->t.fn = on_task;
    j->q = q;
    httpd_set_user(q, j);
    loop_post(l, &j->t);
}

static void on_refused(void *arg, struct httpd_req *q, enum httpd_refusal why)
{
    (void)arg;
    (void)why;
    httpd_reply(q, 400, NULL, 0, NULL);
}

static void on_done(void *arg, struct httpd_req *q, enum httpd_end how)
{
    struct job *j = httpd_user(q);

    (void)arg;
    (void)how;
    if (j != NULL) {
        loop_unpost(l, &j->t); // the client left before the answer
        mem_free(j);
    }
}

static void on_signal(void *arg, int signo)
{
    (void)arg;
    if (signo == SIGTERM || signo == SIGINT) {
        loop_stop(l);
    }
}

int main(int argc, char **argv)
{
    struct err e;
    struct httpd_config c = {
        .address = "127.0.0.1",
        .port = (uint16_t)(argc > 1 ? strtoul(argv[1], NULL, 10) : 8099),
        .daemons = 512,
        .on = {on_head, on_ready, on_refused, NULL, NULL, on_done, NULL},
    };
    struct proc_signals *s;
    struct httpd *h;
    struct rusage u;
    double us;

    later = argc > 2 && strcmp(argv[2], "later") == 0;
    memset(text, 'x', sizeof text);
    l = loop_new(&e);
    s = l == NULL ? NULL : proc_signals_new(l, on_signal, NULL, &e);
    h = s == NULL ? NULL : httpd_new(l, &c, &e);
    if (h == NULL) {
        (void)fprintf(stderr, "%s\n", e.message);
        return 1;
    }
    loop_run(l);
    (void)getrusage(RUSAGE_SELF, &u); // cannot fail
    us = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
         (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
    (void)printf("%lu answers, %.2f us of CPU each\n", answers,
                 answers == 0 ? 0 : us / (double)answers);
    httpd_free(&h);
    proc_signals_free(&s);
    loop_free(&l);
    return 0;
}
