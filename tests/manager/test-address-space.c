/* SPDX-License-Identifier: MIT
 *
 * The address range and its table, without a scope around them.
 */
#include "leak.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/space/address_space.h"

static struct weir__space space;

/* Makes an object of `size` bytes whose first byte is `mark`. */
static struct weir__entry *make(size_t size, char mark, const char *name)
{
    struct weir__entry *entry = weir__space_take(&space, size);
    struct weir__block block;

    if (!entry || weir__block_reserve(&block, size, 0, (void *)(uintptr_t)entry->address) ||
        weir__block_link(&block, name))
        return NULL;
    weir__block_close_fd(&block);
    *(char *)block.addr = mark;
    memset(&entry->shm, 0, sizeof(entry->shm));
    strcpy(entry->shm.name, name);
    entry->shm.buf = block.addr;
    entry->shm.size = size;
    entry->shm.ino = block.ino;
    atomic_store(&entry->keeper, 0);
    weir__space_publish(&space, entry);
    return entry;
}

static void end(struct weir__entry *entry)
{
    assert_int_equal(weir__block_unlink(entry->shm.name, entry->shm.ino), 0);
    assert_true(weir__space_retire(&space, entry));
    weir__space_give(&space, entry);
}

static int setup(void **state)
{
    return leak_setup(state) || weir__space_open(&space, 0);
}

static int teardown(void **state)
{
    weir__space_close(&space);
    return leak_teardown(state);
}

static void range_is_halved__when_the_system_grants_less(void **state)
{
    struct weir__space huge;

    (void)state;
    assert_int_equal(weir__space_open(&huge, (size_t)1 << 62), 0);
    assert_true(huge.size < (size_t)1 << 48 && huge.size >= (size_t)1 << 40);
    weir__space_close(&huge);
    assert_int_equal(weir__space_open(&huge, 1), 0); /* the least there is */
    assert_int_equal(huge.size, (size_t)64 << 20);
    weir__space_close(&huge);
}

static void object_fits_its_span__when_taken(void **state)
{
    const size_t sizes[] = {
        1, 4095, 4096, 4097, 8192, 12288, 65536, 1 << 20, ((size_t)1 << 30) + 1};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct weir__entry *entry = weir__space_take(&space, sizes[i]);

        assert_non_null(entry);
        assert_true(entry->span >= sizes[i] + 4096); /* a guard page behind */
        assert_true(entry->span <= 4 * sizes[i] + 8192);
        assert_true(entry->address >= (uint64_t)(uintptr_t)space.base);
        assert_true(entry->address + entry->span <= (uint64_t)(uintptr_t)space.base + space.size);
        weir__space_give(&space, entry);
        assert_ptr_equal(weir__space_take(&space, sizes[i]), entry); /* the same again */
    }
    assert_null(weir__space_take(&space, space.size));
    assert_int_equal(weir_last_error()->code, -ENOSPC);
    assert_null(weir__space_take(&space, SIZE_MAX));
}

static void spans_never_overlap__when_the_range_runs_full(void **state)
{
    struct weir__entry *entry;
    unsigned count = 0;
    uint64_t last = 0;

    (void)state;
    weir__space_close(&space);
    assert_int_equal(weir__space_open(&space, (size_t)64 << 20), 0);
    while ((entry = weir__space_take(&space, count % 7 == 0 ? 300000 : 5000))) {
        assert_true(entry->address >= last);
        last = entry->address + entry->span;
        count++;
    }
    assert_int_equal(weir_last_error()->code, -ENOSPC);
    assert_true(count > 600);
    assert_true(last <= (uint64_t)(uintptr_t)space.base + space.size);
}

static void entries_run_out__when_65536_are_taken(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WEIR__ENTRIES; i++)
        assert_non_null(weir__space_take(&space, 4096));
    assert_null(weir__space_take(&space, 4096));
    assert_int_equal(weir_last_error()->code, -ENOSPC);
    weir__space_give(&space, &space.table->entries[12345]);
    assert_ptr_equal(weir__space_take(&space, 4096), &space.table->entries[12345]);
}

static int by_address(const void *a, const void *b)
{
    const struct weir__entry *const *x = a, *const *y = b;

    return (*x)->address < (*y)->address ? -1 : (*x)->address > (*y)->address;
}

static void take_many(struct weir__entry **entries, unsigned count, size_t size)
{
    for (unsigned i = 0; i < count; i++) {
        entries[i] = weir__space_take(&space, size);
        if (!entries[i])
            fail_msg("object %u of %zu bytes: %s", i, size, weir_last_error()->message);
        assert_true(entries[i]->span >= size + 4096);
    }
}

