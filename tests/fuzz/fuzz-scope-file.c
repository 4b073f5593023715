/* SPDX-License-Identifier: MIT
 *
 * A scope file of any content: cleaning it removes nothing but what the scope may have named and
 * only if it is the inode that the record says.
 *
 * Input: what stands in the file. Blocks of the scope (SCOPE-1 ... SCOPE-3), of another scope, and
 * somebody's own files are there when it is cleaned.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/scope_file/scope_file.h"

#define ID UINT64_C(0x0123456789abcdef)

static const char *const ours[] = {"weir-0123456789abcdef-1", "weir-0123456789abcdef-2",
                                   "weir-0123456789abcdef-3"};
static const char *const others[] = {"weir-fedcba9876543210-1", "precious",
                                     "weir-0123456789abcdef-x", "weir-fedcba9876543210.scope"};

static int shm = -1;
static ino_t inode[4];

static void make_file(const char *name, const char *text)
{
    int fd = openat(shm, name, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

    HOLD(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static ino_t inode_of(const char *name)
{
    struct stat st;

    return fstatat(shm, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

static void prepare(void)
{
    fuzz_isolate();
    shm = open("/dev/shm", O_PATH | O_CLOEXEC);
    for (int i = 0; i < 4; i++) {
        make_file(others[i], "x");
        inode[i] = inode_of(others[i]);
    }
}

/* Inode numbers count up, so the input can hardly know them: the digits "@1" to "@4" in it stand
 * for those of our three blocks and of a file of somebody else's. */
static size_t resolve(const uint8_t *data, size_t size, char *out, size_t room)
{
    size_t used = 0;

    for (size_t i = 0; i < size && used + 24 < room; i++) {
        if (data[i] == '@' && i + 1 < size && data[i + 1] >= '1' && data[i + 1] <= '4') {
            int which = data[++i] - '1';

            used += (size_t)snprintf(
                out + used, 24, "%-10llu",
                (unsigned long long)(which < 3 ? inode_of(ours[which]) : inode[1]));
        } else {
            out[used++] = (char)data[i];
        }
        /* a record stays where it is whatever is in it */
        if (i + 1 < size && data[i] == '\n')
            while (used % WEIR__RECORD_SIZE != 0 && used + 24 < room)
                out[used++] = ' ';
    }
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[16384];
    struct weir__cleaning cleaning = {0};
    size_t used;
    int fd, result, left = 0;

    if (shm < 0)
        prepare();
    for (int i = 0; i < 3; i++)
        make_file(ours[i], "y");
    used = resolve(data, size, text, sizeof text);
    make_file("weir-0123456789abcdef.scope", "");
    fd = openat(shm, "weir-0123456789abcdef.scope", O_RDWR | O_CLOEXEC);
    HOLD(fd >= 0 && write(fd, text, used) == (ssize_t)used);

    result = weir__scope_file_unlink_all(fd, ID, 0, &cleaning);
    HOLD(result == 0 && cleaning.complete && weir__scope_file_is_clean(fd));
    for (int i = 0; i < 4; i++)
        HOLD(inode_of(others[i]) == inode[i]);
    for (int i = 0; i < 3; i++) {
        left += inode_of(ours[i]) != 0;
        unlinkat(shm, ours[i], 0);
    }
    HOLD((int)cleaning.unlinked == 3 - left);
    close(fd);
    return 0;
}

static size_t add(char *text, size_t used, const char *record)
{
    memset(text + used, ' ', WEIR__RECORD_SIZE);
    memcpy(text + used, record, strlen(record));
    text[used + WEIR__RECORD_SIZE - 1] = '\n';
    return used + WEIR__RECORD_SIZE;
}

void fuzz_seeds(const char *folder)
{
    char text[8 * WEIR__RECORD_SIZE];
    size_t used = add(text, 0, "{\"closed\":0,\"weir\":1,\"id\":\"0123456789abcdef\",\"pid\":1}");

    used = add(
        text, used,
        "{\"name\":\"weir-0123456789abcdef-1\",\"ino\":@1,\"kind\":\"list\",\"size\":1,\"pid\":1}");
    fuzz_seed(folder, "one", text, used);
    used = add(text, used, "{\"name\":\"weir-0123456789abcdef-2\",\"ino\":@1,\"kind\":\"shm\"}");
    used = add(text, used, "{\"name\":\"precious\",\"ino\":@4}");
    used = add(text, used, "");
    used = add(text, used, "{\"name\":\"weir-0123456789abcdef-3\",\"ino\":@3}");
    fuzz_seed(folder, "many", text, used);
}
