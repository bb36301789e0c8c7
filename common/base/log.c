// SPDX-License-Identifier: Apache-2.0
// One line per event. A line is built in a fixed buffer on the stack, so that logging works when
// memory does not, and leaves in one write(2).
//
//   JSON  {"ts":"2026-11-25T20:40:46.123456Z","level":"info","program":"p","event":"e","k":"v"}
//   text  2026-11-25T20:40:46.123456Z INFO  p e k=v other="needs quotes"
//
// A field that does not fit is taken back as a whole and the line is ended with truncated=true, so
// that a JSON line is always valid. Access lines go through a buffer per thread, written out when
// it is full and by log_access_flush; a mutex keeps lines of several threads from mixing in a pipe.
#include "common/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/mono.h"
#include "common/base/text.h"

#define LINE_MAX_BYTES  8192
#define VALUE_MAX_BYTES 1024
#define ACCESS_BUF      16384
// Kept free while fields are added, for `,"truncated":true}` and the newline.
#define LINE_RESERVE 32

struct line {
    char p[LINE_MAX_BYTES];
    size_t n;
    size_t max;
    bool full; // something did not fit since the flag was last cleared
};

struct access_buf {
    char p[ACCESS_BUF];
    size_t n;
};

// Set at start, read by all threads; each on its own is enough, hence relaxed.
static _Atomic(const char *) log_program;
static atomic_int log_level_min = LOG_INFO;
static atomic_bool log_json;
static atomic_int access_fd = STDOUT_FILENO;
static atomic_bool access_enabled = true;
static pthread_mutex_t access_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local struct access_buf access_lines;

static const struct {
    const char *lower, *upper;
} level_names[] = {
    [LOG_DEBUG] = {"debug", "DEBUG"},
    [LOG_INFO] = {"info", "INFO "},
    [LOG_WARN] = {"warn", "WARN "},
    [LOG_ERROR] = {"error", "ERROR"},
};

void log_setup(const char *program, enum log_level level, bool json)
{
    atomic_store_explicit(&log_program, program, memory_order_relaxed);
    atomic_store_explicit(&log_json, json, memory_order_relaxed);
    log_set_level(level);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level_min, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&log_level_min, memory_order_relaxed);
}

// --- building a line ---

static void put(struct line *l, struct slice s)
{
    if (l->full || s.n > l->max - l->n) {
        l->full = true;
        return;
    }
    if (s.n > 0) {
        memcpy(l->p + l->n, s.p, s.n);
        l->n += s.n;
    }
}

static void put_str(struct line *l, const char *s)
{
    put(l, slice_str(s));
}

static void put_escaped_byte(struct line *l, unsigned char c)
{
    char text[8];
    int n;

    if (c >= 0x80) {
        put(l, SLICE("\xef\xbf\xbd"));
        return;
    }
    if (c == '"' || c == '\\') {
        n = snprintf(text, sizeof(text), "\\%c", c);
    } else if (c == '\n') {
        n = snprintf(text, sizeof(text), "\\n");
    } else {
        n = snprintf(text, sizeof(text), "\\u%04x", c);
    }
    put(l, (struct slice){text, (size_t)n});
}

// Length of the run of printable ASCII, but quotes and backslashes, at the start of s.
static size_t plain_run(struct slice s)
{
    size_t n = 0;

    while (n < s.n && s.p[n] >= ' ' && s.p[n] < 0x7f && s.p[n] != '"' && s.p[n] != '\\') {
        n++;
    }
    return n;
}

// The inside of a quoted string, JSON rules in both formats; cut values end in "...".
static void put_escaped(struct line *l, struct slice s)
{
    bool cut = s.n > VALUE_MAX_BYTES;
    size_t run = 0;

    s = slice_head(s, VALUE_MAX_BYTES);
    while ((run += plain_run(slice_from(s, run))) < s.n) {
        unsigned char c = (unsigned char)s.p[run];
        size_t n = c < 0x80 ? 0 : text_utf8_len(slice_from(s, run));

        if (n > 0) {
            run += n;
            continue;
        }
        put(l, slice_head(s, run));
        if (cut && s.n - run < 4 && c >= 0xc0) {
            // The character the cut went through is left out.
            s = SLICE("");
            break;
        }
        put_escaped_byte(l, c);
        s = slice_from(s, run + 1);
        run = 0;
    }
    put(l, s);
    if (cut) {
        put_str(l, "...");
    }
}

static void put_quoted(struct line *l, struct slice s)
{
    put_str(l, "\"");
    put_escaped(l, s);
    put_str(l, "\"");
}

static bool is_bare_word(struct slice s)
{
    if (s.n == 0 || s.n > VALUE_MAX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\' || s.p[i] == '=') {
            return false;
        }
    }
    return true;
}

static void put_signed(struct line *l, int64_t v)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%lld", (long long)v);

    put(l, (struct slice){text, (size_t)n});
}

static void put_unsigned(struct line *l, uint64_t v)
{
    char text[20];

    put(l, text_format_u64(v, text)); // most fields of access lines: quicker than snprintf
}