static void give_many(struct weir__entry **entries, unsigned count)
{
    qsort(entries, count, sizeof(*entries), by_address);
    for (unsigned i = 0; i + 1 < count; i++)
        assert_true(entries[i]->address + entries[i]->span <= entries[i + 1]->address);
    for (unsigned i = 0; i < count; i++)
        weir__space_give(&space, entries[i]);
}

static void entries_serve_any_size__when_all_have_been_used(void **state)
{
    struct weir__entry **entries = calloc(WEIR__ENTRIES, sizeof(*entries));

    (void)state;
    take_many(entries, WEIR__ENTRIES, 4096);
    give_many(entries, WEIR__ENTRIES);
    for (size_t size = 4096; size <= (size_t)4096 << 6; size *= 2) {
        take_many(entries, 20000, size);
        give_many(entries, 20000);
    }
    for (int round = 0; round < 2; round++) {
        take_many(entries, WEIR__ENTRIES, 4096);
        assert_null(weir__space_take(&space, 4096));
        assert_non_null(strstr(weir_last_error()->message, "65536 of 65536 objects"));
        give_many(entries, WEIR__ENTRIES);
        take_many(entries, 20000, (size_t)1 << 20);
        give_many(entries, 20000);
    }
    assert_null(weir__space_take(&space, space.size - 8192)); /* few objects, but no addresses */
    assert_non_null(strstr(weir_last_error()->message, "0 of 65536 objects"));
    free(entries);
}

static void shares_leave_addresses__when_a_thousand_scopes_live(void **state)
{
    const size_t all = 32 * weir__space_share(0);
    size_t sum = 0;

    (void)state;
    for (size_t i = 0; i < 1000; i++)
        sum += weir__space_share(i);
    assert_true(sum < all / 2);
    assert_true(weir__space_share(999) > all / 32768);
}

