/* SPDX-License-Identifier: MIT
 *
 * Where memory, files and names end.
 *
 *     subject fill KIB            objects of KIB each until /dev/shm is full
 *     subject large MIB           one block of MIB, which must be refused
 *     subject huge GIB            a host of that much private memory
 *     subject attach NAME         must be refused; the code is printed
 *     subject create NAME CODE    weir_shm_create must return CODE
 *     subject many COUNT          small objects, each of which is made or refused
 *     subject many-workers COUNT  pools of so many workers, and what each step takes
 *     subject modes UMASK         the modes of all that a scope makes
 */
#include "subject.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static unsigned long used_bytes(void)
{
    struct statvfs fs;

    MUST(statvfs("/dev/shm", &fs) == 0);
    return (fs.f_blocks - fs.f_bfree) * fs.f_frsize;
}

static bool has_number(const char *text)
{
    return strpbrk(text, "0123456789") != NULL;
}

static void expect_full(const void *object)
{
    MUST(object == NULL);
    MUST(weir_last_error()->code == -ENOSPC || weir_last_error()->code == -ENOMEM);
    MUST(has_number(weir_last_error()->message));
}

/* A dictionary grows while there is room; what it has stays readable. */
static void fill_dict(weir_scope *scope)
{
    weir_dict *dict = weir_scope_dict(scope, NULL);
    static const char text[2000];
    weir_value value;
    int result = 0;
    int64_t i = 0;

    if (dict == NULL) {
        expect_full(dict);
        return;
    }
    while (result == 0 && i < 200000)
        result = weir_dict_set(dict, weir_int(i++), weir_bytes(text, sizeof text));
    MUST(result == -ENOSPC || result == -ENOMEM);
    MUST(has_number(weir_last_error()->message));
    if (i > 1)
        MUST(weir_dict_get(dict, weir_int(0), &value, (char[2001]){0}, 2001) == 0);
    weir_shm_unlink(weir_dict_shm(dict));
    weir_dict_close(dict);
}

static int fill(int argc, char **argv)
{
    const size_t size = (size_t)atoi(argc > 0 ? argv[0] : "1024") << 10;
    weir_scope *scope = weir_scope_begin(NULL);
    unsigned long before;
    weir_shm *blocks[20000];
    int count = 0;

    MUST(scope != NULL);
    before = used_bytes();
    while (count < 20000 && (blocks[count] = weir_scope_shm(scope, size)) != NULL) {
        memset(weir_shm_buf(blocks[count]), 1, size); /* all of it is there */
        count++;
    }
    MUST(count > 0 && count < 20000);
    expect_full(NULL);
    expect_full(weir_scope_list_range(scope, 0, (int64_t)size, 1));
    expect_full(weir_scope_array(scope, WEIR_FLOAT64, 1, (int64_t[]){(int64_t)size}, 0));
    while (count > 0) {
        MUST(weir_shm_unlink(blocks[--count]) == 0);
        weir_shm_close(blocks[count]);
    }
    MUST(used_bytes() <= before + 65536); /* the scope file keeps its records' pages */
    fill_dict(scope);
    MUST(used_bytes() <= before + 65536);
    MUST(weir_scope_end(scope) == 0);
    return 0;
}

static int large(int argc, char **argv)
{
    const size_t size = (size_t)atoi(argc > 0 ? argv[0] : "128") << 20;
    weir_scope *scope = weir_scope_begin(NULL);

    MUST(scope != NULL);
    MUST(weir_scope_shm(scope, size) == NULL);
    MUST(weir_last_error()->code == -ENOMEM && has_number(weir_last_error()->message));
    MUST(weir_shm_create("alone", size, 0) == NULL && weir_last_error()->code == -ENOMEM);
    MUST(weir_scope_shm(scope, 1 << 20) != NULL); /* what fits is had */
    MUST(weir_scope_end(scope) == 0);
    return 0;
}

static long memory_kib(pid_t pid, const char *what)
{
    char path[64], line[256];
    long kib = -1;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, what, strlen(what)) == 0)
            kib = atol(line + strlen(what) + 1);
    if (file != NULL)
        fclose(file);
    return kib;
}

