/* SPDX-License-Identifier: MIT
 *
 * fork.c: forking the supervisor so that the host does not see it.
 *
 * An intermediate process forks the supervisor and ends at once, so the supervisor is the child of
 * init (or of a subreaper). The intermediate is cloned without an exit signal: the host gets no
 * SIGCHLD for it, and no wait() of the host's finds it (but one with __WALL), at no moment. It
 * shares the host's memory and suspends the calling thread, as vfork does, so the host is copied
 * once and not twice.
 *
 * The fork itself is glibc's fork(), as the host may have threads: it leaves malloc usable in the
 * child. It is called in the intermediate, on a stack of its own, but with the thread's
 * locks, handlers and thread-local memory, all of which are the host's. The child goes back to the
 * stack of the calling thread, of which it has a copy: it looks as if that thread had forked it.
 *
 * Where such a clone is refused, the thread calls fork() itself, and the copy, on the same stack,
 * forks the supervisor and ends (intermediate.c). The host is copied twice then.
 *
 * All signals are blocked from before the fork until the child has its own dispositions.
 *
 * Failure modes. The intermediate is killed: the thread goes on, and finds the lifeline closed, or
 * a supervisor that lives. Only if that happens within fork(), in a program with threads, malloc's
 * locks stay taken; no other process knows its pid, and a kill of its group kills the host too.
 */
#include "pool/host/fork.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#if WEIR_HAS_CONTEXTS
#include <ucontext.h>
#else
#include <setjmp.h> /* of musl; glibc refuses a jump to another stack (_FORTIFY_SOURCE) */
#endif
#if __has_include(<sys/single_threaded.h>) /* glibc 2.32 */
#include <sys/single_threaded.h>
#define HAS_ONE_THREAD __libc_single_threaded
#else
#define HAS_ONE_THREAD false /* it is not known */
#endif
#if __has_include(<sys/rseq.h>) /* glibc 2.35 */
#include <sys/rseq.h>
#endif

#include "manager/host/intermediate.h"
#include "manager/internal.h"
#include "manager/space/pidfd.h"
#include "pool/control/exit_guard.h"
#include "pool/control/hello.h"
#include "pool/control/pause.h"
#include "pool/control/supervision.h"
#include "pool/host/openmp.h"
#include "shm/clock.h"
#include "shm/error.h"

#define STACK_SIZE       ((size_t)8 << 20) /* as a thread has: for pthread_atfork() handlers */
#define STACK_SIZE_MIN   ((size_t)256 << 10)
#define STACK_GUARD      ((size_t)64 << 10) /* a page, whatever its size */
#define RSEQ_SIZE        32    /* of the first version, which every kernel with rseq takes */
#define HELLO_TIMEOUT_MS 60000 /* without a sign of life */
#define LAST_DEATHS_MS   500   /* from the end of a supervisor to that of its workers */
#define KILL_MS          2000  /* for a supervisor that kills its workers */
#define KILLED_MS        1000  /* for one that was killed */

/* Buffered output of this process that a forked child would print a second time. */
static void flush_before_fork(void)
{
    FILE *streams[] = {stdout, stderr};

    /* In a program with threads another one may hold a stream's lock for as long as it likes,
     * blocked in a read from a terminal, say: only what can be had at once is flushed then. */
    if (HAS_ONE_THREAD) {
        fflush(NULL);
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (ftrylockfile(streams[i]) == 0) {
            fflush_unlocked(streams[i]);
            funlockfile(streams[i]);
        }
    }
}

static void pass_over(int number)
{
    (void)number;
}

/* As exec does: what was caught gets the default, what was ignored stays so. Signals that a
 * terminal sends to all its programs are passed over by a handler: a program that a task executes
 * has the default again. */
