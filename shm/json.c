/* SPDX-License-Identifier: MIT
 *
 * json.c: an object as a line of JSON, and back.
 *
 * A handle says which block (its name and inode number: the same name on another block is not the
 * object) and what it holds. Writing one is plain; reading one is not, for its text may come from
 * anybody. Its length is looked at before it is parsed, which bounds what the parser can take;
 * duplicate members are refused by the parser; then each member is taken out by its name, type and
 * range, and one that was not taken is refused. What nests deeper than a shape is of the wrong
 * type.
 *
 * Failure modes. Text of a wrong form is -EINVAL with what is wrong with it. A name that is gone,
 * or another block's, is -ENOENT. A block that is not what the text says is -EBADMSG, found by the
 * same checks as when attaching by name.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "shm/array/array.h"
#include "shm/block/block.h"
#include "shm/dict/block.h"
#include "shm/error.h"
#include "shm/list/list.h"

#define FORM 1 /* the value of the member "weir" */

/* ---- writing -------------------------------------------------------------------------------- */

/* Adds a new value to the object, and takes over the reference. */
static bool member_add(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

/* What every line has. NULL with the last error set. */
static json_t *begin_line(const weir_shm *shm, const struct weir__object_kind *kind)
{
    json_t *object, *name;

    if (weir__shm_is_anonymous(shm))
        return weir__fail_null(-ENOTSUP,
                               "%s is of an anonymous scope: it has no name that a handle could "
                               "carry (weir_shm_path() says where its memory is)",
                               shm->name);
    name = json_string(shm->name);
    if (name == NULL)
        return weir__fail_null(-EINVAL, "the name \"%s\" cannot be in a handle: it is not UTF-8",
                               shm->name);
    object = json_object();
    if (member_add(object, "weir", json_integer(FORM)) &&
        member_add(object, "kind", json_string(kind->name)) &&
        member_add(object, "name", json_incref(name)) &&
        member_add(object, "ino", json_integer((json_int_t)shm->ino)) &&
        member_add(object, "size", json_integer((json_int_t)shm->size))) {
        json_decref(name);
        return object;
    }
    json_decref(name);
    json_decref(object);
    return weir__fail_null(-ENOMEM, "no memory for a handle");
}

/* A line about an object, to which `facts` (NULL: nothing) adds what its kind has besides. */
static char *write_line(const struct weir__object_kind *kind, const weir_shm *shm,
                        bool (*facts)(json_t *object, const void *handle), const void *handle)
{
    json_t *object = shm == NULL ? NULL : begin_line(shm, kind);
    char *text = NULL;

    if (object == NULL)
        return NULL;
    if (facts == NULL || facts(object, handle))
        text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text != NULL ? text : weir__fail_null(-ENOMEM, "no memory for a handle");
}

char *weir_shm_to_json(const weir_shm *shm)
{
    if (weir__object_is_null(&weir__block_kind, shm))
        return NULL;
    return write_line(&weir__block_kind, shm, NULL, NULL);
}

static bool add_list_facts(json_t *object, const void *handle)
{
    return member_add(object, "count", json_integer(((const weir_list *)handle)->count));
}

char *weir_list_to_json(const weir_list *list)
{
    return write_line(&weir__list_kind, weir__object_shm(&weir__list_kind, list), add_list_facts,
                      list);
}

static bool add_array_facts(json_t *object, const void *handle)
{
    const weir_array *array = handle;
    json_t *shape = json_array();

    for (int i = 0; i < array->ndim; i++)
        if (json_array_append_new(shape, json_integer(array->shape[i])) < 0) {
            json_decref(shape);
            return false;
        }
    return member_add(object, "dtype", json_string(weir_dtype_name(array->dtype))) &&
           member_add(object, "shape", shape) &&
           member_add(object, "offset", json_integer(array->data - (char *)array->shm->buf));
}

char *weir_array_to_json(const weir_array *array)
{
    return write_line(&weir__array_kind, weir__object_shm(&weir__array_kind, array),
                      add_array_facts, array);
}

char *weir_dict_to_json(const weir_dict *dict)
{
    return write_line(&weir__dict_kind, weir__object_shm(&weir__dict_kind, dict), NULL, NULL);
}

/* ---- reading -------------------------------------------------------------------------------- */

static json_t *parse_line(const char *text)
{
    json_error_t error;
    json_t *object;
    size_t size;

    if (text == NULL)
        return weir__fail_null(-EINVAL, "the handle is NULL");
    size = strnlen(text, WEIR_JSON_MAX + 1);
    if (size > WEIR_JSON_MAX)
        return weir__fail_null(-E2BIG, "a handle has at most %d bytes", WEIR_JSON_MAX);
    object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL && json_error_code(&error) == json_error_out_of_memory)
        return weir__fail_null(-ENOMEM, "no memory for a handle");
    if (object == NULL)
        return weir__fail_null(-EINVAL, "this is no handle: %s at byte %d", error.text,
                               error.position);
    if (json_is_object(object))
        return object;
    json_decref(object);
    return weir__fail_null(-EINVAL, "this is no handle: it is no JSON object");
}

