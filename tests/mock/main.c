// SPDX-License-Identifier: Apache-2.0
// sluice-mock: a scripted fake provider. Arguments, workers, ready file, signals; what it answers
// is in mock_script.c, docs/mock.md is the user's page.
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/proc.h"
#include "tests/mock/mock_conn.h"
#include "tests/mock/mock_port.h"

#define SCRATCH_MAX      ((size_t)300 << 20)
#define SCENARIO_MAX     (1u << 20)
#define LOG_KEEP_PRESET  8192u
#define BODY_KEEP_PRESET 4096u

enum { EXIT_RUNTIME = 1, EXIT_USAGE = 2 };

struct options {
    struct slice listen[MOCK_PORTS_MAX]; // in argv
    size_t n_listen;
    unsigned workers;
    const char *ready_file, *scenario_file, *log_file, *require_key;
    uint64_t log_keep, body_keep;
};

static const char usage[] =
    "usage: sluice-mock [options]\n"
    "A scripted fake provider; the model's name says how it behaves (docs/mock.md).\n"
    "\n"
    "  --port N             listen on 127.0.0.1:N; 0 = any free port; may be repeated\n"
    "  --listen A:P[,A:P]   listen on these addresses; each is a provider of its own\n"
    "  --workers N          threads (default 1)\n"
    "  --ready-file FILE    a JSON line with the ports, written when they accept\n"
    "  --scenario FILE      lines: PORT|* MODEL-PATTERN BEHAVIOUR\n"
    "  --log FILE           a JSON line per finished attempt\n"
    "  --log-keep N         attempts kept for GET /__mock/log (default 8192; 0 = none)\n"
    "  --body-keep N        bytes of each request body kept with them (default 4096)\n"
    "  --require-key KEYS   401 without one of these keys (commas between), or \"any\"\n"
    "  --check-config FILE  checks a scenario, exit code 0 or 1\n"
    "  --help --version\n";

// Set before the handlers are installed, never changed after.
static struct mock *signal_mock;

static void on_signal(int sig)
{
    (void)sig;
    for (unsigned i = 0; i < signal_mock->n_workers; i++) {
        loop_stop(signal_mock->workers[i].loop);
    }
}

static int usage_error(const char *message, const char *value)
{
    (void)fprintf(stderr, "sluice-mock: %s%s%s\n(--help shows the options)\n", message,
                  value == NULL ? "" : ": ", value == NULL ? "" : value);
    return EXIT_USAGE;
}

static bool add_listen(struct options *o, struct slice where)
{
    if (o->n_listen == MOCK_PORTS_MAX) {
        return false;
    }
    o->listen[o->n_listen++] = where;
    return true;
}

// "A:P,A:P"
static bool add_listen_list(struct options *o, struct slice list)
{
    while (list.n > 0) {
        struct slice where;

        list = slice_cut(list, ',', &where);
        if (!add_listen(o, where)) {
            return false;
        }
    }
    return true;
}

static bool take_number(const char *text, uint64_t max, uint64_t *ret)
{
    return slice_to_u64(slice_str(text), ret) && *ret <= max;
}

enum option_id {
    OPT_PORT = 256,
    OPT_LISTEN,
    OPT_WORKERS,
    OPT_READY,
    OPT_SCENARIO,
    OPT_LOG,
    OPT_LOG_KEEP,
    OPT_BODY_KEEP,
    OPT_KEY,
    OPT_CHECK,
    OPT_HELP,
    OPT_VERSION
};

static const struct option longs[] = {
    {"port", required_argument, NULL, OPT_PORT},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"ready-file", required_argument, NULL, OPT_READY},
    {"scenario", required_argument, NULL, OPT_SCENARIO},
    {"log", required_argument, NULL, OPT_LOG},
    {"log-keep", required_argument, NULL, OPT_LOG_KEEP},
    {"body-keep", required_argument, NULL, OPT_BODY_KEEP},
    {"require-key", required_argument, NULL, OPT_KEY},
    {"check-config", required_argument, NULL, OPT_CHECK},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

// False: wrong value (reported by the caller).
static bool set_option(struct options *o, int id)
{
    uint64_t n = 0;

    switch (id) {
    case OPT_PORT:
        return take_number(optarg, 65535, &n) && add_listen(o, slice_str(optarg));
    case OPT_LISTEN:
        return add_listen_list(o, slice_str(optarg));
    case OPT_WORKERS:
        if (!take_number(optarg, MOCK_WORKERS_MAX, &n) || n == 0) {
            return false;
        }
        o->workers = (unsigned)n;
        return true;
    case OPT_READY:
        o->ready_file = optarg;
        return true;
    case OPT_SCENARIO:
        o->scenario_file = optarg;
        return true;
    case OPT_LOG:
        o->log_file = optarg;
        return true;
    case OPT_LOG_KEEP:
        return take_number(optarg, 1u << 24, &o->log_keep);
    case OPT_BODY_KEEP:
        return take_number(optarg, 1u << 28, &o->body_keep);
    case OPT_KEY:
        o->require_key = optarg;
        return true;
    default:
        return false;
    }
}

static bool read_scenario(struct mock_rules *r, const char *path, struct err *e)
{
    struct buf text;
    bool ok;

    buf_init(&text, SCENARIO_MAX);
    ok = proc_read_file(path, SCENARIO_MAX, &text, e) &&
         (mock_rules_set_scenario(r, buf_slice(&text), e) || err_prefix(e, "%s", path));
    buf_done(&text);
    return ok;
}