static void reset_signals(void)
{
    static const int passed_over[] = {SIGINT, SIGQUIT, SIGHUP};
    const struct sigaction pass = {.sa_handler = pass_over, .sa_flags = SA_RESTART};
    struct sigaction action, fresh = {.sa_handler = SIG_DFL};

    for (int number = 1; number < NSIG; number++) {
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN &&
            action.sa_handler != SIG_DFL)
            sigaction(number, &fresh, NULL);
    }
    sigaction(SIGCHLD, &fresh, NULL);
    for (size_t i = 0; i < sizeof(passed_over) / sizeof(passed_over[0]); i++) {
        if (sigaction(passed_over[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaction(passed_over[i], &pass, NULL);
    }
}

/* Opens /dev/null in place of closed standard streams, so that output does not reach a descriptor
 * that was opened later. */
static void fill_streams(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    close(fd);
}

/* Tools that tasks run would read what is the program's to read, and so would tasks, from the copy
 * of stdin's buffer. A descriptor that no tool inherits is a file of the program's own that happens
 * to have the number. Without /dev/null a pipe without a writer is as empty. False: errno. */
static bool empty_stdin(void)
{
    const int flags = fcntl(STDIN_FILENO, F_GETFD);
    int ends[2], fd;

    if (flags >= 0 && (flags & FD_CLOEXEC))
        return true;
    fd = open("/dev/null", O_RDONLY);
    if (fd < 0 && pipe(ends) == 0) {
        fd = ends[0];
        close(ends[1]);
    }
    if (fd < 0 || dup2(fd, STDIN_FILENO) < 0)
        return false;
    if (fd != STDIN_FILENO)
        close(fd);
    if (stdin != NULL && fileno(stdin) == STDIN_FILENO)
        __fpurge(stdin);
    return true;
}

/* What is passed to the intermediate and the child; on the stack of the calling thread. */
struct start {
    struct weir__control *control;
    weir_scope *scope;
    const struct weir__inherited *inherited;
    struct weir__descriptor end;    /* of the lifeline, the child's */
    const struct weir__keeps *kept; /* what else the child keeps */
    char *stack;                    /* of the intermediate */
    size_t stack_size;
    volatile bool forks; /* the intermediate is within fork(): if it is gone, it was killed there */
    /* Where the child goes on. */
#if WEIR_HAS_CONTEXTS
    ucontext_t thread;
    volatile bool is_child; /* set in the child's copy */
#else
    jmp_buf thread;
#endif
};

/* The kernel forgets this registration in the intermediate, which shares memory, and so in what it
 * forks; glibc would then take an old number for that of the CPU. */
static void register_rseq(void)
{
#if defined(RSEQ_SIG) && defined(SYS_rseq)
    struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);

    /* EBUSY: it is registered, as this process was forked by a copy (intermediate.c). */
    if (__rseq_size > 0 && syscall(SYS_rseq, area, RSEQ_SIZE, 0, RSEQ_SIG) != 0 && errno != EBUSY)
        area->cpu_id = (uint32_t)RSEQ_CPU_ID_REGISTRATION_FAILED; /* glibc asks the kernel then */
#endif
}

/* The lowest number from `from` on that stays open; INT_MAX: there is none. */
static int next_kept(const struct start *start, int from)
{
    const int own[] = {STDIN_FILENO,
                       STDOUT_FILENO,
                       STDERR_FILENO,
                       start->end.fd,
                       start->kept->event_end != NULL ? start->kept->event_end->fd : -1,
                       start->kept->watch->fd,
                       start->kept->trace != NULL ? start->kept->trace->fd : -1};
    int next = weir__scope_next_descriptor(start->scope, from);

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        next = own[i] >= from && own[i] < next ? own[i] : next;
    for (size_t i = 0; i < start->inherited->pass_count; i++) {
        const int pass = start->inherited->pass[i];

        next = pass >= from && pass < next ? pass : next;
    }
    return next;
}

static void close_others(const struct start *start)
{
    int from = 0, kept;

    do {
        kept = next_kept(start, from);
        weir__close_numbers(from, kept == INT_MAX ? INT_MAX : kept - 1, false);
        from = kept < INT_MAX ? kept + 1 : INT_MAX;
    } while (kept < INT_MAX);
}

_Noreturn static void end_with_message(const struct start *start, int error, const char *what)
{
    struct weir__hello hello = {.code = -error};

    snprintf(hello.message, sizeof(hello.message), "%s: %s", what, strerror(error));
    weir__lifeline_send(start->end.fd, &hello, sizeof(hello));
    _exit(1);
}

_Noreturn static void child_main(struct start *start)
{
    register_rseq();
    munmap(start->stack, start->stack_size);
    weir__descriptors_close_all((struct weir__descriptor *[]){&start->end, start->kept->event_end,
                                                              start->kept->watch,
                                                              start->kept->trace},
                                4);
    reset_signals();
    weir__exit_guard_arm();
    weir__scope_after_fork_child(start->scope);
    if (start->inherited->close)
        close_others(start);
    if (!start->inherited->keep_stdin && !empty_stdin())
        end_with_message(start, errno, "workers cannot have an empty standard input");
    fill_streams();
    weir__supervisor_main(start->control, start->scope, start->end.fd);
}

/* The stack of which it has a copy may be above or below this one. */
__attribute__((no_sanitize("address", "undefined"))) static void go_to_thread(struct start *start)
{
#if WEIR_HAS_CONTEXTS
    start->is_child = true;
    setcontext(&start->thread);
#else
    longjmp(start->thread, 1);
#endif
}

/* Not instrumented: the sanitizer does not know the stack that this runs on. */
__attribute__((no_sanitize("address", "undefined"))) static void intermediate(void *arg,
                                                                              bool is_copy)
{
    struct start *start = arg;
    pid_t pid;

    start->forks = true;
    pid = is_copy ? _Fork() : fork();
    if (pid == 0 && is_copy)
        child_main(start); /* it is on a copy of the thread's stack, and fork() has run */
    if (pid == 0)
        go_to_thread(start);
    start->forks = false;
    if (pid < 0) {
        struct weir__hello hello = {.code = -errno};

        snprintf(hello.message, sizeof(hello.message), "cannot fork the supervisor: %s",
                 strerror(errno));
        weir__lifeline_send(start->end.fd, &hello, sizeof(hello));
    }
}

/* Waits of this process are cut into ticks; time in which it stood still does not count. After a
 * wait for a tick. */
static int64_t paused_ns(int64_t before, int tick)
{
    return tick > 0 ? weir__pause_after(before + tick * INT64_C(1000000), weir__now_ns()) : 0;
}

/* A large program takes long to be copied, and is so for each worker: as long as one is forked
 * after the other the process is at work. */
static int wait_for_hello(const struct weir__detached *detached, struct weir__hello *hello)
{
    const int64_t silence = INT64_C(1000000) * HELLO_TIMEOUT_MS;
    const int lifeline = detached->lifeline.fd;
    struct pollfd poll_fd = {.fd = lifeline, .events = POLLIN};
    int64_t limit = weir__now_ns() + silence;
    uint64_t started = 0, seen;
    ssize_t got;

    for (;;) {
        const int64_t before = weir__now_ns();
        const int tick = weir__tick_ms(limit - before);
        const int ready = poll(&poll_fd, 1, tick);

        if (ready > 0)
            break;
        limit += paused_ns(before, tick);
        seen = atomic_load(&detached->control->status.workers_started);
        if (seen != started)
            limit = weir__now_ns() + silence;
        else if (ready == 0 && weir__now_ns() < limit)
            continue;
        else if (ready == 0)
            return weir__fail(-ETIMEDOUT, "the supervisor was not ready within %d ms",
                              HELLO_TIMEOUT_MS);
        else if (errno != EINTR)
            return weir__fail(-errno, "waiting for the supervisor: %s", strerror(errno));
        started = seen;
    }
    do
        got = recv(lifeline, hello, sizeof(*hello), 0);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof(*hello))
        return weir__fail(WEIR_EDIED, "the supervisor died before it was ready");
    hello->message[sizeof(hello->message) - 1] = '\0';
    if (hello->code != 0)
        return weir__fail(hello->code, "%s", hello->message);
    return 0;
}

