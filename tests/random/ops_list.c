/* SPDX-License-Identifier: MIT
 *
 * ops_list.c: lists, beside arrays of kept values.
 */
#include "ops.h"

#define LISTS   4
#define LONGEST 40 /* of elements */

struct list_place {
    weir_list *list;           /* NULL: none here */
    struct scope_place *scope; /* NULL: stand-alone */
    bool attached;             /* a second handle of a stand-alone block */
    int64_t count;
    struct kept values[LONGEST];
    size_t capacity[LONGEST];
};

static struct list_place *place_of(struct lane *lane, unsigned number)
{
    if (lane->lists == NULL)
        lane->lists = calloc(LISTS, sizeof *lane->lists);
    if (lane->lists == NULL)
        abort();
    return &lane->lists[number % LISTS];
}

static void check_list(struct list_place *place)
{
    MUST(weir_list_len(place->list) == place->count, "length");
    for (int64_t i = 0; i < place->count; i++) {
        weir_value value;

        SUCCEEDS(weir_list_get(place->list, i, &value));
        MUST(same_value(value, place->values[i].value), "element %d is a %s", (int)i,
             weir_type_name(value.type));
    }
}

/* `gone`: its scope's end has taken the list, or is about to. */
static void drop_list(struct list_place *place, bool gone)
{
    if (place->list != NULL && !gone) {
        SUCCEEDS(weir_shm_unlink(weir_list_shm(place->list)));
        weir_list_close(place->list);
    }
    for (int64_t i = 0; i < place->count; i++)
        forget(&place->values[i]);
    *place = (struct list_place){0};
}

/* ---- making ---------------------------------------------------------------------------------- */

static void fill_model(struct list_place *place, const weir_value *values, int64_t count)
{
    place->count = count;
    for (int64_t i = 0; i < count; i++) {
        keep(&place->values[i], values[i]);
        place->capacity[i] = has_bytes(values[i]) ? 8u * (values[i].size / 8 + 1) : 8;
    }
}

static void make_list(struct lane *lane, const struct op *op)
{
    struct list_place *place = place_of(lane, op->n[0]);
    struct scope_place *scope = scope_of(op->n[1]);
    struct kept kept[LONGEST] = {0};
    weir_value values[LONGEST];
    int64_t count = pick(op, 2, LONGEST + 1);
    char name[64];

    if (place->list != NULL)
        return;
    for (int64_t i = 0; i < count; i++) {
        keep(&kept[i], draw_value(&lane->seed, 600));
        values[i] = kept[i].value;
    }
    if (scope == NULL)
        place->list = weir_list_create(block_name(lane, name, sizeof name), values, (size_t)count);
    else if (!scope->anonymous && one_in(&lane->seed, 3))
        place->list = weir_scope_list_named(scope->scope, block_name(lane, name, sizeof name),
                                            values, (size_t)count);
    else
        place->list = weir_scope_list(scope->scope, values, (size_t)count);
    MUST(place->list != NULL, "a list of %d values", (int)count);
    place->scope = scope;
    fill_model(place, values, count);
    for (int64_t i = 0; i < count; i++)
        forget(&kept[i]);
    check_list(place);
}

static void make_range(struct lane *lane, const struct op *op)
{
    struct list_place *place = place_of(lane, op->n[0]);
    struct scope_place *scope = scope_of(op->n[1]);
    int64_t step = (int64_t)draw(&lane->seed, 7) - 3, start = (int64_t)draw(&lane->seed, 50) - 25;
    int64_t stop = start + step * (int64_t)draw(&lane->seed, LONGEST), count = 0;
    weir_value values[LONGEST];

    if (place->list != NULL || scope == NULL)
        return;
    if (step == 0) {
        REFUSED_NULL("weir_scope_list_range", weir_scope_list_range(scope->scope, 1, 9, 0),
                     -EINVAL);
        return;
    }
    place->list = weir_scope_list_range(scope->scope, start, stop, step);
    MUST(place->list != NULL, "range");
    place->scope = scope;
    for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step)
        values[count++] = weir_int(i);
    fill_model(place, values, count);
    check_list(place);
}

static void close_list(struct lane *lane, const struct op *op)
{
    struct list_place *place = place_of(lane, op->n[0]);

    if (place->list == NULL)
        return;
    check_list(place);
    drop_list(place, false);
}

/* ---- using ----------------------------------------------------------------------------------- */

