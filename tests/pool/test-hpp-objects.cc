/* SPDX-License-Identifier: MIT
 *
 * The C++ door of scopes and objects: what their methods give and throw, and what their owners do.
 */
#include "hpp.h"

#include <array>
#include <csignal>
#include <cstring>
#include <set>
#include <sys/stat.h>

using std::int64_t;

/* ---- ranges, spans, values ------------------------------------------------------------------ */

static void a_range_is_iterated_over__and_is_one_of_c(void **)
{
    const weir::range some(3, 6), none(6, 3), counted(3u);
    std::vector<int64_t> seen;

    for (int64_t i : some)
        seen.push_back(i);
    assert_true((seen == std::vector<int64_t>{3, 4, 5}));
    for (int64_t i : none)
        fail_msg("%ld in an empty range", i);
    assert_int_equal(static_cast<weir_range>(counted).end, 3);
    assert_int_equal(weir::range(weir_range{2, 9}).size(), 7);
    assert_int_equal(some.first(), 3);
    assert_int_equal(some.limit(), 6);
    static_assert(weir::range(4).limit() == 4);
}

static void a_span_is_of_anything_that_lies_in_a_row(void **)
{
    std::vector<int> vector{1, 2, 3};
    const std::array<int, 2> array{4, 5};
    int raw[] = {6, 7, 8, 9};
    weir::span<int> a = vector;
    weir::span<const int> b = array;
    weir::span<const int> c = a;
    weir::span d(raw);

    a[0] = 10;
    assert_int_equal(vector[0], 10);
    assert_int_equal(b.back(), 5);
    assert_int_equal(c.front(), 10);
    assert_int_equal(d.size(), 4);
    assert_int_equal(d.subspan(1, 2).back(), 8);
    assert_int_equal(d.subspan(3, 9).size(), 1);
    assert_int_equal(d.size_bytes(), sizeof(raw));
    assert_true(weir::span<int>().empty());
    assert_true(weir::span(vector).data() == vector.data());
    try {
        (void)d.subspan(5);
        fail();
    } catch (const std::out_of_range &) {
    }
    static_assert(!std::is_convertible_v<weir::span<const int>, weir::span<int>>);
    static_assert(std::is_trivially_copyable_v<weir::span<int>>);
}

static void values_are_of_six_types__and_of_no_other(void **)
{
    const std::string text = "a string";

    assert_true(weir::value_view(nullptr).is_none());
    assert_true(weir::value_view(true).as_bool());
    assert_int_equal(weir::value_view(short{-3}).as_int(), -3);
    assert_int_equal(weir::value_view(5u).as_int(), 5);
    assert_true(weir::value_view(1.5f).as_float() == 1.5);
    assert_true(weir::value_view(2).as_float() == 2.0);
    assert_true(weir::value_view("literal").as_str() == "literal");
    assert_true(weir::value_view(text).as_str() == text);
    assert_true(weir::value_view(std::string_view()).as_str().empty());
    assert_true(weir::value_view(weir::bytes_view("\0x", 2)).as_bytes().size() == 2);
    assert_true(weir::value_view(weir::bytes_view(text)).type() == WEIR_BYTES);
    assert_has(error_of(-EINVAL, [] { (void)weir::value_view(1).as_str(); }).what(),
               "int, not str");
    error_of(-EINVAL, [] { (void)weir::value_view("x").as_bytes(); });
    error_of(-EOVERFLOW, [] { weir::value_view refused(UINT64_MAX); });

    weir::value owned = weir::value_view(std::string("temporary"));
    weir::value copy = owned, moved = std::move(owned);

    assert_true(copy.as_str() == "temporary" && moved.view().as_str() == "temporary");
    assert_true(weir::value().is_none());
    error_of(-EINVAL, [&] { (void)copy.as_bool(); });
}

/* ---- objects -------------------------------------------------------------------------------- */

