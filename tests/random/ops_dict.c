/* SPDX-License-Identifier: MIT
 *
 * ops_dict.c: dictionaries, beside rows of kept keys and values.
 */
#include "ops.h"

#define DICTS   3
#define ROWS    64 /* draw_key() has fewer keys */
#define BUFFER  16384
#define MAX_KIB 1024

struct row {
    bool there;
    struct kept key, value;
};

struct dict_place {
    weir_dict *dict;           /* NULL: none here */
    struct scope_place *scope; /* NULL: stand-alone */
    struct row rows[ROWS];
};

static struct dict_place *place_of(struct lane *lane, unsigned number)
{
    if (lane->dicts == NULL)
        lane->dicts = calloc(DICTS, sizeof *lane->dicts);
    if (lane->dicts == NULL)
        abort();
    return &lane->dicts[number % DICTS];
}

/* The row of the key; for a key that is not there, a free one. */
static struct row *row_of(struct dict_place *place, weir_value key)
{
    struct row *free_row = NULL;

    for (int i = 0; i < ROWS; i++) {
        struct row *row = &place->rows[i];

        if (row->there && same_value(row->key.value, key))
            return row;
        if (!row->there && free_row == NULL)
            free_row = row;
    }
    MUST(free_row != NULL, "the model is too small");
    return free_row;
}

static void store(struct dict_place *place, weir_value key, weir_value value)
{
    struct row *row = row_of(place, key);

    if (!row->there)
        keep(&row->key, key);
    row->there = true;
    keep(&row->value, value);
}

static void erase(struct row *row)
{
    forget(&row->key);
    forget(&row->value);
    row->there = false;
}

static int64_t count_rows(const struct dict_place *place)
{
    int64_t count = 0;

    for (int i = 0; i < ROWS; i++)
        count += place->rows[i].there;
    return count;
}

static void check_dict(struct dict_place *place)
{
    weir_dict_cursor cursor = {{0, 0}};
    static _Thread_local char buf[BUFFER];
    int64_t count = 0;
    weir_value key, value;
    int got;

    while ((got = weir_dict_next(place->dict, &cursor, &key, &value, buf, sizeof buf)) == 1) {
        struct row *row = row_of(place, key);

        MUST(row->there, "a key of type %s that was never stored", weir_type_name(key.type));
        MUST(same_value(row->value.value, value), "another value, of type %s",
             weir_type_name(value.type));
        count++;
    }
    SUCCEEDS(got);
    MUST(count == count_rows(place), "%d items, not %d", (int)count, (int)count_rows(place));
    MUST(weir_dict_len(place->dict) == count, "length");
}

static void drop_dict(struct dict_place *place, bool gone)
{
    if (!gone) {
        SUCCEEDS(weir_shm_unlink(weir_dict_shm(place->dict)));
        weir_dict_close(place->dict);
    }
    for (int i = 0; i < ROWS; i++)
        erase(&place->rows[i]);
    place->dict = NULL;
}

/* ---- making ---------------------------------------------------------------------------------- */

static void make_dict(struct lane *lane, const struct op *op)
{
    struct dict_place *place = place_of(lane, op->n[0]);
    struct scope_place *scope = scope_of(op->n[1]);
    weir_dict_options options = {.max_size = (size_t)(MAX_KIB + pick(op, 2, 4096)) << 10};
    char name[64];

    if (place->dict != NULL)
        return;
    block_name(lane, name, sizeof name);
    if (scope == NULL)
        place->dict = weir_dict_create(name, &options);
    else if (!scope->anonymous && one_in(&lane->seed, 3))
        place->dict = weir_scope_dict_named(scope->scope, name, &options);
    else
        place->dict = weir_scope_dict(scope->scope, one_in(&lane->seed, 2) ? NULL : &options);
    MUST(place->dict != NULL, "a dictionary");
    place->scope = scope;
    check_dict(place);
}

static void close_dict(struct lane *lane, const struct op *op)
{
    struct dict_place *place = place_of(lane, op->n[0]);

    if (place->dict == NULL)
        return;
    check_dict(place);
    drop_dict(place, false);
}

