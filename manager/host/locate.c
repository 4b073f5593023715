/* SPDX-License-Identifier: MIT
 *
 * locate.c: finding the manager program relative to this library, so that the build tree, a staged
 * installation and a moved prefix work without an environment variable.
 *
 * WEIR_MANAGER names it outright (not in set-uid programs). Otherwise the places below are tried in
 * order; a file that another user could have put there (another owner, or writable by all) is not
 * taken, because static programs look in their own neighbourhood, which may be /tmp.
 */
#include "manager/host/locate.h"

#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/error.h"

#define PROGRAM "weir-manager"

/* Relative to the folder of the library, or of the program that it is linked into. */
static const char *const places[] = {
    WEIR_MANAGER_RELATIVE "/" PROGRAM, /* installed: from libdir to libexecdir */
    "../libexec/weir/" PROGRAM,        /* a static program in bin */
    PROGRAM,                           /* side by side */
    "../manager/" PROGRAM,             /* the build tree: library, examples */
    "../../manager/" PROGRAM,          /* the build tree: tests */
    WEIR_MANAGER_ABSOLUTE "/" PROGRAM, /* the last one: absolute */
};

#define PLACES (sizeof(places) / sizeof(*places))

struct search {
    uintptr_t address;
    char *path;
    bool found;
};

static int match_object(struct dl_phdr_info *info, size_t size, void *data)
{
    struct search *search = data;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

        if (info->dlpi_phdr[i].p_type == PT_LOAD && search->address >= start &&
            search->address - start < info->dlpi_phdr[i].p_memsz) {
            const char *name =
                info->dlpi_name && *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";

            search->found = realpath(name, search->path) != NULL;
            return 1;
        }
    }
    return 0;
}

/* The folder of the object that holds this code, with the slash. */
static bool own_folder(char folder[PATH_MAX])
{
    struct search search = {.address = (uintptr_t)own_folder, .path = folder};
    char *slash;

    dl_iterate_phdr(match_object, &search);
    slash = search.found ? strrchr(folder, '/') : NULL;
    if (slash)
        slash[1] = '\0';
    return slash != NULL;
}

static bool is_trusted(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0 &&
           (st.st_uid == 0 || st.st_uid == geteuid() || st.st_uid == getuid()) &&
           (st.st_mode & S_IWOTH) == 0;
}

static void note_place(char *tried, size_t size, const char *path)
{
    size_t used = strlen(tried);

    snprintf(tried + used, size - used, "%s%s", used ? ", " : "", path);
}

int weir__locate_manager(char path[PATH_MAX])
{
    char tried[512] = "";
    char folder[PATH_MAX];
    const char *named = secure_getenv("WEIR_MANAGER");
    int n;

    if (named && *named) {
        n = snprintf(path, PATH_MAX, "%s", named);
        if (n < PATH_MAX && access(path, X_OK) == 0)
            return 0;
        return weir__fail(-ENOENT,
                          "the manager program that WEIR_MANAGER names, \"%.200s\", cannot be "
                          "run: %s",
                          named, n < PATH_MAX ? strerror(errno) : strerror(ENAMETOOLONG));
    }
    for (size_t i = own_folder(folder) ? 0 : PLACES - 1; i < PLACES; i++) {
        n = snprintf(path, PATH_MAX, "%s%s", i < PLACES - 1 ? folder : "", places[i]);
        if (n < PATH_MAX && is_trusted(path))
            return 0;
        note_place(tried, sizeof(tried), path);
    }
    return weir__fail(-ENOENT,
                      "the manager program is not found; looked for it at %s (WEIR_MANAGER can "
                      "name it)",
                      tried);
}
