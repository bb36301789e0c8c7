// SPDX-License-Identifier: Apache-2.0
// One struct dial_handle is one CURL with CURLOPT_CONNECT_ONLY. Making one takes two dozen options,
// so dial.c keeps those that are free.
#include "common/io/dial_handle.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/mono.h"

#define TLS_RECORD 16384L // also the most curl_easy_recv gives at once

#define SET(code, easy, option, value)                                                             \
    do {                                                                                           \
        CURLcode set_rc_ = curl_easy_setopt((easy), (option), (value));                            \
        (code) = (code) != CURLE_OK ? (code) : set_rc_;                                            \
    } while (0)

void dial_handle_free(struct dial_handle **hp)
{
    struct dial_handle *h = *hp;

    *hp = NULL;
    curl_easy_cleanup(h->easy);
    mem_free(h);
}

static CURLcode set_tls(const struct dial_handle_options *o, CURL *easy)
{
    CURLcode rc = CURLE_OK;

    if (o->insecure_tls) {
        SET(rc, easy, CURLOPT_SSL_VERIFYPEER, 0L);
        SET(rc, easy, CURLOPT_SSL_VERIFYHOST, 0L);
        SET(rc, easy, CURLOPT_PROXY_SSL_VERIFYPEER, 0L);
        SET(rc, easy, CURLOPT_PROXY_SSL_VERIFYHOST, 0L);
    }
    // One of the two, see dial_handle_ca_dir.
    if (o->ca_file != NULL || o->ca_dir != NULL) {
        SET(rc, easy, CURLOPT_CAINFO, o->ca_file);
        SET(rc, easy, CURLOPT_CAPATH, o->ca_dir);
        SET(rc, easy, CURLOPT_PROXY_CAINFO, o->ca_file);
        SET(rc, easy, CURLOPT_PROXY_CAPATH, o->ca_dir);
    }
    return rc;
}

struct dial_handle *dial_handle_new(const struct dial_handle_options *o)
{
    struct dial_handle *h = mem_zalloc(sizeof(*h));
    CURL *easy = h->easy = curl_easy_init();
    CURLcode rc = CURLE_OK;

    if (easy == NULL) {
        mem_free(h);
        return NULL;
    }
    SET(rc, easy, CURLOPT_CONNECT_ONLY, 1L);
    SET(rc, easy, CURLOPT_SHARE, o->share);
    SET(rc, easy, CURLOPT_ERRORBUFFER, h->error);
    SET(rc, easy, CURLOPT_NOSIGNAL, 1L);
    SET(rc, easy, CURLOPT_QUICK_EXIT, 1L); // closing never joins a resolver thread
    SET(rc, easy, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(rc, easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); // ALPN must not offer h2
    SET(rc, easy, CURLOPT_PROXY, o->proxy);     // "" also keeps libcurl from the environment
    SET(rc, easy, CURLOPT_NOPROXY, "");         // likewise
    SET(rc, easy, CURLOPT_HTTPPROXYTUNNEL, 1L); // we write origin-form requests, also for http://
    SET(rc, easy, CURLOPT_BUFFERSIZE, TLS_RECORD); // cannot be set again on a used handle
    SET(rc, easy, CURLOPT_TCP_NODELAY, 1L);
    SET(rc, easy, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(rc, easy, CURLOPT_TCP_KEEPIDLE, 60L);
    SET(rc, easy, CURLOPT_TCP_KEEPINTVL, 15L);
    SET(rc, easy, CURLOPT_OPENSOCKETFUNCTION, o->on_open_socket);
    SET(rc, easy, CURLOPT_CLOSESOCKETFUNCTION, o->on_close_socket);
    if (rc == CURLE_OK) {
        rc = set_tls(o, easy);
    }
    if (rc != CURLE_OK) {
        dial_handle_free(&h);
        return NULL;
    }
    return h;
}

bool dial_handle_aim(struct dial_handle *h, const char *origin, uint64_t timeout_us, void *owner)
{
    CURL *easy = h->easy;
    CURLcode rc = CURLE_OK;

    h->error[0] = '\0';
    SET(rc, easy, CURLOPT_URL, origin);
    SET(rc, easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout_us / MONO_MS) + 1);
    SET(rc, easy, CURLOPT_PRIVATE, owner);
    SET(rc, easy, CURLOPT_OPENSOCKETDATA, owner);
    SET(rc, easy, CURLOPT_CLOSESOCKETDATA, owner);
    return rc == CURLE_OK;
}

enum dial_result dial_handle_result(const struct dial_handle *h, CURLcode rc)
{
    long os_errno = 0;

    (void)curl_easy_getinfo(h->easy, CURLINFO_OS_ERRNO, &os_errno); // 0 stays
    // Only what can happen while connecting; everything else is DIAL_FAILED.
    if (rc == CURLE_COULDNT_RESOLVE_HOST || rc == CURLE_COULDNT_RESOLVE_PROXY) {
        return DIAL_DNS_FAILED;
    }
    if (rc == CURLE_OPERATION_TIMEDOUT || (rc == CURLE_COULDNT_CONNECT && os_errno == ETIMEDOUT)) {
        return DIAL_TIMED_OUT;
    }
    if (rc == CURLE_COULDNT_CONNECT && os_errno == ECONNREFUSED) {
        return DIAL_REFUSED;
    }
    if (rc == CURLE_SSL_CONNECT_ERROR || rc == CURLE_PEER_FAILED_VERIFICATION ||
        rc == CURLE_SSL_CERTPROBLEM || rc == CURLE_SSL_CIPHER || rc == CURLE_SSL_CACERT_BADFILE ||
        rc == CURLE_SSL_ISSUER_ERROR || rc == CURLE_SSL_INVALIDCERTSTATUS) {
        return DIAL_TLS_FAILED;
    }
    return DIAL_FAILED;
}

const char *dial_handle_ca_dir(void)
{
    const char *path = curl_version_info(CURLVERSION_NOW)->capath;
    DIR *dir = path == NULL ? NULL : opendir(path);
    bool hashed = false;

    if (dir == NULL) {
        return NULL;
    }
    for (struct dirent *f = readdir(dir); f != NULL && !hashed; f = readdir(dir)) {
        hashed = strspn(f->d_name, "0123456789abcdef") == 8 && strcmp(f->d_name + 8, ".0") == 0;
    }
    (void)closedir(dir); // only read
    return hashed ? path : NULL;
}