/* Runs the intermediate, which is gone when this returns. 0 or an errno. */
static int run_intermediate(struct start *start)
{
#if WEIR_HAS_CONTEXTS
    if (getcontext(&start->thread) != 0)
        return errno;
    if (start->is_child)
        child_main(start);
#else
    if (setjmp(start->thread) != 0)
        child_main(start);
#endif
    return weir__run_intermediate(
        &(struct weir__intermediate){intermediate, start, start->stack + start->stack_size, fork});
}

/* With a guard below it, so that a handler that needs more ends the intermediate and does not write
 * to what is mapped there. Where there is little address space it is smaller. False: errno. */
static bool map_stack(struct start *start)
{
    void *stack = MAP_FAILED;

    for (start->stack_size = STACK_SIZE; stack == MAP_FAILED; start->stack_size /= 2) {
        if (start->stack_size < STACK_SIZE_MIN)
            return false;
        stack = mmap(NULL, start->stack_size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
        if (stack != MAP_FAILED)
            break;
    }
    start->stack = stack;
    mprotect(stack, STACK_GUARD, PROT_NONE);
    return true;
}

/* 0 or an errno. */
static int fork_child(struct start *start)
{
    sigset_t all, before;
    int error;

    if (!map_stack(start))
        return errno;
    flush_before_fork();
    weir__openmp_release_threads();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    weir__scope_before_fork(start->scope);
    weir__descriptors_lock();
    if (weir__exit_guard_set(start)) {
        error = run_intermediate(start);
        weir__exit_guard_lift(start);
    } else {
        error = errno;
    }
    weir__descriptors_unlock();
    weir__scope_after_fork_parent(start->scope);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(start->stack, start->stack_size);
    return error;
}

static int fail_fork_killed(const struct start *start)
{
    return weir__fail(
        WEIR_EDIED,
        "the process that forks the supervisor was killed: a pthread_atfork() handler of "
        "the program crashed there, or needs more than its %zu KiB of stack",
        (start->stack_size - STACK_GUARD) >> 10);
}

/* A process that another thread forks meanwhile has neither end: it would keep this supervisor
 * alive when the program calls exec. */
static int make_lifeline(struct weir__descriptor *hosts, struct weir__descriptor *childs)
{
    const int error = weir__descriptor_socket_pair(hosts, childs, SOCK_SEQPACKET);

    if (error == 0)
        return 0;
    return weir__fail(error, "cannot make a socket pair for a supervisor: %s", strerror(-error));
}

/* A supervisor that has done its work by now, or was killed, may be reaped already: ESRCH. There is
 * no pidfd then, and its closed end of the lifeline says the same. */
static int open_pidfd(struct weir__detached *out)
{
    int pidfd, error;

    weir__descriptors_lock();
    pidfd = weir__above_streams(weir__pidfd_open(out->pid));
    error = errno;
    weir__descriptor_set_pidfd(&out->pidfd, pidfd, out->pid);
    weir__descriptor_list(&out->pidfd);
    weir__descriptors_unlock();
    if (pidfd >= 0 || error == ESRCH)
        return 0;
    return weir__fail(
        -error,
        "cannot open a pidfd of the supervisor: %s (pidfd_open() needs Linux 5.3, and "
        "a sandbox that lets it pass)",
        strerror(error));
}

int weir__inherited_check(const struct weir__inherited *inherited)
{
    if (inherited->pass_count > 0 && (!inherited->close || inherited->pass == NULL))
        return weir__fail(-EINVAL, inherited->pass == NULL
                                       ? "pass_descriptors is NULL, and pass_count is not 0"
                                       : "pass_descriptors is for close_descriptors, which is not "
                                         "set");
    for (size_t i = 0; i < inherited->pass_count; i++) {
        if (inherited->pass[i] < 0)
            return weir__fail(-EINVAL, "pass_descriptors[%zu] is %d; it must not be negative", i,
                              inherited->pass[i]);
    }
    return 0;
}

/* What the environment says, WEIR_LOG: 1, 0, or a negative error. */
static int read_log(void)
{
    const char *said = secure_getenv("WEIR_LOG");

    if (said == NULL || said[0] == '\0')
        return 0;
    if (strcmp(said, "stderr") == 0)
        return 1;
    return weir__fail(-EINVAL, "WEIR_LOG is \"%.40s\" in the environment; it can only be stderr",
                      said);
}

int weir__fork_supervisor(struct weir__control *control, weir_scope *scope,
                          const struct weir__inherited *inherited, const struct weir__keeps *kept,
                          void (*meanwhile)(struct weir__control *), struct weir__detached *out)
{
    struct start start = {.control = control, .scope = scope, .inherited = inherited, .kept = kept};
    struct weir__hello hello = {.pid = 0};
    const int log = read_log();
    int result;

    *out = WEIR__DETACHED_NONE;
    control->log = log > 0;
    out->control = control;
    result = log < 0 ? log : make_lifeline(&out->lifeline, &start.end);
    if (result < 0) {
        weir__descriptor_close(kept->watch);
        return result;
    }
    result = fork_child(&start);
    weir__descriptor_close(&start.end);
    weir__descriptor_close(kept->watch);
    if (result != 0) {
        weir__descriptor_close(&out->lifeline);
        return weir__fail(-result, "cannot fork: %s", strerror(result));
    }
    if (meanwhile != NULL)
        meanwhile(control);
    result = wait_for_hello(out, &hello);
    if (result < 0 && start.forks)
        result = fail_fork_killed(&start);
    if (result == 0) {
        out->pid = hello.pid;
        result = open_pidfd(out);
    }
    if (result < 0)
        weir__detached_end(out, scope);
    return result;
}

/* ---- what the program has left of it --------------------------------------------------------- */

bool weir__detached_is_lost(const struct weir__detached *detached)
{
    return detached->lifeline.fd >= 0 && !weir__descriptor_is_own(&detached->lifeline);
}

int weir__detached_pidfd(struct weir__detached *detached)
{
    struct weir__descriptor *own = &detached->pidfd;

    if (own->fd < 0 || weir__descriptor_is_own(own) ||
        weir__descriptor_reopen_pidfd(own, detached->pid))
        return own->fd;
    return -1;
}

/* Sends nothing. A number that is another process's by now makes a wait last to its limit. */
static bool is_no_process(pid_t pid)
{
    return pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH);
}

