// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 client codec: incremental response parser, pure (no I/O), for the upstream side. RFC
// 9112. It accepts what real servers send (bare LF line ends, 1xx interim responses, chunk
// extensions, trailers) and refuses what can desynchronise (Content-Length with Transfer-Encoding,
// differing Content-Lengths, Transfer-Encoding other than chunked, control bytes in the head,
// obs-fold).
#ifndef SLUICE_IO_H1_H
#define SLUICE_IO_H1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"

#define H1_HEAD_MAX    (32u * 1024) // bytes of a response head
#define H1_HEADERS_MAX 128u
#define H1_INTERIM_MAX 16u         // 1xx responses before the final one
#define H1_LINE_MAX    1024u       // bytes of a chunk-size line
#define H1_TRAILER_MAX (8u * 1024) // bytes of a trailer section

struct h1_header {
    struct slice name, value;
};

enum h1_state {
    H1_HEAD, // inside the status line or headers (also of a 1xx response)
    H1_BODY, // head complete
    H1_DONE, // message complete
    H1_FAILED,
};

// Embedded in its owner; zero-initialise with h1_init. It owns memory only from the first byte of a
// head until h1_drop_head (or h1_done), so a body being streamed costs only this struct.
struct h1 {
    enum h1_state state;
    unsigned status;
    bool keep_alive;   // the connection may be used again after H1_DONE
    bool head_request; // the response has no body whatever its head says
    bool until_close;  // body ends with the connection
    bool chunked;
    int64_t content_length; // -1 unknown
    uint64_t body_left;     // of the fixed body or the current chunk
    uint32_t chunk_state;   // private
    uint32_t line_bytes;    // private: bytes of the line being read
    uint32_t interim;       // private: 1xx responses skipped
    uint32_t header_cap;    // private
    struct buf head;        // bytes of the head; headers point into it
    size_t n_headers;
    uint64_t names;            // private: slice_nocase_bit of each header's name
    struct h1_header *headers; // owned; n_headers of them, of the final response
};

// Ready for one response; head_request: it answers HEAD and has no body.
void h1_init(struct h1 *h, bool head_request);
// Frees what it owns; for another response on the same connection: h1_init again.
void h1_done(struct h1 *h);

// Frees head bytes and header table of a complete head (n_headers becomes 0); the rest stays.
void h1_drop_head(struct h1 *h);

// Feeds bytes. Returns how many were taken, 0 <= r <= in.n; *ret_body is the (possibly empty) run
// of body bytes inside `in` found in this call (it stops after one run: call again with the rest).
// Stops at the end of the head (state becomes H1_BODY or H1_DONE) and at the end of the message. On
// H1_FAILED *e says why.
size_t h1_feed(struct h1 *h, struct slice in, struct slice *ret_body, struct err *e);
// The connection ended. True: the message is complete with it (until_close); false: it was cut
// (state H1_FAILED, *e says where).
MUST_CHECK bool h1_eof(struct h1 *h, struct err *e);
// First header of that name (case-insensitive) of the final response, or SLICE_NULL.
struct slice h1_header(const struct h1 *h, const char *name);

#endif
