/* SPDX-License-Identifier: MIT
 *
 * Anonymous scopes: no name at any time, and nothing left when all are killed at once. What they
 * have in common with other scopes is tested by the other programs here and in tests/pool, which
 * are run in both ways.
 */
#include "leak.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "group.h"
#include "host.h"
#include "manager/host/state.h"
#include "manager/internal.h"

static weir_scope *scope;

static int setup(void **state)
{
    if (leak_setup(state))
        return -1;
    scope = weir_scope_begin(&(weir_scope_options){.anonymous = true});
    return scope ? 0 : -1;
}

static int teardown(void **state)
{
    int error = weir_scope_end(scope);

    return leak_teardown(state) || error;
}

/* ---- who holds memory ----------------------------------------------------------------------- */

static bool is_link_to(const char *path, const char *begin)
{
    char target[256];
    ssize_t size = readlink(path, target, sizeof(target) - 1);

    target[size < 0 ? 0 : size] = '\0';
    return size > 0 && strncmp(target, begin, strlen(begin)) == 0;
}

static int mapped_by(const char *pid)
{
    char path[300], line[600];
    FILE *file;
    int held = 0;

    snprintf(path, sizeof(path), "/proc/%s/maps", pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        held += strstr(line, "/memfd:weir-") != NULL;
    if (file)
        fclose(file);
    return held;
}

/* Descriptors and mappings of a scope's memory that process `pid` has: what keeps it there. */
static int memory_held_by(const char *pid)
{
    char path[600];
    struct dirent *item;
    DIR *dir;
    int held = mapped_by(pid);

    snprintf(path, sizeof(path), "/proc/%s/fd", pid);
    dir = opendir(path);
    while (dir && (item = readdir(dir))) {
        snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, item->d_name);
        held += is_link_to(path, "/memfd:weir-");
    }
    if (dir)
        closedir(dir);
    return held;
}

/* Of all processes of this test, which are those of its mount namespace. */
static int memory_held(void)
{
    char own[64] = "", path[300];
    DIR *dir = opendir("/proc");
    struct dirent *item;
    int held = 0;

    if (!dir || readlink("/proc/self/ns/mnt", own, sizeof(own) - 1) < 0)
        return -1;
    while ((item = readdir(dir))) {
        if (item->d_name[0] < '0' || item->d_name[0] > '9')
            continue;
        snprintf(path, sizeof(path), "/proc/%s/ns/mnt", item->d_name);
        if (is_link_to(path, own))
            held += memory_held_by(item->d_name);
    }
    closedir(dir);
    return held;
}

/* ---- nothing is left ------------------------------------------------------------------------ */

static void no_file_is_there__at_any_time(void **state)
{
    (void)state;
    assert_int_equal(shm_files(), 0);
    for (int i = 0; i < 100; i++)
        assert_non_null(weir_scope_shm(scope, 5000));
    assert_non_null(weir_scope_dict(scope, NULL));
    assert_non_null(weir_scope_alloc(scope, 5000));
    assert_int_equal(shm_files(), 0);
    assert_int_equal(memory_held(), 2 + 102 + 2); /* of this process, and the manager's */
}

#define BIG ((size_t)64 << 20)

/* As many processes as a pool has, each with the scope's memory mapped. */
static void run_family(int report)
{
    weir_scope *own = weir_scope_begin(&(weir_scope_options){.anonymous = true});
    weir_shm *block = weir_scope_shm(own, BIG);
    pid_t pids[4] = {getpid(), weir_scope_manager_pid(own)};

    if (!block)
        _exit(1);
    memset(weir_shm_buf(block), 1, BIG);
    for (int i = 2; i < 4; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            break;
        if (i == 3 && write(report, pids, sizeof(pids)) != sizeof(pids))
            _exit(2);
    }
    for (;;) { /* all of them make and close objects when they are killed */
        weir_shm *shm = weir_scope_shm(own, 100000);

        if (shm) {
            weir_shm_unlink(shm);
            weir_shm_close(shm);
        }
    }
}

