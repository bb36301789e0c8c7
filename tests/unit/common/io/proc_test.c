// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/io/proc.h"

static char dir[64];
static char path[PATH_MAX];

static const char *in_dir(const char *name)
{
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/proc_test.XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
    const char *const argv[] = {"rm", "-rf", dir, NULL};
    const struct proc_child rm = {.argv = argv};
    pid_t pid = proc_spawn(&rm, NULL);

    (void)state;
    return pid < 0 || waitpid(pid, NULL, 0) != pid;
}

// --- files ---------------------------------------------------------------------------------------

static void a_written_file_reads_back_with_its_mode(void **state)
{
    struct buf b;
    struct stat st;
    struct err e;

    (void)state;
    buf_init(&b, 1 << 20);
    assert_true(proc_write_file(in_dir("f"), SLICE("old"), 0600, &e));
    assert_true(proc_write_file(in_dir("f"), SLICE("hello"), 0640, &e));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_true(proc_read_file(path, 5, &b, &e));
    assert_true(slice_eq_str(buf_slice(&b), "hello"));
    assert_false(proc_read_file(path, 4, &b, &e));
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_int_equal(b.n, 0);
    assert_true(proc_write_file(path, SLICE(""), 0600, &e));
    assert_true(proc_read_file(path, 0, &b, &e));
    assert_int_equal(b.n, 0);
    buf_done(&b);
}

static void a_large_file_reads_back(void **state)
{
    enum { N = 300000 };
    char *p = mem_alloc(N);
    struct buf b;

    (void)state;
    memset(p, 'x', N);
    buf_init(&b, N + 4096);
    assert_true(proc_write_file(in_dir("big"), SLICE_MAKE(p, N), 0600, NULL));
    assert_true(proc_read_file(path, N, &b, NULL));
    assert_int_equal(b.n, N);
    assert_memory_equal(b.p + b.off, p, N);
    buf_done(&b);
    mem_free(p);
}

