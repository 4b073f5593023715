/* SPDX-License-Identifier: MIT
 *
 * scope_file.c: the scope file: its lock, its records, unlinking everything, and the sweep.
 *
 * Invariants
 *  - The file is locked (flock) before it has a name, and its one open description is what members
 *    inherit: if it is found unlocked, its scope is dead.
 *  - A block's record is written before the block has a name, and blanked after it has lost it.
 *  - Record i + 1 is written by the owner of table entry i only; those behind the last entry's by
 *    the manager only. Cleaners write a single byte: the one in the header that says closed.
 *  - The header goes from open to closed once, and never back. The scope file loses its name last.
 *
 * Failure modes. Every function may be cut off by a kill between any two system calls: the file
 * then records all that exists, and perhaps more, never less. Records that are not valid are
 * skipped; nothing here trusts memory that another process can write, and cleaning takes no memory,
 * so it works when there is none. README.md argues each interleaving.
 */
#include "manager/scope_file/scope_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <weir-scope.h>

#include "manager/scope_file/address.h"
#include "shm/block/block.h"
#include "shm/error.h"
#include "shm/retry.h"

/* The header starts with its only byte that ever changes: '0' open, '1' closed. */
#define HEADER_START  "{\"closed\":0,"
#define HEADER_CLOSED 10

/* The bytes that record locks are of: the header's first, and from far behind all records on one a
 * maker; a lock does not need them to exist. */
#define CREATION_LOCK ((off_t)0)
#define MAKER_LOCKS   ((off_t)1 << 40)

void weir__scope_file_name(char name[WEIR__SCOPE_FILE_NAME_SIZE], uint64_t id)
{
    snprintf(name, WEIR__SCOPE_FILE_NAME_SIZE, "weir-%016" PRIx64 ".scope", id);
}

void weir__scope_file_block_name(char name[WEIR__BLOCK_NAME_SIZE], uint64_t id, uint64_t serial)
{
    snprintf(name, WEIR__BLOCK_NAME_SIZE, "weir-%016" PRIx64 "-%" PRIx64, id, serial);
}

static off_t record_at(size_t entry)
{
    return (off_t)(entry + 1) * WEIR__RECORD_SIZE;
}

/* Writes a record: the text, spaces up to its size, and a newline. 256 divides the page size, so a
 * record lies in one page of tmpfs and is never torn. */
__attribute__((format(printf, 3, 4))) static int write_record(int fd, off_t at, const char *format,
                                                              ...)
{
    char record[WEIR__RECORD_SIZE];
    struct weir__held_signal hold;
    va_list args;
    ssize_t n;
    int used, error;

    va_start(args, format);
    used = vsnprintf(record, sizeof(record), format, args);
    va_end(args);
    if (used >= WEIR__RECORD_SIZE)
        return -ENAMETOOLONG;
    memset(record + used, ' ', sizeof(record) - 1 - (size_t)used);
    record[sizeof(record) - 1] = '\n';
    hold = weir__sigxfsz_hold();
    n = TEMP_FAILURE_RETRY(pwrite(fd, record, sizeof(record), at));
    error = n == WEIR__RECORD_SIZE ? 0 : n < 0 ? -errno : -EIO;
    weir__sigxfsz_release(&hold, error == -EFBIG);
    return error;
}

static bool is_blank(const char *record)
{
    for (size_t i = 0; i < WEIR__RECORD_SIZE; i++) {
        if (record[i] != '\0' && record[i] != ' ' && record[i] != '\n')
            return false;
    }
    return true;
}

/* ---- making it ------------------------------------------------------------------------------ */

/* Locks the new file and writes its header. Closes it when that fails. */
static int prepare_file(int fd, uint64_t *id)
{
    struct stat st;
    int error = fstat(fd, &st) < 0 ? -errno : 0;

    if (!error && (st.st_mode & 07777) != 0600 && fchmod(fd, 0600) < 0)
        error = -errno;
    if (!error && flock(fd, LOCK_EX | LOCK_NB) < 0)
        error = -errno;
    if (!error)
        error = write_record(fd, 0, HEADER_START "\"weir\":1,\"id\":\"%016" PRIx64 "\",\"pid\":%d}",
                             *id, (int)getpid());
    if (!error)
        return fd;
    close(fd);
    return weir__fail(error, "cannot prepare a scope file: %s", strerror(-error));
}