/* In a child: does this access end it by SIGSEGV? */
static bool faults(const volatile char *address)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(*address == 'x' ? 0 : 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void overrun_faults__when_it_leaves_the_block(void **state)
{
    struct weir__entry *entry = make(8192, 'a', leak_name("a"));

    (void)state;
    assert_non_null(entry);
    assert_false(faults((char *)entry->shm.buf + 8191));
    assert_true(faults((char *)entry->shm.buf + 8192));
    end(entry);
    assert_true(faults((char *)(uintptr_t)entry->address));
}

/* What a forked child finds after a sync, told by its exit status. */
static int in_child(int (*look)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        _exit(look());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static struct weir__entry *made_by_parent;
static int go[2];

static int look_at_late_object(void)
{
    struct weir__entry *entry = NULL;
    uint64_t before = atomic_load(&space.synced);

    if (read(go[0], &entry, sizeof(entry)) != sizeof(entry))
        return 1;
    if (weir__space_sync(&space, NULL) || atomic_load(&space.synced) == before)
        return 2;
    if (*(char *)entry->shm.buf != 'L')
        return 3;
    *(char *)entry->shm.buf = 'C';
    return 0;
}

static void object_is_at_its_address__when_made_after_the_fork(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(go), 0);
    pid = fork();
    if (pid == 0)
        _exit(look_at_late_object());
    made_by_parent = make(100000, 'L', leak_name("late"));
    assert_non_null(made_by_parent);
    assert_int_equal(write(go[1], &made_by_parent, sizeof(void *)), sizeof(void *));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(*(char *)made_by_parent->shm.buf, 'C');
    end(made_by_parent);
    close(go[0]);
    close(go[1]);
}

static int make_in_child(void)
{
    return make(5000, 'K', leak_name("kid")) ? 0 : 1;
}

static void object_appears_here__when_a_child_made_it(void **state)
{
    struct weir__entry *entry = &space.table->entries[0];

    (void)state;
    assert_int_equal(in_child(make_in_child), 0);
    assert_true(faults((char *)entry->shm.buf));
    assert_int_equal(weir__space_sync(&space, NULL), 0);
    assert_int_equal(*(char *)entry->shm.buf, 'K');
    end(entry);
}

static int retire_and_remake(void)
{
    if (weir__block_unlink(made_by_parent->shm.name, made_by_parent->shm.ino) ||
        !weir__space_retire(&space, made_by_parent))
        return 1;
    weir__space_give(&space, made_by_parent);
    return make(5000, 'N', leak_name("new")) == made_by_parent ? 0 : 2;
}

static void new_object_is_seen__when_its_address_was_used_before(void **state)
{
    (void)state;
    made_by_parent = make(5000, 'O', leak_name("old"));
    assert_non_null(made_by_parent);
    assert_int_equal(in_child(retire_and_remake), 0);
    assert_int_equal(weir__space_sync(&space, NULL), 0);
    assert_int_equal(*(char *)made_by_parent->shm.buf, 'N');
    end(made_by_parent);
}

/* As after 65,536 objects of this size: the free entry gets a larger span elsewhere. */
static int retire_and_move(void)
{
    if (weir__block_unlink(made_by_parent->shm.name, made_by_parent->shm.ino) ||
        !weir__space_retire(&space, made_by_parent))
        return 1;
    weir__space_give(&space, made_by_parent);
    atomic_store(&space.table->next_entry, WEIR__ENTRIES);
    return make(500000, 'N', leak_name("new")) == made_by_parent ? 0 : 2;
}

static void new_object_is_seen__when_its_entry_has_other_addresses(void **state)
{
    char *before;

    (void)state;
    made_by_parent = make(5000, 'O', leak_name("old"));
    assert_non_null(made_by_parent);
    before = made_by_parent->shm.buf;
    assert_int_equal(in_child(retire_and_move), 0);
    assert_ptr_not_equal(made_by_parent->shm.buf, before);
    assert_int_equal(weir__space_sync(&space, NULL), 0);
    assert_int_equal(*(char *)made_by_parent->shm.buf, 'N');
    assert_true(faults(before));
    end(made_by_parent);
    assert_int_equal(weir__space_sync(&space, NULL), 0);
}

static int retire_in_child(void)
{
    if (weir__block_unlink(made_by_parent->shm.name, made_by_parent->shm.ino) ||
        !weir__space_retire(&space, made_by_parent))
        return 1;
    weir__space_give(&space, made_by_parent);
    return 0;
}

static void memory_is_given_back__when_another_process_retires_it(void **state)
{
    (void)state;
    made_by_parent = make(1 << 20, 'O', leak_name("old"));
    assert_non_null(made_by_parent);
    assert_int_equal(in_child(retire_in_child), 0);
    assert_int_equal(*(char *)made_by_parent->shm.buf, 0); /* a hole of the old file, no memory */
    assert_int_equal(weir__space_sync(&space, NULL), 0);
    assert_true(faults((char *)(uintptr_t)made_by_parent->address));
    assert_false(weir__space_retire(&space, made_by_parent)); /* not twice */
}

static void object_is_missed_each_time__while_its_name_and_keeper_are_gone(void **state)
{
    struct weir__entry *entry = &space.table->entries[0], *other;
    struct weir__unmapped unmapped;

    (void)state;
    assert_int_equal(in_child(make_in_child), 0);
    assert_int_equal(weir__block_unlink(entry->shm.name, entry->shm.ino), 0);
    other = make(4096, 'z', leak_name("z"));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(weir__space_sync(&space, &unmapped), -ENOENT);
        assert_int_equal(weir_last_error()->code, -ENOENT);
        assert_non_null(strstr(weir_last_error()->message, entry->shm.name));
        assert_int_equal(unmapped.error, -ENOENT);
        assert_int_equal(unmapped.entry, 0);
        assert_int_equal(weir__space_require(&space, entry, "it"), -ENOENT);
        assert_int_equal(weir__space_require(&space, other, "it"), 0);
    }
    assert_int_equal(atomic_load(&space.found_missing), 1);
    assert_int_equal(*(char *)other->shm.buf, 'z');
    assert_true(weir__space_retire(&space, entry));
    weir__space_give(&space, entry);
    assert_int_equal(weir__space_sync(&space, &unmapped), 0);
    assert_int_equal(unmapped.error, 0);
    end(other);
}

/* Lets this process open no further descriptor. */
static struct rlimit limit_descriptors(void)
{
    struct rlimit before, none;
    int next = dup(0);

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){(rlim_t)next, before.rlim_max};
    close(next);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    return before;
}

static void object_is_mapped_later__when_descriptors_were_lacking(void **state)
{
    struct weir__entry *entry = &space.table->entries[0];
    struct rlimit before;

    (void)state;
    assert_int_equal(in_child(make_in_child), 0);
    before = limit_descriptors();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(weir__space_sync(&space, NULL), -EMFILE);
        assert_non_null(strstr(weir_last_error()->message, "RLIMIT_NOFILE"));
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(weir__space_sync(&space, NULL), 0);
    assert_int_equal(*(char *)entry->shm.buf, 'K');
    end(entry);
}