static void file_errors_are_told(void **state)
{
    struct buf b;
    struct err e;

    (void)state;
    buf_init(&b, 100);
    assert_false(proc_read_file(in_dir("missing"), 10, &b, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_non_null(strstr(e.message, "missing"));
    assert_false(proc_write_file(in_dir("no/such/dir"), SLICE("x"), 0600, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_false(proc_read_file(dir, 10, &b, &e));
    assert_int_equal(e.code, ERR_IO);
    buf_done(&b);
}

static void directories_are_made_private(void **state)
{
    struct stat st;
    struct err e;

    (void)state;
    assert_true(proc_mkdirs(in_dir("a/b/c/"), &e));
    assert_true(proc_mkdirs(in_dir("a/b/c"), &e));
    assert_int_equal(stat(in_dir("a/b"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_true(proc_write_file(in_dir("file"), SLICE("x"), 0600, &e));
    assert_false(proc_mkdirs(path, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_false(proc_mkdirs(in_dir("file/sub"), &e));
    assert_false(proc_mkdirs("", &e));
}

static void a_lock_is_held_once(void **state)
{
    struct err e;
    int a = proc_lock(in_dir("lock"), &e);

    (void)state;
    assert_true(a >= 0);
    assert_int_equal(proc_lock(path, &e), -1);
    assert_int_equal(e.code, ERR_CONFLICT);
    (void)close(a);
    a = proc_lock(path, &e);
    assert_true(a >= 0);
    (void)close(a);
}

// --- process -------------------------------------------------------------------------------------

static void limits_are_set(void **state)
{
    struct rlimit r;

    (void)state;
    assert_true(proc_raise_nofile() > 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &r), 0);
    assert_int_equal(r.rlim_cur, r.rlim_max);
    proc_harden();
    assert_int_equal(getrlimit(RLIMIT_CORE, &r), 0);
    assert_int_equal(r.rlim_cur, 0);
    assert_int_equal(prctl(PR_GET_DUMPABLE), 0);
}

static void a_thread_gets_its_name_cut(void **state)
{
    char name[16];

    (void)state;
    proc_name_thread("a-name-that-is-too-long");
    assert_int_equal(pthread_getname_np(pthread_self(), name, sizeof name), 0);
    assert_string_equal(name, "a-name-that-is-");
}

static void readiness_reaches_the_socket(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char got[32] = {0};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    (void)state;
    (void)unsetenv("NOTIFY_SOCKET");
    assert_true(proc_notify("READY=1"));
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s/n", dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    (void)setenv("NOTIFY_SOCKET", a.sun_path, 1);
    assert_true(proc_notify("READY=1"));
    assert_int_equal(recv(fd, got, sizeof got - 1, 0), 7);
    assert_string_equal(got, "READY=1");
    (void)close(fd);
    assert_false(proc_notify("READY=1"));
    (void)setenv("NOTIFY_SOCKET", "relative", 1);
    assert_false(proc_notify("READY=1"));
    (void)unsetenv("NOTIFY_SOCKET");
}

// --- signals and children ------------------------------------------------------------------------

static int signals[8];
static int n_signals;

static void on_signal(void *arg, int signo)
{
    (void)arg;
    if (n_signals < (int)ARRAY_LEN(signals)) {
        signals[n_signals++] = signo;
    }
}

static void signals_arrive_on_the_loop(void **state)
{
    struct loop *l = loop_new(NULL);
    struct proc_signals *s = proc_signals_new(l, on_signal, NULL, NULL);
    const char *const argv[] = {"true", NULL};
    const struct proc_child child = {.argv = argv};
    pid_t pid, reaped;
    int status;

    (void)state;
    assert_non_null(s);
    n_signals = 0;
    (void)raise(SIGPIPE);
    (void)kill(getpid(), SIGHUP);
    (void)kill(getpid(), SIGTERM);
    while (n_signals < 2) {
        loop_turn(l, UINT64_MAX);
    }
    assert_int_equal(signals[0] + signals[1], SIGHUP + SIGTERM);
    n_signals = 0;
    pid = proc_spawn(&child, NULL);
    assert_true(pid > 0);
    do { // it may also tell of one that was stopped
        loop_turn(l, UINT64_MAX);
        assert_true(n_signals == 0 || signals[0] == SIGCHLD);
    } while (n_signals == 0 || !proc_reap(&reaped, &status));
    assert_int_equal(reaped, pid);
    assert_int_equal(status, 0);
    assert_false(proc_reap(&reaped, &status));
    proc_signals_free(&s);
    loop_free(&l);
}

// Runs sh -c script and returns its status.
static int run(const char *script, const char *const *env)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    const struct proc_child c = {
        .argv = argv, .env = env, .own_group = true, .die_with_parent = true};
    struct err e;
    pid_t pid = proc_spawn(&c, &e);
    int status = -1;

    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void a_child_has_our_environment_and_more(void **state)
{
    const char *const env[] = {"PROC_TEST_A=1", "PROC_TEST_B=two", NULL};

    (void)state;
    (void)setenv("PROC_TEST_B", "ours", 1);
    (void)setenv("PROC_TEST_C", "three", 1);
    assert_int_equal(run("test $PROC_TEST_A$PROC_TEST_B$PROC_TEST_C = 1twothree", env), 0);
    assert_int_equal(run("test $PROC_TEST_B = ours", NULL), 0);
}

static void a_child_has_a_group_of_its_own_and_no_blocked_signals(void **state)
{
    (void)state;
    assert_int_equal(run("test $(ps -o pgid= -p $$) = $$", NULL), 0);
    assert_int_equal(run("grep -q '^SigBlk:.0*$' /proc/self/status", NULL), 0);
    assert_int_equal(run("read x; test -z \"$x\"", NULL), 0); // stdin is empty
}

static void a_program_that_is_not_there_fails_at_once(void **state)
{
    const char *const a[] = {"/no/such/program", NULL}, *const b[] = {"no-such-program-x", NULL};
    const struct proc_child ca = {.argv = a}, cb = {.argv = b};
    struct err e;
    pid_t pid;
    int status;

    (void)state;
    assert_int_equal(proc_spawn(&ca, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(proc_spawn(&cb, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_false(proc_reap(&pid, &status)); // no zombie is left
}

static void a_status_reads_well(void **state)
{
    char text[32];

    (void)state;
    assert_string_equal(proc_status_text(run("exit 3", NULL), text), "exit code 3");
    assert_string_equal(proc_status_text(run("kill -9 $$", NULL), text), "signal 9");
}

static void siblings_are_beside_the_program(void **state)
{
    char *p = proc_sibling("common_io_proc_test");

    (void)state;
    assert_int_equal(access(p, X_OK), 0);
    mem_free(p);
}

// In a child, whose environment nobody else needs.
static void the_environment_is_hidden(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(setenv("PROC_TEST_SECRET", "planted", 1), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const char *secret;

        proc_hide_env();
        proc_hide_env(); // again does no harm
        secret = getenv("PROC_TEST_SECRET");
        _exit(secret != NULL && strcmp(secret, "planted") == 0 && getenv("PATH") != NULL &&
                      setenv("PROC_TEST_MORE", "x", 1) == 0 && getenv("PROC_TEST_MORE") != NULL
                  ? 0
                  : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(unsetenv("PROC_TEST_SECRET"), 0);
}

static void an_argument_is_hidden(void **state)
{
    char arg[] = "redis://u:planted@h";

    (void)state;
    proc_hide_arg(arg + 10, 7);
    assert_string_equal(arg, "redis://u:*******@h");
}

static bool only_path(const char *variable)
{
    return strncmp(variable, "PATH=", 5) == 0;
}

static void a_child_gets_what_passes(void **state)
{
    const char *const argv[] = {"sh", "-c", "test -z \"$PROC_TEST_SECRET\" && test \"$MORE\" = yes",
                                NULL};
    const char *const more[] = {"MORE=yes", NULL};
    const struct proc_child c = {.argv = argv, .env = more, .passes = only_path};
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(setenv("PROC_TEST_SECRET", "planted", 1), 0);
    pid = proc_spawn(&c, NULL);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(unsetenv("PROC_TEST_SECRET"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_environment_is_hidden),
        cmocka_unit_test(an_argument_is_hidden),
        cmocka_unit_test(a_child_gets_what_passes),
        cmocka_unit_test(a_written_file_reads_back_with_its_mode),
        cmocka_unit_test(a_large_file_reads_back),
        cmocka_unit_test(file_errors_are_told),
        cmocka_unit_test(directories_are_made_private),
        cmocka_unit_test(a_lock_is_held_once),
        cmocka_unit_test(a_thread_gets_its_name_cut),
        cmocka_unit_test(readiness_reaches_the_socket),
        cmocka_unit_test(signals_arrive_on_the_loop),
        cmocka_unit_test(a_child_has_our_environment_and_more),
        cmocka_unit_test(a_child_has_a_group_of_its_own_and_no_blocked_signals),
        cmocka_unit_test(a_program_that_is_not_there_fails_at_once),
        cmocka_unit_test(a_status_reads_well),
        cmocka_unit_test(siblings_are_beside_the_program),
        cmocka_unit_test(limits_are_set),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