/* Takes a member out of the object: a new reference, or NULL with the last error set. */
static json_t *member_take(json_t *object, const char *key)
{
    json_t *value = json_incref(json_object_get(object, key));

    if (value == NULL)
        weir__fail(-EINVAL, "the handle has no \"%s\"", key);
    else
        json_object_del(object, key);
    return value;
}

/* Takes an integer from `min` on. */
static int member_take_integer(json_t *object, const char *key, int64_t min, int64_t *number)
{
    json_t *value = member_take(object, key);
    bool good = json_is_integer(value) && json_integer_value(value) >= min;

    if (value == NULL)
        return -EINVAL;
    *number = json_integer_value(value);
    json_decref(value);
    return good ? 0
                : weir__fail(-EINVAL, "\"%s\" of the handle is not an integer from %lld on", key,
                             (long long)min);
}

/* Takes a string of at most `capacity` - 1 bytes. */
static int member_take_string(json_t *object, const char *key, char *string, size_t capacity)
{
    json_t *value = member_take(object, key);
    bool good = json_is_string(value) && json_string_length(value) < capacity;

    if (value == NULL)
        return -EINVAL;
    if (good)
        strcpy(string, json_string_value(value)); /* it has no NUL inside: the parser refuses one */
    json_decref(value);
    return good ? 0
                : weir__fail(-EINVAL, "\"%s\" of the handle is not a string of at most %zu bytes",
                             key, capacity - 1);
}

/* Takes the lengths of an array's axes. */
static int member_take_shape(json_t *object, struct weir__npy *what)
{
    json_t *value = member_take(object, "shape");
    bool good = json_is_array(value) && json_array_size(value) <= WEIR_ARRAY_NDIM_MAX;

    if (value == NULL)
        return -EINVAL;
    what->ndim = good ? (int)json_array_size(value) : 0;
    for (int i = 0; good && i < what->ndim; i++) {
        const json_t *length = json_array_get(value, (size_t)i);

        good = json_is_integer(length) && json_integer_value(length) >= 0;
        what->shape[i] = json_integer_value(length);
    }
    json_decref(value);
    return good ? 0
                : weir__fail(-EINVAL, "\"shape\" of the handle is not a list of at most %d lengths",
                             WEIR_ARRAY_NDIM_MAX);
}

static int member_take_dtype(json_t *object, struct weir__npy *what)
{
    char name[16];
    int result = member_take_string(object, "dtype", name, sizeof name);

    if (result < 0)
        return result;
    what->dtype = weir__dtype_of_name(name);
    return what->dtype ? 0 : weir__fail(-EINVAL, "\"%s\" is no type of an array's items", name);
}

/* The block that a handle names. */
struct block_facts {
    char name[WEIR_SHM_NAME_MAX + 1];
    int64_t ino, size;
};

static int take_block_facts(json_t *object, const struct weir__object_kind *kind,
                            struct block_facts *facts)
{
    int64_t form;
    char said[16];
    int result = member_take_integer(object, "weir", 1, &form);

    if (result < 0)
        return result;
    if (form != FORM)
        return weir__fail(-EINVAL, "the handle is of form %lld, this library knows form %d",
                          (long long)form, FORM);
    result = member_take_string(object, "kind", said, sizeof said);
    if (result < 0)
        return result;
    if (strcmp(said, kind->name) != 0)
        return weir__fail(-EINVAL, "the handle is of kind \"%s\", not \"%s\"", said, kind->name);
    result = member_take_string(object, "name", facts->name, sizeof facts->name);
    if (result == 0)
        result = weir__block_check_name(facts->name);
    if (result == 0)
        result = member_take_integer(object, "ino", 1, &facts->ino);
    if (result == 0)
        result = member_take_integer(object, "size", 1, &facts->size);
    return result;
}

