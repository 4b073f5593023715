/* SPDX-License-Identifier: MIT
 *
 * A scope that listens, and a program that connects to it.
 *
 *     subject serve     begins a scope that listens at $WEIR_DOOR, lets `client` use it, ends it
 *     subject client    connects there, makes one object of each kind, looks, tracks, releases
 *
 * For a tracer the host is between its marks while it begins, asks and ends, and the client is what
 * prctl(0x77656972, 2) says it is.
 */
#include "subject.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define MARK 0x77656972
#define KEY  "a key"

static bool with_key(void)
{
    return strcmp(getenv("WEIR_DOOR_KEY") ? getenv("WEIR_DOOR_KEY") : "", "yes") == 0;
}

/* ---- the client ----------------------------------------------------------------------------- */

static int use(weir_scope *scope)
{
    weir_shm *block = weir_scope_shm(scope, 20000);
    weir_list *list =
        block == NULL ? NULL : weir_scope_list_named(scope, "weirtest-served", NULL, 0);
    weir_array *array =
        list == NULL ? NULL
                     : weir_scope_array(scope, WEIR_FLOAT64, 1, (int64_t[]){1000}, WEIR_ARRAY_NPY);
    weir_dict *dict = array == NULL ? NULL : weir_scope_dict(scope, NULL);
    weir_shm *alone = dict == NULL ? NULL : weir_shm_create("weirtest-alone", 100, 0);
    weir_block_info infos[8];
    int result = 0;

    if (alone == NULL || weir_dict_set(dict, weir_int(1), weir_int(2)) != 0)
        result = give_up("an object");
    else if (weir_scope_track(scope, "weirtest-alone") != 0)
        result = give_up("track");
    else if (weir_scope_blocks(scope, infos, 8) < 0)
        result = give_up("blocks");
    else if (weir_scope_lookup(scope, "weirtest-served", NULL) != 0)
        result = give_up("lookup");
    else if (weir_scope_release(scope, weir_shm_name(block)) != 0)
        result = give_up("release");
    if (result != 0 && alone != NULL)
        weir_shm_unlink(alone); /* it may be nobody's but ours */
    weir_shm_close(alone);
    weir_dict_close(dict);
    weir_array_close(array);
    weir_list_close(list);
    weir_shm_close(block);
    return result;
}

static int client(int argc, char **argv)
{
    weir_scope *scope;
    int result;

    (void)argc;
    (void)argv;
    prctl(MARK, 2, 0, 0, 0);
    scope = with_key() ? weir_scope_connect(getenv("WEIR_DOOR"), KEY, sizeof KEY)
                       : weir_scope_connect(getenv("WEIR_DOOR"), NULL, 0);
    if (scope == NULL)
        return give_up("weir_scope_connect");
    result = use(scope);
    weir_scope_disconnect(scope);
    return result;
}

/* ---- the host ------------------------------------------------------------------------------- */

static weir_scope *begin(void)
{
    weir_scope_options options = {.timeout_ms = 1000, .address = getenv("WEIR_DOOR")};

    if (with_key()) {
        options.authkey = KEY;
        options.authkey_size = sizeof KEY;
    }
    return weir_scope_begin(&options);
}

/* As another program: nothing of the scope is inherited. 0, GAVE_UP, or what went wrong; a client
 * that is killed has done nothing wrong, and what it left stand-alone is its user's. */
static int run_client(void)
{
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    int status = 0;
    pid_t pid;

    MUST(size > 0);
    path[size] = '\0';
    pid = fork();
    if (pid == 0) {
        execl(path, path, "client", (char *)NULL);
        _exit(127);
    }
    MUST(pid > 0 && waitpid(pid, &status, 0) == pid);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return 0;
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != GAVE_UP)) {
        fprintf(stderr, "the client has status %x\n", (unsigned)status);
        return 1;
    }
    return WEXITSTATUS(status);
}

static int serve(int argc, char **argv)
{
    weir_scope *scope;
    weir_shm *alone;
    int64_t blocks;
    int result;

    (void)argc;
    (void)argv;
    prctl(MARK, 1, 0, 0, 0);
    scope = begin();
    prctl(MARK, 0, 0, 0, 0);
    if (scope == NULL)
        return give_up("weir_scope_begin");
    result = run_client();
    prctl(MARK, 1, 0, 0, 0);
    blocks = weir_scope_blocks(scope, NULL, 0);
    if (blocks < 0 && result == 0)
        result = give_up("blocks");
    if (weir_scope_end(scope) != 0)
        result = give_up("weir_scope_end");
    prctl(MARK, 0, 0, 0, 0);
    alone = weir_shm_attach("weirtest-alone"); /* of a client that was killed */
    if (alone != NULL)
        weir_shm_unlink(alone);
    weir_shm_close(alone);
    return result;
}

const struct mode served[] = {{"serve", serve}, {"client", client}, {NULL, NULL}};
