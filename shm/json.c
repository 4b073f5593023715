/* SPDX-License-Identifier: MIT
 *
 * json.c: an object as a line of JSON, and back.
 *
 * The JSON of an object says which block it is in (by name and inode number: the same name on
 * another block is not the object) and what the block holds. Writing is plain. Reading is not,
 * because the text may come from anywhere. Its length is checked before it is parsed, which bounds
 * what the parser can take. The parser refuses duplicate members. Then each member is taken out by
 * its name, type and range, and a member that was not taken is refused. A value that nests deeper
 * than a shape is of the wrong type.
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
#include "shm/value.h"

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
    json_t *object;

    if (weir__shm_is_anonymous(shm))
        return weir__fail_null(-ENOTSUP,
                               "%s is of an anonymous scope: it has no name that JSON could "
                               "carry (weir_shm_path() says where its memory is)",
                               shm->name);
    if (!weir__utf8_valid(shm->name, strlen(shm->name)))
        return weir__fail_null(-EINVAL, "the name \"%s\" cannot be in JSON: it is not UTF-8",
                               shm->name);
    object = json_pack("{s:i, s:s, s:s, s:I, s:I}", "weir", FORM, "kind", kind->name, "name",
                       shm->name, "ino", (json_int_t)shm->ino, "size", (json_int_t)shm->size);
    return object != NULL ? object
                          : weir__fail_null(-ENOMEM, "no memory for the JSON of an object");
}

/* A line about an object, to which `facts` (NULL: nothing) adds what its kind has besides. */
static char *write_line(const struct weir__object_kind *kind, const weir_shm *shm,
                        bool (*facts)(json_t *object, const void *handle), const void *handle)
{
    json_auto_t *object = shm == NULL ? NULL : begin_line(shm, kind);
    char *text = NULL;

    if (object == NULL)
        return NULL;
    if (facts == NULL || facts(object, handle))
        text = json_dumps(object, JSON_COMPACT);
    return text != NULL ? text : weir__fail_null(-ENOMEM, "no memory for the JSON of an object");
}

char *weir_shm_to_json(const weir_shm *shm)
{
    return weir__object_is_null(&weir__block_kind, shm)
               ? NULL
               : write_line(&weir__block_kind, shm, NULL, NULL);
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
    json_t *shape;

    if (!member_add(object, "dtype", json_string(weir_dtype_name(array->dtype))) ||
        !member_add(object, "shape", json_array()))
        return false;
    shape = json_object_get(object, "shape");
    for (int i = 0; i < array->ndim; i++)
        if (json_array_append_new(shape, json_integer(array->shape[i])) < 0)
            return false;
    return member_add(object, "offset", json_integer(array->data - (char *)array->shm->buf));
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
        return weir__fail_null(-EINVAL, "the JSON is NULL");
    size = strnlen(text, WEIR_JSON_MAX + 1);
    if (size > WEIR_JSON_MAX)
        return weir__fail_null(-E2BIG, "the JSON of an object has at most %d bytes", WEIR_JSON_MAX);
    object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL && json_error_code(&error) == json_error_out_of_memory)
        return weir__fail_null(-ENOMEM, "no memory for the JSON of an object");
    if (object == NULL)
        return weir__fail_null(-EINVAL, "this is not the JSON of an object: %s at byte %d",
                               error.text, error.position);
    if (json_is_object(object))
        return object;
    json_decref(object);
    return weir__fail_null(-EINVAL, "this is not the JSON of an object: it is no JSON object");
}

/* Takes a member out of the object: a new reference, or NULL with the last error set. */
static json_t *member_take(json_t *object, const char *key)
{
    json_t *value = json_incref(json_object_get(object, key));

    if (value == NULL)
        weir__fail(-EINVAL, "the JSON has no member \"%s\"", key);
    else
        json_object_del(object, key);
    return value;
}

/* Takes an integer from `min` on. */
static int member_take_integer(json_t *object, const char *key, int64_t min, int64_t *number)
{
    json_auto_t *value = member_take(object, key);

    if (value == NULL)
        return -EINVAL;
    *number = json_integer_value(value);
    if (!json_is_integer(value) || *number < min)
        return weir__fail(-EINVAL, "\"%s\" of the JSON is not an integer from %lld on", key,
                          (long long)min);
    return 0;
}

/* Takes a string of at most `capacity` - 1 bytes. */
static int member_take_string(json_t *object, const char *key, char *string, size_t capacity)
{
    json_auto_t *value = member_take(object, key);

    if (value == NULL)
        return -EINVAL;
    if (!json_is_string(value) || json_string_length(value) >= capacity)
        return weir__fail(-EINVAL, "\"%s\" of the JSON is not a string of at most %zu bytes", key,
                          capacity - 1);
    strcpy(string, json_string_value(value)); /* it has no NUL inside: the parser refuses one */
    return 0;
}