static void copy_dict(struct lane *lane, const struct op *op)
{
    struct dict_place *from = place_of(lane, op->n[0]), *to = place_of(lane, op->n[1]);
    char name[64];

    if (from->dict == NULL || from == to)
        return;
    if (to->dict == NULL) {
        to->dict = weir_dict_copy(block_name(lane, name, sizeof name), from->dict);
        MUST(to->dict != NULL, "copy");
        to->scope = NULL;
    } else {
        SUCCEEDS(weir_dict_update(to->dict, from->dict));
    }
    for (int i = 0; i < ROWS; i++)
        if (from->rows[i].there)
            store(to, from->rows[i].key.value, from->rows[i].value.value);
    check_dict(to);
}

/* ---- using ----------------------------------------------------------------------------------- */

/* A buffer as large as needed, or not. */
static size_t draw_size(struct lane *lane)
{
    return one_in(&lane->seed, 3) ? draw(&lane->seed, 40) : BUFFER;
}

/* A call that reads `wanted` gave the code and *out. Returns whether it has succeeded. */
static bool check_read(const char *call, int code, weir_value wanted, weir_value out, size_t size)
{
    if (has_bytes(wanted) && wanted.size + 1 > size) {
        REFUSED(call, code, -ENOBUFS);
        MUST(out.type == wanted.type && out.size == wanted.size, "%s: what there is", call);
        return false;
    }
    SUCCEEDS(code);
    MUST(same_value(out, wanted), "%s: a %s of %u bytes, not a %s of %u", call,
         weir_type_name(out.type), out.size, weir_type_name(wanted.type), wanted.size);
    MUST(!has_bytes(out) || out.data[out.size] == '\0', "%s: no NUL", call);
    return true;
}

static void get_key(struct lane *lane, const struct op *op)
{
    struct dict_place *place = place_of(lane, op->n[0]);
    weir_value key = draw_key(&lane->seed), out = weir_int(99);
    size_t size = draw_size(lane);
    char buf[BUFFER];
    struct row *row;
    int code;

    if (place->dict == NULL)
        return;
    row = row_of(place, key);
    MUST(weir_dict_contains(place->dict, key) == row->there, "contains");
    code = weir_dict_get(place->dict, key, &out, buf, size);
    if (row->there) {
        check_read("weir_dict_get", code, row->value.value, out, size);
    } else {
        REFUSED("weir_dict_get", code, -ENOENT);
        MUST(out.integer == 99, "*out is changed");
    }
}

static void set_key(struct lane *lane, const struct op *op)
{
    struct dict_place *place = place_of(lane, op->n[0]);
    weir_value key = draw_key(&lane->seed), value = draw_value(&lane->seed, 4000);

    if (place->dict == NULL)
        return;
    say(lane, "dict %u: key of %s, %u bytes; value of %s, %u bytes", op->n[0] % DICTS,
        weir_type_name(key.type), key.size, weir_type_name(value.type), value.size);
    SUCCEEDS(weir_dict_set(place->dict, key, value));
    store(place, key, value);
    check_dict(place);
}

static void set_default(struct lane *lane, const struct op *op)
{
    struct dict_place *place = place_of(lane, op->n[0]);
    weir_value key = draw_key(&lane->seed), value = draw_value(&lane->seed, 500);
    weir_value out = weir_none();
    size_t size = draw_size(lane);
    char buf[BUFFER];
    struct row *row;
    int code;

    if (place->dict == NULL)
        return;
    row = row_of(place, key);
    code = weir_dict_setdefault(place->dict, key, value, &out, buf, size);
    if (row->there) {
        MUST(code != 1, "stored over another value");
        check_read("weir_dict_setdefault", code, row->value.value, out, size);
    } else {
        MUST(code == 1, "%d", code);
        MUST(same_value(out, value), "*out");
        store(place, key, value);
    }
    check_dict(place);
}

