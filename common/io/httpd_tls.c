// SPDX-License-Identifier: Apache-2.0
// TLS for the HTTP server. libmicrohttpd would parse the certificate once per daemon, and there are
// hundreds; instead it is parsed once here and every handshake is given the same objects by the
// certificate callback.
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

#include "common/base/mem.h"
#include "common/io/httpd_priv.h"

#define CHAIN_MAX 8u

// Owned by its httpd; read-only after httpd_tls_new.
struct httpd_tls {
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned n_chain;
    gnutls_privkey_t key;
};

// Certificate and key parse and belong together.
static int check_pair(const gnutls_datum_t *cert, const gnutls_datum_t *key)
{
    gnutls_certificate_credentials_t c;
    int r = gnutls_certificate_allocate_credentials(&c);

    if (r >= 0) {
        r = gnutls_certificate_set_x509_key_mem(c, cert, key, GNUTLS_X509_FMT_PEM);
        gnutls_certificate_free_credentials(c);
    }
    return r;
}

static gnutls_datum_t datum_of(const char *pem)
{
    gnutls_datum_t d = {.size = (unsigned)strlen(pem)};

    memcpy(&d.data, &pem, sizeof d.data); // gnutls does not write through it
    return d;
}

struct httpd_tls *httpd_tls_new(const char *cert_pem, const char *key_pem, struct err *e)
{
    struct httpd_tls *t = mem_zalloc(sizeof *t);
    gnutls_datum_t cert = datum_of(cert_pem), key = datum_of(key_pem);
    unsigned n = CHAIN_MAX;
    int r = check_pair(&cert, &key);

    if (r >= 0) {
        r = gnutls_pcert_list_import_x509_raw(t->chain, &n, &cert, GNUTLS_X509_FMT_PEM, 0);
    }
    if (r >= 0) {
        t->n_chain = n;
        r = gnutls_privkey_init(&t->key);
    }
    if (r >= 0) {
        r = gnutls_privkey_import_x509_raw(t->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
    }
    if (r < 0) {
        err_set(e, ERR_INVALID, "TLS certificate or key: %s", gnutls_strerror(r));
        httpd_tls_free(&t);
        return NULL;
    }
    return t;
}

void httpd_tls_free(struct httpd_tls **tp)
{
    struct httpd_tls *t = *tp;

    *tp = NULL;
    if (t == NULL) {
        return;
    }
    for (unsigned i = 0; i < t->n_chain; i++) {
        gnutls_pcert_deinit(&t->chain[i]);
    }
    if (t->key != NULL) {
        gnutls_privkey_deinit(t->key);
    }
    mem_free(t);
}

static int retrieve(gnutls_session_t session, const gnutls_datum_t *ca, int n_ca,
                    const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
                    gnutls_pcert_st **ret_chain, unsigned *ret_n, gnutls_privkey_t *ret_key)
{
    struct httpd_conn *c = httpd_mhd_conn(gnutls_session_get_ptr(session));

    (void)ca;
    (void)n_ca;
    (void)algorithms;
    (void)n_algorithms;
    *ret_chain = c->h->tls->chain;
    *ret_n = c->h->tls->n_chain;
    *ret_key = c->h->tls->key;
    return 0;
}

void *httpd_tls_callback(void)
{
    gnutls_certificate_retrieve_function2 *fn = retrieve;
    void *p;

    memcpy(&p, &fn, sizeof p); // through a variadic function of libmicrohttpd
    return p;
}
