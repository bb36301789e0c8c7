// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/conf.h"
#include "common/io/yaml.h"

enum colour { RED = 1, GREEN = 2 };

struct inner {
    const struct node *node;
    uint64_t weight;
    struct conf_text name;
};

struct outer {
    const struct node *node;
    bool on;
    uint64_t port, wait_us, size;
    int colour;
    struct conf_text title, key;
    struct conf_texts tags;
    struct inner one;
    struct conf_entries many, list, pairs, choices;
    uint64_t dead;
};

static const struct conf_word colours[] = {
    {"red", RED}, {"green", GREEN}, {"verdant", GREEN}, {NULL, 0}};

static const struct conf_field inner_fields[] = {
    {.key = "weight",
     .type = CONF_DECIMAL,
     .scale = 3,
     .offset = offsetof(struct inner, weight),
     .def = "1",
     .min = 1,
     .max = 5000,
     .help = "w"},
    {.key = "name",
     .type = CONF_STRING,
     .offset = offsetof(struct inner, name),
     .required = true,
     .help = "n"},
};
static const struct conf_table inner_table = {.name = "inner",
                                              .size = sizeof(struct inner),
                                              .fields = inner_fields,
                                              .n = ARRAY_LEN(inner_fields),
                                              .shorthand = "name"};

#define F(member) .offset = offsetof(struct outer, member)
static const struct conf_field outer_fields[] = {
    {.key = "on", .type = CONF_BOOL, F(on), .def = "true", .help = "h"},
    {.key = "port", .type = CONF_INT, F(port), .def = "8080", .max = 65535, .help = "h"},
    {.key = "wait",
     .type = CONF_DURATION,
     F(wait_us),
     .def = "30s",
     .min = 1000,
     .max = 3600000000,
     .help = "h",
     .reload = true},
    {.key = "size",
     .type = CONF_SIZE,
     F(size),
     .def = "32MiB",
     .max = (uint64_t)1 << 30,
     .help = "h"},
    {.key = "colour", .type = CONF_ENUM, F(colour), .def = "red", .words = colours, .help = "h"},
    {.key = "title", .type = CONF_STRING, F(title), .def = "t", .help = "h"},
    {.key = "api-key", .type = CONF_SECRET, F(key), .aliases = "api_key key", .help = "h"},
    {.key = "tags", .type = CONF_STRINGS, F(tags), .help = "h"},
    {.key = "one", .type = CONF_SECTION, F(one), .table = &inner_table, .help = "h"},
    {.key = "many", .type = CONF_MAP, F(many), .table = &inner_table, .help = "h"},
    {.key = "list", .type = CONF_LIST, F(list), .table = &inner_table, .help = "h"},
    {.key = "pairs", .type = CONF_PAIRS, F(pairs), .help = "h"},
    {.key = "choices", .type = CONF_CHOICES, F(choices), .help = "h"},
    {.key = "dead", .type = CONF_INT, F(dead), .def = "5", .inert = "does nothing", .help = "h"},
};
static const struct conf_table outer_table = {.name = "outer",
                                              .size = sizeof(struct outer),
                                              .fields = outer_fields,
                                              .n = ARRAY_LEN(outer_fields)};

static struct arena arena;
static struct problem_list problems;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 0);
    problem_list_init(&problems);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    problem_list_done(&problems);
    return 0;
}

static bool read_text(const char *text, struct outer *out)
{
    struct node *n = yaml_parse(&arena, "f", slice_str(text), &problems);
    struct conf_ctx c;

    assert_non_null(n);
    conf_init(&c, &arena, &problems);
    return conf_read(&c, &outer_table, n, out);
}

static const char *complaints(void)
{
    struct buf b;
    const char *text;

    buf_init(&b, 1 << 20);
    problem_render_all(&problems, &b);
    text = arena_strdup(&arena, buf_cstr(&b));
    buf_done(&b);
    return text;
}

static void defaults_come_from_the_table(void **state)
{
    struct outer o;

    (void)state;
    assert_true(read_text("port: ~\n", &o));
    assert_true(o.on);
    assert_int_equal(o.port, 8080);
    assert_int_equal(o.wait_us, 30000000);
    assert_int_equal(o.size, 32 << 20);
    assert_int_equal(o.colour, RED);
    assert_string_equal(o.title.s, "t");
    assert_null(o.title.node);
    assert_null(o.key.s);
    assert_null(o.one.node);
    assert_int_equal(o.one.weight, 1000);
    assert_int_equal(o.dead, 5);
    assert_int_equal(o.many.n, 0);
}