static void add_to_key(struct lane *lane, const struct op *op)
{
    struct dict_place *place = place_of(lane, op->n[0]);
    weir_value key = draw_key(&lane->seed);
    int64_t delta = one_in(&lane->seed, 4) ? INT64_MIN : (int64_t)draw(&lane->seed, 100) - 50;
    int64_t sum = 5, wanted = 0;
    struct row *row;
    int code;

    if (place->dict == NULL)
        return;
    row = row_of(place, key);
    code = weir_dict_add(place->dict, key, delta, &sum);
    if (row->there && row->value.value.type != WEIR_INT) {
        REFUSED("weir_dict_add", code, -EINVAL);
    } else if (__builtin_add_overflow(row->there ? row->value.value.integer : 0, delta, &wanted)) {
        REFUSED("weir_dict_add", code, -EOVERFLOW);
    } else {
        SUCCEEDS(code);
        MUST(sum == wanted, "the sum");
        store(place, key, weir_int(wanted));
    }
    check_dict(place);
}

static void compare_and_set(struct lane *lane, const struct op *op)
{
    struct dict_place *place = place_of(lane, op->n[0]);
    weir_value key = draw_key(&lane->seed);
    int64_t expected = (int64_t)draw(&lane->seed, 3), before = expected,
            desired = draw(&lane->seed, 3);
    struct row *row;
    int code;

    if (place->dict == NULL)
        return;
    row = row_of(place, key);
    if (row->there && row->value.value.type == WEIR_INT && one_in(&lane->seed, 2))
        expected = before = row->value.value.integer;
    code = weir_dict_compare_and_set(place->dict, key, &expected, desired);
    if (!row->there) {
        REFUSED("weir_dict_compare_and_set", code, -ENOENT);
    } else if (row->value.value.type != WEIR_INT) {
        REFUSED("weir_dict_compare_and_set", code, -EINVAL);
    } else {
        MUST(code == (row->value.value.integer == before), "%d", code);
        MUST(code == 1 || expected == row->value.value.integer, "*expected");
        if (code == 1)
            store(place, key, weir_int(desired));
    }
    check_dict(place);
}

static void remove_key(struct lane *lane, const struct op *op)
{
    struct dict_place *place = place_of(lane, op->n[0]);
    weir_value key = draw_key(&lane->seed), out = weir_none();
    size_t size = draw_size(lane);
    bool pops = one_in(&lane->seed, 2);
    char buf[BUFFER];
    struct row *row;
    int code;

    if (place->dict == NULL)
        return;
    row = row_of(place, key);
    code = pops ? weir_dict_pop(place->dict, key, &out, buf, size)
                : weir_dict_delete(place->dict, key);
    if (!row->there)
        REFUSED("weir_dict_delete", code, -ENOENT);
    else if (!pops)
        SUCCEEDS(code);
    if (row->there && (!pops || check_read("weir_dict_pop", code, row->value.value, out, size)))
        erase(row);
    check_dict(place);
}

static void pop_item(struct lane *lane, const struct op *op)
{
    struct dict_place *place = place_of(lane, op->n[0]);
    weir_value key, value;
    size_t size = draw_size(lane);
    char buf[BUFFER];
    struct row *row;
    int code;

    if (place->dict == NULL)
        return;
    code = weir_dict_popitem(place->dict, &key, &value, buf, size);
    if (count_rows(place) == 0) {
        REFUSED("weir_dict_popitem", code, -ENOENT);
    } else if (code < 0) {
        REFUSED("weir_dict_popitem", code, -ENOBUFS);
        MUST(size < BUFFER, "the buffer was large enough");
    } else {
        row = row_of(place, key);
        MUST(row->there && same_value(row->value.value, value), "an item that is not there");
        erase(row);
    }
    check_dict(place);
}

static void clear_dict(struct lane *lane, const struct op *op)
{
    struct dict_place *place = place_of(lane, op->n[0]);

    if (place->dict == NULL)
        return;
    SUCCEEDS(weir_dict_clear(place->dict));
    for (int i = 0; i < ROWS; i++)
        erase(&place->rows[i]);
    check_dict(place);
}

