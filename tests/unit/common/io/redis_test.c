// SPDX-License-Identifier: Apache-2.0
// Against a real redis-server on a unix socket: replies of every type, deadlines with late replies,
// loss and return of the connection, scripts that the server forgot.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>

#include "common/base/mono.h"
#include "common/io/redis.h"
#include "tests/unit/fake_mono.h"
#include "tests/unit/redis_server.h"

static const struct redis_script scripts[] = {
    {"echo", "return {KEYS[1], ARGV[1], #ARGV, {1, 2}}"},
    {"fail", "return redis.error_reply('MY own')"},
};

struct fixture {
    struct redis_server server;
    struct loop *loop;
    struct redis *redis;
    int ups, downs;
    char reason[200];
};

static void on_up(void *arg)
{
    ((struct fixture *)arg)->ups++;
}

static void on_down(void *arg, const char *reason)
{
    struct fixture *f = arg;

    f->downs++;
    (void)snprintf(f->reason, sizeof(f->reason), "%s", reason);
}

static void connect_to(struct fixture *f, const char *url)
{
    const struct redis_config c = {.url = url,
                                   .scripts = scripts,
                                   .n_scripts = ARRAY_LEN(scripts),
                                   .on_up = on_up,
                                   .on_down = on_down,
                                   .arg = f};
    struct err e;

    f->redis = redis_new(f->loop, &c, &e);
    assert_non_null(f->redis);
}

#define WAIT(f, cond)  FAKE_MONO_UNTIL((f)->loop, cond)
#define LATER(f, cond) FAKE_MONO_LATER((f)->loop, cond)

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){0};
    f.loop = loop_new(NULL);
    assert_true(redis_server_start(&f.server, NULL, NULL));
    connect_to(&f, f.server.url);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    redis_free(&f->redis);
    loop_free(&f->loop);
    redis_server_stop(&f->server);
    return 0;
}

// What a command came to.
struct got {
    int calls;
    enum redis_type type;
    char text[100];
    int64_t number;
    size_t count;
    struct err e;
};

static void on_got(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct got *g = arg;

    g->calls++;
    if (e != NULL) {
        g->e = *e;
        return;
    }
    g->type = redis_type(r);
    g->number = redis_int(r);
    g->count = redis_count(r);
    (void)snprintf(g->text, sizeof(g->text), SLICE_FMT, SLICE_ARG(redis_text(r)));
    if (g->count > 1) {
        (void)snprintf(g->text, sizeof(g->text), SLICE_FMT "," SLICE_FMT,
                       SLICE_ARG(redis_text(redis_item(r, 0))),
                       SLICE_ARG(redis_text(redis_item(r, 1))));
        assert_null(redis_item(r, g->count));
    }
}

#define ARGV(...)                                                                                  \
    (const struct slice[]){__VA_ARGS__},                                                           \
        sizeof((const struct slice[]){__VA_ARGS__}) / sizeof(struct slice)

static void answers(void **state)
{
    struct fixture *f = *state;
    struct got g[6] = {0};

    WAIT(f, redis_is_up(f->redis));
    assert_int_equal(f->ups, 1);
    redis_command(f->redis, ARGV(SLICE("SET"), SLICE("k"), SLICE("a\0b")), MONO_SEC, on_got, &g[0]);
    redis_command(f->redis, ARGV(SLICE("STRLEN"), SLICE("k")), MONO_SEC, on_got, &g[1]);
    redis_command(f->redis, ARGV(SLICE("GET"), SLICE("none")), MONO_SEC, on_got, &g[2]);
    redis_command(f->redis, ARGV(SLICE("LPOP"), SLICE("k")), MONO_SEC, on_got, &g[3]);
    redis_command(f->redis, ARGV(SLICE("MGET"), SLICE("x"), SLICE("")), MONO_SEC, on_got, &g[4]);
    redis_command(f->redis, ARGV(SLICE("INCRBY"), SLICE("n"), SLICE("-5")), MONO_SEC, on_got,
                  &g[5]);
    assert_int_equal(g[0].calls, 0);
    WAIT(f, g[5].calls == 1);
    assert_int_equal(g[0].type, REDIS_STATUS);
    assert_string_equal(g[0].text, "OK");
    assert_int_equal(g[1].number, 3);
    assert_int_equal(g[2].type, REDIS_NIL);
    assert_int_equal(g[3].e.code, ERR_INVALID);
    assert_non_null(strstr(g[3].e.message, "WRONGTYPE"));
    assert_int_equal(g[4].count, 2);
    assert_int_equal(g[5].number, -5);
}

