/* SPDX-License-Identifier: MIT
 *
 * inject: runs a program and all it starts under ptrace(2), and lets one system call of one role go
 * wrong.
 *
 *     inject count PROGRAM...                            how often each role makes each call
 *     inject ROLE CALL N kill|ERRNO once|ever PROGRAM... at the N-th CALL of a process of that
 * role: SIGKILL before the call, or the call is not made and fails; `ever`: and so do all later
 * ones
 *
 * strace can inject too, but its counters are per process and its filter is not: in a host that
 * forks a supervisor that forks workers, the n-th call of a worker cannot be had without that of
 * the host. Roles follow from who forked whom: host; what it starts is `between` (it ends at once);
 * what that starts by vfork and exec is the manager, by fork a supervisor; and what that forks are
 * workers. Only what the host does between its two marks counts, and what it starts there:
 * prctl(0x77656972, 1) and (…, 0). A program that connects to a scope says so itself:
 * prctl(0x77656972, 2).
 *
 * Prints one JSON line on descriptor 3. Whatever still lives after LIMIT_S is killed: "hang".
 */
#include "now.h"

#include <elf.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_S   20
#define MARK      0x77656972
#define CALLS     512
#define WAKES     (CALLS - 1) /* futex() that wakes: it cannot fail as one that waits can */
#define PROCESSES 4096

enum role { UNKNOWN, HOST, BETWEEN, MANAGER, SUPERVISOR, WORKER, CLIENT, ROLES };
static const char *const role_names[ROLES] = {"unknown",    "host",   "between", "manager",
                                              "supervisor", "worker", "client"};

struct process {
    pid_t pid; /* of the thread */
    enum role role;
    bool starting;  /* its first stop is ours */
    bool held;      /* stopped, until it is known whose it is */
    bool fail_this; /* the call that it is in fails */
    bool outside;   /* host: not between the marks */
    uint16_t counts[CALLS];
};

static struct process *processes[PROCESSES];
static int process_count;
static unsigned most[ROLES][CALLS]; /* calls that one process of the role made */

static struct {
    enum role role;
    int call, n, error; /* error 0: kill */
    bool ever;
} point;
static bool fired;
static double fired_at; /* the last time */
static pid_t host;
static int host_status = -1;

static struct process *find(pid_t pid)
{
    struct process *process;

    for (int i = process_count - 1; i >= 0; i--)
        if (processes[i]->pid == pid)
            return processes[i];
    if (process_count == PROCESSES)
        exit(3);
    process = calloc(1, sizeof *process);
    process->pid = pid;
    process->starting = true;
    processes[process_count++] = process;
    return process;
}

static void resume(const struct process *process, int signal)
{
    ptrace(PTRACE_SYSCALL, process->pid, NULL, (void *)(intptr_t)signal);
}

/* ---- the call ------------------------------------------------------------------------------- */

/* The registers of a stopped process, or with PTRACE_SETREGSET those that it goes on with. */
static void move_registers(pid_t pid, int request, int set, void *registers, size_t size)
{
    struct iovec part = {registers, size};

    ptrace((enum __ptrace_request)request, pid, (void *)(intptr_t)set, &part);
}

/* The call is not made. */
static void skip_call(pid_t pid)
{
#if defined(__x86_64__)
    struct user_regs_struct registers;

    move_registers(pid, PTRACE_GETREGSET, NT_PRSTATUS, &registers, sizeof registers);
    registers.orig_rax = (unsigned long long)-1;
    move_registers(pid, PTRACE_SETREGSET, NT_PRSTATUS, &registers, sizeof registers);
#elif defined(__aarch64__)
    int call = -1;

    move_registers(pid, PTRACE_SETREGSET, NT_ARM_SYSTEM_CALL, &call, sizeof call);
#endif
}

static void set_result(pid_t pid, int error)
{
    struct user_regs_struct registers;

    move_registers(pid, PTRACE_GETREGSET, NT_PRSTATUS, &registers, sizeof registers);
#if defined(__x86_64__)
    registers.rax = (unsigned long long)-error;
#elif defined(__aarch64__)
    registers.regs[0] = (unsigned long long)-error;
#endif
    move_registers(pid, PTRACE_SETREGSET, NT_PRSTATUS, &registers, sizeof registers);
}

static bool is_point(const struct process *process, int call)
{
    if (process->role != point.role || call != point.call)
        return false;
    return point.ever ? process->counts[call] >= point.n
                      : !fired && process->counts[call] == point.n;
}