/* Takes the lengths of an array's axes. */
static int member_take_shape(json_t *object, struct weir__npy *what)
{
    json_auto_t *value = member_take(object, "shape");
    bool good = json_is_array(value) && json_array_size(value) <= WEIR_ARRAY_NDIM_MAX;

    if (value == NULL)
        return -EINVAL;
    what->ndim = good ? (int)json_array_size(value) : 0;
    for (int i = 0; good && i < what->ndim; i++) {
        const json_t *length = json_array_get(value, (size_t)i);

        good = json_is_integer(length) && json_integer_value(length) >= 0;
        what->shape[i] = json_integer_value(length);
    }
    return good ? 0
                : weir__fail(-EINVAL, "\"shape\" of the JSON is not a list of at most %d lengths",
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

/* The block that the JSON names. */
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

    if (result == 0 && form != FORM)
        return weir__fail(-EINVAL, "the JSON is of form %lld, this library knows form %d",
                          (long long)form, FORM);
    if (result == 0)
        result = member_take_string(object, "kind", said, sizeof said);
    if (result == 0 && strcmp(said, kind->name) != 0)
        return weir__fail(-EINVAL, "the JSON is of kind \"%s\", not \"%s\"", said, kind->name);
    if (result == 0)
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
                         : weir__fail(-EINVAL, "the JSON has an unknown member \"%.40s\"",
                                      json_object_iter_key(first));
}

static weir_shm *open_named_block(const struct block_facts *facts)
{
    weir_shm *shm = weir__shm_attach_inode(facts->name, (uint64_t)facts->ino);

    if (shm == NULL || shm->size == (uint64_t)facts->size)
        return shm;
    weir__fail(-EBADMSG, "block \"%s\" has %zu bytes, not %lld as the JSON says", shm->name,
               shm->size, (long long)facts->size);
    weir_shm_close(shm);
    return NULL;
}

/* The block that a line about this kind of object names. `take_facts` (NULL: nothing) takes what
 * the kind has besides. NULL with the last error set. */
static weir_shm *read_line(const char *text, const struct weir__object_kind *kind,
                           int (*take_facts)(json_t *object, void *facts), void *facts)
{
    struct block_facts block;
    json_auto_t *object = parse_line(text);
    int result;

    if (object == NULL)
        return NULL;
    result = take_block_facts(object, kind, &block);
    if (result == 0 && take_facts != NULL)
        result = take_facts(object, facts);
    if (result == 0)
        result = check_empty(object);
    return result < 0 ? NULL : open_named_block(&block);
}

weir_shm *weir_shm_from_json(const char *json)
{
    return read_line(json, &weir__block_kind, NULL, NULL);
}

weir_dict *weir_dict_from_json(const char *json)
{
    return weir__object_of(&weir__dict_kind, read_line(json, &weir__dict_kind, NULL, NULL), NULL);
}

static int take_list_facts(json_t *object, void *count)
{
    return member_take_integer(object, "count", 0, count);
}

weir_list *weir_list_from_json(const char *json)
{
    int64_t count = 0;
    weir_list *list = weir__object_of(
        &weir__list_kind, read_line(json, &weir__list_kind, take_list_facts, &count), NULL);

    if (list == NULL || list->count == count)
        return list;
    weir__fail(-EBADMSG, "list \"%s\" has %lld elements, not %lld as the JSON says",
               list->shm->name, (long long)list->count, (long long)count);
    weir_list_close(list);
    return NULL;
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
weir_array *weir_array_from_json(const char *json)
{
    struct weir__npy what = {.ndim = 0};
    struct weir__array_spec spec;
    weir_shm *shm = read_line(json, &weir__array_kind, take_array_facts, &what);
    weir_array *array;

    if (shm == NULL)
        return NULL;
    spec = (struct weir__array_spec){what.dtype, what.ndim, what.shape, 0};
    array = weir__object_of(&weir__array_kind, shm, what.offset == 0 ? &spec : NULL);
    if (array == NULL && weir_last_error()->code == -E2BIG)
        weir__fail(-EBADMSG, "the block of the JSON is too small for its array");
    if (array == NULL || is_array_of(array, &what))
        return array;
    weir__fail(-EBADMSG, "array \"%s\" is not the one that the JSON describes", array->shm->name);
    weir_array_close(array);
    return NULL;
}
