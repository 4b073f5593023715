/* SPDX-License-Identifier: MIT
 *
 * run.c: `weir run`: a scope around a command. What the command and all that it starts make in the
 * scope is unlinked when the command has ended, or when this program dies.
 *
 * This program begins the scope, and so it is its host; the command is not a process of the scope,
 * but connects to it by WEIR_ADDRESS. It has no descriptor of the scope's, which are closed by
 * exec.
 *
 *                  the command is            ends with this program   what it has left behind
 *   weir run       this program's child      no                       lives on
 *   --kill         a weir_process that       yes, by its supervisor   is ended by the supervisor
 *                  executes it
 *
 * A supervisor outlives this program: so --kill holds when this program gets SIGKILL, which a
 * subreaper and PR_SET_PDEATHSIG of its own would not do for what the command has started.
 *
 * Signals are blocked from before the scope begins, and read from a descriptor: none is lost, and
 * none ends this program before it has ended the scope. The command gets the mask and what was
 * ignored as they were before.
 *
 * Failure modes. Killed, the manager ends the scope. If the supervisor is killed, the kernel kills
 * the command, but not what that has started. A process that takes off its supervisor's mark
 * (pool/supervisor/strays.c) or belongs to another user by then is left alone.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/host/key_file.h"
#include "manager/scope_file/address.h"
#include "manager/space/pidfd.h"
#include "pool/tool/heap.h"
#include "pool/tool/text.h"
#include "pool/tool/tool.h"
#include "pool/weir-process.h"

#define NAME_MAX_SIZE 64
#define LOOK_MS       10 /* where no descriptor tells of an end */

/* As env(1) and timeout(1) have them. */
enum {
    RUN_FAILED = 125,
    RUN_NOT_EXECUTABLE = 126,
    RUN_NOT_FOUND = 127,
    RUN_SIGNALLED = 128, /* plus the signal */
};

/* What a command is sent through a program that runs it. */
static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
#define PASSED_ON (sizeof(passed_on) / sizeof(passed_on[0]))

/* How signals were for this program, and are for the command. */
struct signals {
    sigset_t mask;
    struct sigaction child;
    struct sigaction passed_on[PASSED_ON];
    int fd;           /* of a signalfd */
    bool interrupted; /* Ctrl-C has come */
};

struct run {
    struct tool_heap *heap;
    const char *name, *key_file; /* as given, or NULL */
    bool kill;
    char **argv; /* of the command */
    struct weir__auth_key key;
    struct signals signals;
    weir_scope *scope;
    pid_t pid;             /* of the command; not reaped, so it is no other process's */
    weir_process *process; /* with --kill */
    int pidfd;             /* of that, or -1 */
    int settled;           /* an eventfd: the process has its signals as they were */
};

/* ---- signals -------------------------------------------------------------------------------- */

/* A supervisor inherits what is ignored, and is not to end by a signal that is sent to the whole
 * group, and so to it. Those of a terminal and SIGTERM it passes over by itself. They are ignored
 * from the beginning: what is pending when a signal becomes ignored is lost. */
static void ignore_users_signals(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    sigaction(SIGUSR1, &ignore, NULL);
    sigaction(SIGUSR2, &ignore, NULL);
}

static int take_signals(struct signals *signals, bool supervised)
{
    struct sigaction fresh = {.sa_handler = SIG_DFL};
    sigset_t taken;

    sigemptyset(&taken);
    sigaddset(&taken, SIGCHLD);
    for (size_t i = 0; i < PASSED_ON; i++)
        sigaddset(&taken, passed_on[i]);
    sigprocmask(SIG_BLOCK, &taken, &signals->mask);
    for (size_t i = 0; i < PASSED_ON; i++)
        sigaction(passed_on[i], NULL, &signals->passed_on[i]);
    if (supervised)
        ignore_users_signals();
    sigaction(SIGCHLD, &fresh, &signals->child); /* if it was ignored there would be no status */
    signals->fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    return signals->fd < 0 ? -errno : 0;
}

/* In the command's process. */
static void give_back_signals(const struct signals *signals)
{
    for (size_t i = 0; i < PASSED_ON; i++)
        sigaction(passed_on[i], &signals->passed_on[i], NULL);
    sigaction(SIGCHLD, &signals->child, NULL);
    sigprocmask(SIG_SETMASK, &signals->mask, NULL);
}

/* Whether the kernel has sent the signal to the command as well: a terminal's go to all of its
 * foreground group, but its end is told to the session's leader alone. */
static bool is_of_terminal(const struct signalfd_siginfo *info)
{
    return info->ssi_code == SI_KERNEL && !(info->ssi_signo == SIGHUP && getsid(0) == getpid());
}

