/* SPDX-License-Identifier: MIT
 *
 * bench-dict-lmdb: LMDB in a file in /dev/shm, for dict-rounds.c: with MDB_WRITEMAP and MDB_NOSYNC,
 * as that file is gone with the machine anyway. A get, set or add of one key is a transaction of
 * its own, so that it sees and shows what is there as a dictionary does; those for many are one.
 */
#include <lmdb.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "dict-rounds.h"

static char path[64];
static size_t size;
static MDB_env *env;
static MDB_dbi dbi;
static MDB_txn *reader;

static void must(int error, const char *what)
{
    if (error != 0)
        store_fail(what, mdb_strerror(error));
}

static MDB_val word(int64_t *number)
{
    return (MDB_val){.mv_size = sizeof *number, .mv_data = number};
}

void store_make(uint64_t keys)
{
    snprintf(path, sizeof path, "/dev/shm/weir-bench-lmdb-%d", store_id);
    size = ((size_t)64 << 20) + keys * 200;
    store_open();
    store_close();
}

void store_open(void)
{
    MDB_txn *txn;

    must(mdb_env_create(&env), "mdb_env_create");
    must(mdb_env_set_mapsize(env, size), "mdb_env_set_mapsize");
    must(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_WRITEMAP | MDB_NOSYNC, 0600), "mdb_env_open");
    must(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
    must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &dbi), "mdb_dbi_open");
    must(mdb_txn_commit(txn), "mdb_txn_commit");
    must(mdb_txn_begin(env, NULL, MDB_RDONLY, &reader), "mdb_txn_begin");
    mdb_txn_reset(reader);
}

void store_close(void)
{
    mdb_txn_abort(reader);
    mdb_env_close(env);
}

void store_remove(void)
{
    char lock[sizeof path + 8];

    snprintf(lock, sizeof lock, "%s-lock", path);
    unlink(path);
    unlink(lock);
}

static void read_one(int64_t number)
{
    MDB_val key = word(&number), value;

    must(mdb_get(reader, dbi, &key, &value), "mdb_get");
}

static void write_one(MDB_txn *txn, int64_t number, int64_t to)
{
    MDB_val key = word(&number), value = word(&to);

    must(mdb_put(txn, dbi, &key, &value, 0), "mdb_put");
}

void store_get(int64_t key)
{
    must(mdb_txn_renew(reader), "mdb_txn_renew");
    read_one(key);
    mdb_txn_reset(reader);
}

void store_set(int64_t key, int64_t value)
{
    MDB_txn *txn;

    must(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
    write_one(txn, key, value);
    must(mdb_txn_commit(txn), "mdb_txn_commit");
}

void store_add(int64_t number)
{
    MDB_val key = word(&number), value;
    MDB_txn *txn;

    must(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
    must(mdb_get(txn, dbi, &key, &value), "mdb_get");
    write_one(txn, number, *(int64_t *)value.mv_data + 1);
    must(mdb_txn_commit(txn), "mdb_txn_commit");
}

void store_get_many(const int64_t *keys)
{
    must(mdb_txn_renew(reader), "mdb_txn_renew");
    for (int i = 0; i < BATCH; i++)
        read_one(keys[i]);
    mdb_txn_reset(reader);
}

void store_set_many(const int64_t *keys)
{
    MDB_txn *txn;

    must(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
    for (int i = 0; i < BATCH; i++)
        write_one(txn, keys[i], i);
    must(mdb_txn_commit(txn), "mdb_txn_commit");
}