static int fail_without_shm(int error)
{
    const bool no_tmpfs = error == EOPNOTSUPP || error == EISDIR;

    return weir__fail(-error,
                      "cannot make a scope file in %s: %s. A scope with the option `anonymous` "
                      "needs no %s",
                      WEIR__SHM_DIR,
                      no_tmpfs ? "it is no tmpfs, and makes no unnamed files" : strerror(error),
                      WEIR__SHM_DIR);
}

int weir__scope_file_make(uint64_t *id)
{
    int fd = open(WEIR__SHM_DIR, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail_without_shm(errno);
    *id = weir__random64();
    return prepare_file(fd, id);
}

int weir__scope_file_make_anonymous(uint64_t *id)
{
    char name[WEIR__SCOPE_FILE_NAME_SIZE];
    int fd;

    *id = weir__random64();
    weir__scope_file_name(name, *id);
    fd = weir__memory_file(name);
    return fd < 0 ? fd : prepare_file(fd, id);
}

int weir__scope_file_link(int fd, uint64_t id)
{
    char name[WEIR__SCOPE_FILE_NAME_SIZE];

    weir__scope_file_name(name, id);
    return weir__block_link(&(struct weir__block){.fd = fd}, name);
}

int weir__scope_file_reopen(uint64_t id, uint64_t device, uint64_t inode)
{
    char name[WEIR__SCOPE_FILE_NAME_SIZE], path[sizeof(WEIR__SHM_DIR) + sizeof(name)];
    struct stat st;
    int fd, error;

    weir__scope_file_name(name, id);
    snprintf(path, sizeof(path), WEIR__SHM_DIR "/%s", name);
    fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        error = -errno;
    else if (st.st_dev != device || st.st_ino != inode)
        error = -ENOENT;
    else
        return fd;
    close(fd);
    return error;
}

/* ---- creations ------------------------------------------------------------------------------ */

/* A POSIX record lock, not flock: it belongs to one process, a forked child does not inherit it,
 * and the kernel drops it when the process dies. It would also be dropped if this process closed
 * another descriptor of the same file, which is why the sweep never opens this process's own
 * scopes. */
static int lock_byte(int fd, short type, off_t at)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

    return TEMP_FAILURE_RETRY(fcntl(fd, F_SETLK, &lock)) < 0 ? -errno : 0;
}

int weir__scope_file_check_open(int fd)
{
    char closed = '1';
    ssize_t n = pread(fd, &closed, 1, HEADER_CLOSED);

    if (n == 1 && closed == '0')
        return 0;
    return weir__fail(-ESTALE, "the scope's names have been cleaned up already: the program that "
                               "began it is gone");
}

int weir__scope_file_creation_begin(int fd)
{
    int error = lock_byte(fd, F_RDLCK, CREATION_LOCK);

    /* Only a cleaner takes the lock for writing, and it has closed the scope before. */
    if (error == -EAGAIN || error == -EACCES)
        return weir__fail(-ESTALE, "the scope is being cleaned up: the program that began it is "
                                   "gone, or it is ending");
    if (error)
        return weir__fail(error, "cannot lock the scope file: %s", strerror(-error));
    return weir__scope_file_check_open(fd);
}

/* Unlocking can fail: the kernel may need memory for it (ENOLCK). Closing any descriptor of the
 * file gives up this process's locks too, and needs none. */
void weir__scope_file_creation_end(int fd)
{
    if (lock_byte(fd, F_UNLCK, CREATION_LOCK) < 0)
        close(dup(fd));
}

int weir__scope_file_maker_begin(int fd, uint64_t number)
{
    return lock_byte(fd, F_WRLCK, MAKER_LOCKS + (off_t)number);
}

bool weir__scope_file_maker_is_dead(int fd, uint64_t number)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = MAKER_LOCKS + (off_t)number,
                         .l_len = 1};

    return fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

int weir__scope_file_is_blank(int fd, size_t entry)
{
    char record[WEIR__RECORD_SIZE] = {0};
    /* Short: behind the end, blank. */
    ssize_t n = TEMP_FAILURE_RETRY(pread(fd, record, sizeof(record), record_at(entry)));

    return n < 0 ? -errno : is_blank(record);
}

/* The record of a user's name says that it is one, so that no other name is unlinked by mistake. */
static bool is_users_name(const char *name)
{
    return strncmp(name, "weir-", 5) != 0;
}