static void misuse_dict(struct lane *lane, const struct op *op)
{
    struct dict_place *place = place_of(lane, op->n[0]);
    weir_value bad = {.type = (weir_type)77}, out;
    weir_value too_long = weir_bytes("", WEIR_DICT_KEY_MAX + 1);
    char buf[8];

    if (place->dict == NULL)
        return;
    REFUSED("weir_dict_set", weir_dict_set(place->dict, weir_bool(true), weir_none()), -EINVAL);
    REFUSED("weir_dict_set", weir_dict_set(place->dict, weir_float(1), weir_none()), -EINVAL);
    REFUSED("weir_dict_set", weir_dict_set(place->dict, not_utf8(), weir_none()), -EINVAL);
    REFUSED("weir_dict_set", weir_dict_set(place->dict, weir_int(1), bad), -EINVAL);
    REFUSED("weir_dict_set", weir_dict_set(place->dict, weir_int(1), not_utf8()), -EINVAL);
    REFUSED("weir_dict_set", weir_dict_set(place->dict, too_long, weir_none()), -E2BIG);
    REFUSED("weir_dict_get", weir_dict_get(place->dict, too_long, &out, buf, 8), -E2BIG);
    REFUSED("weir_dict_get", weir_dict_get(place->dict, weir_int(1), NULL, buf, 8), -EINVAL);
    REFUSED("weir_dict_get", weir_dict_get(NULL, weir_int(1), &out, buf, 8), -EINVAL);
    REFUSED_NULL("weir_dict_create",
                 weir_dict_create(NULL, &(weir_dict_options){.max_size = 1 + pick(op, 1, 65535)}),
                 -EINVAL);
    check_dict(place);
}

static void dict_by_json(struct lane *lane, const struct op *op)
{
    struct dict_place *place = place_of(lane, op->n[0]);
    weir_dict *dict = place->dict, *other;
    char *json;

    (void)lane;
    if (dict == NULL)
        return;
    if (place->scope != NULL && place->scope->anonymous) {
        REFUSED_NULL("weir_dict_to_json", weir_dict_to_json(dict), -ENOTSUP);
        return;
    }
    json = weir_dict_to_json(dict);
    MUST(json != NULL, "to JSON");
    other = weir_dict_from_json(json);
    MUST(other != NULL, "from JSON: %s", json);
    place->dict = other;
    check_dict(place);
    SUCCEEDS(weir_dict_set(other, weir_int(424242), weir_bool(true)));
    store(place, weir_int(424242), weir_bool(true));
    place->dict = dict;
    check_dict(place);
    weir_dict_close(other);
    REFUSED_NULL("weir_list_from_json", weir_list_from_json(json), -EINVAL, -EBADMSG);
    free(json);
}

/* ---- the family ------------------------------------------------------------------------------ */

static void leave_scope(struct lane *lane, struct scope_place *scope, bool orderly)
{
    for (unsigned i = 0; lane->dicts != NULL && i < DICTS; i++) {
        struct dict_place *place = &lane->dicts[i];

        if (place->dict == NULL || place->scope != scope)
            continue;
        check_dict(place);
        drop_dict(place, !orderly);
    }
}

static void check(struct lane *lane)
{
    for (unsigned i = 0; lane->dicts != NULL && i < DICTS; i++)
        if (lane->dicts[i].dict != NULL)
            check_dict(&lane->dicts[i]);
}

static void leave(struct lane *lane)
{
    for (unsigned i = 0; lane->dicts != NULL && i < DICTS; i++) {
        if (lane->dicts[i].dict == NULL)
            continue;
        check_dict(&lane->dicts[i]);
        drop_dict(&lane->dicts[i], false);
    }
    free(lane->dicts);
    lane->dicts = NULL;
}

static const struct kind kinds[] = {
    {"make_dict", 3, false, false, make_dict},
    {"close_dict", 1, false, false, close_dict},
    {"copy_dict", 1, false, false, copy_dict},
    {"get_key", 3, false, false, get_key},
    {"set_key", 8, false, false, set_key},
    {"set_default", 2, false, false, set_default},
    {"add_to_key", 3, false, false, add_to_key},
    {"compare_and_set", 2, false, false, compare_and_set},
    {"remove_key", 3, false, false, remove_key},
    {"pop_item", 1, false, false, pop_item},
    {"clear_dict", 1, false, false, clear_dict},
    {"misuse_dict", 1, false, false, misuse_dict},
    {"dict_by_json", 1, false, false, dict_by_json},
    {0},
};

const struct family dict_family = {
    .name = "dict",
    .kinds = kinds,
    .weight = 1,
    .leave_scope = leave_scope,
    .check = check,
    .leave = leave,
};
