// SPDX-License-Identifier: Apache-2.0
// One place for how the control plane reaches providers, so that what a proxy may not do it does
// not do either.
#include "controlplane/egress.h"

#include <string.h>

#include <ctype.h>
#include <stdio.h>

void egress_init(struct egress *e, const struct boot_egress *b)
{
    *e = (struct egress){0};
    (void)snprintf(e->proxy, sizeof(e->proxy), "%s", b->proxy.s == NULL ? "" : b->proxy.s);
    (void)snprintf(e->ca_file, sizeof(e->ca_file), "%s", b->ca_file.s == NULL ? "" : b->ca_file.s);
    e->dial.proxy = e->proxy;
    e->dial.ca_file = e->ca_file[0] == '\0' ? NULL : e->ca_file;
    e->dial.allowed = e->allowed;
    for (size_t i = 0; i < b->allowed_networks.n && i < BOOT_NETWORKS_MAX; i++) {
        if (cidr_parse(slice_str(b->allowed_networks.items[i].s), &e->allowed[e->dial.n_allowed])) {
            e->dial.n_allowed++;
        }
    }
}

bool egress_split(const char *url, char origin[EGRESS_ORIGIN_MAX], struct slice *ret_host,
                  struct slice *ret_path)
{
    struct slice u = slice_str(url);
    size_t scheme = url == NULL ? SIZE_MAX : slice_find(u, SLICE("://")), n;

    if (scheme == SIZE_MAX || u.n >= EGRESS_ORIGIN_MAX) {
        return false;
    }
    n = slice_find_char(slice_from(u, scheme + 3), '/');
    n = n == SIZE_MAX ? u.n : scheme + 3 + n;
    (void)snprintf(origin, EGRESS_ORIGIN_MAX, SLICE_FMT, SLICE_ARG(slice_head(u, n))); // fits
    *ret_host = slice_from(slice_head(u, n), scheme + 3);
    *ret_path = n == u.n ? SLICE("/") : slice_from(u, n);
    return ret_host->n > 0;
}

static void append_escaped(struct buf *b, const char *s)
{
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;

        if (isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
            buf_append_char(b, (char)c);
        } else {
            buf_printf(b, "%%%02X", c);
        }
    }
}

void egress_ask_models(const struct resource_provider *p, struct slice host, struct slice path,
                       const struct secret *key, struct buf *out)
{
    bool scheme = p->auth_scheme != NULL && p->auth_scheme[0] != '\0';

    // Ollama calls what it has tags.
    buf_printf(out, "GET " SLICE_FMT "%s", SLICE_ARG(path),
               strcmp(p->dialect, "ollama") == 0 ? "tags" : "models");
    for (size_t i = 0; i < p->n_query; i++) {
        buf_append_char(out, i == 0 ? '?' : '&');
        append_escaped(out, p->query[i].name);
        buf_append_char(out, '=');
        append_escaped(out, p->query[i].value);
    }
    buf_printf(out, " HTTP/1.1\r\nhost: " SLICE_FMT "\r\n", SLICE_ARG(host));
    buf_append_str(out, "accept: application/json\r\nuser-agent: sluice\r\n");
    if (key != NULL && p->auth_header != NULL) {
        buf_printf(out, "%s: %s%s", p->auth_header, scheme ? p->auth_scheme : "",
                   scheme ? " " : "");
        buf_append(out, secret_reveal(key));
        buf_append_str(out, "\r\n");
    }
    for (size_t i = 0; i < p->n_headers; i++) {
        buf_printf(out, "%s: %s\r\n", p->headers[i].name, p->headers[i].value);
    }
    buf_append_str(out, "\r\n");
}