int weir__scope_file_note(int fd, size_t entry, const struct weir__block_record *record)
{
    int error = write_record(fd, record_at(entry),
                             "{\"name\":\"%s\",\"ino\":%" PRIu64
                             ",\"kind\":\"%s\",\"size\":%" PRIu64 ",\"pid\":%d%s}",
                             record->name, record->ino, record->kind, record->size, record->pid,
                             is_users_name(record->name) ? ",\"named\":1" : "");

    return error ? weir__fail(error, "cannot write the record of %s into the scope file: %s",
                              record->name, strerror(-error))
                 : 0;
}

int weir__scope_file_note_address(int fd, const char *address)
{
    int error = write_record(fd, record_at(WEIR__RECORD_ADDRESS), "{\"address\":\"%s\"}", address);

    return error ? weir__fail(error, "cannot write the address's record into the scope file: %s",
                              strerror(-error))
                 : 0;
}

int weir__scope_file_blank(int fd, size_t entry)
{
    return write_record(fd, record_at(entry), " ");
}

/* ---- names and records ---------------------------------------------------------------------- */

/* A name that this scope may have chosen. */
static bool is_block_name(const char *name, uint64_t id)
{
    char prefix[WEIR__BLOCK_NAME_SIZE];
    size_t length = (size_t)snprintf(prefix, sizeof(prefix), "weir-%016" PRIx64 "-", id);
    size_t rest;

    if (strncmp(name, prefix, length) != 0)
        return false;
    rest = strlen(name + length);
    return rest > 0 && rest <= 16 && strspn(name + length, "0123456789abcdef") == rest;
}

int weir__scope_file_check_name(const char *name)
{
    int error = weir__block_check_name(name);

    if (error)
        return error;
    if (strlen(name) > WEIR_SCOPE_NAME_MAX)
        return weir__fail(-ENAMETOOLONG,
                          "the name \"%.40s...\" has %zu bytes; a block of a scope has a name of "
                          "at most %d",
                          name, strlen(name), WEIR_SCOPE_NAME_MAX);
    if (!is_users_name(name))
        return weir__fail(
            -EINVAL,
            "the name \"%s\" begins with \"weir-\", which is kept for names that weir chooses",
            name);
    if (!weir__scope_file_is_plain(name))
        return weir__fail(-EINVAL,
                          "the name \"%s\" is not UTF-8, or has a quote, a backslash or a control "
                          "character in it",
                          name);
    return 0;
}

