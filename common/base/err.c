// SPDX-License-Identifier: Apache-2.0
// Errors as data. A message is kept to one line of valid length: newlines become spaces, and a cut
// never leaves half a UTF-8 character behind (messages end up in JSON answers).
#include "common/base/err.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void err_tidy(char *s)
{
    size_t n = strlen(s), lead = n;

    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)s[i] < 0x20) {
            s[i] = ' ';
        }
    }
    // Walk back over continuation bytes to the lead byte of the last character; drop the character
    // if it is shorter than its lead byte says.
    while (lead > 0 && n - lead < 3 && ((uint8_t)s[lead - 1] & 0xc0) == 0x80) {
        lead--;
    }
    if (lead > 0) {
        uint8_t c = (uint8_t)s[lead - 1];
        size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

        if (n - (lead - 1) < want) {
            s[lead - 1] = '\0';
        }
    }
}

bool err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    va_list ap;

    if (e == NULL) {
        return false;
    }
    // Formatted aside first: an argument may be e->message itself.
    char text[sizeof(e->message)];

    va_start(ap, fmt);
    if (vsnprintf(text, sizeof(text), fmt, ap) < 0) {
        text[0] = '\0';
    }
    va_end(ap);
    err_tidy(text);
    e->code = code;
    memcpy(e->message, text, sizeof(text));
    return false;
}

bool err_prefix(struct err *e, const char *fmt, ...)
{
    va_list ap;
    int n;

    if (e == NULL) {
        return false;
    }
    char text[sizeof(e->message)];

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(text)) {
        // Cut is fine: the front says where, the tail only more of what.
        size_t at = (size_t)n, room = sizeof(text) - 1 - at;
        size_t sep = room < 2 ? room : 2, rest = strnlen(e->message, sizeof(e->message));

        memcpy(text + at, ": ", sep);
        rest = rest < room - sep ? rest : room - sep;
        memcpy(text + at + sep, e->message, rest);
        text[at + sep + rest] = '\0';
    }
    err_tidy(text);
    memcpy(e->message, text, sizeof(text));
    return false;
}