static void enter(struct process *process, const struct __ptrace_syscall_info *info)
{
    int call = (int)info->entry.nr;

    if (call == SYS_futex && (info->entry.args[1] & FUTEX_CMD_MASK) == FUTEX_WAKE)
        call = WAKES;
    if (call == SYS_prctl && info->entry.args[0] == MARK && info->entry.args[1] == 2) {
        process->role = CLIENT;
        memset(process->counts, 0, sizeof process->counts);
        return;
    }
    if (call == SYS_prctl && info->entry.args[0] == MARK) {
        process->outside = info->entry.args[1] == 0;
        return;
    }
    if (call < 0 || call >= CALLS || process->outside)
        return;
    process->counts[call]++;
    if (process->counts[call] > most[process->role][call])
        most[process->role][call] = process->counts[call];
    if (!is_point(process, call))
        return;
    fired = true;
    fired_at = now_ms();
    if (point.error == 0) {
        kill(process->pid, SIGKILL); /* of the whole process */
    } else {
        skip_call(process->pid);
        process->fail_this = true;
    }
}

static void at_call(struct process *process)
{
    struct __ptrace_syscall_info info;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, process->pid, sizeof info, &info) <= 0)
        return;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        enter(process, &info);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && process->fail_this) {
        process->fail_this = false;
        set_result(process->pid, point.error);
    }
}

/* ---- who is who ----------------------------------------------------------------------------- */

static enum role role_of_child(const struct process *parent, int event)
{
    switch (parent->role) {
    case HOST:
        return BETWEEN;
    case BETWEEN:
        return event == PTRACE_EVENT_VFORK ? MANAGER : SUPERVISOR;
    case SUPERVISOR:
    case WORKER:
        return WORKER;
    default:
        return parent->role;
    }
}

static void at_fork(const struct process *parent, int event)
{
    unsigned long pid = 0;
    struct process *child;

    if (ptrace(PTRACE_GETEVENTMSG, parent->pid, NULL, &pid) < 0)
        return;
    child = find((pid_t)pid);
    child->role = role_of_child(parent, event);
    child->outside = parent->outside;
    if (child->held) {
        child->held = false;
        resume(child, 0);
    }
}

static void at_stop(struct process *process, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;

    if (process->starting) {
        process->starting = false;
        if (process->role == UNKNOWN)
            process->held = true; /* its parent's stop comes next */
        else
            resume(process, 0);
        return;
    }
    if (signal == (SIGTRAP | 0x80)) {
        at_call(process);
        signal = 0;
    } else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK ||
               event == PTRACE_EVENT_CLONE) {
        at_fork(process, event);
        signal = 0;
    } else if (event != 0) {
        signal = 0;
    }
    resume(process, signal);
}

/* ---- main ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int number;
} names[] = {
#define CALL(name)                                                                                 \
    {                                                                                              \
#name, SYS_##name                                                                          \
    }
#ifdef SYS_fork /* newer architectures have only what these became */
    CALL(access),
    CALL(arch_prctl),
    CALL(dup2),
    CALL(epoll_wait),
    CALL(fork),
    CALL(link),
    CALL(mkdir),
    CALL(poll),
    CALL(readlink),
    CALL(unlink),
    CALL(vfork),
#endif
    CALL(read),
    CALL(write),
    CALL(close),
    CALL(fstat),
    CALL(lseek),
    CALL(mmap),
    CALL(mprotect),
    CALL(munmap),
    CALL(brk),
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(pread64),
    CALL(pwrite64),
    CALL(madvise),
    CALL(nanosleep),
    CALL(getpid),
    CALL(socketpair),
    CALL(sendto),
    CALL(recvfrom),
    CALL(sendmsg),
    CALL(recvmsg),
    CALL(shutdown),
    CALL(clone),
    CALL(clone3),
    CALL(execve),
    CALL(wait4),
    CALL(waitid),
    CALL(kill),
    CALL(fcntl),
    CALL(flock),
    CALL(ftruncate),
    CALL(getdents64),
    CALL(chdir),
    CALL(fchmod),
    CALL(umask),
    CALL(getrlimit),
    CALL(prlimit64),
    CALL(sysinfo),
    CALL(setsid),
    CALL(geteuid),
    CALL(prctl),
    CALL(gettid),
    CALL(futex),
    CALL(sched_yield),
    CALL(sched_getaffinity),
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_pwait),
    CALL(openat),
    CALL(newfstatat),
    CALL(unlinkat),
    CALL(linkat),
    CALL(readlinkat),
    CALL(ppoll),
    CALL(fallocate),
    CALL(eventfd2),
    CALL(dup),
    CALL(dup3),
    CALL(pipe2),
    CALL(getrandom),
    CALL(getppid),
    CALL(tgkill),
    CALL(pidfd_open),
    CALL(close_range),
    CALL(pidfd_send_signal),
    CALL(exit_group),
    CALL(statfs),
    CALL(fstatfs),
    CALL(timerfd_create),
    CALL(set_robust_list),
    CALL(rseq),
    CALL(getsockopt),
    CALL(setsockopt),
    CALL(sched_setaffinity),
    CALL(clock_nanosleep),
    CALL(set_tid_address),
    CALL(faccessat),
    CALL(sigaltstack),
    CALL(uname),
    CALL(ioctl),
    CALL(rt_sigtimedwait),
    CALL(rt_sigpending),
    CALL(memfd_create),
    CALL(socket),
    CALL(connect),
    CALL(bind),
    CALL(listen),
    CALL(accept4),
    CALL(statx),
    CALL(getuid),
    CALL(umask),
    {"futex_wake", WAKES},
};