static bool are_workers_gone(const struct weir__control *control)
{
    for (int i = 0; i < control->workers; i++) {
        if (!is_no_process(atomic_load(&control->slots[i].pid)))
            return false;
    }
    return true;
}

/* ---- orders and ends ------------------------------------------------------------------------- */

void weir__detached_ring(const struct weir__detached *detached)
{
    const char ring = 0;

    /* EAGAIN: there are rings that it has not seen, so it will look. */
    if (!weir__descriptor_is_own(&detached->lifeline))
        return; /* the program has closed it, and so the process ends */
    if (!weir__lifeline_send(detached->lifeline.fd, &ring, 1) && errno != EAGAIN)
        shutdown(detached->lifeline.fd, SHUT_WR);
}

static void send_signal(const struct weir__detached *detached, int number)
{
    int pidfd = weir__descriptor_fd(&detached->pidfd);

    if (pidfd >= 0)
        weir__pidfd_send_signal(pidfd, number);
}

void weir__detached_continue(const struct weir__detached *detached)
{
    send_signal(detached, SIGCONT);
}

void weir__detached_order(const struct weir__detached *detached, uint32_t order)
{
    atomic_fetch_or(&detached->control->orders, order);
    weir__detached_ring(detached);
    weir__detached_continue(detached);
}