/* Refuses what was not taken. */
static int check_empty(json_t *object)
{
    void *first = json_object_iter(object);

    return first == NULL ? 0
                         : weir__fail(-EINVAL, "the handle has an unknown member \"%.40s\"",
                                      json_object_iter_key(first));
}

static weir_shm *open_named_block(const struct block_facts *facts)
{
    weir_shm *shm = weir__shm_attach_inode(facts->name, (uint64_t)facts->ino);

    if (shm != NULL && shm->size != (uint64_t)facts->size) {
        weir__fail(-EBADMSG, "block \"%s\" has %zu bytes, not %lld as the handle says", shm->name,
                   shm->size, (long long)facts->size);
        weir_shm_close(shm);
        shm = NULL;
    }
    return shm;
}

/* The block that a line about this kind of object names. `take_facts` (NULL: nothing) takes what
 * the kind has besides. NULL with the last error set. */
static weir_shm *read_line(const char *text, const struct weir__object_kind *kind,
                           int (*take_facts)(json_t *object, void *facts), void *facts)
{
    struct block_facts block;
    json_t *object = parse_line(text);
    int result;

    if (object == NULL)
        return NULL;
    result = take_block_facts(object, kind, &block);
    if (result == 0 && take_facts != NULL)
        result = take_facts(object, facts);
    if (result == 0)
        result = check_empty(object);
    json_decref(object);
    return result < 0 ? NULL : open_named_block(&block);
}

weir_shm *weir_shm_from_json(const char *handle)
{
    return read_line(handle, &weir__block_kind, NULL, NULL);
}

weir_dict *weir_dict_from_json(const char *handle)
{
    return weir__object_of(&weir__dict_kind, read_line(handle, &weir__dict_kind, NULL, NULL), NULL);
}

static int take_list_facts(json_t *object, void *count)
{
    return member_take_integer(object, "count", 0, count);
}

weir_list *weir_list_from_json(const char *handle)
{
    int64_t count = 0;
    weir_list *list = weir__object_of(
        &weir__list_kind, read_line(handle, &weir__list_kind, take_list_facts, &count), NULL);

    if (list != NULL && list->count != count) {
        weir__fail(-EBADMSG, "list \"%s\" has %lld elements, not %lld as the handle says",
                   list->shm->name, (long long)list->count, (long long)count);
        weir_list_close(list);
        list = NULL;
    }
    return list;
}

static int take_array_facts(json_t *object, void *facts)
{
    struct weir__npy *what = facts;
    int64_t offset = 0;
    int result = member_take_dtype(object, what);

    if (result == 0)
        result = member_take_shape(object, what);
    if (result == 0)
        result = member_take_integer(object, "offset", 0, &offset);
    what->offset = (size_t)offset;
    return result;
}

static bool is_array_of(const weir_array *array, const struct weir__npy *what)
{
    return array->dtype == what->dtype && array->ndim == what->ndim &&
           memcmp(array->shape, what->shape, sizeof array->shape) == 0 &&
           (size_t)(array->data - (char *)array->shm->buf) == what->offset;
}

/* Behind a header the header has to say the same; otherwise the items begin the block. */
weir_array *weir_array_from_json(const char *handle)
{
    struct weir__npy what = {.ndim = 0};
    struct weir__array_spec spec;
    weir_shm *shm = read_line(handle, &weir__array_kind, take_array_facts, &what);
    weir_array *array;

    if (shm == NULL)
        return NULL;
    spec = (struct weir__array_spec){what.dtype, what.ndim, what.shape, 0};
    array = weir__object_of(&weir__array_kind, shm, what.offset == 0 ? &spec : NULL);
    if (array == NULL && weir_last_error()->code == -E2BIG)
        weir__fail(-EBADMSG, "the block of the handle is too small for its array");
    if (array != NULL && !is_array_of(array, &what)) {
        weir__fail(-EBADMSG, "array \"%s\" is not the one that the handle says", array->shm->name);
        weir_array_close(array);
        array = NULL;
    }
    return array;
}
