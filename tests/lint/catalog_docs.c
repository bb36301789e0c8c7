// SPDX-License-Identifier: Apache-2.0
// catalog_docs FILE: fails unless what stands in FILE between the two marks is what the catalogue
// says. catalog_docs --write FILE: puts it there.
#include <stdio.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/io/document.h"
#include "proto/config/catalog_doc.h"

#define BEGIN "<!-- Made from catalog/*.yaml by `catalog_docs --write`. Do not edit below. -->\n"

static int write_page(const char *path, struct slice head, struct slice tables)
{
    FILE *f = fopen(path, "w");
    bool ok;

    if (f == NULL) {
        perror(path);
        return 1;
    }
    ok = fwrite(head.p, 1, head.n, f) == head.n;
    ok = fwrite(tables.p, 1, tables.n, f) == tables.n && ok;
    ok = fclose(f) == 0 && ok;
    return ok ? 0 : 1;
}

static int run(const char *path, bool write, struct slice tables)
{
    struct err err;
    size_t n, at;
    char *text = document_read_file(NULL, path, (size_t)1 << 24, &n, &err);
    struct slice page, head;
    int status;

    if (text == NULL) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    page = (struct slice){text, n};
    at = slice_find(page, SLICE(BEGIN));
    if (at == SIZE_MAX) {
        (void)fprintf(stderr, "%s has no line %s", path, BEGIN);
        mem_free(text);
        return 1;
    }
    head = slice_head(page, at + sizeof(BEGIN) - 1);
    if (write) {
        status = write_page(path, head, tables);
    } else {
        status = slice_eq(slice_from(page, head.n), tables) ? 0 : 1;
        if (status != 0) {
            (void)fprintf(stderr,
                          "%s is not what the catalogue says: run catalog_docs --write %s\n", path,
                          path);
        }
    }
    mem_free(text);
    return status;
}

int main(int argc, char **argv)
{
    struct problem_list problems;
    struct catalog catalog;
    struct arena arena;
    struct buf tables;
    int status = 2;

    arena_init(&arena, (size_t)1 << 16, 0);
    problem_list_init(&problems);
    buf_init(&tables, (size_t)1 << 24);
    buf_append_char(&tables, '\n');
    if (catalog_load(&catalog, NULL, &arena, &problems)) {
        catalog_doc_render(&catalog, &tables);
        if (argc == 2) {
            status = run(argv[1], false, buf_slice(&tables));
        } else if (argc == 3 && strcmp(argv[1], "--write") == 0) {
            status = run(argv[2], true, buf_slice(&tables));
        }
    }
    buf_done(&tables);
    problem_list_done(&problems);
    arena_done(&arena);
    return status;
}
