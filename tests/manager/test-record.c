/* SPDX-License-Identifier: MIT
 *
 * Records of the scope file, read without memory: what is accepted, what is not, and that a JSON
 * library would have read the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "manager/scope_file/record.h"

static void pad(char record[WEIR__RECORD_SIZE], const char *text)
{
    memset(record, ' ', WEIR__RECORD_SIZE);
    memcpy(record, text, strlen(text));
    record[WEIR__RECORD_SIZE - 1] = '\n';
}

static bool parses(const char *text, struct weir__record_fields *fields)
{
    char record[WEIR__RECORD_SIZE];

    pad(record, text);
    return weir__scope_file_parse_record(record, fields);
}

static void fields_are_read__when_all_are_there(void **state)
{
    struct weir__record_fields fields;

    (void)state;
    assert_true(parses("{\"name\":\"gr\xc3\xb6\xc3\x9f"
                       "e\",\"ino\":9223372036854775807,\"kind\":\"list\","
                       "\"size\":16384,\"pid\":-1,\"named\":1,\"new\":\"x\",\"newer\":2}",
                       &fields));
    assert_string_equal(fields.name, "gr\xc3\xb6\xc3\x9f"
                                     "e");
    assert_string_equal(fields.kind, "list");
    assert_true(fields.ino == INT64_MAX && fields.size == 16384 && fields.pid == -1 &&
                fields.named == 1);
    assert_true(parses(" { \"address\" : \"/tmp/x\" } ", &fields));
    assert_string_equal(fields.address, "/tmp/x");
    assert_string_equal(fields.name, "");
    assert_true(fields.ino == 0);
}

static void a_record_is_refused__when_it_is_none(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "{}",
        "[]",
        "name",
        "{\"name\"}",
        "{\"name\":}",
        "{\"name\":1}",
        "{\"ino\":\"1\"}",
        "{\"ino\":-}",
        "{\"ino\":1.5}",
        "{\"ino\":01}",
        "{\"ino\":9223372036854775808}",
        "{\"ino\":1,\"ino\":1}",
        "{\"ino\":1,}",
        "{\"ino\":1}x",
        "{\"ino\":1}{\"ino\":1}",
        "{\"name\":\"a\\u0041\"}",
        "{\"name\":\"a\tb\"}",
        "{\"name\":\"a",
        "{\"name\":\"\xff\"}",
        "{\"name\":\"\xc0\x80\"}",
        "{\"name\":\"\xed\xa0\x80\"}",
        "{\"name\":\"\xf4\x90\x80\x80\"}",
        "{\"name\":\"\xe2\x82\"}",
        "{\"a\":{}}",
        "{\"a\":null}",
    };
    struct weir__record_fields fields;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (parses(bad[i], &fields))
            fail_msg("accepted: %s", bad[i]);
}

static const char *text_of(json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));

    return text ? text : "";
}

/* Where the library refuses, so does the record's parser; and both read the same. */
static void a_library_reads_the_same__whatever_is_damaged(void **state)
{
    const char *good[] = {("{\"name\":\"weir-0123456789abcdef-1\",\"ino\":4711,\"kind\":\"list\","
                           "\"size\":16384,\"pid\":812}"),
                          "{\"name\":\"\xe2\x82\xac\xf0\x9f\x98\x80\",\"ino\":1,\"named\":1}",
                          "{\"address\":\"/run/x\"}"};
    const char bytes[] = "{}\":,0123456789-ab\x80\xbf\xc3\xe2\xf0 \t\\\0";
    unsigned seed = 1;
    int accepted = 0;

    (void)state;
    for (int trial = 0; trial < 200000; trial++) {
        char record[WEIR__RECORD_SIZE];
        struct weir__record_fields fields;
        json_t *json;

        pad(record, good[trial % 3]);
        for (int i = rand_r(&seed) % 3; i >= 0; i--)
            record[(size_t)rand_r(&seed) % 100] =
                bytes[(size_t)rand_r(&seed) % (sizeof(bytes) - 1)];
        if (!weir__scope_file_parse_record(record, &fields))
            continue;
        accepted++;
        json = json_loadb(record, sizeof(record), 0, NULL);
        if (!json)
            fail_msg("accepted: %.100s", record);
        assert_string_equal(fields.name, text_of(json, "name"));
        assert_string_equal(fields.kind, text_of(json, "kind"));
        assert_string_equal(fields.address, text_of(json, "address"));
        assert_true(fields.ino == json_integer_value(json_object_get(json, "ino")));
        assert_true(fields.size == json_integer_value(json_object_get(json, "size")));
        json_decref(json);
    }
    assert_true(accepted > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_read__when_all_are_there),
        cmocka_unit_test(a_record_is_refused__when_it_is_none),
        cmocka_unit_test(a_library_reads_the_same__whatever_is_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
