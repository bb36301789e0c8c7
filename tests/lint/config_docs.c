// SPDX-License-Identifier: Apache-2.0
// config_docs FILE: fails unless FILE is what the tables say. config_docs --write FILE: writes it.
#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/io/document.h"
#include "proto/config/config_doc.h"

static int write_page(const char *path, struct slice page)
{
    FILE *f = fopen(path, "w");
    bool ok;

    if (f == NULL) {
        perror(path);
        return 1;
    }
    ok = fwrite(page.p, 1, page.n, f) == page.n;
    ok = fclose(f) == 0 && ok;
    return ok ? 0 : 1;
}

static int compare_page(const char *path, struct slice page)
{
    struct err err;
    size_t n;
    char *text = document_read_file(NULL, path, (size_t)1 << 24, &n, &err);
    bool same;

    if (text == NULL) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    same = slice_eq(page, (struct slice){text, n});
    mem_free(text);
    if (!same) {
        (void)fprintf(stderr, "%s is not what the tables say: run config_docs --write %s\n", path,
                      path);
    }
    return same ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct buf page;
    int status = 2;

    buf_init(&page, (size_t)1 << 24);
    config_doc_render(&page);
    if (argc == 2) {
        status = compare_page(argv[1], buf_slice(&page));
    } else if (argc == 3 && strcmp(argv[1], "--write") == 0) {
        status = write_page(argv[2], buf_slice(&page));
    }
    buf_done(&page);
    return status;
}