static void pass_on(struct run *run)
{
    struct signalfd_siginfo info;

    while (read(run->signals.fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            continue;
        if (is_of_terminal(&info))
            run->signals.interrupted |= info.ssi_signo == SIGINT;
        else if (run->process != NULL)
            (void)weir_process_kill(run->process, (int)info.ssi_signo);
        else
            kill(run->pid, (int)info.ssi_signo);
    }
}

/* A shell ends its loop at Ctrl-C if the program has died of it, not if its status says so. */
static void die_as(const struct run *run, int status)
{
    struct sigaction fresh = {.sa_handler = SIG_DFL};
    sigset_t interrupt;

    if (status != RUN_SIGNALLED + SIGINT || !run->signals.interrupted)
        return;
    sigaction(SIGINT, &fresh, NULL);
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_UNBLOCK, &interrupt, NULL);
    raise(SIGINT);
}

/* ---- the scope ------------------------------------------------------------------------------ */

static int check_name(struct run *run)
{
    const char *name = run->name, *why = NULL;

    if (*name == '\0')
        why = "is empty";
    else if (strlen(name) > NAME_MAX_SIZE)
        why = "is too long: at most 64 bytes";
    else if (*name == '.')
        why = "begins with a dot";
    else if (strchr(name, '/') != NULL)
        why = "has a slash in it";
    if (why == NULL)
        return 0;
    tool_say("the name \"%s\" of a scope's socket %s", tool_escape(run->heap, run->name), why);
    return -EINVAL;
}

static bool is_private(const char *folder)
{
    struct stat st;

    return folder != NULL && folder[0] == '/' && lstat(folder, &st) == 0 && S_ISDIR(st.st_mode) &&
           st.st_uid == geteuid() && (st.st_mode & 07777) == 0700;
}

/* In a folder that the manager makes and sees to be private. The same for the same name, so that
 * programs elsewhere can connect. */
static const char *choose_address(struct run *run)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR"), *name = run->name;
    uint32_t random = 0;

    if (name == NULL) {
        (void)!getrandom(&random, sizeof(random), 0);
        name = tool_print(run->heap, "run-%d-%08" PRIx32, (int)getpid(), random);
    }
    if (is_private(runtime)) {
        const char *address = tool_print(run->heap, "%s/weir/%s", runtime, name);

        if (strlen(address) <= WEIR__ADDRESS_MAX)
            return address;
    }
    return tool_print(run->heap, "/tmp/weir-%u/%s", (unsigned)geteuid(), name);
}

static int set_key_file(const char *path)
{
    char *whole;
    int result;

    if (path == NULL)
        return unsetenv("WEIR_KEY_FILE");
    whole = realpath(path, NULL); /* the command may go to another folder */
    result = whole == NULL ? -1 : setenv("WEIR_KEY_FILE", whole, 1);
    free(whole);
    return result;
}

static int set_environment(const struct run *run, const char *address)
{
    if (setenv("WEIR_ADDRESS", address, 1) == 0 && set_key_file(run->key_file) == 0)
        return 0;
    tool_say("cannot set the environment: %s", strerror(errno));
    return -1;
}

static void say_last_error(struct run *run, const char *what)
{
    tool_say("%s: %s", what, tool_escape(run->heap, weir_last_error()->message));
}

static int begin(struct run *run)
{
    weir_scope_options options = {.address = choose_address(run)};

    if (run->key_file != NULL) {
        if (weir__key_file_read(run->key_file, &run->key) < 0) {
            say_last_error(run, "no key");
            return -1;
        }
        options.authkey = run->key.bytes;
        options.authkey_size = run->key.size;
    }
    run->scope = weir_scope_begin(&options);
    explicit_bzero(&run->key, sizeof(run->key));
    if (run->scope == NULL) {
        say_last_error(run, "cannot begin a scope");
        return -1;
    }
    return set_environment(run, options.address);
}

/* ---- the command ---------------------------------------------------------------------------- */

/* In a process of its own. Returns the status with which that ends. */
static int execute(void *arg)
{
    const uint64_t one = 1;
    struct run *run = arg;
    int error;

    give_back_signals(&run->signals);
    if (run->settled >= 0)
        (void)!write(run->settled, &one, sizeof(one));
    execvp(run->argv[0], run->argv);
    error = errno;
    tool_say("cannot run \"%s\": %s", tool_escape(run->heap, run->argv[0]), strerror(error));
    return error == ENOENT ? RUN_NOT_FOUND : RUN_NOT_EXECUTABLE;
}

/* Until then it passes over what it is sent. */
static void await_settled(const struct run *run)
{
    struct pollfd polled[] = {{.fd = run->settled, .events = POLLIN},
                              {.fd = run->pidfd, .events = POLLIN}};

    if (run->settled >= 0 && run->pidfd >= 0)
        poll(polled, 2, -1);
}

