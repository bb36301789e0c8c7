// SPDX-License-Identifier: Apache-2.0
// XREAD answers [[stream, [entry, ...]]] or nil; an entry is [id, [name, value, ...]].
#include "controlplane/entry.h"

static bool take_u32(struct slice *s, uint32_t *ret)
{
    const unsigned char *p = (const unsigned char *)s->p;

    if (s->n < 4) {
        return false;
    }
    *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    *s = slice_from(*s, 4);
    return true;
}

static bool take_bytes(struct slice *s, struct slice *ret)
{
    uint32_t n;

    if (!take_u32(s, &n) || n > s->n) {
        return false;
    }
    *ret = slice_head(*s, n);
    *s = slice_from(*s, n);
    return true;
}

bool entry_take_op(struct slice *ops, struct entry_op *ret)
{
    return take_bytes(ops, &ret->field) && take_bytes(ops, &ret->record);
}

bool entry_parse(const struct redis_reply *item, struct entry *ret)
{
    struct slice id = redis_text(redis_item(item, 0)), head;
    struct slice tail = slice_cut(id, '-', &head);
    const struct redis_reply *fields = redis_item(item, 1);

    *ret = (struct entry){0};
    if (tail.p == NULL || !slice_to_u64(head, &ret->seq)) {
        return false;
    }
    ret->ops = SLICE("");
    for (size_t i = 0; i + 1 < redis_count(fields); i += 2) {
        if (slice_eq_str(redis_text(redis_item(fields, i)), "c")) {
            ret->ops = redis_text(redis_item(fields, i + 1));
        }
    }
    return true;
}

const struct redis_reply *entry_list(const struct redis_reply *r)
{
    return redis_item(redis_item(r, 0), 1);
}
