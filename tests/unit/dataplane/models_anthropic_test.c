// SPDX-License-Identifier: Apache-2.0
// The list of models as Anthropic's clients page through it.
#include "dataplane/models_anthropic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/models_capabilities.h"

static struct arena arena;
static struct models_anthropic list;
static struct resource *made[8];
static size_t n_made;

static void add(const char *name, const char *provider, const char *id, uint64_t released_us)
{
    struct resource *m = resource_new(RESOURCE_MODEL, slice_str(name), 1);
    struct resource_model_at *at = arena_zalloc(&m->arena, sizeof(*at));

    at->provider = provider;
    at->id = id;
    m->u.model->at = at;
    m->u.model->n_at = 1;
    m->u.model->released_wall_us = released_us;
    m->u.model->context = released_us != 0 ? 1000 : 0;
    models_anthropic_add(&list, m, at);
    made[n_made++] = m;
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 0);
    list.arena = &arena;
    add("old", "b", "old", 0);
    add("new", "a", "x/new", 1763800000000000);
    add("also-old", "a", "old", 0);
    add("mid", "a", "mid", 1700000000000000);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_made; i++) {
        resource_unref(&made[i]);
    }
    arena_done(&arena);
    return 0;
}

// The page as "id id | first last more", or "? param".
static const char *page(const char *query)
{
    struct slice rest, all;
    const char *param = NULL, *text = "";
    struct buf b;

    buf_init(&b, 1 << 16);
    if (!models_anthropic_page(&list, slice_str(query), &b, &param)) {
        buf_done(&b);
        return arena_printf(&arena, "? %s", param);
    }
    all = arena_dup(&arena, buf_slice(&b));
    buf_done(&b);
    for (rest = all; slice_find(rest, SLICE("\"id\":")) != SIZE_MAX;) {
        struct slice id;

        rest = slice_from(rest, slice_find(rest, SLICE("\"id\":")) + 6);
        (void)slice_cut(rest, '"', &id);
        text =
            arena_printf(&arena, "%s%s" SLICE_FMT, text, text[0] == '\0' ? "" : " ", SLICE_ARG(id));
    }
    rest = slice_from(all, slice_find(all, SLICE("\"has_more\"")));
    return arena_printf(&arena, "%s %s", text, arena_strndup(&arena, rest.p, rest.n));
}

#define TAIL(more, first, last)                                                                    \
    " \"has_more\":" more ",\"first_id\":\"" first "\",\"last_id\":\"" last "\"}"

static void pages(void **state)
{
    static const struct {
        const char *query, *want;
    } cases[] = {
        {NULL, "a/x/new a/mid a/old b/old" TAIL("false", "a/x/new", "b/old")},
        {"beta=true", "a/x/new a/mid a/old b/old" TAIL("false", "a/x/new", "b/old")},
        {"limit=2", "a/x/new a/mid" TAIL("true", "a/x/new", "a/mid")},
        {"limit=2&after_id=a%2Fmid", "a/old b/old" TAIL("false", "a/old", "b/old")},
        {"after_id=a/x/new&limit=1", "a/mid" TAIL("true", "a/mid", "a/mid")},
        {"after_id=b/old", " \"has_more\":false,\"first_id\":null,\"last_id\":null}"},
        {"before_id=b/old&limit=2", "a/mid a/old" TAIL("true", "a/mid", "a/old")},
        {"before_id=a/mid", "a/x/new" TAIL("false", "a/x/new", "a/x/new")},
        {"before_id=a/x/new", " \"has_more\":false,\"first_id\":null,\"last_id\":null}"},
        {"limit=4", "a/x/new a/mid a/old b/old" TAIL("false", "a/x/new", "b/old")},
        {"limit=0", "? limit"},
        {"limit=1001", "? limit"},
        {"limit=x", "? limit"},
        {"limit=", "a/x/new a/mid a/old b/old" TAIL("false", "a/x/new", "b/old")},
        {"after_id=a/none", "? after_id"},
        {"before_id=none", "? before_id"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(page(cases[i].query), cases[i].want);
    }
}

static void one_model(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 16);
    models_anthropic_put(&b, made[1], made[1]->u.model->at);
    assert_string_equal(buf_cstr(&b),
                        "{\"type\":\"model\",\"id\":\"a/x/new\",\"display_name\":\"new\","
                        "\"created_at\":\"2025-11-22T08:26:40Z\",\"max_input_tokens\":1000,"
                        "\"max_tokens\":null,\"lifecycle\":\"active\",\"capabilities\":null}");
    buf_done(&b);
}

static void no_models(void **state)
{
    struct models_anthropic none = {.arena = &arena};
    const char *param;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 16);
    assert_true(models_anthropic_page(&none, SLICE_NULL, &b, &param));
    assert_string_equal(buf_cstr(&b),
                        "{\"data\":[],\"has_more\":false,\"first_id\":null,\"last_id\":null}");
    buf_done(&b);
}

// What the SDKs' types want is all there, and says what can be asked for here.
static void says_what_a_model_can(void **state)
{
    static const char *const image[] = {"text", "image"};
    static const char *const efforts[] = {"low", "high"};
    struct resource_model m = {.modalities = image, .n_modalities = 2};
    struct resource_model_at at = {.provider = "openai"};
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 16);
    m.traits = (struct resource_traits){
        .thinking = RESOURCE_THINKING_EFFORT, .efforts = efforts, .n_efforts = 2};
    models_capabilities_put(&b, &m, &at);
    assert_string_equal(
        buf_cstr(&b),
        "{\"batch\":{\"supported\":false},\"citations\":{\"supported\":false},"
        "\"code_execution\":{\"supported\":false},\"context_management\":{\"supported\":false},"
        "\"effort\":{\"supported\":true,\"low\":{\"supported\":true},\"medium\":{\"supported\":false},"
        "\"high\":{\"supported\":true},\"xhigh\":{\"supported\":false},\"max\":{\"supported\":false}},"
        "\"image_input\":{\"supported\":true},\"pdf_input\":{\"supported\":false},"
        "\"server_tools\":{\"supported\":false,\"code_execution\":{\"supported\":false},"
        "\"web_search\":{\"supported\":false}},\"structured_outputs\":{\"supported\":true},"
        "\"thinking\":{\"supported\":true,\"types\":{\"adaptive\":{\"supported\":true},"
        "\"between_tools\":{\"supported\":true},\"disabled\":{\"supported\":true},"
        "\"enabled\":{\"supported\":true}}}}");
    // a Claude that always thinks
    buf_clear(&b);
    at.provider = "anthropic";
    m.traits = (struct resource_traits){.thinking = RESOURCE_THINKING_ADAPTIVE,
                                        .thinking_off = RESOURCE_OFF_NEVER};
    models_capabilities_put(&b, &m, &at);
    assert_non_null(strstr(buf_cstr(&b), "\"batch\":{\"supported\":true}"));
    assert_non_null(strstr(buf_cstr(&b), "\"types\":{\"adaptive\":{\"supported\":true},"
                                         "\"between_tools\":{\"supported\":false},"
                                         "\"disabled\":{\"supported\":false},"
                                         "\"enabled\":{\"supported\":false}}"));
    // nothing is known of it
    buf_clear(&b);
    m = (struct resource_model){.n_modalities = 0};
    models_capabilities_put(&b, &m, &at);
    assert_string_equal(buf_cstr(&b), "null");
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages),
        cmocka_unit_test(one_model),
        cmocka_unit_test(no_models),
        cmocka_unit_test(says_what_a_model_can),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