static void blocks_are_made_attached_and_unlinked(void **)
{
    const std::string name = leak_name("block");
    weir::shm made = weir::shm::create(name, 4096);
    weir::shm attached = weir::shm::attach(name.c_str());
    weir::shm described = weir::shm::from_json(made.to_json());

    made.as<int>()[7] = 9;
    assert_int_equal(attached.as<int>()[7], 9);
    assert_int_equal(described.bytes()[7 * sizeof(int)], 9);
    assert_int_equal(made.size(), 4096);
    assert_string_equal(made.name().c_str(), name.c_str());
    assert_string_equal(made.path().first.c_str(), ("/dev/shm/" + name).c_str());
    assert_true(error_of(-EEXIST, [&] { weir::shm::create(name, 1); }).error_code() ==
                std::errc::file_exists);
    assert_true(made.unlink());
    assert_false(made.unlink());
    assert_true(error_of(-ENOENT, [&] { weir::shm::attach(name); }).error_code() ==
                std::errc::no_such_file_or_directory);
    made = std::move(attached);
    assert_false(attached);
    assert_int_equal(made.as<int>()[7], 9);

    weir_shm *raw = made.release();

    assert_false(made);
    weir_shm_close(raw);
    weir::shm::create(nullptr, 1).discard();
}

static void objects_of_a_scope_belong_to_it__and_can_be_given_back_early(void **)
{
    weir::scope scope;
    weir::shm_ref block = scope.shm(100), named = scope.shm(100, leak_name("named"));
    weir::shm_ref same = block;

    assert_ptr_equal(block.data(), same.data());
    assert_int_equal(scope.blocks().size(), 2);
    assert_int_equal(scope.lookup(named.name())->size, 100);
    assert_false(scope.lookup("nothing").has_value());
    same.discard();
    assert_false(same);
    assert_int_equal(scope.blocks().size(), 1);
    static_assert(std::is_trivially_copyable_v<weir::shm_ref> &&
                  std::is_trivially_copyable_v<weir::list_ref> &&
                  std::is_trivially_copyable_v<weir::dict_ref> &&
                  std::is_trivially_copyable_v<weir::array_ref<int>> &&
                  std::is_trivially_copyable_v<weir::text_ref> &&
                  std::is_trivially_copyable_v<weir::table_ref> &&
                  std::is_trivially_copyable_v<weir::arena_ref> &&
                  std::is_trivially_copyable_v<weir::pool_ref> &&
                  std::is_trivially_copyable_v<weir::view<int>>);
    static_assert(!std::is_convertible_v<weir::list, weir::list_ref>); /* it would close it */
    static_assert(std::is_convertible_v<weir::list &, weir::list_ref>);
    static_assert(!std::is_copy_constructible_v<weir::pool> &&
                  !std::is_copy_constructible_v<weir::scope> &&
                  !std::is_copy_constructible_v<weir::list> &&
                  !std::is_copy_constructible_v<weir::future<int>>);
    static_assert(std::is_nothrow_move_constructible_v<weir::pool> &&
                  std::is_nothrow_move_constructible_v<weir::scope> &&
                  std::is_nothrow_move_constructible_v<weir::array<int>> &&
                  std::is_nothrow_move_constructible_v<weir::future<int>>);
}

static void lists_hold_values(void **)
{
    weir::scope scope;
    weir::list_ref list = scope.list({nullptr, true, 5, 2.5, "text", weir::bytes_view("b", 1)});
    const std::string name = leak_name("list");

    assert_int_equal(list.size(), 6);
    assert_true(list[0].is_none() && list[1].as_bool());
    assert_int_equal(list.add(2, 3), 8);
    assert_int_equal(list.get(-4).as_int(), 8);
    assert_true(list.view(4).as_str() == "text");
    assert_true(list[5].as_bytes() == "b");
    list.set(4, std::string("other"));
    assert_true(list[4].as_str() == "other");
    assert_int_equal(list.index(8).value(), 2);
    assert_false(list.index(99).has_value());
    assert_int_equal(list.count(1), 1);
    assert_true(list.format().size() > 0);
    assert_int_equal(weir_shm_size(list.block().raw()), list.block().size());
    error_of(-ERANGE, [&] { list[6]; });
    error_of(-E2BIG, [&] { list.set(4, "much too long for it"); });
    error_of(-EINVAL, [&] { list.add(0, 1); });
    assert_int_equal(scope.list_range(0, 10, 3)[3].as_int(), 9);
    list.discard();
    error_of(-EINVAL, [&] { list.size(); });

    weir::list made = weir::list::create(name, {1, "two"});
    weir::list attached = weir::list::attach(name);
    weir::list described = weir::list::from_json(made.to_json());
    const std::vector<weir::value_view> many(10, 7);

    assert_true(attached[1].as_str() == "two" && described[0].as_int() == 1);
    assert_true(made.repr() == "ShareableList([1, 'two'], name='" + std::string(name) + "')");
    assert_true(made.repr(1).find("[1, ... 1 more]") != std::string::npos);
    made.discard();
    weir::list range = weir::list::create_range(nullptr, 5, 0, -1);
    assert_int_equal(range.size(), 5);
    range.discard();
    weir::list::create_range(leak_name("range"), 0, 3).discard();
    weir::list::create(leak_name("many"), many).discard();
    error_of(-ENOENT, [&] { weir::list::attach(name); });
}

