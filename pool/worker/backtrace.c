/* SPDX-License-Identifier: MIT
 *
 * backtrace.c: where a worker was when it crashed.
 *
 * A handler on a stack of its own (the worker's may be what has run out) writes to stderr and lets
 * the signal do its work: the worker dies of it as it would have, so the supervisor reports the
 * same. It cannot keep a worker from dying: a second crash inside it, and a lock of the loader's
 * that the crash has left locked, end it by the default action or by SIGALRM.
 *
 * Signals that the program ignores or that the user's initializer catches later are left to them.
 */
#include "pool/worker/backtrace.h"

#include <execinfo.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define STACK_SIZE  ((size_t)128 << 10)
#define FRAMES_MAX  64
#define GIVE_UP_S   5
#define HEADER_SIZE 160

static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};

/* Everything here is for a signal handler: no stdio. */

static void append(char *out, const char *text)
{
    size_t used = strlen(out);

    while (*text != '\0' && used < HEADER_SIZE - 1)
        out[used++] = *text++;
    out[used] = '\0';
}

static void append_number(char *out, uint64_t number, unsigned base)
{
    char digits[24];
    size_t at = sizeof(digits) - 1;

    digits[at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    append(out, digits + at);
}

static void put_text(const char *text)
{
    ssize_t put = write(STDERR_FILENO, text, strlen(text));

    (void)put;
}

static void put_header(int number, const siginfo_t *info)
{
    const char *name = sigabbrev_np(number);
    char text[HEADER_SIZE] = "", process[16] = "worker";

    prctl(PR_GET_NAME, process);
    append(text, process);
    append(text, " (pid ");
    append_number(text, (uint64_t)getpid(), 10);
    append(text, ") crashed by SIG");
    append(text, name != NULL ? name : "?");
    if (info->si_code > 0 && number != SIGABRT) { /* by the kernel: a fault */
        append(text, " at address 0x");
        append_number(text, (uint64_t)(uintptr_t)info->si_addr, 16);
    }
    append(text, ":\n");
    put_text(text);
}

/* Not for ever, whatever the crash has left locked. */
static void set_limit(void)
{
    struct sigaction fresh = {.sa_handler = SIG_DFL};
    sigset_t alarm_signal;

    sigemptyset(&alarm_signal);
    sigaddset(&alarm_signal, SIGALRM);
    sigaction(SIGALRM, &fresh, NULL);
    sigprocmask(SIG_UNBLOCK, &alarm_signal, NULL);
    alarm(GIVE_UP_S);
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    void *frames[FRAMES_MAX];
    int count;

    (void)context;
    set_limit();
    put_header(number, info);
    count = backtrace(frames, FRAMES_MAX);
    if (count > 1)
        backtrace_symbols_fd(frames + 1, count - 1, STDERR_FILENO); /* without this function */
    /* The handler is reset (SA_RESETHAND), and the signal blocked until this returns. */
    raise(number);
}

void weir__backtrace_install(void)
{
    struct sigaction before, action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND};
    stack_t stack = {.ss_size = STACK_SIZE};
    void *frame;

    stack.ss_sp =
        mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL) < 0)
        return;
    backtrace(&frame, 1); /* loads what it needs, which a handler must not */
    action.sa_sigaction = on_crash;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(signals[i], &action, NULL);
    }
}
