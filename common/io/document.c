// SPDX-License-Identifier: Apache-2.0
// The one place where configuration meets the file system. Files are read whole, before anything of
// them is used; the bytes are wiped since keys may be written in them.
#include "common/io/document.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/io/yaml.h"

// Everything up to end of file into b; errno on failure, EFBIG when it does not fit.
static bool read_all(int fd, struct buf *b)
{
    for (;;) {
        size_t room;
        char *tail;
        ssize_t n;

        if (!buf_try_reserve(b, 1)) {
            char probe;

            n = read(fd, &probe, 1);
            errno = n > 0 ? EFBIG : errno;
            return n == 0;
        }
        tail = buf_tail(b, &room);
        n = read(fd, tail, room);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0;
        }
        buf_commit(b, (size_t)n);
    }
}

char *document_read_file(void *ctx, const char *path, size_t max, size_t *ret_n, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *bytes = NULL;
    struct buf b;

    (void)ctx;
    if (fd < 0) {
        err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot open %s: %s", path,
                strerror(errno));
        return NULL;
    }
    buf_init(&b, max);
    if (read_all(fd, &b)) {
        bytes = mem_alloc(b.n + 1);
        memcpy(bytes, buf_slice(&b).p, b.n);
        bytes[b.n] = '\0';
        *ret_n = b.n;
    } else if (errno == EFBIG) {
        err_set(e, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, max);
    } else {
        err_set(e, ERR_IO, "cannot read %s: %s", path, strerror(errno));
    }
    if (b.p != NULL) {
        mem_wipe(b.p, b.cap);
    }
    buf_done(&b);
    (void)close(fd);
    return bytes;
}

bool document_read_env(struct env *e, const char *env_file, bool must_exist,
                       struct problem_list *problems)
{
    struct err err;
    size_t n;
    char *text;
    bool ok;

    env_import(e, environ);
    if (env_file == NULL) {
        return true;
    }
    text = document_read_file(NULL, env_file, (size_t)1 << 20, &n, &err);
    if (text == NULL) {
        if (err.code == ERR_NOT_FOUND && !must_exist) {
            return true;
        }
        problem_add(problems, PROBLEM_ERROR, (struct problem_place){env_file, 0, 0}, "", "%s",
                    err.message);
        return false;
    }
    ok = env_parse(e, env_file, (struct slice){text, n}, problems);
    mem_wipe(text, n);
    mem_free(text);
    return ok;
}

char *document_no_files(void *ctx, const char *path, size_t max, size_t *ret_n, struct err *e)
{
    (void)ctx;
    (void)path;
    (void)max;
    (void)ret_n;
    err_set(e, ERR_DENIED, "files are not read for a document that came over the network");
    return NULL;
}

// Takes the sections named in skip out of the top level.
static void drop_sections(struct node *root, const char *const *skip)
{
    struct node *it = root->first;

    root->first = root->last = NULL;
    while (it != NULL) {
        struct node *next = it->next;
        const char *const *s = skip;

        while (*s != NULL && !slice_eq_str(it->key, *s)) {
            s++;
        }
        if (*s == NULL) {
            node_append(root, it);
        }
        it = next;
    }
}

static struct node *parse(struct arena *a, const char *name, struct slice text,
                          const char *const *skip, const struct document_env *from,
                          struct problem_list *problems)
{
    struct node *root = yaml_parse(a, arena_strdup(a, name), text, problems);
    env_read_fn read = from->read != NULL ? from->read : document_read_file;
    bool ok;

    if (root == NULL) {
        return NULL;
    }
    if (root->kind != NODE_MAP) {
        problem_add(problems, PROBLEM_ERROR, problem_place_of(root), "",
                    "expected a map of sections, found %s", node_kind_name(root));
        return NULL;
    }
    ok = env_overlay(from->env, root, a, yaml_parse_value, problems);
    if (skip != NULL) {
        drop_sections(root, skip);
    }
    ok = env_expand(from->env, root, a, read, NULL, problems) && ok;
    return ok ? root : NULL;
}

struct node *document_parse(struct arena *a, const char *name, struct slice text,
                            const struct document_env *from, struct problem_list *problems)
{
    return parse(a, name, text, NULL, from, problems);
}

struct node *document_load_own(struct arena *a, const char *path, const char *const *skip,
                               const struct env *env, struct problem_list *problems)
{
    const struct document_env from = {.env = env};
    struct node *root;
    struct err err;
    size_t n;
    char *text;

    if (path == NULL) {
        return parse(a, "defaults", SLICE(""), skip, &from, problems);
    }
    text = document_read_file(NULL, path, YAML_BYTES_MAX, &n, &err);
    if (text == NULL) {
        problem_add(problems, PROBLEM_ERROR, (struct problem_place){path, 0, 0}, "", "%s",
                    err.message);
        return NULL;
    }
    root = parse(a, path, (struct slice){text, n}, skip, &from, problems);
    mem_wipe(text, n);
    mem_free(text);
    return root;
}

struct node *document_load(struct arena *a, const char *path, const struct env *env,
                           struct problem_list *problems)
{
    return document_load_own(a, path, NULL, env, problems);
}

void document_wipe(struct node *n)
{
    if (n->expanded) {
        // The text is in the tree's arena, which is ours to write; const only hides that.
        mem_wipe((void *)(uintptr_t)n->text.p, n->text.n);
    }
    for (struct node *it = n->first; it != NULL; it = it->next) {
        document_wipe(it);
    }
}
