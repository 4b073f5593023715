/* SPDX-License-Identifier: MIT
 *
 * no_passwd.c: the user data base that the statically linked manager program does without.
 *
 * libuv brings a function that looks up a home folder, which the manager never calls. Linked
 * statically, it would pull libc's name service into the program, with a warning at each link that
 * it needs shared libraries at run time. This takes its place and knows no user.
 */
#include <errno.h>
#include <pwd.h>
#include <stddef.h>

int getpwuid_r(uid_t uid, struct passwd *entry, char *buf, size_t size, struct passwd **result)
{
    (void)uid;
    (void)entry;
    (void)buf;
    (void)size;
    *result = NULL;
    return ENOENT;
}