static void scripts_survive_a_flush(void **state)
{
    struct fixture *f = *state;
    struct got g[4] = {0};

    WAIT(f, redis_is_up(f->redis));
    redis_eval(f->redis, 0, 1, ARGV(SLICE("key"), SLICE("arg")), MONO_SEC, on_got, &g[0]);
    redis_command(f->redis, ARGV(SLICE("SCRIPT"), SLICE("FLUSH")), MONO_SEC, on_got, &g[1]);
    redis_eval(f->redis, 0, 1, ARGV(SLICE("key"), SLICE("again")), MONO_SEC, on_got, &g[2]);
    redis_eval(f->redis, 1, 0, ARGV(SLICE("x")), MONO_SEC, on_got, &g[3]);
    WAIT(f, g[2].calls + g[3].calls == 2);
    assert_string_equal(g[0].text, "key,arg");
    assert_int_equal(g[0].count, 4);
    assert_string_equal(g[2].text, "key,again");
    assert_int_equal(g[3].e.code, ERR_INVALID);
    assert_non_null(strstr(g[3].e.message, "MY own"));
}

static void a_late_reply_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct got slow = {0}, next = {0};

    WAIT(f, redis_is_up(f->redis));
    // Blocks this client for 300 ms; ours gives up before that.
    redis_command(f->redis, ARGV(SLICE("BLPOP"), SLICE("nothing"), SLICE("0.3")), 30 * MONO_MS,
                  on_got, &slow);
    redis_command(f->redis, ARGV(SLICE("ECHO"), SLICE("mine")), 3600 * MONO_SEC, on_got, &next);
    fake_mono_advance(31 * MONO_MS);
    loop_turn(f->loop, 0);
    assert_int_equal(slow.calls, 1);
    assert_int_equal(slow.e.code, ERR_TIMEOUT);
    WAIT(f, next.calls == 1);
    assert_string_equal(next.text, "mine");
    assert_int_equal(slow.calls, 1);
}

static void a_frozen_server_is_left_and_found_again(void **state)
{
    struct fixture *f = *state;
    struct got g = {0}, after = {0};

    WAIT(f, redis_is_up(f->redis));
    assert_true(redis_server_freeze(&f->server));
    redis_command(f->redis, ARGV(SLICE("PING")), 100 * MONO_MS, on_got, &g);
    fake_mono_advance(99 * MONO_MS);
    loop_turn(f->loop, 0);
    assert_int_equal(g.calls, 0);
    fake_mono_advance(2 * MONO_MS);
    loop_turn(f->loop, 0);
    assert_int_equal(g.calls, 1);
    assert_int_equal(g.e.code, ERR_TIMEOUT);
    assert_true(redis_server_thaw(&f->server));
    redis_command(f->redis, ARGV(SLICE("ECHO"), SLICE("x")), 5 * MONO_SEC, on_got, &after);
    WAIT(f, after.calls == 1);
    assert_string_equal(after.text, "x");
    assert_int_equal(g.calls, 1);
}

static void a_killed_server_fails_what_is_pending(void **state)
{
    struct fixture *f = *state;
    struct got pending = {0}, down = {0}, after = {0};

    WAIT(f, redis_is_up(f->redis));
    redis_command(f->redis, ARGV(SLICE("BLPOP"), SLICE("nothing"), SLICE("0")), 0, on_got,
                  &pending);
    loop_turn(f->loop, 0);
    redis_server_kill(&f->server);
    WAIT(f, f->downs == 1);
    assert_int_equal(pending.calls, 1);
    assert_int_equal(pending.e.code, ERR_UNAVAILABLE);
    redis_command(f->redis, ARGV(SLICE("PING")), MONO_SEC, on_got, &down);
    assert_int_equal(down.calls, 0);
    WAIT(f, down.calls == 1);
    assert_int_equal(down.e.code, ERR_UNAVAILABLE);
    assert_true(redis_server_start(&f->server, NULL, NULL));
    LATER(f, f->ups == 2);
    redis_eval(f->redis, 0, 1, ARGV(SLICE("k"), SLICE("v")), MONO_SEC, on_got, &after);
    WAIT(f, after.calls == 1);
    assert_string_equal(after.text, "k,v");
    redis_reconnect(f->redis);
    WAIT(f, f->ups == 3);
}

static void a_forgotten_caller_is_not_called(void **state)
{
    struct fixture *f = *state;
    struct got gone = {0}, here = {0};

    WAIT(f, redis_is_up(f->redis));
    redis_command(f->redis, ARGV(SLICE("PING")), MONO_SEC, on_got, &gone);
    redis_command(f->redis, ARGV(SLICE("PING")), MONO_SEC, on_got, &here);
    redis_forget(f->redis, &gone);
    WAIT(f, here.calls == 1);
    assert_int_equal(gone.calls, 0);
}

static void passwords_and_databases(void **state)
{
    struct fixture *f = *state;
    struct got g = {0};
    char url[200];

    redis_free(&f->redis);
    redis_server_kill(&f->server);
    assert_true(redis_server_start(&f->server, "--requirepass", "p@ss"));
    f->downs = f->ups = 0;
    (void)snprintf(url, sizeof(url), "%s?db=3", f->server.url);
    connect_to(f, url);
    WAIT(f, f->downs == 1);
    assert_int_equal(f->ups, 0);
    assert_non_null(strstr(f->reason, "NOAUTH"));
    (void)g;
}

