/* SPDX-License-Identifier: MIT
 *
 * fuzz.c: how every target begins; see fuzz.h.
 */
#include "fuzz.h"

#include <sched.h>
#include <sys/mount.h>

void fuzz_seed(const char *folder, const char *name, const void *data, size_t size)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "we");
    if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(2);
    }
}

void fuzz_isolate(void)
{
    if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=64m") == 0)
        return;
    printf("skipped: no mount namespace (needs root)\n");
    exit(77);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
        fuzz_seeds((*argv)[2]);
        exit(0);
    }
    return 0;
}
