// SPDX-License-Identifier: Apache-2.0
// What a daemon asks of the kernel around its real work: signals as events, limits, the service
// manager, small files written so that a crash leaves the old or the new one, child processes.
#include "common/io/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"

// --- signals -------------------------------------------------------------------------------------

// Made by main, owned by it; dispatches on the loop's thread.
struct proc_signals {
    struct loop *l; // borrowed
    struct loop_watch w;
    void (*fn)(void *arg, int signo);
    void *arg;
};

static void signal_set(sigset_t *set)
{
    (void)sigemptyset(set); // the arguments are constants: none of these can fail
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGHUP);
    (void)sigaddset(set, SIGCHLD);
}

static void on_signal(struct loop_watch *w, uint32_t events)
{
    struct proc_signals *s = container_of(w, struct proc_signals, w);
    struct signalfd_siginfo info;

    (void)events;
    // One a dispatch: fn may free s, and what is left keeps the watch readable.
    if (read(w->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        s->fn(s->arg, (int)info.ssi_signo);
    }
}

struct proc_signals *proc_signals_new(struct loop *l, void (*fn)(void *arg, int signo), void *arg,
                                      struct err *e)
{
    struct proc_signals *s = mem_zalloc(sizeof *s);
    sigset_t set;

    signal_set(&set);
    (void)signal(SIGPIPE, SIG_IGN); // cannot fail for this signal
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    s->l = l;
    s->fn = fn;
    s->arg = arg;
    s->w.fn = on_signal;
    s->w.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->w.fd < 0) {
        err_set(e, ERR_IO, "cannot receive signals: %s", strerror(errno));
        proc_signals_free(&s);
        return NULL;
    }
    if (!loop_watch_add(l, &s->w, LOOP_READ, e)) {
        proc_signals_free(&s);
        return NULL;
    }
    return s;
}

void proc_signals_free(struct proc_signals **sp)
{
    struct proc_signals *s = *sp;

    *sp = NULL;
    if (s == NULL) {
        return;
    }
    loop_watch_remove(s->l, &s->w);
    if (s->w.fd >= 0) {
        (void)close(s->w.fd); // nothing buffered in it
    }
    mem_free(s);
}

// --- limits, names, readiness --------------------------------------------------------------------

uint64_t proc_raise_nofile(void)
{
    struct rlimit r;

    CHECK(getrlimit(RLIMIT_NOFILE, &r) == 0);
    if (r.rlim_cur < r.rlim_max) {
        struct rlimit higher = {r.rlim_max, r.rlim_max};

        if (setrlimit(RLIMIT_NOFILE, &higher) == 0) {
            r = higher;
        }
    }
    return r.rlim_cur;
}

void proc_harden(void)
{
    const struct rlimit none = {0, 0};

    // Lowering our own limit and clearing our own flag are always allowed.
    CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
    CHECK(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
}

// One mapping: the pointers, then the strings. It lives as long as the process.
void proc_hide_env(void)
{
    size_t n = 0, bytes = 0;
    char **pointers, *at;
    void *map;

    while (environ[n] != NULL) {
        bytes += strlen(environ[n++]) + 1;
    }
    bytes += (n + 1) * sizeof *pointers;
    map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED);
    (void)mlock(map, bytes); // best effort, as in secret.c
    (void)madvise(map, bytes, MADV_DONTDUMP);
    pointers = map;
    at = (char *)map + (n + 1) * sizeof *pointers;
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(environ[i]), name = strcspn(environ[i], "=");

        pointers[i] = at;
        memcpy(at, environ[i], length + 1);
        at += length + 1;
        if (name < length) {
            mem_wipe(environ[i] + name + 1, length - name - 1);
        }
    }
    pointers[n] = NULL;
    environ = pointers;
}

void proc_hide_arg(char *at, size_t n)
{
    mem_wipe(at, n);
    memset(at, '*', n);
}

void proc_name_thread(const char *name)
{
    char cut[16];

    (void)snprintf(cut, sizeof cut, "%s", name);   // cutting is meant
    (void)pthread_setname_np(pthread_self(), cut); // only for people who look
}

void proc_lower_thread(void)
{
    // On Linux nice is the thread's own, and 0 names the calling one.
    (void)setpriority(PRIO_PROCESS, 0, 19);
}

bool proc_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t n;
    int fd;
    bool ok;

    if (path == NULL || path[0] == '\0') {
        return true;
    }
    n = strlen(path);
    if (n >= sizeof a.sun_path || (path[0] != '/' && path[0] != '@')) {
        return false;
    }
    memcpy(a.sun_path, path, n);
    if (path[0] == '@') {
        a.sun_path[0] = '\0'; // abstract name: length counts, no NUL at its end
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    ok = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) >= 0;
    (void)close(fd); // datagram sent or not
    return ok;
}