static void every_type_is_read(void **state)
{
    struct outer o;
    const struct inner *in;

    (void)state;
    assert_true(read_text("on: no\nport: \"1\"\nwait: 1m30s\nsize: 64KiB\ncolour: verdant\n"
                          "title: 5\nkey: k\ntags: [a, b]\none: {weight: '0.5', name: x}\n"
                          "many: {p: {name: y, weight: 2}, q: z}\nlist: [l0, {name: l1}]\n"
                          "pairs: {h: v}\nchoices: {a: b, c: [d, e]}\ndead: 5\n",
                          &o));
    assert_int_equal(problems.warnings, 0);
    assert_false(o.on);
    assert_int_equal(o.port, 1);
    assert_int_equal(o.wait_us, 90000000);
    assert_int_equal(o.size, 65536);
    assert_int_equal(o.colour, GREEN);
    assert_string_equal(o.title.s, "5");
    assert_string_equal(o.key.s, "k");
    assert_int_equal(o.tags.n, 2);
    assert_string_equal(o.tags.items[1].s, "b");
    assert_int_equal(o.one.weight, 500);
    assert_int_equal(o.many.n, 2);
    assert_string_equal(o.many.items[1].name, "q");
    in = o.many.items[1].value;
    assert_string_equal(in->name.s, "z");
    in = o.list.items[1].value;
    assert_string_equal(in->name.s, "l1");
    assert_int_equal(in->node->line, 11);
    assert_string_equal(((const struct conf_text *)o.pairs.items[0].value)->s, "v");
    assert_int_equal(((const struct conf_texts *)o.choices.items[1].value)->n, 2);
}

static void all_problems_are_collected(void **state)
{
    struct outer o;

    (void)state;
    assert_false(read_text("prot: 1\nport: 70000\nwait: 5 minutes\nsize: 2GiB\ncolour: rde\n"
                           "on: 7\ntags: {a: 1}\none: {weight: 0, nam: x}\nmany: [a]\n"
                           "list: [{weight: 1.2345, name: a}]\napi-key: [sk-1]\nkey: sk-2\n",
                           &o));
    assert_string_equal(
        complaints(),
        "f:1:1: prot: unknown key (did you mean \"port\"?)\n"
        "f:2:7: port: must be at most 65535\n"
        "f:3:7: wait: expected a duration such as 250ms, 10s, 5m, 1h, 1d, found \"5 minutes\"\n"
        "f:4:7: size: must be at most 1024MiB\n"
        "f:5:9: colour: expected one of red, green, verdant, found \"rde\" (did you mean \"red\"?)\n"
        "f:6:5: on: expected true or false, found \"7\"\n"
        "f:7:7: tags: expected a list of strings, found a map\n"
        "f:8:15: one.weight: must be at least 0.001\n"
        "f:8:18: one.nam: unknown key (did you mean \"name\"?)\n"
        "f:8:1: one: \"name\" is missing\n"
        "f:9:7: many: expected a map, found a list\n"
        "f:10:17: list[0].weight: expected a number, found \"1.2345\"\n"
        "f:11:10: api-key: expected a string, found a list\n"
        "f:12:1: key: is the same setting as \"api-key\" in line 11\n");
}

static void an_inert_key_is_warned_of_unless_it_says_the_default(void **state)
{
    struct outer o;

    (void)state;
    assert_true(read_text("dead: 6\n", &o));
    assert_string_equal(complaints(), "f:1:1: warning: dead: does nothing\n");
}

static void values_from_the_environment_are_not_shown(void **state)
{
    struct node *n = yaml_parse(&arena, "f", SLICE("port: sk-1\ncolour: sk-2\n"), &problems);
    struct conf_ctx c;
    struct outer o;

    (void)state;
    n->first->expanded = n->last->expanded = true;
    conf_init(&c, &arena, &problems);
    assert_false(conf_read(&c, &outer_table, n, &o));
    assert_int_equal(problems.errors, 2);
    assert_null(strstr(complaints(), "sk-"));
}

static void the_list_of_problems_is_bounded(void **state)
{
    struct buf b;
    struct outer o;

    (void)state;
    buf_init(&b, 1 << 20);
    for (unsigned i = 0; i < 2 * PROBLEM_MAX; i++) {
        buf_printf(&b, "unknown%u: 1\n", i);
    }
    assert_false(read_text(buf_cstr(&b), &o));
    assert_int_equal(problems.errors, 2 * PROBLEM_MAX);
    assert_int_equal(problems.kept, PROBLEM_MAX);
    assert_non_null(strstr(complaints(), "and 200 more\n"));
    buf_done(&b);
}

static void keys_that_need_a_restart_are_named(void **state)
{
    struct outer a, b;
    struct buf out;

    (void)state;
    assert_true(read_text("{}", &a));
    assert_true(read_text("{port: 1, wait: 1s, title: u, tags: [x], one: {name: n}}", &b));
    buf_init(&out, 4096);
    conf_restart_keys(&outer_table, "s.", &a, &b, &out);
    assert_string_equal(buf_cstr(&out), "s.port, s.title, s.tags, s.one.name");
    buf_done(&out);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(defaults_come_from_the_table),
        T(every_type_is_read),
        T(all_problems_are_collected),
        T(an_inert_key_is_warned_of_unless_it_says_the_default),
        T(values_from_the_environment_are_not_shown),
        T(the_list_of_problems_is_bounded),
        T(keys_that_need_a_restart_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