/* A page that another process still has is copied when it is written: a fault each, and memory. */
static int huge(int argc, char **argv)
{
    const size_t size = (size_t)atoi(argc > 0 ? argv[0] : "4") << 30;
    char *heap = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct rusage before, after;
    double start, begin_ms;
    weir_scope *scope;
    long manager, faults;

    MUST(heap != MAP_FAILED);
    madvise(heap, size, MADV_NOHUGEPAGE);
    memset(heap, 1, size);
    start = now_ms();
    scope = weir_scope_begin(NULL);
    begin_ms = now_ms() - start;
    MUST(scope != NULL && weir_scope_list_range(scope, 0, 1000, 1) != NULL);
    manager = memory_kib(weir_scope_manager_pid(scope), "VmRSS:");
    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < size; i += 4096)
        heap[i]++;
    getrusage(RUSAGE_SELF, &after);
    faults = after.ru_minflt - before.ru_minflt;
    printf("{\"manager_kib\":%ld,\"faults\":%ld,\"begin_ms\":%.2f,\"host_kib\":%ld}\n", manager,
           faults, begin_ms, memory_kib(getpid(), "VmRSS:"));
    MUST(manager > 0 && manager <= 4096);
    MUST(faults < 100);
    MUST(weir_scope_end(scope) == 0);
    return 0;
}

/* ---- names ---------------------------------------------------------------------------------- */

static int attach(int argc, char **argv)
{
    weir_shm *shm = argc == 1 ? weir_shm_attach(argv[0]) : NULL;

    MUST(argc == 1 && shm == NULL);
    MUST(weir_list_attach(argv[0]) == NULL && weir_array_attach(argv[0]) == NULL);
    MUST(weir_dict_attach(argv[0]) == NULL);
    printf("%d\n", weir_last_error()->code);
    return 0;
}

static int create(int argc, char **argv)
{
    MUST(argc == 2 && weir_shm_create(argv[0], 4096, 0) == NULL);
    MUST(weir_last_error()->code == -atoi(argv[1]));
    return 0;
}

static int modes(int argc, char **argv)
{
    weir_scope *scope;
    DIR *directory;
    int count = 0;

    MUST(argc == 1);
    umask((mode_t)strtoul(argv[0], NULL, 8));
    scope = weir_scope_begin(NULL);
    MUST(scope != NULL && weir_scope_shm(scope, 100) != NULL &&
         weir_scope_list_range(scope, 0, 9, 1) != NULL && weir_scope_dict(scope, NULL) != NULL &&
         weir_scope_array(scope, WEIR_INT8, 1, (int64_t[]){9}, WEIR_ARRAY_NPY) != NULL);
    directory = opendir("/dev/shm");
    MUST(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        struct stat st;

        if (strncmp(entry->d_name, "weir-", 5) != 0)
            continue;
        MUST(fstatat(dirfd(directory), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0);
        MUST(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600);
        count++;
    }
    closedir(directory);
    MUST(count == 5);
    MUST(weir_scope_end(scope) == 0);
    return 0;
}

/* The scope's file grows with their number, not with their size. */
static int many(int argc, char **argv)
{
    const int count = atoi(argc > 0 ? argv[0] : "100");
    weir_scope *scope = weir_scope_begin(NULL);
    int made = 0;

    if (scope == NULL)
        return give_up("weir_scope_begin");
    while (made < count && weir_scope_shm(scope, 100) != NULL)
        made++;
    if (made < count)
        give_up("an object");
    if (weir_scope_end(scope) != 0)
        return give_up("weir_scope_end");
    return made < count ? GAVE_UP : 0;
}

static _Atomic int *finalized;

static void count_finalizer(void *arg)
{
    (void)arg;
    ++*finalized;
}

static int nothing_to_do(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    (void)range;
    (void)arg;
    return 0;
}

/* How long making, freeing, making and killing a pool of so many workers takes, in ms. */
static int many_workers(int argc, char **argv)
{
    const int workers = atoi(argc > 0 ? argv[0] : "1024");
    weir_scope *scope;

    finalized = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(finalized != MAP_FAILED);
    scope = weir_scope_begin(NULL);
    MUST(scope != NULL);
    for (int kills = 0; kills < 2; kills++) {
        const double start = now_ms();
        weir_pool *pool = weir_pool_new(
            scope, &(weir_pool_options){.workers = workers, .finalizer = count_finalizer});
        double made, end;

        if (pool == NULL)
            return give_up("weir_pool_new");
        made = now_ms();
        MUST(weir_pool_for(pool, (weir_range){0, workers}, nothing_to_do, NULL, NULL) == 0);
        end = now_ms();
        (kills ? weir_pool_kill : weir_pool_free)(pool);
        printf("%.2f %.2f\n", made - start, now_ms() - end);
        MUST(kills || *finalized == workers); /* each has ended by itself */
    }
    MUST(weir_scope_end(scope) == 0);
    return 0;
}

const struct mode limits[] = {{"many-workers", many_workers},
                              {"fill", fill},
                              {"large", large},
                              {"huge", huge},
                              {"attach", attach},
                              {"create", create},
                              {"modes", modes},
                              {"many", many},
                              {NULL, NULL}};