/* The same check, without a message, of a name that was read from a record. */
static bool is_recordable(const char *name)
{
    size_t size = strlen(name);

    return size > 0 && size <= WEIR_SCOPE_NAME_MAX && is_users_name(name) &&
           weir__scope_file_is_plain(name) && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* Understands a block's record. Nothing but a name that the scope chose, or one that is marked as a
 * user's, is ever unlinked, whatever a record says. */
static bool read_block(const struct weir__record_fields *fields, uint64_t id,
                       struct weir__block_record *record)
{
    if (fields->ino <= 0 ||
        !(fields->named == 1 ? is_recordable(fields->name) : is_block_name(fields->name, id)))
        return false;
    memcpy(record->name, fields->name, sizeof(record->name));
    snprintf(record->kind, sizeof(record->kind), "%.15s", *fields->kind ? fields->kind : "shm");
    record->ino = (uint64_t)fields->ino;
    record->size = (uint64_t)fields->size;
    record->pid = (int)fields->pid;
    return true;
}

/* Whether it is worth parsing: a record begins with its name, as weir__scope_file_note() wrote
 * it. */
static bool may_have_name(const char *text, const char *name)
{
    const size_t before = strlen("{\"name\":\""),
                 size = name ? strnlen(name, WEIR__RECORD_SIZE) : 0;

    return text[0] == '{' &&
           (!name || (before + size < WEIR__RECORD_SIZE && memcmp(text + before, name, size) == 0 &&
                      text[before + size] == '"'));
}

#define PAGE_RECORDS 16

/* Reads the records from *entry to the end of a page, or of the next page that is no hole, whose
 * first one *entry is then. Returns how many, or -ENOENT when there are no more. */
static int read_records(int fd, size_t *entry, char text[PAGE_RECORDS * WEIR__RECORD_SIZE])
{
    const off_t size = PAGE_RECORDS * WEIR__RECORD_SIZE;
    off_t data = lseek(fd, record_at(*entry), SEEK_DATA);
    ssize_t n;

    if (data < 0)
        return errno == ENXIO ? -ENOENT : -errno;
    if (data > record_at(*entry)) /* behind a hole, which ends at a page and so at a record */
        *entry = (size_t)(data / WEIR__RECORD_SIZE) - 1;
    n = TEMP_FAILURE_RETRY(
        pread(fd, text, (size_t)(size - record_at(*entry) % size), record_at(*entry)));
    if (n < WEIR__RECORD_SIZE)
        return n < 0 ? -errno : -ENOENT;
    return (int)(n / WEIR__RECORD_SIZE);
}

int weir__scope_file_read(int fd, uint64_t id, size_t *entry, const char *name,
                          struct weir__block_record *record)
{
    char page[PAGE_RECORDS * WEIR__RECORD_SIZE];

    for (int looked = 0; looked < 1024 / PAGE_RECORDS; looked++) {
        int count = read_records(fd, entry, page);

        if (count < 0)
            return count;
        for (const char *text = page; text < page + count * WEIR__RECORD_SIZE;
             text += WEIR__RECORD_SIZE) {
            struct weir__record_fields fields;

            ++*entry;
            if (!may_have_name(text, name))
                continue;
            if (weir__scope_file_parse_record(text, &fields) && read_block(&fields, id, record))
                return 1;
        }
    }
    return 0;
}

int weir__scope_file_read_header(int fd, uint64_t id, struct weir__scope_header *header)
{
    char text[WEIR__RECORD_SIZE + 1] = "", expected[64];
    ssize_t n = TEMP_FAILURE_RETRY(pread(fd, text, WEIR__RECORD_SIZE, 0));
    int pid, end = 0;
    size_t size;

    if (n < 0)
        return -errno;
    header->closed = text[HEADER_CLOSED] == '1';
    if (n == WEIR__RECORD_SIZE && header->closed)
        text[HEADER_CLOSED] = '0';
    size = (size_t)snprintf(expected, sizeof(expected),
                            HEADER_START "\"weir\":1,\"id\":\"%016" PRIx64 "\",\"pid\":", id);
    if (n != WEIR__RECORD_SIZE || memcmp(text, expected, size) != 0 ||
        sscanf(text + size, "%9d}%n", &pid, &end) != 1 || end == 0 || pid <= 0)
        return -EBADMSG;
    header->pid = pid;
    return 0;
}

int weir__scope_file_read_address(int fd, char address[WEIR__RECORD_SIZE])
{
    char text[WEIR__RECORD_SIZE];
    struct weir__record_fields fields;
    ssize_t n = TEMP_FAILURE_RETRY(pread(fd, text, sizeof(text), record_at(WEIR__RECORD_ADDRESS)));

    if (n < 0)
        return -errno;
    if (n != WEIR__RECORD_SIZE || !weir__scope_file_parse_record(text, &fields) || !*fields.address)
        return 0;
    memcpy(address, fields.address, WEIR__RECORD_SIZE);
    return 1;
}

/* ---- unlinking all -------------------------------------------------------------------------- */

struct cleaner {
    int fd;
    uint64_t id;
    struct weir__cleaning done;
    int error; /* the first one */
};

static void note_error(struct cleaner *cleaner, int error)
{
    if (!cleaner->error)
        cleaner->error = error;
}

static void count_unlink(struct cleaner *cleaner, int error)
{
    if (error == 0)
        cleaner->done.unlinked++;
    else if (error == -ENOENT)
        cleaner->done.gone++;
    else
        note_error(cleaner, error);
}

static void clean_record(struct cleaner *cleaner, const char *text)
{
    struct weir__record_fields fields;
    struct weir__block_record record;
    bool understood = weir__scope_file_parse_record(text, &fields);

    if (understood && read_block(&fields, cleaner->id, &record))
        count_unlink(cleaner, weir__block_unlink(record.name, record.ino));
    else if (understood && *fields.address) /* not counted: only blocks are */
        note_error(cleaner, weir__address_remove(fields.address, cleaner->id));
    else
        cleaner->done.malformed++;
}

/* Goes through all records, jumping over holes. Whatever stops it before the end is an error: a
 * record that was not read must keep the scope file from being unlinked. The records stay as they
 * are: a creation that is under way may still give its record the name, and a cleaning that is cut
 * off is simply done again. */
static void clean_records(struct cleaner *cleaner)
{
    char page[PAGE_RECORDS * WEIR__RECORD_SIZE];
    size_t entry = 0;
    int count;

    while ((count = read_records(cleaner->fd, &entry, page)) > 0) {
        for (int i = 0; i < count; i++) {
            if (!is_blank(page + i * WEIR__RECORD_SIZE))
                clean_record(cleaner, page + i * WEIR__RECORD_SIZE);
        }
        entry += (size_t)count;
    }
    if (count != -ENOENT) /* no data behind `entry`: the end */
        note_error(cleaner, count);
}

static void close_scope(struct cleaner *cleaner)
{
    ssize_t n = TEMP_FAILURE_RETRY(pwrite(cleaner->fd, "1", 1, HEADER_CLOSED));

    if (n != 1)
        cleaner->error = n < 0 ? -errno : -EIO;
}

/* Waits until no creation is under way. 0, or the error of the last try. */
static int wait_for_creations(int fd, int wait_ms)
{
    const struct timespec step = {.tv_nsec = 1000000};
    int error;

    for (int waited = 0;; waited++) {
        error = lock_byte(fd, F_WRLCK, CREATION_LOCK);
        if ((error != -EAGAIN && error != -EACCES) || waited >= wait_ms)
            return error;
        nanosleep(&step, NULL);
    }
}

/* The scope file's own name goes last, and only if nothing is left to do for a later sweep. */
static void unlink_scope_file(struct cleaner *cleaner)
{
    char name[WEIR__SCOPE_FILE_NAME_SIZE];
    struct stat st;
    int error = fstat(cleaner->fd, &st) < 0 ? -errno : 0;

    weir__scope_file_name(name, cleaner->id);
    if (!error)
        error = weir__block_unlink(name, st.st_ino);
    if (error && error != -ENOENT)
        cleaner->error = error;
    else
        cleaner->done.complete = true;
}

int weir__scope_file_unlink_all(int fd, uint64_t id, int wait_ms, struct weir__cleaning *cleaning)
{
    struct cleaner cleaner = {.fd = fd, .id = id};
    int lock;

    close_scope(&cleaner);
    lock = wait_for_creations(fd, 0);
    clean_records(&cleaner);
    if (lock == -EAGAIN || lock == -EACCES) {
        /* A creation was under way and may have linked a name meanwhile: once more. */
        lock = wait_for_creations(fd, wait_ms);
        clean_records(&cleaner);
    }
    if (!cleaner.error && lock && lock != -EAGAIN && lock != -EACCES)
        cleaner.error = lock;
    if (!cleaner.error && lock == 0)
        unlink_scope_file(&cleaner);
    weir__scope_file_creation_end(fd);
    if (cleaning)
        *cleaning = cleaner.done;
    if (cleaner.error)
        return weir__fail(cleaner.error, "cannot unlink all of scope %016" PRIx64 ": %s", id,
                          strerror(-cleaner.error));
    return 0;
}

bool weir__scope_file_is_clean(int fd)
{
    char closed = '0';
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_nlink == 0 && pread(fd, &closed, 1, HEADER_CLOSED) == 1 &&
           closed == '1';
}

/* ---- the sweep ------------------------------------------------------------------------------ */

bool weir__scope_file_parse_name(const char *name, uint64_t *id)
{
    char expected[WEIR__SCOPE_FILE_NAME_SIZE];
    unsigned long long value;

    if (sscanf(name, "weir-%16llx.scope", &value) != 1)
        return false;
    weir__scope_file_name(expected, value);
    *id = value;
    return strcmp(name, expected) == 0;
}

/* Locked means alive; the lock of a dead scope is taken, and then this process cleans it. */
int weir__scope_file_sweep_one(int dir, uint64_t id, struct weir__cleaning *cleaning)
{
    char name[WEIR__SCOPE_FILE_NAME_SIZE];
    struct stat st;
    int fd, result = 0;

    weir__scope_file_name(name, id);
    fd = openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == EACCES || errno == EPERM ? 0 : -errno;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        flock(fd, LOCK_EX | LOCK_NB) == 0) {
        /* Another process may have cleaned it between the open and the lock here. */
        if (fstat(fd, &st) == 0 && st.st_nlink == 1) {
            struct weir__cleaning done = {0};

            result = weir__scope_file_unlink_all(fd, id, 0, &done);
            if (result == 0)
                result = done.complete ? 1 : -EBUSY;
            if (cleaning)
                *cleaning = done;
        }
    }
    close(fd);
    return result;
}

int weir__scope_file_sweep(bool (*skip)(uint64_t id))
{
    DIR *dir = opendir(WEIR__SHM_DIR);
    struct dirent *item;
    int swept = 0;

    if (!dir)
        return 0;
    while ((item = readdir(dir))) {
        uint64_t id;

        if (weir__scope_file_parse_name(item->d_name, &id) && !skip(id) &&
            weir__scope_file_sweep_one(dirfd(dir), id, NULL) == 1)
            swept++;
    }
    closedir(dir);
    return swept;
}