static void put_value(struct line *l, const struct log_field *f, bool json)
{
    switch (f->kind) {
    case LOG_KIND_SLICE:
        if (f->v.s.p == NULL) {
            put_str(l, json ? "null" : "-");
        } else if (!json && is_bare_word(f->v.s)) {
            put(l, f->v.s);
        } else {
            put_quoted(l, f->v.s);
        }
        break;
    case LOG_KIND_BOOL:
        put_str(l, f->v.b ? "true" : "false");
        break;
    case LOG_KIND_INT:
        put_signed(l, f->v.i);
        break;
    case LOG_KIND_UINT:
        put_unsigned(l, f->v.u);
        break;
    }
}

static void put_name(struct line *l, const char *name, bool json)
{
    if (json) {
        put(l, SLICE(",\""));
        put_str(l, name); // a literal of ours: nothing to escape
        put(l, SLICE("\":"));
    } else {
        put_str(l, " ");
        put_str(l, name);
        put_str(l, "=");
    }
}

// The thread's last second as text: a calendar date a line costs more than the rest of it.
static _Thread_local struct {
    uint64_t second;
    char text[32];
} last_time;

static void put_time(struct line *l)
{
    uint64_t now = mono_wall_us();
    unsigned us = (unsigned)(now % 1000000);
    char fraction[8];

    if (last_time.text[0] == '\0' || last_time.second != now / 1000000) {
        last_time.second = now / 1000000;
        text_format_rfc3339(now, last_time.text);
    }
    fraction[0] = '.';
    for (size_t i = 6; i > 0; i--, us /= 10) {
        fraction[i] = (char)('0' + us % 10);
    }
    fraction[7] = 'Z';
    // The seconds end in 'Z': it moves behind the fraction.
    put(l, slice_head(slice_str(last_time.text), strlen(last_time.text) - 1));
    put(l, (struct slice){fraction, sizeof(fraction)});
}

// level NULL: an access line, always JSON.
static void put_head(struct line *l, const char *level, const char *event, bool json)
{
    const char *program = atomic_load_explicit(&log_program, memory_order_relaxed);

    put_str(l, json ? "{\"ts\":\"" : "");
    put_time(l);
    if (!json) {
        put_str(l, " ");
        put_str(l, level);
        put_str(l, " ");
        put_str(l, program == NULL ? "-" : program);
        put_str(l, " ");
        put_str(l, event);
        return;
    }
    put_str(l, "\"");
    if (level != NULL) {
        put_name(l, "level", json);
        put_quoted(l, slice_str(level));
    }
    if (program != NULL) {
        put_name(l, "program", json);
        put_quoted(l, slice_str(program));
    }
    put_name(l, "event", json);
    put_quoted(l, slice_str(event));
}

static void build(struct line *l, const char *level, const char *event, const struct log_field *f,
                  size_t n, bool json)
{
    l->n = 0;
    l->max = sizeof(l->p) - LINE_RESERVE;
    l->full = false;
    put_head(l, level, event, json);
    for (size_t i = 0; i < n; i++) {
        size_t before = l->n;

        put_name(l, f[i].name, json);
        put_value(l, &f[i], json);
        if (l->full) {
            l->full = false;
            l->n = before;
            l->max = sizeof(l->p);
            put_str(l, json ? ",\"truncated\":true" : " truncated=true");
            break;
        }
    }
    l->max = sizeof(l->p);
    put_str(l, json ? "}\n" : "\n");
}

// Lines that cannot be written (closed or full non-blocking descriptor) are lost: there is nobody
// to tell, and a worker must not wait here.
static void write_out(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return;
        }
        p += done;
        n -= (size_t)done;
    }
}

void log_write(enum log_level level, const char *event, const struct log_field *f, size_t n)
{
    bool json = atomic_load_explicit(&log_json, memory_order_relaxed);
    int saved_errno = errno;
    struct line l;

    if (!log_enabled(level)) {
        return;
    }
    build(&l, json ? level_names[level].lower : level_names[level].upper, event, f, n, json);
    write_out(STDERR_FILENO, l.p, l.n);
    errno = saved_errno;
}

// --- access lines ---

void log_access_setup(int fd, bool enabled)
{
    atomic_store_explicit(&access_fd, fd, memory_order_relaxed);
    atomic_store_explicit(&access_enabled, enabled, memory_order_relaxed);
}

bool log_access_enabled(void)
{
    return atomic_load_explicit(&access_enabled, memory_order_relaxed);
}

void log_access(const struct log_field *f, size_t n)
{
    struct line l;

    if (!log_access_enabled()) {
        return;
    }
    build(&l, NULL, "access", f, n, true); // for machines, whatever logs look like
    if (l.n > sizeof(access_lines.p) - access_lines.n) {
        log_access_flush();
    }
    memcpy(access_lines.p + access_lines.n, l.p, l.n);
    access_lines.n += l.n;
}

void log_access_flush(void)
{
    int saved_errno = errno;

    if (access_lines.n == 0) {
        return;
    }
    pthread_mutex_lock(&access_lock);
    write_out(atomic_load_explicit(&access_fd, memory_order_relaxed), access_lines.p,
              access_lines.n);
    pthread_mutex_unlock(&access_lock);
    access_lines.n = 0;
    errno = saved_errno;
}