static void nothing_is_left__when_all_are_killed_at_once(void **state)
{
    double worst = 0;

    (void)state;
    srand(5);
    for (int trial = 0; trial < 12; trial++) {
        pid_t pids[4], host;
        int report[2];
        double start;

        assert_int_equal(pipe(report), 0);
        host = fork();
        if (host == 0) {
            child_reset();
            run_family(report[1]);
        }
        close(report[1]);
        assert_int_equal(read(report[0], pids, sizeof(pids)), sizeof(pids));
        close(report[0]);
        usleep((useconds_t)(rand() % 3000));
        assert_true(memory_held() >= 4);
        start = now_ms();
        for (int i = 3; i >= 0; i--)
            assert_int_equal(kill(pids[i], SIGKILL), 0);
        assert_int_equal(waitpid(host, NULL, 0), host);
        while (memory_held() != 0 && now_ms() - start < 1000)
            usleep(200);
        assert_int_equal(memory_held(), 0);
        worst = now_ms() - start > worst ? now_ms() - start : worst;
        assert_int_equal(shm_files(), 0); /* without anybody's sweep */
    }
    print_message("12 families killed at once: nothing held after %.1f ms at worst\n", worst);
}

static void memory_goes__when_the_program_is_killed(void **state)
{
    (void)state;
    for (int trial = 0; trial < 10; trial++) {
        int report[2], status;
        double start;
        pid_t host, manager;

        assert_int_equal(pipe(report), 0);
        host = fork();
        if (host == 0) {
            weir_scope *own;

            child_reset();
            own = weir_scope_begin(&(weir_scope_options){.anonymous = true});
            manager = weir_scope_shm(own, BIG) ? weir_scope_manager_pid(own) : 0;
            if (write(report[1], &manager, sizeof(manager)) == sizeof(manager))
                pause();
            _exit(1);
        }
        assert_int_equal(read(report[0], &manager, sizeof(manager)), sizeof(manager));
        assert_true(manager > 0);
        kill(host, SIGKILL);
        assert_int_equal(waitpid(host, &status, 0), host);
        start = now_ms();
        while (memory_held() != 0 && now_ms() - start < 1000)
            usleep(200);
        assert_int_equal(memory_held(), 0);
        close(report[0]);
        close(report[1]);
    }
}

/* That the scope's memory has. */
static unsigned long pages(void)
{
    struct weir_scope *own = scope;
    struct stat st;

    assert_int_equal(fstat(own->space.store.fd, &st), 0);
    return (unsigned long)st.st_blocks / 8;
}

/* ---- memory --------------------------------------------------------------------------------- */

static void memory_comes_back__when_an_object_is_closed(void **state)
{
    unsigned long before = pages();

    (void)state;
    for (int i = 0; i < 20; i++) {
        weir_shm *shm = weir_scope_shm(scope, 10 << 20);

        assert_int_equal(pages(), before + (10 << 20) / 4096); /* reserved */
        memset(weir_shm_buf(shm), 'x', 10 << 20);
        assert_int_equal(weir_shm_unlink(shm), 0);
        assert_int_equal(pages(), before + (10 << 20) / 4096);
        weir_shm_close(shm);
        assert_int_equal(pages(), before);
    }
}

/* A page is used again at once, so it must have been cleared: also the rest behind the block's
 * size, and also after a process that died while it had the place. */
static void a_new_object_is_zero__whatever_was_there(void **state)
{
    struct weir_scope *own = scope;

    (void)state;
    for (int i = 0; i < 50; i++) {
        weir_shm *shm = weir_scope_shm(scope, 5000);
        unsigned char *buf = weir_shm_buf(shm);

        for (int j = 0; j < 8192; j++)
            assert_int_equal(buf[j], 0);
        memset(buf, 'x', 8192);
        weir_shm_unlink(shm);
        weir_shm_close(shm);
        /* as a process leaves it that is killed when it has filled, and not published */
        if (i % 2) {
            char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, own->space.store.fd,
                              (off_t)weir__space_offset(&own->space, (uint64_t)(uintptr_t)buf));

            assert_ptr_not_equal(page, MAP_FAILED);
            memset(page, 'y', 8192);
            munmap(page, 8192);
        }
    }
}