void weir__detached_kill(struct weir__detached *detached)
{
    weir__detached_order(detached, ORDER_KILL);
    if (weir__detached_wait(detached, weir__end_ms(detached->control, KILL_MS)))
        return;
    send_signal(detached, SIGKILL);
    weir__detached_wait(detached, weir__end_ms(detached->control, KILLED_MS));
}

/* The supervisor is gone: its workers, which the kernel has signalled, need not much longer. */
static int64_t shortened(const struct weir__detached *detached, int64_t limit)
{
    const int64_t last =
        weir__now_ns() + INT64_C(1000000) * weir__end_ms(detached->control, LAST_DEATHS_MS);

    return limit < last ? limit : last;
}

/* The end of file on the lifeline says that the process and all that it forked are gone. But a copy
 * of its end may be in a process that another thread of the host forked at the wrong moment; then
 * the pidfd tells of the process, and the kernel kills its workers with it. */
static bool wait_with_lifeline(const struct weir__detached *detached, int pidfd, int64_t limit)
{
    const struct timespec step = {.tv_nsec = 1000000};
    bool gone = false;
    int64_t remaining;

    do {
        struct pollfd poll_fds[] = {{.fd = detached->lifeline.fd, .events = POLLIN},
                                    {.fd = gone ? -1 : pidfd, .events = POLLIN}};
        const int64_t before = weir__now_ns();
        const int tick = weir__tick_ms(limit - before);
        char byte;
        ssize_t got;
        int ready;

        ready = poll(poll_fds, 2, tick);
        limit += paused_ns(before, tick);
        remaining = limit - before;
        if (ready < 0 && errno != EINTR)
            nanosleep(&step, NULL); /* no memory for it: the lifeline is looked at all the same */
        got = recv(detached->lifeline.fd, &byte, 1, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
            return true;
        if (!gone && ready > 0 && poll_fds[1].revents != 0) {
            gone = true;
            limit = shortened(detached, limit);
        }
    } while (remaining > 0);
    return gone;
}

/* The program has closed the lifeline. What has ended is looked at by its number, which can only be
 * too late. */
static bool wait_without_lifeline(const struct weir__detached *detached, int pidfd, int64_t limit)
{
    const struct timespec step = {.tv_nsec = 1000000};
    bool gone = false;

    for (;;) {
        struct pollfd ended = {.fd = pidfd, .events = POLLIN};
        int64_t before;

        if (!gone && (pidfd >= 0 ? poll(&ended, 1, 0) > 0 : is_no_process(detached->pid))) {
            gone = true;
            limit = shortened(detached, limit);
        }
        if (gone && are_workers_gone(detached->control))
            return true;
        before = weir__now_ns();
        if (before >= limit)
            return gone;
        nanosleep(&step, NULL);
        limit += paused_ns(before, 1);
    }
}

bool weir__detached_wait(struct weir__detached *detached, int timeout_ms)
{
    const int64_t limit = weir__now_ns() + (int64_t)timeout_ms * 1000000;
    int pidfd = weir__detached_pidfd(detached);

    return weir__descriptor_is_own(&detached->lifeline)
               ? wait_with_lifeline(detached, pidfd, limit)
               : wait_without_lifeline(detached, pidfd, limit);
}

void weir__detached_end(struct weir__detached *detached, weir_scope *scope)
{
    int pidfd;

    if (detached->lifeline.fd >= 0) {
        /* Closing its lifeline ends a supervisor that works; one that does not is killed. */
        if (weir__descriptor_is_own(&detached->lifeline))
            shutdown(detached->lifeline.fd, SHUT_WR);
        if (!weir__detached_wait(detached, weir__end_ms(detached->control, KILLED_MS))) {
            send_signal(detached, SIGKILL);
            weir__detached_wait(detached, weir__end_ms(detached->control, KILLED_MS));
        }
        weir__scope_close_own(scope, &detached->lifeline, "the lifeline of a pool or process");
    }
    pidfd = weir__detached_pidfd(detached);
    if (pidfd >= 0) {
        struct pollfd gone = {.fd = pidfd, .events = POLLIN};
        siginfo_t info;

        while (poll(&gone, 1, 1000) < 0 && errno == EINTR)
            ;
        /* Only where orphans come back to this process (PID 1, subreaper); elsewhere it is ECHILD.
         * By the pidfd: the number may be that of a child of the program's by now. */
        waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | __WALL);
    }
    weir__scope_close_own(scope, &detached->pidfd, "a supervisor's pidfd");
    *detached = WEIR__DETACHED_NONE;
}