static void object_is_mapped_later__when_it_was_another_users(void **state)
{
    struct weir__entry *entry = &space.table->entries[0];

    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: needs root, to become another user\n");
        skip();
    }
    assert_int_equal(in_child(make_in_child), 0);
    assert_int_equal(seteuid(65534), 0);
    assert_int_equal(weir__space_sync(&space, NULL), -EPERM);
    assert_non_null(strstr(weir_last_error()->message, "another user"));
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(weir__space_sync(&space, NULL), 0);
    assert_int_equal(*(char *)entry->shm.buf, 'K');
    end(entry);
}

static void object_is_mapped__when_its_name_is_gone_but_kept(void **state)
{
    int ready[2], status;
    char byte;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(go), 0);
    pid = fork();
    if (pid == 0) {
        struct weir__entry *entry = make(4096, 'k', leak_name("kept"));

        if (!entry)
            _exit(1);
        weir__space_keep(&space, entry);
        if (weir__block_unlink(entry->shm.name, entry->shm.ino) || write(ready[1], "r", 1) != 1 ||
            read(go[0], &byte, 1) != 1)
            _exit(2);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(weir__space_sync(&space, NULL), 0);
    assert_int_equal(*(char *)space.table->entries[0].shm.buf, 'k');
    assert_int_equal(write(go[1], "g", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(ready[0]);
    close(ready[1]);
    close(go[0]);
    close(go[1]);
}

static void sync_stays_in_the_range__when_the_table_is_damaged(void **state)
{
    struct weir__entry *entry = make(4096, 'q', leak_name("q"));
    char *own = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const uint64_t address = entry->address, span = entry->span;
    const size_t size = entry->shm.size;

    (void)state;
    *own = 'o';
    for (int i = 0; i < 4; i++) {
        space.seen[0] = 0; /* as in a process that has not mapped it */
        atomic_fetch_add(&space.table->groups[0], 1);
        atomic_fetch_add(&space.table->generation, 1);
        entry->address = i == 0 ? (uint64_t)(uintptr_t)own : address;
        entry->span = i == 1 ? UINT64_MAX & ~(uint64_t)4095 : span;
        entry->shm.size = i == 2 ? (size_t)1 << 40 : size;
        if (i == 3)
            strcpy(entry->shm.name, "../../etc/passwd");
        assert_int_equal(weir__space_sync(&space, NULL), -EBADMSG);
        assert_int_equal(*own, 'o');
    }
    entry->shm.size = size;
    strcpy(entry->shm.name, leak_name("q"));
    atomic_store(&space.table->free[1], 0xffffffff00fffffful); /* lists that lead nowhere */
    assert_non_null(weir__space_take(&space, 4096));
    munmap(own, 8192);
    assert_int_equal(weir__block_unlink(leak_name("q"), entry->shm.ino), 0);
}

/* Many processes take, use and give back; each entry has one owner at a time. */
static int churn(void)
{
    for (int i = 0; i < 20000; i++) {
        struct weir__entry *entry = weir__space_take(&space, (size_t)4096 << (i % 3));

        if (!entry)
            return 1;
        entry->shm.size = (size_t)getpid();
        entry->shm.ino = (uint64_t)i;
        if (i % 64 == 0)
            sched_yield();
        if (entry->shm.size != (size_t)getpid() || entry->shm.ino != (uint64_t)i)
            return 2;
        weir__space_give(&space, entry);
    }
    return 0;
}

static void entry_has_one_owner__when_processes_race(void **state)
{
    pid_t pids[4];
    int status;

    (void)state;
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(churn());
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_true(atomic_load(&space.table->next_entry) <= 12);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(range_is_halved__when_the_system_grants_less),
        TEST(object_fits_its_span__when_taken),
        TEST(spans_never_overlap__when_the_range_runs_full),
        TEST(entries_run_out__when_65536_are_taken),
        TEST(entries_serve_any_size__when_all_have_been_used),
        TEST(shares_leave_addresses__when_a_thousand_scopes_live),
        TEST(overrun_faults__when_it_leaves_the_block),
        TEST(object_is_at_its_address__when_made_after_the_fork),
        TEST(object_appears_here__when_a_child_made_it),
        TEST(new_object_is_seen__when_its_address_was_used_before),
        TEST(new_object_is_seen__when_its_entry_has_other_addresses),
        TEST(memory_is_given_back__when_another_process_retires_it),
        TEST(object_is_missed_each_time__while_its_name_and_keeper_are_gone),
        TEST(object_is_mapped_later__when_descriptors_were_lacking),
        TEST(object_is_mapped_later__when_it_was_another_users),
        TEST(object_is_mapped__when_its_name_is_gone_but_kept),
        TEST(sync_stays_in_the_range__when_the_table_is_damaged),
        TEST(entry_has_one_owner__when_processes_race),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