static void arrays_are_spans_of_their_items(void **)
{
    weir::scope scope;
    auto array = scope.array<double>(10);
    auto matrix = scope.array<float>({3, 4});
    const std::string name = leak_name("array");
    weir::span<double> items = array;
    std::vector<double> copy(10);
    double sum = 0;

    for (double &item : array)
        item = 1;
    items[9] = 5;
    array.copy_out(copy);
    for (double item : copy)
        sum += item;
    assert_true(sum == 14);
    array.fill(2);
    assert_true(array[9] == 2);
    array.copy_in(copy);
    array.populate(10);
    assert_true(array[9] == 5);
    error_of(-EINVAL, [&] { array.copy_in(weir::span<const double>(copy).subspan(1)); });
    assert_int_equal(matrix.ndim(), 2);
    assert_int_equal(matrix.shape()[1], 4);
    matrix(2, 3) = 7;
    assert_true(matrix[11] == 7);
    assert_true(scope.array<char>({}).size() == 1);
    error_of(-EINVAL, [&] { weir::array_ref<int> other(array.raw()); });
    assert_ptr_equal(scope.array_at(&array[5]).raw(), array.raw());
    error_of(-EINVAL, [&] { scope.array<double>(-1); });
    array.discard();
    assert_int_equal(array.size(), 0);

    weir::array<std::complex<double>> made =
        weir::array<std::complex<double>>::create(name, 4, WEIR_ARRAY_NPY);
    weir::array<std::complex<double>> attached = weir::array<std::complex<double>>::attach(name);

    made[3] = {1, 2};
    assert_true(attached[3].imag() == 2);
    assert_true(made.repr().find(", (1.0+2.0j)])") != std::string::npos);
    error_of(-EINVAL, [&] { weir::array<int>::attach(name); });
    error_of(-EINVAL, [&] { weir::array<int>::from_json(made.to_json()); });
    assert_int_equal(weir::array<std::complex<double>>::from_json(made.to_json()).size(), 4);
    assert_int_equal(weir::array<unsigned char>::attach_raw(name, 128 + 64).size(), 192);
    made.discard();
    assert_int_equal(weir::dtype_of<long>, WEIR_INT64);
    assert_int_equal(weir::dtype_of<unsigned short>, WEIR_UINT16);
    assert_int_equal(weir::dtype_of<bool>, WEIR_BOOL8);
    assert_int_equal(weir::dtype_of<std::byte>, WEIR_UINT8);
}

static void views_are_slices_of_arrays(void **)
{
    weir::scope scope;
    auto matrix = scope.array<int>({4, 5});
    weir::view<int> all = matrix.view();
    weir::view<int> odd = all.slice(1, 1, WEIR_SLICE_END, 2);
    std::vector<int> out(2);

    for (int i = 0; i < 20; i++)
        matrix[i] = i;
    assert_int_equal(all.ndim(), 2);
    assert_int_equal(odd.size(), 8);
    assert_int_equal(odd.shape()[1], 2);
    assert_int_equal(odd(1, 1), 8);
    odd.at(0, -1).copy_out(out);
    assert_int_equal(out[1], 18);
    odd(0, 0) = 100;
    assert_int_equal(matrix(0, 1), 100);
    odd.at(0, 2).fill(-1);
    assert_int_equal(matrix(2, 3), -1);
    odd.at(0, 2).copy_in(out);
    assert_int_equal(matrix(2, 3), 18);
    error_of(-ERANGE, [&] { odd(4, 0); });
    error_of(-EINVAL, [&] { odd(4); });
    error_of(-EINVAL, [&] { weir::view<long> other(all.raw()); });
}

