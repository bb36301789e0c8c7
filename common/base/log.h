// SPDX-License-Identifier: Apache-2.0
// Structured one-line logging to stderr, as JSON or text. Any thread. A line is one write(2).
//
//   LOG(INFO, "proxy.ready", LOG_UINT("port", port), LOG_STR("addr", addr));
//
// Secrets cannot be fields: there is no constructor for struct secret. Values are escaped and cut
// at 1 KiB each, a line at 8 KiB.
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/slice.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_kind { LOG_KIND_SLICE, LOG_KIND_INT, LOG_KIND_UINT, LOG_KIND_BOOL };

struct log_field {
    const char *name;
    enum log_kind kind;
    union {
        struct slice s;
        int64_t i;
        uint64_t u;
        bool b;
    } v;
};

#define LOG_STR(k, x)   ((struct log_field){(k), LOG_KIND_SLICE, {.s = slice_str(x)}})
#define LOG_SLICE(k, x) ((struct log_field){(k), LOG_KIND_SLICE, {.s = (x)}})
#define LOG_INT(k, x)   ((struct log_field){(k), LOG_KIND_INT, {.i = (int64_t)(x)}})
#define LOG_UINT(k, x)  ((struct log_field){(k), LOG_KIND_UINT, {.u = (uint64_t)(x)}})
#define LOG_BOOL(k, x)  ((struct log_field){(k), LOG_KIND_BOOL, {.b = (x)}})
#define LOG_ERR(e)      LOG_STR("error", (e)->message)

#define LOG(level, event, ...)                                                                     \
    do {                                                                                           \
        if (log_enabled(LOG_##level)) {                                                            \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                  \
            log_write(LOG_##level, (event), log_fields_, ARRAY_LEN(log_fields_));                  \
        }                                                                                          \
    } while (0)

// program: put into every line, borrowed for ever. Default before any call: INFO, text.
void log_setup(const char *program, enum log_level level, bool json);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *f, size_t n);
// Access lines go to stdout by default or to `fd`; same format, no level filter, buffered per
// thread up to 16 KiB; log_access_flush is called by each worker once a second and at its end.
void log_access_setup(int fd, bool enabled);
bool log_access_enabled(void);
void log_access(const struct log_field *f, size_t n);
void log_access_flush(void);

#endif