// The exit code of --check-config: the mock's only file is its scenario.
static int check_scenario(const char *path)
{
    struct mock_rules *r = mock_rules_new();
    struct err e = {.code = ERR_NONE};
    bool ok = read_scenario(r, path, &e);

    (void)fprintf(ok ? stdout : stderr, "%s%s\n", ok ? path : e.message, ok ? ": ok" : "");
    mock_rules_free(&r);
    return ok ? EXIT_SUCCESS : EXIT_RUNTIME;
}

// -1: go on; else the exit code.
static int read_options(int argc, char **argv, struct options *o)
{
    int id;

    *o = (struct options){.workers = 1, .log_keep = LOG_KEEP_PRESET, .body_keep = BODY_KEEP_PRESET};
    while ((id = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (id == OPT_HELP) {
            (void)fputs(usage, stdout);
            return EXIT_SUCCESS;
        }
        if (id == OPT_VERSION) {
            (void)printf("sluice-mock %s\n", SLUICE_VERSION);
            return EXIT_SUCCESS;
        }
        if (id == OPT_CHECK) {
            return check_scenario(optarg);
        }
        if (id == '?') {
            return EXIT_USAGE;
        }
        if (!set_option(o, id)) {
            return usage_error("value out of range", optarg);
        }
    }
    if (optind < argc) {
        return usage_error("unexpected argument", argv[optind]);
    }
    if (o->n_listen == 0) {
        (void)add_listen(o, SLICE("9001")); // there is room for one
    }
    return -1;
}

// {"pid":1,"ports":[9001,9002]}, whole or not at all.
static bool write_ready(const struct mock *m, const char *path, struct err *e)
{
    struct buf line;
    bool ok;

    buf_init(&line, 4096);
    buf_printf(&line, "{\"pid\":%d,\"ports\":[", (int)getpid());
    for (size_t i = 0; i < m->n_ports; i++) {
        buf_printf(&line, "%s%u", i > 0 ? "," : "", (unsigned)m->ports[i].port);
    }
    buf_append_str(&line, "]}\n");
    ok = proc_write_file(path, buf_slice(&line), 0644, e);
    buf_done(&line);
    return ok;
}

static void *run_worker(void *arg)
{
    struct mock_worker *w = arg;

    loop_run(w->loop);
    return NULL;
}

static bool start_workers(struct mock *m, struct err *e)
{
    for (unsigned i = 0; i < m->n_workers; i++) {
        struct mock_worker *w = &m->workers[i];

        w->mock = m;
        w->index = i;
        list_init(&w->conns);
        rng_init(&w->rng, 0);
        buf_init(&w->scratch, SCRATCH_MAX);
        w->loop = loop_new(e);
        if (w->loop == NULL || !mock_port_attach(w, e)) {
            return false;
        }
    }
    return true;
}

static bool run(struct mock *m, const struct options *o, struct err *e)
{
    struct sigaction stop = {.sa_handler = on_signal};
    unsigned started = 1;

    m->start_us = mono_now_us();
    signal_mock = m;
    (void)sigaction(SIGTERM, &stop, NULL); // cannot fail with these arguments
    (void)sigaction(SIGINT, &stop, NULL);
    while (started < m->n_workers && pthread_create(&m->workers[started].thread, NULL, run_worker,
                                                    &m->workers[started]) == 0) {
        started++;
    }
    if (started < m->n_workers) {
        (void)err_set(e, ERR_INTERNAL, "cannot start a thread");
        on_signal(0);
    } else if (o->ready_file == NULL || write_ready(m, o->ready_file, e)) {
        e->code = ERR_NONE;
        loop_run(m->workers[0].loop);
    } else {
        on_signal(0);
    }
    for (unsigned i = 1; i < started; i++) {
        (void)pthread_join(m->workers[i].thread, NULL);
    }
    return e->code == ERR_NONE;
}

static void free_all(struct mock *m)
{
    for (unsigned i = 0; i < m->n_workers; i++) {
        struct mock_worker *w = &m->workers[i];

        if (w->loop != NULL) {
            mock_port_detach(w);
            buf_done(&w->scratch);
            loop_free(&w->loop);
        }
    }
    mock_port_close_all(m);
    mock_journal_free(&m->journal);
    mock_rules_free(&m->rules);
    mem_free(m->workers);
    mem_free(m);
}

static bool set_up(struct mock *m, const struct options *o, struct err *e)
{
    m->rules = mock_rules_new();
    m->journal = mock_journal_new((size_t)o->log_keep, (size_t)o->body_keep, o->log_file, e);
    if (m->journal == NULL ||
        (o->scenario_file != NULL && !read_scenario(m->rules, o->scenario_file, e))) {
        return false;
    }
    for (size_t i = 0; i < o->n_listen; i++) {
        if (!mock_port_open(m, o->listen[i], e)) {
            return false;
        }
    }
    return start_workers(m, e);
}

int main(int argc, char **argv)
{
    struct options o;
    struct err e = {.code = ERR_NONE};
    struct mock *m;
    int code = read_options(argc, argv, &o);

    if (code >= 0) {
        return code;
    }
    (void)proc_raise_nofile(); // as many connections as we may have
    m = mem_zalloc(sizeof(*m));
    m->n_workers = o.workers;
    m->workers = mem_zalloc_array(o.workers, sizeof(*m->workers));
    m->require_key = o.require_key;
    atomic_store(&m->next_id, 1);
    if (!set_up(m, &o, &e) || !run(m, &o, &e)) {
        (void)fprintf(stderr, "sluice-mock: %s\n", e.message);
        code = e.code == ERR_INVALID ? EXIT_USAGE : EXIT_RUNTIME;
    } else {
        code = EXIT_SUCCESS;
    }
    free_all(m);
    return code;
}