static void dictionaries_map_values_to_values(void **)
{
    weir::scope scope;
    weir::dict_ref dict = scope.dict();
    const std::string large(5000, 'x');
    int64_t expected = 3;
    std::set<std::string> seen;

    dict.set("one", 1);
    dict.set(2, large);
    dict.set(weir::bytes_view("k", 1), nullptr);
    assert_int_equal(dict.size(), 3);
    assert_int_equal(dict.get("one")->as_int(), 1);
    assert_true(dict.get(2)->as_str() == large);
    assert_true(dict.at(weir::bytes_view("k", 1)).is_none());
    assert_false(dict.get("two").has_value());
    error_of(-ENOENT, [&] { dict.at("two"); });
    assert_true(dict.contains("one") && !dict.contains("two"));
    assert_int_equal(dict.add("count", 3), 3);
    assert_false(dict.compare_and_set("one", expected, 5));
    assert_int_equal(expected, 1);
    assert_true(dict.compare_and_set("one", expected, 5));
    error_of(-ENOENT, [&] { dict.compare_and_set("none", expected, 5); });
    assert_true(dict.setdefault("new", large).second);
    const std::pair<weir::value, bool> there = dict.setdefault("new", 1);
    assert_true(!there.second && there.first.as_str() == large);
    for (const auto &[key, mapped] : dict)
        if (key.type() == WEIR_STR)
            seen.insert(key.as_str());
    assert_true((seen == std::set<std::string>{"count", "new", "one"}));
    assert_true(dict.pop("new")->as_str() == large);
    assert_false(dict.pop("new").has_value());
    assert_true(dict.erase("one"));
    assert_false(dict.erase("one"));
    for (int i = 0; i < 3; i++)
        assert_true(dict.popitem().has_value());
    assert_false(dict.popitem().has_value());
    error_of(-EINVAL, [&] { dict.set(1.5, 1); });
    error_of(-EINVAL, [&] { weir::dict_ref().size(); });
    error_of(-EINVAL, [&] { weir::dict_ref().begin(); });
}

static void many_keys_are_done_in_one_call(void **)
{
    const std::string name = leak_name("dict");
    weir::dict dict = weir::dict::create(name);
    const std::vector<weir::value_view> keys{1, "two", 3, "none"};
    const std::string large(9000, 'y');
    const std::vector<weir::value_view> values{10, large, 30, nullptr};
    const std::vector<int64_t> deltas{1, 2};

    dict.set_many(keys, values);
    assert_true(dict.erase("none"));
    const std::vector<std::optional<weir::value>> found = dict.get_many(keys);
    assert_int_equal(found.size(), 4);
    assert_int_equal(found[0]->as_int(), 10);
    assert_true(found[1]->as_str() == large);
    assert_false(found[3].has_value());
    dict.add_many(std::vector<weir::value_view>{1, 3}, deltas);
    assert_int_equal(dict.at(3).as_int(), 32);
    error_of(-EINVAL, [&] { dict.add_many(keys, deltas); });
    error_of(-EINVAL, [&] { dict.set_many(keys, weir::span<const weir::value_view>()); });

    weir::dict attached = weir::dict::attach(name),
               described = weir::dict::from_json(dict.to_json());
    assert_true(dict.repr().find("3: 32") != std::string::npos);
    weir::dict copy = weir::dict::copy(nullptr, dict), other = weir::dict::create(nullptr);

    assert_int_equal(attached.size() + described.size() + copy.size(), 9);
    other.update(dict);
    assert_int_equal(other.size(), 3);
    other.clear();
    assert_int_equal(other.size(), 0);
    other.discard();
    copy.discard();
    dict.discard();
    assert_false(dict);
}

struct node {
    int64_t number;
    node *next;
};

static void structures_are_made_in_arenas(void **)
{
    weir::scope scope;
    weir::arena_ref arena = scope.arena();
    node *first = arena.make<node>(1, nullptr);
    node *second = scope.make<node>(2, first);
    weir::pool pool(scope, 1);

    weir::submit(pool, [=] { second->next->number = arena.make<node>()->number + 40; }).get();
    assert_int_equal(first->number, 40);
    assert_int_equal(arena.size(), 32);
    assert_non_null(arena.alloc(100));
    assert_non_null(scope.alloc(100));
    error_of(-EINVAL, [&] { arena.alloc(0); });
    arena.discard();
    error_of(-EINVAL, [&] { arena.alloc(1); });
}

