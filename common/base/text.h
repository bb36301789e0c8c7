// SPDX-License-Identifier: Apache-2.0
// Small text formats: durations, sizes, times, escapes, near matches.
#ifndef SLUICE_BASE_TEXT_H
#define SLUICE_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

// "250ms" "10s" "5m" "1h" "1d" "90" (seconds), also sums "1m30s". Bounded to 10 years.
MUST_CHECK bool text_parse_duration_us(struct slice s, uint64_t *ret_us);
// "32MiB" "64KiB" "1GiB" "4096" "4096B", also KB MB GB (decimal).
MUST_CHECK bool text_parse_size(struct slice s, uint64_t *ret_bytes);
MUST_CHECK bool text_parse_bool(struct slice s, bool *ret); // true/false/yes/no/on/off
// Shortest form that parses back ("1m30s", "250ms"); out holds 32 bytes.
const char *text_format_duration(uint64_t us, char out[32]);
// OpenAI's x-ratelimit-reset form: "1m30.5s", "17ms"; out holds 32 bytes.
const char *text_format_reset(uint64_t us, char out[32]);
// RFC 3339 in UTC, seconds ("2026-11-25T20:40:46Z"), from microseconds since the epoch.
const char *text_format_rfc3339(uint64_t wall_us, char out[32]);
MUST_CHECK bool text_parse_rfc3339(struct slice s, uint64_t *ret_wall_us);
// RFC 9110 IMF-fixdate to microseconds since the epoch (for Retry-After).
MUST_CHECK bool text_parse_http_date(struct slice s, uint64_t *ret_wall_us);

// Decimal digits of v in out; what printf("%llu") writes, at a tenth of its cost.
struct slice text_format_u64(uint64_t v, char out[20]);

// Appends s as the inside of a JSON string (no quotes); invalid UTF-8 becomes U+FFFD. Dies on
// exhaustion.
void text_json_escape(struct buf *b, struct slice s);
// Appends "..." with quotes.
void text_json_string(struct buf *b, struct slice s);
// Writes a code point (<= 0x10FFFF) as 1 to 4 bytes; returns how many. The caller sees to
// surrogates.
size_t text_put_utf8(char *out, uint32_t cp);
bool text_utf8_valid(struct slice s);
// Bytes of the valid UTF-8 character s starts with (1 to 4), 0 when there is none.
size_t text_utf8_len(struct slice s);

// Lower-case hex of n bytes; out gets 2n + 1 bytes.
void text_hex(const uint8_t *p, size_t n, char *out);
// Exactly 2n hex digits of either case; false otherwise, out is then undefined.
MUST_CHECK bool text_unhex(struct slice s, uint8_t *out, size_t n);
// One of 0-9A-Za-z for each byte (modulo 62, so for ids made of random bytes only); out gets n + 1
// bytes.
void text_base62(const uint8_t *p, size_t n, char *out);

// Characters of HTTP's tokens (RFC 9110, 5.6.2): methods, names of headers.
extern const bool text_token_char[256];

// "%2F" -> "/"; a bad escape stays as it is. out: room for s.n bytes, may be s.p. Returns how many.
size_t text_percent_decode(struct slice s, char *out);

// Edit distance (Damerau, capped at `cap` + 1).
size_t text_distance(struct slice a, struct slice b, size_t cap);
// Best candidate within a third of the length (at least 1, at most 3 edits), or SLICE_NULL.
struct slice text_nearest(struct slice word, const struct slice *candidates, size_t n);
// Shell-like pattern with '*' only ("gpt-4*", "*"). Linear time.
bool text_glob(struct slice pattern, struct slice s);

#endif
