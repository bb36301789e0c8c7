// SPDX-License-Identifier: Apache-2.0
// Schemas for structured outputs and tools.
#include "dataplane/dialect_anthropic_schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/cdefs.h"

static void check(void (*write)(struct slice schema, struct jwrite *w), const char *in,
                  const char *want)
{
    struct jwrite w;
    struct buf b;

    buf_init(&b, 1 << 20);
    w = jwrite_to(&b);
    jwrite_array(&w); // what follows must still get its comma
    write(slice_str(in), &w);
    jwrite_null(&w);
    jwrite_array_end(&w);
    assert_true(slice_starts(buf_slice(&b), SLICE("[")));
    assert_true(slice_ends(buf_slice(&b), SLICE(",null]")));
    b.n -= 6;
    buf_consume(&b, 1);
    assert_string_equal(buf_cstr(&b), want);
    buf_done(&b);
}

static void keeps_a_subset(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"{}", "{}"},
        {"true", "true"},
        {"{\"type\":\"string\",\"minLength\":1,\"maxLength\":2,\"pattern\":\"x\",\"format\":"
         "\"email\",\"description\":\"d\",\"title\":\"t\",\"default\":\"a\"}",
         "{\"type\":\"string\",\"format\":\"email\",\"description\":\"d\",\"title\":\"t\","
         "\"default\":\"a\"}"},
        {"{\"type\":\"string\",\"format\":\"regex\"}", "{\"type\":\"string\"}"},
        {"{\"type\":\"integer\",\"minimum\":0,\"maximum\":9,\"exclusiveMinimum\":1,"
         "\"exclusiveMaximum\":2,\"multipleOf\":3}",
         "{\"type\":\"integer\"}"},
        {"{\"type\":\"array\",\"items\":{\"type\":\"object\"},\"minItems\":1,\"maxItems\":2,"
         "\"uniqueItems\":true}",
         "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":false}}"},
        {"{\"type\":\"object\",\"properties\":{\"minimum\":{\"type\":\"number\",\"minimum\":1},"
         "\"not\":true},\"required\":[\"minimum\"],\"additionalProperties\":{\"type\":\"string\"},"
         "\"minProperties\":1,\"maxProperties\":2,\"not\":{}}",
         "{\"type\":\"object\",\"properties\":{\"minimum\":{\"type\":\"number\"},\"not\":true},"
         "\"required\":[\"minimum\"],\"additionalProperties\":false}"},
        {"{\"type\":[\"object\",\"null\"]}",
         "{\"type\":[\"object\",\"null\"],\"additionalProperties\":false}"},
        {"{\"properties\":{}}", "{\"properties\":{},\"additionalProperties\":false}"},
        {"{\"oneOf\":[{\"const\":1.50},{\"enum\":[\"a\", {\"minimum\": 1}]}]}",
         "{\"anyOf\":[{\"const\":1.50},{\"enum\":[\"a\",{\"minimum\":1}]}]}"},
        {"{\"anyOf\":[{\"maxItems\":1}],\"oneOf\":[{}],\"allOf\":[{\"type\":\"object\"}]}",
         "{\"anyOf\":[{}],\"allOf\":[{\"type\":\"object\",\"additionalProperties\":false}]}"},
        {"{\"$schema\":\"x\",\"$id\":\"y\",\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"pattern\":"
         "\"p\",\"type\":\"string\"}},\"definitions\":{\"b\":{\"oneOf\":[]}}}",
         "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"type\":\"string\"}},\"definitions\":{\"b\":{"
         "\"anyOf\":[]}}}"},
        {"{\"items\":[{\"minimum\":1}],\"properties\":5,\"anyOf\":{}}",
         "{\"items\":[{}],\"properties\":5,\"anyOf\":{}}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        check(dialect_anthropic_schema_write, cases[i].in, cases[i].out);
    }
}

static void inputs_are_objects(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {NULL, "{\"type\":\"object\",\"properties\":{}}"},
        {"null", "{\"type\":\"object\",\"properties\":{}}"},
        {"{}", "{\"type\":\"object\",\"properties\":{}}"},
        {"{ }", "{\"type\":\"object\",\"properties\":{}}"},
        {"{\"type\":[\"object\",\"null\"],\"title\": \"t\",\"required\":[\"a\"],\"properties\":{\"a\":{"
         "\"anyOf\":[{}]}}}",
         "{\"type\":\"object\",\"title\":\"t\",\"properties\":{\"a\":{\"anyOf\":[{}]}},\"required\":["
         "\"a\"]}"},
        // alternatives: named ones are followed, what is not there is not; the first of a name
        // counts
        {"{\"properties\":{\"a\":{\"type\":\"string\"}},\"anyOf\":[{\"properties\":{\"a\":{},\"b\":{"
         "\"x\": 1}},\"required\":[\"b\"]},{\"$ref\":\"#/$defs/c\"},{\"$ref\":\"#/$defs/none\"},5],"
         "\"$defs\":{\"c\":{\"properties\":{\"c\":true}}}}",
         "{\"type\":\"object\",\"$defs\":{\"c\":{\"properties\":{\"c\":true}}},\"properties\":{\"a\":{"
         "\"type\":\"string\"},\"b\":{\"x\":1},\"c\":true}}"},
        {"{\"type\":\"object\",\"required\":[\"a\",\"a\",5],\"allOf\":[{\"properties\":{\"a\":{}},"
         "\"required\":[\"a\"]},{\"properties\":{\"b\":{}},\"required\":[\"b\"]}],\"oneOf\":[{"
         "\"required\":[\"z\"]}]}",
         "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}},\"required\":[\"a\",\"b\"]}"},
        {"{\"anyOf\":5,\"properties\":5,\"required\":5}", "{\"type\":\"object\"}"},
        {"{\"title\":\"t\"}", "{\"type\":\"object\",\"title\":\"t\"}"},
        {"{\"type\":\"object\", \"minProperties\": 1}",
         "{\"type\":\"object\",\"minProperties\":1}"},
        {"{\n\"properties\":{}}", "{\"type\":\"object\",\"properties\":{}}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        check(dialect_anthropic_schema_write_input, cases[i].in, cases[i].out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_a_subset),
        cmocka_unit_test(inputs_are_objects),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