/* An index as Python counts; half of them from the end. */
static int64_t draw_index(struct lane *lane, const struct list_place *place, int64_t *at)
{
    *at = (int64_t)draw(&lane->seed, (unsigned)place->count);
    return one_in(&lane->seed, 2) ? *at : *at - place->count;
}

static void set_element(struct lane *lane, const struct op *op)
{
    struct list_place *place = place_of(lane, op->n[0]);
    weir_value value, after;
    int64_t at, index;
    int code;

    if (place->count == 0)
        return;
    index = draw_index(lane, place, &at);
    value = draw_value(&lane->seed, 2 * (unsigned)place->capacity[at]);
    say(lane, "list %u: [%d] = %s of %u bytes", op->n[0] % LISTS, (int)index,
        weir_type_name(value.type), value.size);
    code = weir_list_set(place->list, index, value);
    if (has_bytes(value) && value.size > place->capacity[at]) {
        char number[32];

        REFUSED("weir_list_set", code, -E2BIG);
        snprintf(number, sizeof number, "%u", value.size);
        MUST(message_has(number), "the size");
        snprintf(number, sizeof number, "%zu", place->capacity[at]);
        MUST(message_has(number), "the capacity");
    } else {
        SUCCEEDS(code);
        keep(&place->values[at], value);
    }
    SUCCEEDS(weir_list_get(place->list, index, &after));
    MUST(same_value(after, place->values[at].value), "the element");
}

static void add_to_element(struct lane *lane, const struct op *op)
{
    struct list_place *place = place_of(lane, op->n[0]);
    int64_t at, index, delta = draw_value(&lane->seed, 0).integer, sum = 7;
    weir_value *value;
    int code;

    if (place->count == 0)
        return;
    delta = one_in(&lane->seed, 3) ? INT64_MAX : delta % 100;
    index = draw_index(lane, place, &at);
    value = &place->values[at].value;
    say(lane, "list %u: [%d] += %lld", op->n[0] % LISTS, (int)index, (long long)delta);
    code = weir_list_add(place->list, index, delta, &sum);
    if (value->type != WEIR_INT) {
        REFUSED("weir_list_add", code, -EINVAL);
    } else if (__builtin_add_overflow(value->integer, delta, &at)) {
        REFUSED("weir_list_add", code, -EOVERFLOW);
    } else {
        SUCCEEDS(code);
        MUST(sum == at, "the sum");
        value->integer = at;
    }
    check_list(place);
}

static void find_value(struct lane *lane, const struct op *op)
{
    struct list_place *place = place_of(lane, op->n[0]);
    int64_t first = -1, count = 0, got, at;
    weir_value value;

    if (place->list == NULL)
        return;
    value = draw_value(&lane->seed, 8);
    if (place->count > 0 && one_in(&lane->seed, 2)) {
        draw_index(lane, place, &at);
        value = place->values[at].value;
    }
    for (int64_t i = place->count - 1; i >= 0; i--) {
        if (!equal_value(place->values[i].value, value))
            continue;
        first = i;
        count++;
    }
    MUST(weir_list_count(place->list, value) == count, "count");
    got = weir_list_index(place->list, value);
    if (first < 0)
        REFUSED("weir_list_index", got, -ENOENT);
    else
        MUST(got == first, "index %d, not %d", (int)got, (int)first);
}

static void copy_data(struct lane *lane, const struct op *op)
{
    struct list_place *place = place_of(lane, op->n[0]);
    char buf[1300];
    size_t size = draw(&lane->seed, sizeof buf);
    int64_t at, index, got;
    weir_value value;

    if (place->count == 0)
        return;
    index = draw_index(lane, place, &at);
    value = place->values[at].value;
    memset(buf, 'x', sizeof buf);
    got = weir_list_get_data(place->list, index, size > 0 ? buf : NULL, size);
    if (!has_bytes(value)) {
        REFUSED("weir_list_get_data", got, -EINVAL);
        return;
    }
    MUST(got == value.size, "length %d", (int)got);
    if (size == 0)
        return;
    got = got < (int64_t)size - 1 ? got : (int64_t)size - 1;
    MUST(memcmp(buf, value.data, (size_t)got) == 0, "the bytes");
    MUST(buf[got] == '\0', "no NUL");
    for (size_t i = size; i < sizeof buf; i++)
        MUST(buf[i] == 'x', "written beyond the buffer");
}

