// SPDX-License-Identifier: Apache-2.0
// Parsing of unix:/path[?db=N] and redis://[user:pass@]host[:port][/db].
#include "common/io/redis_url.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/io/redis.h"

static bool unescape(struct slice s, char *out, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '%') {
            char hex[3] = {0};
            char *end;

            if (i + 2 >= s.n) {
                return false;
            }
            memcpy(hex, s.p + i + 1, 2);
            c = (char)strtoul(hex, &end, 16);
            if (end != hex + 2 || c == '\0') {
                return false;
            }
            i += 2;
        }
        if (n + 1 >= max) {
            return false;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

static bool parse_db(struct slice s, uint32_t *ret, struct err *e)
{
    uint64_t v = 0;

    if (s.n > 0 && (!slice_to_u64(s, &v) || v > 65535)) {
        return err_set(e, ERR_INVALID, "redis URL: the database must be a number");
    }
    *ret = (uint32_t)v;
    return true;
}

static bool parse_unix(struct slice rest, struct redis_url *p, struct err *e)
{
    struct slice path, query = slice_cut(rest, '?', &path);

    if (slice_starts(path, SLICE("//"))) {
        path = slice_from(path, 2);
    }
    if (path.n == 0 || path.p[0] != '/' || path.n > 107) {
        return err_set(e, ERR_INVALID,
                       "redis URL: unix: wants an absolute path of at most 107 bytes");
    }
    if (query.n > 0) {
        if (!slice_starts(query, SLICE("db="))) {
            return err_set(e, ERR_INVALID, "redis URL: only ?db=N may follow a unix path");
        }
        query = slice_from(query, 3);
    }
    if (!parse_db(query, &p->db, e)) {
        return false;
    }
    p->path = mem_strndup(path.p, path.n);
    return true;
}

static struct slice cut_last(struct slice s, char sep, struct slice *ret_tail)
{
    for (size_t i = s.n; i > 0; i--) {
        if (s.p[i - 1] == sep) {
            *ret_tail = slice_from(s, i);
            return slice_head(s, i - 1);
        }
    }
    *ret_tail = s;
    return SLICE_NULL;
}

static bool parse_login(struct slice login, struct redis_url *p, struct err *e)
{
    struct slice user, password = slice_cut(login, ':', &user);
    char text[512];

    if (password.p == NULL) {
        return err_set(e, ERR_INVALID, "redis URL: what stands before @ must be user:password");
    }
    if (!unescape(password, text, sizeof(text))) {
        return err_set(e, ERR_INVALID, "redis URL: the password is badly escaped or too long");
    }
    p->password = secret_new(slice_str(text));
    mem_wipe(text, sizeof(text));
    if (user.n > 0) {
        if (!unescape(user, text, sizeof(text))) {
            return err_set(e, ERR_INVALID, "redis URL: the user is badly escaped or too long");
        }
        p->user = secret_new(slice_str(text));
    }
    return true;
}

static bool parse_tcp(struct slice rest, struct redis_url *p, struct err *e)
{
    struct slice authority, host, port = SLICE_NULL;
    struct slice db = slice_cut(rest, '/', &authority);
    struct slice tail, login = cut_last(authority, '@', &tail);
    uint64_t number = 6379;

    if (login.p != NULL && !parse_login(login, p, e)) {
        return false;
    }
    if (tail.n > 0 && tail.p[0] == '[') {
        port = slice_cut(slice_from(tail, 1), ']', &host);
        if (port.p == NULL || (port.n > 0 && port.p[0] != ':')) {
            return err_set(e, ERR_INVALID, "redis URL: bad [address]");
        }
        port = port.n > 0 ? slice_from(port, 1) : SLICE_NULL;
    } else {
        port = slice_cut(tail, ':', &host);
    }
    if (host.n == 0 || host.n > 253) {
        return err_set(e, ERR_INVALID, "redis URL: the host is missing or too long");
    }
    if (port.p != NULL && (!slice_to_u64(port, &number) || number == 0 || number > 65535)) {
        return err_set(e, ERR_INVALID, "redis URL: the port must be 1 to 65535");
    }
    if (!parse_db(db, &p->db, e)) {
        return false;
    }
    p->host = mem_strndup(host.p, host.n);
    p->port = (uint16_t)number;
    return true;
}

void redis_url_done(struct redis_url *u)
{
    mem_free(u->path);
    mem_free(u->host);
    secret_free(&u->user);
    secret_free(&u->password);
    *u = (struct redis_url){0};
}

// *p is zeroed; on failure it may be half filled (redis_url_done).
bool redis_url_parse(const char *url, struct redis_url *p, struct err *e)
{
    struct slice u = slice_str(url);

    if (slice_starts(u, SLICE("unix:"))) {
        return parse_unix(slice_from(u, 5), p, e);
    }
    if (slice_starts(u, SLICE("redis://"))) {
        return parse_tcp(slice_from(u, 8), p, e);
    }
    if (slice_starts(u, SLICE("rediss://"))) {
        return err_set(
            e, ERR_INVALID,
            "rediss:// is not available in this build (hiredis without TLS): put stunnel "
            "in front of Redis, or use a unix socket (unix:/path)");
    }
    return err_set(e, ERR_INVALID,
                   "redis URL: expected unix:/path or redis://[user:password@]host[:port][/db]");
}

bool redis_check_url(const char *url, struct err *e)
{
    struct redis_url p = {0};
    bool ok = redis_url_parse(url, &p, e);

    redis_url_done(&p);
    return ok;
}

struct slice redis_url_password(struct slice url)
{
    struct slice host, login, user, password;

    if (!slice_starts(url, SLICE("redis://"))) {
        return SLICE("");
    }
    login = cut_last(slice_from(url, 8), '@', &host);
    password = login.p == NULL ? SLICE_NULL : slice_cut(login, ':', &user);
    return password.p == NULL ? SLICE("") : password;
}