static int start_process(struct run *run)
{
    const weir_process_options options = {.keep_stdin = true};

    run->settled = eventfd(0, EFD_CLOEXEC);
    run->process = weir_process_start_with(run->scope, execute, run, &options);
    if (run->process == NULL) {
        say_last_error(run, "cannot start a process");
        return -1;
    }
    run->pidfd = weir__pidfd_open(weir_process_pid(run->process));
    await_settled(run);
    return 0;
}

static int start(struct run *run)
{
    if (run->kill)
        return start_process(run);
    run->pid = fork();
    if (run->pid == 0)
        _exit(execute(run));
    if (run->pid < 0)
        tool_say("cannot fork: %s", strerror(errno));
    return run->pid < 0 ? -1 : 0;
}

/* Whether the command has ended: *status. `timeout_ms`: how long to wait for that, with --kill. */
static bool has_ended(struct run *run, int timeout_ms, int *status)
{
    int result, code = 0;

    if (run->process == NULL) {
        if (waitpid(run->pid, &code, WNOHANG) != run->pid)
            return false;
        *status = WIFSIGNALED(code) ? RUN_SIGNALLED + WTERMSIG(code) : WEXITSTATUS(code);
        return true;
    }
    result = weir_process_join(run->process, timeout_ms, &code);
    if (result == -ETIMEDOUT)
        return false;
    *status = code < 0 ? RUN_SIGNALLED - code : code;
    if (result == WEIR_EDIED) {
        say_last_error(run, "how the command ended is not known");
        *status = RUN_FAILED;
    }
    return true;
}

static int await(struct run *run)
{
    struct pollfd polled[] = {{.fd = run->signals.fd, .events = POLLIN},
                              {.fd = run->pidfd, .events = POLLIN}};
    const int timeout_ms = run->kill && run->pidfd < 0 ? LOOK_MS : 1000;
    int status = RUN_FAILED;

    do {
        poll(polled, 2, timeout_ms);
        pass_on(run);
    } while (!has_ended(run, polled[1].revents != 0 ? -1 : 0, &status));
    return status;
}

static int run_command(struct run *run)
{
    int status = RUN_FAILED, error = take_signals(&run->signals, run->kill);

    run->pidfd = run->settled = -1;
    if (error < 0) {
        tool_say("cannot take signals: %s", strerror(-error));
        return RUN_FAILED;
    }
    if (begin(run) == 0 && start(run) == 0)
        status = await(run);
    weir_process_free(run->process);
    if (run->pidfd >= 0)
        close(run->pidfd);
    if (run->settled >= 0)
        close(run->settled);
    if (weir_scope_end(run->scope) < 0)
        say_last_error(run, "cannot end the scope");
    close(run->signals.fd);
    die_as(run, status);
    return status;
}

/* ---- the subcommand ------------------------------------------------------------------------- */

static int run_with(struct tool_heap *heap, int argc, char **argv,
                    const struct tool_command *command)
{
    static const struct option known[] = {
        {"name", required_argument, NULL, 'n'},
        {"key", required_argument, NULL, 'k'},
        {"kill", no_argument, NULL, 'K'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct run run = {.heap = heap};
    int option, status;

    while ((option = tool_next_option(argc, argv, "+h", known, command, &status)) > 0) {
        switch (option) {
        case 'n':
            run.name = optarg;
            break;
        case 'k':
            run.key_file = optarg;
            break;
        case 'K':
            run.kill = true;
            break;
        default:
            break;
        }
    }
    if (option < 0)
        return status == TOOL_DONE ? TOOL_DONE : RUN_FAILED;
    if (optind == argc) {
        tool_say("there is no command to run");
        tool_usage(command, NULL);
        return RUN_FAILED;
    }
    if (run.name != NULL && check_name(&run) < 0)
        return RUN_FAILED;
    run.argv = argv + optind;
    return run_command(&run);
}

const struct tool_command tool_run = {
    .name = "run",
    .summary = "run a command in a scope, which ends with it",
    .usage = "[--name NAME] [--key FILE] [--kill] [--] COMMAND [ARGUMENT]...",
    .help = "  --name NAME          the scope's socket is $XDG_RUNTIME_DIR/weir/NAME, or\n"
            "                       /tmp/weir-UID/NAME, where other programs of yours can connect\n"
            "  --key FILE           who connects has to know what is in FILE, 1 to 1024 bytes\n"
            "  --kill               what the command leaves behind is ended with it\n"
            "  -h, --help           this\n"
            "COMMAND and all that it starts find the scope by WEIR_ADDRESS in their environment:\n"
            "weir_scope_connect(NULL, NULL, 0) in C, weir.connect() in Python.\n"
            "The status is COMMAND's, 128 + N if signal N killed it, 127 if it is not found, 126 "
            "if it\n"
            "cannot be run, and 125 if weir failed.\n",
    .run = run_with,
    .operands = true,
};