static void misuse_list(struct lane *lane, const struct op *op)
{
    struct list_place *place = place_of(lane, op->n[0]);
    weir_value value = weir_int(1234567), bad = {.type = (weir_type)77};
    char number[32];
    int64_t beyond;

    if (place->list == NULL)
        return;
    beyond = one_in(&lane->seed, 2) ? place->count : -place->count - 1;
    beyond = one_in(&lane->seed, 4) ? (one_in(&lane->seed, 2) ? INT64_MIN : INT64_MAX) : beyond;
    snprintf(number, sizeof number, "%lld", (long long)beyond);
    REFUSED("weir_list_get", weir_list_get(place->list, beyond, &value), -ERANGE);
    MUST(message_has(number), "the index");
    MUST(value.integer == 1234567, "*out is changed");
    REFUSED("weir_list_set", weir_list_set(place->list, beyond, value), -ERANGE);
    REFUSED("weir_list_add", weir_list_add(place->list, beyond, 1, NULL), -ERANGE);
    REFUSED("weir_list_get_data", weir_list_get_data(place->list, beyond, number, 8), -ERANGE);
    REFUSED_NULL("weir_list_create", weir_list_create(NULL, &bad, 1), -EINVAL);
    value = not_utf8();
    REFUSED_NULL("weir_list_create", weir_list_create(NULL, &value, 1), -EINVAL);
    if (place->count > 0) {
        REFUSED("weir_list_set", weir_list_set(place->list, 0, value), -EINVAL);
        REFUSED("weir_list_set", weir_list_set(place->list, 0, bad), -EINVAL);
        REFUSED("weir_list_get", weir_list_get(place->list, 0, NULL), -EINVAL);
    }
    check_list(place);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void list_by_json(struct lane *lane, const struct op *op)
{
    struct list_place *place = place_of(lane, op->n[0]);
    struct list_place other;
    char *json;

    if (place->list == NULL)
        return;
    if (place->scope != NULL && place->scope->anonymous) {
        REFUSED_NULL("weir_list_to_json", weir_list_to_json(place->list), -ENOTSUP);
        return;
    }
    json = weir_list_to_json(place->list);
    MUST(json != NULL, "to JSON");
    other = *place;
    other.list = weir_list_from_json(json);
    MUST(other.list != NULL, "from JSON: %s", json);
    check_list(&other);
    weir_list_close(other.list);
    REFUSED_NULL("weir_dict_from_json", weir_dict_from_json(json), -EINVAL, -EBADMSG);
    json[strlen(json) / 2] = '\0';
    REFUSED_NULL("weir_list_from_json", weir_list_from_json(json), -EINVAL);
    free(json);
    other.list = weir_list_attach(weir_shm_name(weir_list_shm(place->list)));
    MUST(other.list != NULL, "attach");
    check_list(&other);
    if (place->scope == NULL && one_in(&lane->seed, 2)) {
        weir_list_close(place->list); /* the other handle goes on */
        place->list = other.list;
    } else {
        weir_list_close(other.list);
    }
}

/* ---- the family ------------------------------------------------------------------------------ */

static void leave_scope(struct lane *lane, struct scope_place *scope, bool orderly)
{
    for (unsigned i = 0; lane->lists != NULL && i < LISTS; i++) {
        struct list_place *place = &lane->lists[i];

        if (place->list == NULL || place->scope != scope)
            continue;
        check_list(place);
        drop_list(place, !orderly);
    }
}

static void check(struct lane *lane)
{
    for (unsigned i = 0; lane->lists != NULL && i < LISTS; i++)
        if (lane->lists[i].list != NULL)
            check_list(&lane->lists[i]);
}

static void leave(struct lane *lane)
{
    for (unsigned i = 0; lane->lists != NULL && i < LISTS; i++) {
        if (lane->lists[i].list == NULL)
            continue;
        check_list(&lane->lists[i]);
        drop_list(&lane->lists[i], false);
    }
    free(lane->lists);
    lane->lists = NULL;
}

static const struct kind kinds[] = {
    {"make_list", 4, false, false, make_list},
    {"make_range", 1, false, false, make_range},
    {"close_list", 1, false, false, close_list},
    {"set_element", 6, false, false, set_element},
    {"add_to_element", 4, false, false, add_to_element},
    {"find_value", 2, false, false, find_value},
    {"copy_data", 2, false, false, copy_data},
    {"misuse_list", 1, false, false, misuse_list},
    {"list_by_json", 1, false, false, list_by_json},
    {0},
};

const struct family list_family = {
    .name = "list",
    .kinds = kinds,
    .weight = 1,
    .leave_scope = leave_scope,
    .check = check,
    .leave = leave,
};
