// SPDX-License-Identifier: Apache-2.0
// Response heads, error bodies and the gzip coating.
#include "tests/mock/mock_reply.h"

#include "tests/mock/mock_put.h"
#include "tests/mock/mock_shape.h"

struct status_row {
    uint32_t status;
    const char *reason, *type, *code, *message;
};

static const struct status_row rows[] = {
    {200, "OK", NULL, NULL, NULL},
    {201, "Created", NULL, NULL, NULL},
    {202, "Accepted", NULL, NULL, NULL},
    {204, "No Content", NULL, NULL, NULL},
    {301, "Moved Permanently", "invalid_request_error", NULL, "Moved."},
    {307, "Temporary Redirect", "invalid_request_error", NULL, "Moved."},
    {400, "Bad Request", "invalid_request_error", "invalid_value", "Invalid request (mock)."},
    {401, "Unauthorized", "invalid_request_error", "invalid_api_key",
     "Incorrect API key provided. You can find your API key at "
     "https://platform.openai.com/account/api-keys."},
    {403, "Forbidden", "request_forbidden", "unsupported_country_region_territory",
     "Country, region, or territory not supported"},
    {404, "Not Found", "invalid_request_error", "model_not_found",
     "The model does not exist or you do not have access to it."},
    {405, "Method Not Allowed", "invalid_request_error", NULL, "Method not allowed."},
    {408, "Request Timeout", "server_error", NULL, "Request timed out."},
    {409, "Conflict", "invalid_request_error", NULL, "Conflict."},
    {413, "Content Too Large", "invalid_request_error", NULL, "Request too large."},
    {415, "Unsupported Media Type", "invalid_request_error", NULL, "Unsupported content type."},
    {422, "Unprocessable Content", "invalid_request_error", NULL, "Unprocessable."},
    {429, "Too Many Requests", "requests", "rate_limit_exceeded",
     "Rate limit reached for requests. Please try again later."},
    {500, "Internal Server Error", "server_error", NULL,
     "The server had an error while processing your request. Sorry about that!"},
    {502, "Bad Gateway", "server_error", NULL, "Bad gateway."},
    {503, "Service Unavailable", "service_unavailable_error", "server_is_overloaded",
     "The engine is currently overloaded, please try again later."},
    {504, "Gateway Timeout", "server_error", NULL, "Gateway timeout."},
    {529, "Overloaded", "server_error", "server_is_overloaded", "Overloaded."},
};

static const struct status_row *row_of(uint32_t status)
{
    static const struct status_row other = {0, "Mock", "server_error", NULL, "Mock error."};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].status == status) {
            return &rows[i];
        }
    }
    return &other;
}

void mock_reply_error_text(const char *type, const char *code, const char *message, struct buf *out)
{
    put(out, "{\n  \"error\": {\n    \"message\": ");
    text_json_string(out, slice_str(message));
    put(out, ",\n    \"type\": ");
    text_json_string(out, slice_str(type));
    put(out, ",\n    \"param\": null,\n    \"code\": ");
    if (code == NULL) {
        put(out, "null");
    } else {
        text_json_string(out, slice_str(code));
    }
    put(out, "\n  }\n}\n");
}

void mock_reply_error(uint32_t status, struct buf *out)
{
    const struct status_row *r = row_of(status);

    mock_reply_error_text(r->type == NULL ? "server_error" : r->type, r->code,
                          r->message == NULL ? "Mock." : r->message, out);
}

void mock_reply_openai_limits(const struct mock_behave *b, struct buf *out)
{
    char reset[32];

    if ((b->flags & MOCK_LIMIT_HEADERS) == 0) {
        put(out, "x-ratelimit-limit-requests: 10000\r\n"
                 "x-ratelimit-limit-tokens: 30000000\r\n"
                 "x-ratelimit-remaining-requests: 9999\r\n"
                 "x-ratelimit-remaining-tokens: 29999981\r\n"
                 "x-ratelimit-reset-requests: 6ms\r\n"
                 "x-ratelimit-reset-tokens: 0s\r\n");
        return;
    }
    put(out, "x-ratelimit-limit-requests: 10000\r\nx-ratelimit-remaining-requests: ");
    put_u64(out, b->limit_remaining);
    put(out, "\r\nx-ratelimit-reset-requests: ");
    buf_append_str(out, text_format_reset(b->limit_reset_us, reset));
    put(out, "\r\nx-ratelimit-limit-tokens: 30000000\r\nx-ratelimit-remaining-tokens: ");
    put_u64(out, b->limit_remaining * 100);
    put(out, "\r\nx-ratelimit-reset-tokens: ");
    buf_append_str(out, reset);
    put(out, "\r\n");
}