static void making_is_refused__when_there_is_no_memory(void **state)
{
    const unsigned long before = pages();
    struct rlimit limits, limit;

    (void)state;
    /* should the comparison not work, this ends it, and not the machine's memory */
    getrlimit(RLIMIT_FSIZE, &limits);
    limit = (struct rlimit){.rlim_cur = 64 << 20, .rlim_max = limits.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    /* more than any machine has, less than the addresses */
    assert_null(weir_scope_shm(scope, (size_t)3 << 40));
    setrlimit(RLIMIT_FSIZE, &limits);
    assert_int_equal(weir_last_error()->code, -ENOMEM);
    assert_non_null(strstr(weir_last_error()->message, "bytes left"));
    assert_null(weir_scope_dict(NULL, NULL));
    assert_int_equal(pages(), before);
    assert_non_null(weir_scope_shm(scope, 5000));
}

#define GROUP_LIMIT ((size_t)48 << 20)

/* Makes small blocks until that is refused; killed by the kernel if it is not. */
static int fill_group(const char *folder)
{
    size_t made = 0;
    weir_scope *own;

    child_reset();
    if (!enter_group(folder))
        return 1;
    own = weir_scope_begin(&(weir_scope_options){.anonymous = true});
    while (own && made <= GROUP_LIMIT && weir_scope_shm(own, 16384))
        made += 16384;
    if (weir_last_error()->code != -ENOMEM || made < GROUP_LIMIT / 2)
        return 2;
    return weir_scope_end(own) ? 3 : 0;
}

static void small_objects_are_refused__before_the_cgroup_kills(void **state)
{
    char folder[300];
    int status;
    pid_t pid;

    (void)state;
    if (!make_group(folder, GROUP_LIMIT)) {
        print_message("skipped: no memory cgroup can be made here\n");
        skip();
    }
    pid = fork();
    if (pid == 0)
        _exit(fill_group(folder));
    waitpid(pid, &status, 0);
    remove_group(folder);
    assert_int_equal(status, 0);
}

/* As weir_scope_shm() up to where it would say LIVE. */
static void die_while_making(size_t size)
{
    struct weir_scope *own = scope;
    struct weir__entry *entry;
    struct weir__block block;

    child_reset();
    if (!weir_scope_shm(scope, 5000)) /* so that it has its number */
        _exit(1);
    entry = weir__space_take(&own->space, size);
    if (!entry || own->maker_pid != getpid() || own->maker == 0)
        _exit(2);
    atomic_store(&entry->maker, own->maker);
    if (weir__block_carve(&block, own->space.store.fd,
                          weir__space_offset(&own->space, entry->address), size, 0,
                          (void *)(uintptr_t)entry->address))
        _exit(3);
    memset(block.addr, 1, size);
    raise(SIGKILL);
}

static pid_t start_maker(bool dies, size_t size)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        if (dies)
            die_while_making(size);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* one that is slow, and not dead */
        scope->maker_pid = 0;
        if (weir_scope_shm(scope, 5000)) {
            struct weir__entry *entry = weir__space_take(&scope->space, size);

            atomic_store(&entry->maker, scope->maker);
            (void)!write(ready[1], "r", 1);
            pause();
        }
        _exit(4);
    }
    close(ready[1]);
    if (!dies)
        assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

/* Where in the store the last entry that is being made ends. */
static uint64_t end_of_busy(size_t size)
{
    const struct weir__entry *entry;
    uint64_t end = 0, word, maker;
    size_t index = 0;

    while ((entry = weir__space_next_busy(&scope->space, &index, &word, &maker)))
        if (weir__space_offset(&scope->space, entry->address) + size > end)
            end = weir__space_offset(&scope->space, entry->address) + size;
    return end;
}

/* The memory of a maker that was killed is given back when there is too little; that of one that is
 * only slow is not touched. */