// --- files ---------------------------------------------------------------------------------------

static enum err_code code_of(int error)
{
    return error == ENOENT ? ERR_NOT_FOUND : error == EACCES ? ERR_DENIED : ERR_IO;
}

static bool read_all(int fd, const char *path, size_t max_bytes, struct buf *out, struct err *e)
{
    for (;;) {
        size_t room;
        char *to;
        ssize_t r;

        // One byte more than allowed is asked for, to notice the excess.
        if (out->n > max_bytes || !buf_try_reserve(out, 1)) {
            return err_set(e, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, max_bytes);
        }
        to = buf_tail(out, &room);
        r = read(fd, to, room <= max_bytes - out->n ? room : max_bytes - out->n + 1);
        if (r > 0) {
            buf_commit(out, (size_t)r);
        } else if (r == 0) {
            return true;
        } else if (errno != EINTR) {
            return err_set(e, code_of(errno), "cannot read %s: %s", path, strerror(errno));
        }
    }
}

bool proc_read_file(const char *path, size_t max_bytes, struct buf *out, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    bool ok;

    buf_clear(out);
    if (fd < 0) {
        return err_set(e, code_of(errno), "cannot open %s: %s", path, strerror(errno));
    }
    ok = read_all(fd, path, max_bytes, out, e);
    (void)close(fd); // only read from
    if (!ok) {
        buf_clear(out);
    }
    return ok;
}

static bool write_all(int fd, struct slice s)
{
    while (s.n > 0) {
        ssize_t w = write(fd, s.p, s.n);

        if (w < 0 && errno != EINTR) {
            return false;
        }
        s = slice_from(s, w < 0 ? 0 : (size_t)w);
    }
    return true;
}

// The rename itself is durable only when the directory is.
static void sync_dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL ? mem_strdup(".") : mem_strndup(path, (size_t)(slash - path) + 1);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fsync(fd); // file systems without it have nothing better
        (void)close(fd); // as above
    }
    mem_free(dir);
}

bool proc_write_file(const char *path, struct slice data, mode_t mode, struct err *e)
{
    char tmp[PATH_MAX];
    int n = snprintf(tmp, sizeof tmp, "%s.XXXXXX", path);
    int fd;
    bool ok;

    if (n < 0 || (size_t)n >= sizeof tmp) {
        return err_set(e, ERR_INVALID, "path too long: %.64s...", path);
    }
    fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0) {
        return err_set(e, code_of(errno), "cannot write %s: %s", path, strerror(errno));
    }
    ok = fchmod(fd, mode) == 0 && write_all(fd, data) && fsync(fd) == 0;
    if (close(fd) != 0) {
        ok = false;
    }
    ok = ok && rename(tmp, path) == 0;
    if (!ok) {
        err_set(e, code_of(errno), "cannot write %s: %s", path, strerror(errno));
        (void)unlink(tmp); // best effort
        return false;
    }
    sync_dir_of(path);
    return true;
}

bool proc_mkdirs(const char *path, struct err *e)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    struct stat st;

    if (n == 0 || n >= sizeof part) {
        return err_set(e, ERR_INVALID, "not a usable directory name: \"%.64s\"", path);
    }
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST) {
            return err_set(e, code_of(errno), "cannot make directory %s: %s", part,
                           strerror(errno));
        }
        part[i] = path[i];
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return err_set(e, ERR_CONFLICT, "%s is not a directory", path);
    }
    return true;
}

int proc_lock(const char *path, struct err *e)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);

    if (fd < 0) {
        err_set(e, code_of(errno), "cannot open %s: %s", path, strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;

        err_set(e, error == EWOULDBLOCK ? ERR_CONFLICT : ERR_IO, "cannot lock %s: %s", path,
                error == EWOULDBLOCK ? "another process holds it" : strerror(error));
        (void)close(fd); // not locked
        return -1;
    }
    return fd;
}

char *proc_sibling(const char *name)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    char *slash, *joined;
    size_t dir, size;

    CHECK(n > 0 && (size_t)n < sizeof path);
    path[n] = '\0';
    slash = strrchr(path, '/');
    CHECK(slash != NULL);
    dir = (size_t)(slash - path) + 1;
    size = dir + strlen(name) + 1;
    joined = mem_alloc(size);
    (void)snprintf(joined, size, "%.*s%s", (int)dir, path, name); // fits by construction
    return joined;
}

// --- children ------------------------------------------------------------------------------------

static bool same_variable(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");

    return strncmp(a, b, n) == 0 && (b[n] == '=' || b[n] == '\0');
}