static int call_of(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0)
            return names[i].number;
    return atoi(name);
}

static void print_call(FILE *out, int call)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].number == call) {
            fprintf(out, "\"%s\"", names[i].name);
            return;
        }
    fprintf(out, "\"%d\"", call);
}

/* after_ms: from the fault until nobody is left. */
static void report(bool hang, double begin)
{
    FILE *out = fdopen(3, "w");
    const char *comma = "";

    if (out == NULL)
        exit(3);
    fprintf(out,
            "{\"fired\":%s,\"hang\":%s,\"status\":%d,\"ms\":%.2f,\"after_ms\":%.2f,"
            "\"counts\":{",
            fired ? "true" : "false", hang ? "true" : "false", host_status, now_ms() - begin,
            fired ? now_ms() - fired_at : 0);
    for (int role = HOST; role < ROLES; role++) {
        fprintf(out, "%s\"%s\":{", role > HOST ? "," : "", role_names[role]);
        comma = "";
        for (int call = 0; call < CALLS; call++) {
            if (most[role][call] == 0)
                continue;
            fprintf(out, "%s", comma);
            print_call(out, call);
            fprintf(out, ":%u", most[role][call]);
            comma = ",";
        }
        fprintf(out, "}");
    }
    fprintf(out, "}}\n");
    fclose(out);
}

static volatile sig_atomic_t too_long;

static void on_alarm(int signal)
{
    (void)signal;
    too_long = 1;
}

/* Until nobody is left. True: some were. */
static bool trace(void)
{
    int status;

    while (!too_long) {
        pid_t pid = waitpid(-1, &status, __WALL);

        if (pid < 0)
            return errno == EINTR;
        if (WIFSTOPPED(status))
            at_stop(find(pid), status);
        else if (pid == host)
            host_status = status;
    }
    return true;
}

static int start(char **program)
{
    host = fork();
    if (host == 0) {
        close(3);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(77);
        raise(SIGSTOP);
        execv(program[0], program);
        _exit(127);
    }
    if (host < 0 || waitpid(host, &host_status, 0) != host || !WIFSTOPPED(host_status))
        return -1;
    find(host)->role = HOST;
    find(host)->starting = false;
    find(host)->outside = true;
    return ptrace(PTRACE_SETOPTIONS, host, NULL,
                  (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                           PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL));
}

static char **parse(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "count") == 0)
        return argv + 2;
    if (argc < 7)
        return NULL;
    for (int role = HOST; role < ROLES; role++)
        if (strcmp(argv[1], role_names[role]) == 0)
            point.role = (enum role)role;
    point.call = call_of(argv[2]);
    point.n = atoi(argv[3]);
    point.error = atoi(argv[4]); /* "kill": 0 */
    point.ever = strcmp(argv[5], "ever") == 0;
    return point.role == UNKNOWN ? NULL : argv + 6;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_alarm};
    char **program = parse(argc, argv);
    double begin = now_ms();
    bool hang;

#if !defined(__x86_64__) && !defined(__aarch64__)
    printf("skipped: knows the registers of x86-64 and aarch64 only\n");
    return 77;
#endif
    if (program == NULL) {
        fprintf(stderr,
                "inject count PROGRAM... | inject ROLE CALL N kill|ERRNO once|ever PROGRAM...\n");
        return 2;
    }
    if (start(program) < 0) {
        printf("skipped: cannot trace here\n");
        return 77;
    }
    sigaction(SIGALRM, &action, NULL);
    alarm(LIMIT_S);
    resume(find(host), 0);
    hang = trace();
    report(hang, begin);
    return 0;
}
