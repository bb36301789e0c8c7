// SPDX-License-Identifier: Apache-2.0
// A new libcurl handle per request: nothing is kept, nothing is shared, any thread may call.
#include "common/io/fetch.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mono.h"
#include "common/io/curl_priv.h"

#define DEFAULT_TIMEOUT_US (30 * MONO_SEC)
#define DEFAULT_MAX_BODY   ((size_t)16 * 1024 * 1024)

#define SET(code, easy, option, value)                                                             \
    do {                                                                                           \
        CURLcode set_rc_ = curl_easy_setopt((easy), (option), (value));                            \
        (code) = (code) != CURLE_OK ? (code) : set_rc_;                                            \
    } while (0)

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    // Anything but n makes libcurl end with CURLE_WRITE_ERROR.
    return buf_try_append(arg, (struct slice){p, size * n}) ? n : 0;
}

static bool make_headers(const struct fetch_request *rq, struct curl_slist **ret, struct err *e)
{
    // libcurl would wait for "100 Continue" before a larger body.
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");

    for (size_t i = 0; i < rq->n_headers && list != NULL; i++) {
        if (strpbrk(rq->headers[i], "\r\n") != NULL) {
            curl_slist_free_all(list);
            return err_set(e, ERR_INVALID, "line break in a request header");
        }
        struct curl_slist *more = curl_slist_append(list, rq->headers[i]);

        if (more == NULL) {
            curl_slist_free_all(list);
        }
        list = more;
    }
    *ret = list;
    return list != NULL || err_set(e, ERR_INTERNAL, "out of memory for request headers");
}

static CURLcode set_method(CURL *easy, const struct fetch_request *rq)
{
    const char *method = rq->method == NULL ? "GET" : rq->method;
    bool sends = rq->body.p != NULL || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
    CURLcode rc = CURLE_OK;

    if (strcmp(method, "HEAD") == 0) {
        SET(rc, easy, CURLOPT_NOBODY, 1L);
        return rc;
    }
    if (sends) {
        SET(rc, easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body.n);
        SET(rc, easy, CURLOPT_POSTFIELDS, rq->body.p == NULL ? "" : rq->body.p); // not copied
    }
    SET(rc, easy, CURLOPT_CUSTOMREQUEST, method);
    return rc;
}

static CURLcode set_options(CURL *easy, const struct fetch_request *rq, struct fetch_response *r,
                            const struct curl_slist *headers, char *error)
{
    uint64_t timeout_us = rq->timeout_us != 0 ? rq->timeout_us : DEFAULT_TIMEOUT_US;
    CURLcode rc = set_method(easy, rq);

    SET(rc, easy, CURLOPT_URL, rq->url);
    SET(rc, easy, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(rc, easy, CURLOPT_HTTP_VERSION,
        (long)CURL_HTTP_VERSION_1_1); // one request: h2 gains nothing
    SET(rc, easy, CURLOPT_UNIX_SOCKET_PATH, rq->unix_socket);
    SET(rc, easy, CURLOPT_HTTPHEADER, headers);
    SET(rc, easy, CURLOPT_ERRORBUFFER, error);
    SET(rc, easy, CURLOPT_NOSIGNAL, 1L);
    SET(rc, easy, CURLOPT_QUICK_EXIT, 1L);
    SET(rc, easy, CURLOPT_PROXY, "");
    SET(rc, easy, CURLOPT_NOPROXY, "");
    SET(rc, easy, CURLOPT_TIMEOUT_MS, (long)((timeout_us + MONO_MS - 1) / MONO_MS));
    SET(rc, easy, CURLOPT_WRITEFUNCTION, on_body);
    SET(rc, easy, CURLOPT_WRITEDATA, &r->body);
    if (rq->ca_file != NULL) {
        SET(rc, easy, CURLOPT_CAINFO, rq->ca_file);
        SET(rc, easy, CURLOPT_CAPATH, NULL);
    }
    if (rq->insecure_tls) {
        SET(rc, easy, CURLOPT_SSL_VERIFYPEER, 0L);
        SET(rc, easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    return rc;
}

static enum err_code code_of(CURLcode rc)
{
    // Everything not named here is trouble on the connection.
    if (rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_CONNECT) {
        return ERR_UNAVAILABLE;
    }
    if (rc == CURLE_OPERATION_TIMEDOUT) {
        return ERR_TIMEOUT;
    }
    if (rc == CURLE_WRITE_ERROR) {
        return ERR_TOO_LARGE;
    }
    if (rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL) {
        return ERR_INVALID;
    }
    return ERR_IO;
}

static void take_info(CURL *easy, struct fetch_response *r)
{
    const char *type = NULL;
    long status = 0;

    // Neither can fail after a transfer; both have a default.
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    r->status = (unsigned)status;
    (void)snprintf(r->content_type, sizeof(r->content_type), "%s", type == NULL ? "" : type);
}

static CURLcode perform(const struct fetch_request *rq, struct fetch_response *r,
                        const struct curl_slist *headers, char *error)
{
    CURL *easy = curl_easy_init();
    CURLcode rc = easy == NULL ? CURLE_OUT_OF_MEMORY : set_options(easy, rq, r, headers, error);

    if (rc == CURLE_OK) {
        rc = curl_easy_perform(easy);
    }
    if (rc == CURLE_OK) {
        take_info(easy, r);
    }
    curl_easy_cleanup(easy); // NULL allowed
    return rc;
}

bool fetch_run(const struct fetch_request *rq, struct fetch_response *ret, struct err *e)
{
    struct fetch_response r = {.status = 0};
    struct curl_slist *headers = NULL;
    char error[CURL_ERROR_SIZE] = "";
    CURLcode rc;

    if (!make_headers(rq, &headers, e)) {
        return false;
    }
    buf_init(&r.body, rq->max_body != 0 ? rq->max_body : DEFAULT_MAX_BODY);
    rc = curl_priv_init() ? perform(rq, &r, headers, error) : CURLE_FAILED_INIT;
    curl_slist_free_all(headers);
    curl_global_cleanup();
    if (rc != CURLE_OK) {
        buf_done(&r.body);
        if (rc == CURLE_WRITE_ERROR) {
            return err_set(e, ERR_TOO_LARGE, "answer larger than %zu bytes", r.body.max);
        }
        return err_set(e, code_of(rc), "%s", error[0] != '\0' ? error : curl_easy_strerror(rc));
    }
    *ret = r;
    return true;
}

void fetch_done(struct fetch_response *r)
{
    buf_done(&r->body);
}