// What passes of our environment, with the extra variables put over it; the array is owned, the
// strings are not.
static char **merged_environment(const char *const *extra, bool (*passes)(const char *))
{
    size_t n_ours = 0, n_extra = 0, n = 0;
    char **env;

    while (environ[n_ours] != NULL) {
        n_ours++;
    }
    while (extra != NULL && extra[n_extra] != NULL) {
        n_extra++;
    }
    env = mem_zalloc_array(n_ours + n_extra + 1, sizeof *env);
    for (size_t i = 0; i < n_ours; i++) {
        bool replaced = passes != NULL && !passes(environ[i]);

        for (size_t k = 0; k < n_extra; k++) {
            replaced = replaced || same_variable(extra[k], environ[i]);
        }
        if (!replaced) {
            env[n++] = environ[i];
        }
    }
    for (size_t k = 0; k < n_extra; k++) {
        memcpy(&env[n++], &extra[k],
               sizeof env[0]); // execve wants char *, and does not write to it
    }
    return env;
}

// PATH is searched before fork: afterwards only async-signal-safe calls are allowed.
static bool find_program(const char *name, char out[PATH_MAX], struct err *e)
{
    const char *path = getenv("PATH");
    struct slice rest = slice_str(path == NULL ? "/usr/local/bin:/usr/bin:/bin" : path), dir;

    if (strchr(name, '/') != NULL) {
        if (snprintf(out, PATH_MAX, "%s", name) < PATH_MAX) {
            return true;
        }
        return err_set(e, ERR_INVALID, "program name too long");
    }
    while (rest.p != NULL) {
        rest = slice_cut(rest, ':', &dir);
        if (dir.n == 0 ||
            snprintf(out, PATH_MAX, SLICE_FMT "/%s", SLICE_ARG(dir), name) >= PATH_MAX) {
            continue;
        }
        if (access(out, X_OK) == 0) {
            return true;
        }
    }
    return err_set(e, ERR_NOT_FOUND, "%s: not found in PATH", name);
}

// In the child, between fork and exec. Reports errno through `report`, which exec closes.
NORETURN static void become(const struct proc_child *c, const char *path, char **argv, char **env,
                            pid_t parent, int report)
{
    sigset_t none;
    int null, error;

    (void)sigemptyset(&none);                    // cannot fail
    (void)signal(SIGPIPE, SIG_DFL);              // ignored signals would stay ignored
    (void)sigprocmask(SIG_SETMASK, &none, NULL); // arguments are valid
    if (c->own_group) {
        (void)setpgid(0, 0); // fails only for session leaders, which have their own already
    }
    if (c->die_with_parent) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0); // valid signal
        if (getppid() != parent) {
            _exit(1); // it died before the line above
        }
    }
    null = open("/dev/null", O_RDONLY);
    if (null >= 0) {
        (void)dup2(null, STDIN_FILENO); // without it the child has our stdin: harmless
    }
    (void)execve(path, argv, env);
    error = errno;
    (void)!write(report, &error, sizeof error); // the parent sees an end of file at the least
    _exit(127);
}

pid_t proc_spawn(const struct proc_child *c, struct err *e)
{
    char path[PATH_MAX];
    char **env, **argv;
    int report[2], error = 0;
    pid_t pid, parent = getpid();

    CHECK(c->argv != NULL && c->argv[0] != NULL);
    if (!find_program(c->argv[0], path, e)) {
        return -1;
    }
    if (pipe2(report, O_CLOEXEC) != 0) {
        err_set(e, ERR_IO, "cannot start %s: %s", c->argv[0], strerror(errno));
        return -1;
    }
    env = merged_environment(c->env, c->passes);
    memcpy(&argv, &c->argv, sizeof argv); // as for env: execve's type is older than const
    pid = fork();
    if (pid == 0) {
        become(c, path, argv, env, parent, report[1]);
    }
    error = pid < 0 ? errno : 0;
    (void)close(report[1]); // the child's end
    if (pid > 0 && read(report[0], &error, sizeof error) == (ssize_t)sizeof error) {
        (void)waitpid(pid, NULL, 0); // it is about to end
    }
    (void)close(report[0]); // only read from
    mem_free(env);
    if (error != 0) {
        err_set(e, code_of(error), "cannot start %s: %s", path, strerror(error));
        return -1;
    }
    return pid;
}

bool proc_reap(pid_t *ret_pid, int *ret_status)
{
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);

    if (pid <= 0) {
        return false;
    }
    *ret_pid = pid;
    *ret_status = status;
    return true;
}

const char *proc_status_text(int status, char out[32])
{
    if (WIFSIGNALED(status)) {
        (void)snprintf(out, 32, "signal %d", WTERMSIG(status)); // fits
    } else {
        (void)snprintf(out, 32, "exit code %d", WEXITSTATUS(status)); // fits
    }
    return out;
}