static void put_framing(const struct mock_reply_head *h, struct buf *out)
{
    if (h->content_length >= 0) {
        put(out, "content-length: ");
        put_u64(out, (uint64_t)h->content_length);
        put(out, "\r\n");
        if ((h->behave->flags & MOCK_TWO_LENGTHS) != 0) {
            put(out, "content-length: ");
            put_u64(out, (uint64_t)h->content_length + 7);
            put(out, "\r\n");
        }
    }
    if (h->chunked) {
        put(out, "transfer-encoding: chunked\r\n");
    }
    if (h->close) {
        put(out, "connection: close\r\n");
    }
}

static void put_extras(const struct mock_reply_head *h, struct buf *out)
{
    const struct mock_behave *b = h->behave;

    if (b->retry_after_s >= 0) {
        put(out, "retry-after: ");
        put_u64(out, (uint64_t)b->retry_after_s);
        put(out, "\r\n");
        if (h->shape == &mock_openai) {
            put(out, "retry-after-ms: ");
            put_u64(out, (uint64_t)b->retry_after_s * 1000);
            put(out, "\r\n");
        }
    }
    if ((b->flags & MOCK_GZIP) != 0) {
        put(out, "content-encoding: gzip\r\n");
    }
    for (uint64_t left = b->head_size; left > 0;) {
        uint64_t n = left < 1000 ? left : 1000;

        put(out, "x-mock-padding: ");
        for (uint64_t i = 0; i < n; i++) {
            buf_append_char(out, 'p');
        }
        put(out, "\r\n");
        left -= n;
    }
}

void mock_reply_head(const struct mock_reply_head *h, struct buf *out)
{
    if ((h->behave->flags & MOCK_INTERIM) != 0) {
        put(out, "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n");
    }
    if ((h->behave->flags & MOCK_BAD_STATUS_LINE) != 0) {
        put(out, "HTP/1.1 OK 200\r\n");
    } else {
        put(out, "HTTP/1.1 ");
        put_u64(out, h->status);
        put(out, " ");
        buf_append_str(out, row_of(h->status)->reason);
        put(out, "\r\n");
    }
    put(out, "date: ");
    buf_append_str(out, h->date);
    put(out, "\r\ncontent-type: ");
    buf_append_str(out, h->type);
    put(out, "\r\n");
    put_framing(h, out);
    h->shape->headers(h->id, h->behave, out);
    put_extras(h, out);
    put(out, "x-mock-port: ");
    put_u64(out, h->port);
    put(out, "\r\nserver: sluice-mock\r\n\r\n");
}

static uint32_t crc32_of(struct slice s)
{
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < s.n; i++) {
        crc ^= (unsigned char)s.p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
        }
    }
    return ~crc;
}

static void put_le(struct buf *out, uint32_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        buf_append_char(out, (char)(v >> (8 * i) & 0xff));
    }
}

// RFC 1952 with stored blocks (RFC 1951, 3.2.4): a decompressor finds nothing wrong with it.
void mock_reply_gzip(struct slice plain, struct buf *out)
{
    struct slice rest = plain;

    buf_append(out, SLICE_MAKE("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10));
    do {
        struct slice part = slice_head(rest, 65535);

        rest = slice_from(rest, part.n);
        buf_append_char(out, rest.n == 0 ? 1 : 0);
        put_le(out, (uint32_t)part.n, 2);
        put_le(out, ~(uint32_t)part.n & 0xffff, 2);
        buf_append(out, part);
    } while (rest.n > 0);
    put_le(out, crc32_of(plain), 4);
    put_le(out, (uint32_t)plain.n, 4);
}