static void texts_are_cut_into_records(void **)
{
    weir::scope scope;
    char path[] = "/tmp/weir-hpp-XXXXXX";
    const int fd = mkstemp(path);
    std::string joined;

    assert_true(fd >= 0 && write(fd, "one two;three\n", 14) == 14);
    close(fd);
    {
        weir::text text = scope.open_text(std::vector<std::string>{path, path});

        assert_int_equal(text.files(), 2);
        assert_int_equal(text.range().size(), 28);
        assert_string_equal(text.path(1).c_str(), path);
        assert_true(text.data(1) == "one two;three\n");
        auto records = text.slice_at(text.range(), ";\n");
        for (std::string_view record : records)
            joined += std::string(record) + std::to_string(records.file());
        assert_string_equal(joined.c_str(), "one two0three0one two1three1");
        for (std::string_view line : text.slice(weir::range(1, 15), WEIR_TEXT_LINES))
            assert_true(line == "one two;three");
        error_of(-ERANGE, [&] { text.slice(29, WEIR_TEXT_LINES); });
        error_of(-ERANGE, [&] { text.path(2); });
    }
    unlink(path);
    error_of(-ENOENT, [&] { scope.open_text(path); });
    error_of(-EINVAL, [&] { weir::text_ref().range(); });
}

/* ---- scopes --------------------------------------------------------------------------------- */

static void another_program_connects__and_what_it_makes_belongs_to_the_scope(void **)
{
    char folder[] = "/tmp/weir-hpp-XXXXXX";
    weir::scope_options options{};

    assert_non_null(mkdtemp(folder));
    const std::string address = std::string(folder) + "/door";
    options.address = address.c_str();
    {
        weir::scope scope(options);
        weir::connection first(address);
        weir::connection connection(std::move(first));
        const std::string block = connection.shm(10, leak_name("shm")).name();
        const std::string list = connection.list({1, 2}).block().name();
        const std::string array = connection.array<int>(5).block().name();
        const std::string dict = connection.dict().block().name();
        weir::shm tracked = weir::shm::create(leak_name("tracked"), 1);

        assert_false(first);
        assert_int_equal(scope.blocks().size(), 4);
        assert_int_equal(scope.attach_shm(block).size(), 10);
        assert_int_equal(scope.attach_list(list)[1].as_int(), 2);
        assert_int_equal(connection.attach_array<int>(array).size(), 5);
        error_of(-EINVAL, [&] { scope.attach_array<long>(array); });
        assert_int_equal(connection.attach_dict(dict).size(), 0);
        connection.track(tracked.name());
        assert_int_equal(connection.blocks().size(), 5);
        assert_true(scope.release_block(tracked.name()));
        assert_false(scope.release_block(tracked.name()));
        assert_int_equal(setenv("WEIR_ADDRESS", address.c_str(), 1), 0);
        assert_int_equal(weir::connection().attach_list(list)[0].as_int(), 1);
        assert_int_equal(unsetenv("WEIR_ADDRESS"), 0);
        error_of(-EINVAL, [&] { weir::connection(); });
        error_of(-ENOENT, [&] { scope.attach_list("nothing"); });
        scope.sync();

        weir::connection again(address);

        again = std::move(connection);
        weir_scope_disconnect(again.release());
    }
    error_of(-ENOENT, [&] { weir::connection refused(address); });
    rmdir(folder);
}

static void what_cannot_be_unlinked_is_told_by_end(void **)
{
    weir::scope scope;
    const pid_t manager = scope.manager_pid();

    (void)scope.shm(100);
    kill(manager, SIGKILL);
    scope.end(); /* does the manager's work */
    error_of(-EINVAL, [&] { (void)scope.shm(100); });
    error_of(-EINVAL, [&] { scope.manager_pid(); });
}

int main()
{
    const struct CMUnitTest tests[] = {
        UNIT(a_range_is_iterated_over__and_is_one_of_c),
        UNIT(a_span_is_of_anything_that_lies_in_a_row),
        UNIT(values_are_of_six_types__and_of_no_other),
        UNIT(blocks_are_made_attached_and_unlinked),
        UNIT(objects_of_a_scope_belong_to_it__and_can_be_given_back_early),
        UNIT(lists_hold_values),
        UNIT(arrays_are_spans_of_their_items),
        UNIT(views_are_slices_of_arrays),
        UNIT(dictionaries_map_values_to_values),
        UNIT(many_keys_are_done_in_one_call),
        UNIT(structures_are_made_in_arenas),
        UNIT(texts_are_cut_into_records),
        UNIT(another_program_connects__and_what_it_makes_belongs_to_the_scope),
        UNIT(what_cannot_be_unlinked_is_told_by_end),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