// A port that was free a moment ago.
static unsigned free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(fd, (const struct sockaddr *)&a, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    (void)close(fd);
    return ntohs(a.sin_port);
}

// By name over TCP, with user, password and database; again after a restart.
static void names_users_and_databases(void **state)
{
    struct fixture *f = *state;
    unsigned port = free_port();
    struct got set = {0}, who = {0};
    char text[16], url[200];

    redis_free(&f->redis);
    redis_server_kill(&f->server);
    (void)snprintf(text, sizeof(text), "%u", port);
    assert_true(redis_server_start(&f->server, "--port", text));
    connect_to(f, f->server.url);
    WAIT(f, redis_is_up(f->redis));
    redis_command(f->redis,
                  ARGV(SLICE("ACL"), SLICE("SETUSER"), SLICE("sluice"), SLICE("on"),
                       SLICE(">p@ss:w/rd"), SLICE("+@all"), SLICE("~*")),
                  MONO_SEC, on_got, &set);
    WAIT(f, set.calls == 1);
    assert_int_equal(set.e.code, ERR_NONE);
    redis_free(&f->redis);

    (void)snprintf(url, sizeof(url), "redis://sluice:p%%40ss%%3Aw%%2Frd@localhost:%u/3", port);
    f->ups = 0;
    connect_to(f, url);
    (void)snprintf(url, sizeof(url), "redis://localhost:%u/3", port);
    assert_string_equal(redis_name(f->redis), url);
    WAIT(f, f->ups == 1);
    redis_command(f->redis, ARGV(SLICE("ACL"), SLICE("WHOAMI")), MONO_SEC, on_got, &who);
    WAIT(f, who.calls == 1);
    assert_string_equal(who.text, "sluice");
    redis_reconnect(f->redis);
    WAIT(f, f->ups == 2);
    redis_free(&f->redis);

    // A name that nobody has.
    f->downs = 0;
    connect_to(f, "redis://nobody.invalid:6379");
    WAIT(f, f->downs == 1);
}

// Silence counts from when something was asked: a connection that nobody used for a while is not
// given up for one slow command.
static void idle_is_no_silence(void **state)
{
    struct fixture *f = *state;
    struct got slow = {0}, next = {0};

    WAIT(f, redis_is_up(f->redis));
    fake_mono_advance(3200 * MONO_MS);
    loop_turn(f->loop, 0);
    redis_command(f->redis, ARGV(SLICE("BLPOP"), SLICE("nothing"), SLICE("0.5")), 100 * MONO_MS,
                  on_got, &slow);
    fake_mono_advance(101 * MONO_MS);
    loop_turn(f->loop, 0);
    assert_int_equal(slow.calls, 1);
    assert_int_equal(slow.e.code, ERR_TIMEOUT);
    redis_command(f->redis, ARGV(SLICE("PING")), 5 * MONO_SEC, on_got, &next);
    WAIT(f, next.calls == 1);
    assert_int_equal(next.e.code, ERR_NONE);
    assert_string_equal(next.text, "PONG");
    assert_int_equal(f->ups, 1);
    assert_int_equal(f->downs, 0);
}

static void urls(void **state)
{
    static const struct {
        const char *url;
        const char *problem; // NULL: fine
    } cases[] = {
        {"unix:/run/redis.sock", NULL},
        {"unix:///run/redis.sock?db=2", NULL},
        {"redis://127.0.0.1", NULL},
        {"redis://user:p%40ss@redis.example:6380/4", NULL},
        {"redis://:pass@[::1]:6380", NULL},
        {"redis://h/", NULL},
        {"rediss://h:6379", "stunnel"},
        {"http://h", "expected unix:/path"},
        {"", "expected unix:/path"},
        {"unix:relative", "absolute path"},
        {"unix:/a?x=1", "db=N"},
        {"redis://", "host"},
        {"redis://h:0", "port"},
        {"redis://h:70000", "port"},
        {"redis://h:1x", "port"},
        {"redis://h/x", "database"},
        {"redis://user@h", "user:password"},
        {"redis://u:%zz@h", "password"},
        {"redis://[::1", "[address]"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = {0};
        bool ok = redis_check_url(cases[i].url, &e);

        if (ok != (cases[i].problem == NULL) ||
            (!ok && strstr(e.message, cases[i].problem) == NULL)) {
            fail_msg("%s: %s", cases[i].url, ok ? "accepted" : e.message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers, setup, teardown),
        cmocka_unit_test_setup_teardown(scripts_survive_a_flush, setup, teardown),
        cmocka_unit_test_setup_teardown(a_late_reply_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_frozen_server_is_left_and_found_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_server_fails_what_is_pending, setup, teardown),
        cmocka_unit_test_setup_teardown(a_forgotten_caller_is_not_called, setup, teardown),
        cmocka_unit_test_setup_teardown(passwords_and_databases, setup, teardown),
        cmocka_unit_test_setup_teardown(names_users_and_databases, setup, teardown),
        cmocka_unit_test_setup_teardown(idle_is_no_silence, setup, teardown),
        cmocka_unit_test(urls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