static void a_dead_makers_memory_is_used__when_there_is_no_other(void **state)
{
    const size_t size = 3 << 20; /* and a page, which makes it 4 MiB of addresses */
    struct rlimit before, limit;
    uint64_t busy;
    size_t index = 0;
    struct weir__entry *entry;
    unsigned long idle;
    weir_shm *shm;
    pid_t slow, dead;
    int status;

    (void)state;
    assert_non_null(weir_scope_shm(scope, 5000));
    slow = start_maker(false, size);
    idle = pages();
    dead = start_maker(true, size);
    assert_int_equal(waitpid(dead, &status, 0), dead);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_true(pages() >= idle + size / 4096);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = (struct rlimit){.rlim_cur = end_of_busy(size), .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    weir_clear_error();
    shm = weir_scope_shm(scope, size);
    assert_non_null(shm); /* where the dead one was: there is no other place within the limit */
    assert_int_equal(weir_last_error()->code, 0);
    assert_int_equal(*(char *)weir_shm_buf(shm), 0);
    assert_null(weir_scope_shm(scope, size));
    assert_int_equal(weir_last_error()->code, -EFBIG);
    setrlimit(RLIMIT_FSIZE, &before);
    /* the slow one's is BUSY as before, and its alone */
    entry = weir__space_next_busy(&scope->space, &index, &busy, &(uint64_t){0});
    assert_non_null(entry);
    assert_true(entry != weir__space_entry(&scope->space, shm));
    assert_null(weir__space_next_busy(&scope->space, &index, &busy, &(uint64_t){0}));
    kill(slow, SIGKILL);
    assert_int_equal(waitpid(slow, NULL, 0), slow);
}

static void a_limit_of_file_sizes_is_an_error__for_all_objects_together(void **state)
{
    struct rlimit before, limit;
    weir_shm *shm;
    int made = 0;

    (void)state;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = (struct rlimit){.rlim_cur = 4 << 20, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit); /* SIGXFSZ would kill this process */
    while ((shm = weir_scope_shm(scope, 300000)))
        made++;
    assert_int_equal(weir_last_error()->code, -EFBIG);
    assert_non_null(strstr(weir_last_error()->message, "RLIMIT_FSIZE"));
    assert_in_range(made, 2, 14);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_non_null(weir_scope_shm(scope, 300000));
}

static void nobody_can_truncate_it__while_it_is_mapped(void **state)
{
    weir_shm *shm = weir_scope_shm(scope, 5000);
    char path[WEIR_SHM_PATH_MAX];
    uint64_t offset;
    struct stat st;
    int fd;

    (void)state;
    assert_int_equal(weir_shm_path(shm, path, sizeof(path), &offset), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(errno, EPERM);
    close(fd);
}

/* ---- one address, whoever dies -------------------------------------------------------------- */

static int read_and_answer(int in, int out, weir_scope *own)
{
    weir_list *list;
    weir_value value;

    while (read(in, &list, sizeof(list)) == sizeof(list)) {
        if (weir_scope_sync(own) || weir_list_get(list, 5, &value))
            return 1;
        if (write(out, &value.integer, sizeof(value.integer)) != sizeof(value.integer))
            return 2;
    }
    return 0;
}

/* Made by a child that is dead, with the manager dead, mapped by one that was forked before. */
static void an_object_is_mapped__when_its_maker_and_the_manager_are_dead(void **state)
{
    int to[2], from[2], made[2], status;
    weir_list *list;
    int64_t number = 0;
    pid_t reader, maker;

    (void)state;
    assert_true(pipe(to) == 0 && pipe(from) == 0 && pipe(made) == 0);
    reader = fork();
    if (reader == 0) {
        child_reset();
        close(to[1]);
        _exit(read_and_answer(to[0], from[1], scope));
    }
    maker = fork();
    if (maker == 0) {
        child_reset();
        list = weir_scope_list_range(scope, 0, 1000, 1);
        _exit(write(made[1], &list, sizeof(list)) == sizeof(list) ? 0 : 1);
    }
    assert_int_equal(waitpid(maker, &status, 0), maker);
    assert_int_equal(status, 0);
    assert_int_equal(read(made[0], &list, sizeof(list)), sizeof(list));
    assert_non_null(list);
    assert_int_equal(kill(weir_scope_manager_pid(scope), SIGKILL), 0);
    assert_int_equal(write(to[1], &list, sizeof(list)), sizeof(list));
    assert_int_equal(read(from[0], &number, sizeof(number)), sizeof(number));
    assert_int_equal(number, 5);
    assert_int_equal(weir_scope_sync(scope), 0);
    assert_int_equal(weir_list_len(list), 1000);
    close(to[1]);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
    close(to[0]);
    close(from[0]);
    close(from[1]);
    close(made[0]);
    close(made[1]);
}

static void objects_are_listed__without_names(void **state)
{
    weir_block_info blocks[4];
    weir_shm *first = weir_scope_shm(scope, 5000), *second = weir_scope_shm(scope, 6000);

    (void)state;
    assert_int_equal(weir_scope_blocks(scope, blocks, 4), 2);
    assert_string_equal(blocks[1].name, weir_shm_name(second));
    assert_int_equal(blocks[1].size, 6000);
    assert_int_equal(blocks[1].pid, getpid());
    assert_int_equal(weir_scope_lookup(scope, weir_shm_name(first), NULL), 0);
    assert_int_equal(weir_shm_unlink(first), 0);
    assert_int_equal(weir_shm_unlink(first), -ENOENT);
    assert_int_equal(weir_scope_lookup(scope, weir_shm_name(first), NULL), -ENOENT);
    assert_int_equal(weir_scope_blocks(scope, blocks, 4), 1);
    assert_int_equal(weir_scope_release(scope, weir_shm_name(second)), -EPERM);
    weir_shm_close(first);
}

/* ---- what needs a name ---------------------------------------------------------------------- */

static void assert_refused(const void *made, int code, const char *part)
{
    assert_null(made);
    assert_int_equal(weir_last_error()->code, code);
    if (!strstr(weir_last_error()->message, part))
        fail_msg("no \"%s\" in: %s", part, weir_last_error()->message);
    weir_clear_error();
}

static void names_are_refused__with_enotsup(void **state)
{
    weir_shm *alone = weir_shm_create(leak_name("alone"), 100, 0);
    weir_shm *shm = weir_scope_shm(scope, 100);
    weir_list *list = weir_scope_list_range(scope, 0, 3, 1);
    weir_dict *dict = weir_scope_dict(scope, NULL);
    weir_array *array = weir_scope_array(scope, WEIR_INT8, 1, (int64_t[]){9}, 0);

    (void)state;
    assert_refused(weir_scope_shm_named(scope, "prices", 10), -ENOTSUP, "anonymous");
    assert_refused(weir_scope_list_named(scope, "prices", NULL, 0), -ENOTSUP, "anonymous");
    assert_refused(weir_scope_array_named(scope, "prices", WEIR_INT8, 1, (int64_t[]){9}, 0),
                   -ENOTSUP, "anonymous");
    assert_refused(weir_scope_dict_named(scope, "prices", NULL), -ENOTSUP, "anonymous");
    assert_refused(weir_scope_shm_named(scope, "weir-1", 10), -EINVAL, "weir-");
    assert_refused(weir_shm_to_json(shm), -ENOTSUP, "weir_shm_path");
    assert_refused(weir_list_to_json(list), -ENOTSUP, "anonymous");
    assert_refused(weir_dict_to_json(dict), -ENOTSUP, "anonymous");
    assert_refused(weir_array_to_json(array), -ENOTSUP, "anonymous");
    assert_int_equal(weir_scope_track(scope, leak_name("alone")), -ENOTSUP);
    assert_int_equal(weir_shm_unlink(alone), 0); /* nobody did */
    weir_shm_close(alone);
    assert_refused(weir_shm_attach(weir_shm_name(shm)), -ENOENT, "no block");
    assert_refused(weir_scope_begin(&(weir_scope_options){.anonymous = true,
                                                          .address = "/tmp/weirtest-no/door"}),
                   -EINVAL, "anonymous");
}

static void the_path_leads_to_the_memory__for_another_program(void **state)
{
    weir_shm *first = weir_scope_shm(scope, 100000), *shm = weir_scope_shm(scope, 5000);
    char path[WEIR_SHM_PATH_MAX], command[2000], small[8];
    const long page = sysconf(_SC_PAGESIZE);
    uint64_t offset = 1;

    (void)state;
    assert_non_null(first);
    assert_int_equal(weir_shm_path(shm, path, sizeof(path), &offset), 0);
    assert_int_equal(offset % (uint64_t)page, 0);
    strcpy(weir_shm_buf(shm), "from here");
    snprintf(command, sizeof(command),
             "dd if=%s bs=%ld skip=%llu count=1 2>/dev/null | grep -q 'from here' && "
             "printf 'from there' | dd of=%s bs=%ld seek=%llu conv=notrunc 2>/dev/null",
             path, page, (unsigned long long)offset / (unsigned long long)page, path, page,
             (unsigned long long)offset / (unsigned long long)page);
    assert_int_equal(system(command), 0);
    assert_memory_equal(weir_shm_buf(shm), "from there", 10);
    assert_int_equal(weir_shm_path(shm, small, sizeof(small), &offset), -ENAMETOOLONG);
    assert_int_equal(weir_shm_path(shm, NULL, 0, &offset), -EINVAL);
    assert_int_equal(weir_shm_path(shm, path, sizeof(path), NULL), -EINVAL);
    assert_int_equal(weir_shm_path(NULL, path, sizeof(path), &offset), -EINVAL);
    kill(weir_scope_manager_pid(scope), SIGKILL);
    for (int i = 0; i < 1000 && weir_shm_path(shm, path, sizeof(path), &offset) == 0; i++)
        usleep(1000);
    assert_int_equal(weir_shm_path(shm, path, sizeof(path), &offset), -ESTALE);
}

static void the_path_is_the_file__when_the_block_has_a_name(void **state)
{
    weir_scope *named = weir_scope_begin(NULL);
    weir_shm *shm = weir_scope_shm(named, 5000);
    char path[WEIR_SHM_PATH_MAX], expected[300];
    uint64_t offset = 1;

    (void)state;
    assert_int_equal(weir_shm_path(shm, path, sizeof(path), &offset), 0);
    snprintf(expected, sizeof(expected), "/dev/shm/%s", weir_shm_name(shm));
    assert_string_equal(path, expected);
    assert_int_equal(offset, 0);
    assert_int_equal(weir_shm_path(shm, path, 12, &offset), -ENAMETOOLONG);
    assert_int_equal(weir_shm_unlink(shm), 0);
    assert_int_equal(weir_shm_path(shm, path, sizeof(path), &offset), -ENOENT);
    assert_int_equal(weir_scope_end(named), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define BARE(name) cmocka_unit_test_setup_teardown(name, leak_setup, leak_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(no_file_is_there__at_any_time),
        BARE(nothing_is_left__when_all_are_killed_at_once),
        BARE(memory_goes__when_the_program_is_killed),
        TEST(memory_comes_back__when_an_object_is_closed),
        TEST(a_new_object_is_zero__whatever_was_there),
        TEST(making_is_refused__when_there_is_no_memory),
        BARE(small_objects_are_refused__before_the_cgroup_kills),
        TEST(a_dead_makers_memory_is_used__when_there_is_no_other),
        TEST(a_limit_of_file_sizes_is_an_error__for_all_objects_together),
        TEST(nobody_can_truncate_it__while_it_is_mapped),
        TEST(an_object_is_mapped__when_its_maker_and_the_manager_are_dead),
        TEST(objects_are_listed__without_names),
        TEST(names_are_refused__with_enotsup),
        TEST(the_path_leads_to_the_memory__for_another_program),
        BARE(the_path_is_the_file__when_the_block_has_a_name),
    };

    if (!leak_isolate()) {
        fputs("skipped: a /dev/shm of its own needs root or user namespaces\n", stderr);
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
