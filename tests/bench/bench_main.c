// SPDX-License-Identifier: Apache-2.0
// sluice-bench: a load generator for HTTP/1.1 APIs with streams; prints one line of JSON.
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/text.h"
#include "common/io/proc.h"
#include "tests/bench/bench_load.h"

enum { EXIT_RUNTIME = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "usage: sluice-bench --target ADDRESS:PORT [options]\n"
    "\n"
    "  --path P           request path (/v1/chat/completions)\n"
    "  --model M          model of the requests (mock/gpt)\n"
    "  --header 'K: V'    more request headers; may be repeated\n"
    "  --connections C    connections that send requests (1; 0 = none)\n"
    "  --rate R           open loop: R requests a second, Poisson (default: closed loop)\n"
    "  --stream           the requests ask for streams, each read to its end\n"
    "  --streams N        beside them N streams kept open\n"
    "  --stream-model M   their model (stamp+pace-50ms+tokens-100000000)\n"
    "  --body-size S      bytes of each request body (1000)\n"
    "  --unique           every prompt differs\n"
    "  --expect STATUS    what counts as success (200)\n"
    "  --warmup D --duration D   (500ms, 3s)\n"
    "  --pid P[,P...]     CPU time and memory of these processes\n"
    "  --help --version\n";

enum option_id {
    OPT_TARGET = 256,
    OPT_PATH,
    OPT_MODEL,
    OPT_HEADER,
    OPT_CONNECTIONS,
    OPT_RATE,
    OPT_STREAM,
    OPT_STREAMS,
    OPT_STREAM_MODEL,
    OPT_BODY,
    OPT_UNIQUE,
    OPT_EXPECT,
    OPT_WARMUP,
    OPT_DURATION,
    OPT_PID,
    OPT_HELP,
    OPT_VERSION
};

static const struct option longs[] = {
    {"target", required_argument, NULL, OPT_TARGET},
    {"path", required_argument, NULL, OPT_PATH},
    {"model", required_argument, NULL, OPT_MODEL},
    {"header", required_argument, NULL, OPT_HEADER},
    {"connections", required_argument, NULL, OPT_CONNECTIONS},
    {"rate", required_argument, NULL, OPT_RATE},
    {"stream", no_argument, NULL, OPT_STREAM},
    {"streams", required_argument, NULL, OPT_STREAMS},
    {"stream-model", required_argument, NULL, OPT_STREAM_MODEL},
    {"body-size", required_argument, NULL, OPT_BODY},
    {"unique", no_argument, NULL, OPT_UNIQUE},
    {"expect", required_argument, NULL, OPT_EXPECT},
    {"warmup", required_argument, NULL, OPT_WARMUP},
    {"duration", required_argument, NULL, OPT_DURATION},
    {"pid", required_argument, NULL, OPT_PID},
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static bool set_target(struct bench_options *o, const char *text)
{
    struct sockaddr_in *a = (struct sockaddr_in *)&o->address;
    struct slice host, port = slice_cut(slice_str(text), ':', &host);
    char address[64];
    uint64_t n = 0;

    if (host.n >= sizeof(address) || !slice_to_u64(port, &n) || n == 0 || n > 65535) {
        return false;
    }
    memcpy(address, host.p, host.n);
    address[host.n] = '\0';
    a->sin_family = AF_INET;
    a->sin_port = htons((uint16_t)n);
    o->address_n = sizeof(*a);
    o->target = text;
    return inet_pton(AF_INET, address, &a->sin_addr) == 1;
}

static bool set_pids(struct bench_options *o, struct slice list)
{
    while (list.n > 0) {
        struct slice one;
        uint64_t n = 0;

        list = slice_cut(list, ',', &one);
        if (o->n_pids == BENCH_PIDS_MAX || !slice_to_u64(one, &n) || n > INT32_MAX) {
            return false;
        }
        o->pids[o->n_pids++] = (pid_t)n;
    }
    return true;
}

static bool take_unsigned(const char *text, uint64_t max, unsigned *ret)
{
    uint64_t n = 0;

    if (!slice_to_u64(slice_str(text), &n) || n > max) {
        return false;
    }
    *ret = (unsigned)n;
    return true;
}

static bool set_header(struct bench_options *o, const char *text)
{
    if (o->n_headers == BENCH_HEADERS_MAX) {
        return false;
    }
    o->headers[o->n_headers++] = text;
    return true;
}

static bool set_rate(struct bench_options *o, const char *text)
{
    char *end = NULL;

    o->rate = strtod(text, &end);
    return end != text && *end == '\0' && o->rate > 0 && o->rate < 1e6;
}

static bool set_option(struct bench_options *o, int id)
{
    struct slice arg = slice_str(optarg);

    switch (id) {
    case OPT_TARGET:
        return set_target(o, optarg);
    case OPT_PATH:
        o->path = optarg;
        return true;
    case OPT_MODEL:
        o->model = optarg;
        return true;
    case OPT_HEADER:
        return set_header(o, optarg);
    case OPT_CONNECTIONS:
        return take_unsigned(optarg, 100000, &o->connections);
    case OPT_RATE:
        return set_rate(o, optarg);
    case OPT_STREAM:
        o->stream_answers = true;
        return true;
    case OPT_STREAMS:
        return take_unsigned(optarg, 100000, &o->streams);
    case OPT_STREAM_MODEL:
        o->stream_model = optarg;
        return true;
    case OPT_BODY:
        return text_parse_size(arg, &o->body_size) && o->body_size <= (256u << 20);
    case OPT_UNIQUE:
        o->unique = true;
        return true;
    case OPT_EXPECT:
        return take_unsigned(optarg, 599, &o->expected_status);
    case OPT_WARMUP:
        return text_parse_duration_us(arg, &o->warmup_us);
    case OPT_DURATION:
        return text_parse_duration_us(arg, &o->duration_us) && o->duration_us > 0;
    case OPT_PID:
        return set_pids(o, arg);
    default:
        return false;
    }
}

static int usage_error(const char *message, const char *value)
{
    (void)fprintf(stderr, "sluice-bench: %s%s\n(--help shows the options)\n", message, value);
    return EXIT_USAGE;
}

// -1: go on; else the exit code.
static int read_options(int argc, char **argv, struct bench_options *o)
{
    int id;

    while ((id = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (id == OPT_HELP) {
            (void)fputs(usage, stdout);
            return EXIT_SUCCESS;
        }
        if (id == OPT_VERSION) {
            (void)printf("sluice-bench %s\n", SLUICE_VERSION);
            return EXIT_SUCCESS;
        }
        if (id == '?') {
            return EXIT_USAGE;
        }
        if (!set_option(o, id)) {
            return usage_error("value not understood: ", optarg);
        }
    }
    if (optind < argc) {
        return usage_error("unexpected argument: ", argv[optind]);
    }
    return o->target == NULL ? usage_error("--target is needed", "") : -1;
}

int main(int argc, char **argv)
{
    struct bench_options o = {
        .path = "/v1/chat/completions",
        .model = "mock/gpt",
        .stream_model = "stamp+pace-50ms+tokens-100000000",
        .connections = 1,
        .body_size = 1000,
        .expected_status = 200,
        .warmup_us = 500000,
        .duration_us = 3000000,
    };
    struct err e = {.code = ERR_NONE};
    struct buf out;
    int code = read_options(argc, argv, &o);

    if (code >= 0) {
        return code;
    }
    (void)proc_raise_nofile(); // as many connections as we may have
    buf_init(&out, 1u << 20);
    if (bench_load_run(&o, &out, &e)) {
        (void)fwrite(buf_slice(&out).p, 1, out.n, stdout);
        code = EXIT_SUCCESS;
    } else {
        (void)fprintf(stderr, "sluice-bench: %s\n", e.message);
        code = EXIT_RUNTIME;
    }
    buf_done(&out);
    return code;
}
