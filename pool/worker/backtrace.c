/* SPDX-License-Identifier: MIT
 *
 * backtrace.c: where a worker was when it crashed, or is when it is asked.
 *
 * A handler on a stack of its own (the worker's may be what has run out) writes to stderr and lets
 * the signal do its work: the worker dies of it as it would have, so the supervisor reports the
 * same. It cannot keep a worker from dying: a second crash inside it, and a lock of the loader's
 * that the crash has left locked, end it by the default action or by SIGALRM. Names come from the
 * files themselves (symbol.c), so static functions have theirs.
 *
 * SIGQUIT asks: the same lines, and the worker goes on. They are one write, unless there are very
 * many, as several workers are asked at once. Its asker waits for slot.shown, and not for
 * long, as what the signal has interrupted may hold the loader's lock. A terminal's SIGQUIT is
 * passed over, as in any worker. A shell has what it starts in the background ignore SIGQUIT, and
 * that is where hung jobs are, so an ignored one is caught, too.
 *
 * Other signals that the program ignores, and any that the user's initializer catches later, are
 * left to them.
 */
#include "pool/worker/backtrace.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <ucontext.h>
#include <unistd.h>
#if __has_include(<execinfo.h>)
#include <execinfo.h>
#define HAS_EXECINFO 1
#else
#define HAS_EXECINFO 0
#endif

#include "pool/control/control.h"
#include "pool/control/log.h"
#include "pool/control/self.h"
#include "pool/control/symbol.h"

#define STACK_SIZE ((size_t)128 << 10)
#define FRAMES_MAX 64
#define GIVE_UP_S  5

static const struct {
    int number;
    const char *name;
} signals[] = {{SIGSEGV, "SIGSEGV"},
               {SIGBUS, "SIGBUS"},
               {SIGILL, "SIGILL"},
               {SIGFPE, "SIGFPE"},
               {SIGABRT, "SIGABRT"}};

static struct weir__control *control; /* of the pool; set before the handler is */

/* The calls to where the handlers are installed. Those that a later list of calls has in common
 * with it, from the program's beginning on, led the program to weir_pool_new(), where the worker
 * was forked: they say nothing. */
static void *calls_before[FRAMES_MAX];
static int calls_before_count;

/* Everything here is for a signal handler: no stdio. */

struct text {
    size_t size;
    char bytes[WEIR__LOG_MAX];
};

static void append(struct text *out, const char *text)
{
    while (*text != '\0' && out->size < sizeof(out->bytes))
        out->bytes[out->size++] = *text++;
}

static void append_number(struct text *out, uint64_t number, unsigned base)
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

static void append_hex(struct text *out, uint64_t number)
{
    append(out, "0x");
    append_number(out, number, 16);
}

static void put_text(struct text *text)
{
    if (text->size > 0)
        weir__log_put(control, text->bytes, text->size);
    text->size = 0;
}

static void put_process(struct text *text)
{
    char process[16] = "worker";

    prctl(PR_GET_NAME, process);
    append(text, process);
    append(text, " (pid ");
    append_number(text, (uint64_t)getpid(), 10);
    append(text, ")");
}

static void put_header(struct text *text, int number, const siginfo_t *info)
{
    const char *name = "a signal";

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (signals[i].number == number)
            name = signals[i].name;
    }
    put_process(text);
    append(text, " crashed by ");
    append(text, name);
    if (info->si_code > 0 && number != SIGABRT) { /* by the kernel: a fault */
        append(text, " at address ");
        append_hex(text, (uint64_t)(uintptr_t)info->si_addr);
    }
    append(text, ":\n");
    put_text(text);
}

/* "    function+0x12 (/path/of/file+0x1234)", or what of it is known. */
static void put_frame(struct text *text, uintptr_t address, unsigned back)
{
    struct weir__symbol symbol;

    weir__symbol_find(address, back, &symbol);
    if (text->size + WEIR__SYMBOL_NAME + WEIR__MAPPED_FILE + 64 > sizeof(text->bytes))
        put_text(text);
    append(text, "    ");
    append(text, symbol.name[0] != '\0' ? symbol.name : "??");
    if (symbol.name[0] != '\0') {
        append(text, "+");
        append_hex(text, symbol.offset);
    }
    append(text, " (");
    append(text, symbol.file);
    if (symbol.in_file != 0)
        append(text, "+");
    append_hex(text, symbol.in_file != 0 ? symbol.in_file : address);
    append(text, ")\n");
}

/* The calls that lead here; 0: libc cannot tell (musl). */
static int find_calls(void **frames, int most)
{
#if HAS_EXECINFO
    return backtrace(frames, most);
#else
    (void)frames;
    (void)most;
    return 0;
#endif
}

/* How many of the calls are the worker's own. */
static int without_calls_before(void *const *frames, int count)
{
    int before = calls_before_count;

    if (count == FRAMES_MAX)
        return count; /* these are not all, so their end is another one */
    while (before > 0 && count > 2 && frames[count - 1] == calls_before[before - 1]) {
        before--;
        count--;
    }
    return count;
}

/* The instruction that the signal has interrupted; 0: not known here. */
static uintptr_t interrupted(const ucontext_t *context)
{
#if defined(__x86_64__)
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#elif defined(__i386__)
    return (uintptr_t)context->uc_mcontext.gregs[REG_EIP];
#elif defined(__aarch64__)
    return (uintptr_t)context->uc_mcontext.pc;
#else
    (void)context;
    return 0;
#endif
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

/* The calls that have led to where the signal came. Inlined, so that no frame of this file's but
 * the handler's own is above them. */
static inline __attribute__((always_inline)) void put_calls(struct text *text,
                                                            const ucontext_t *context)
{
    const uintptr_t at = interrupted(context);
    void *frames[FRAMES_MAX];
    const int count = without_calls_before(frames, find_calls(frames, FRAMES_MAX));
    int first = 1; /* without the handler */

    if (count == 0 && at != 0)
        put_frame(text, at, 0);
    for (int i = first; i < count; i++) {
        if ((uintptr_t)frames[i] == at)
            first = i; /* without the signal's own frame */
    }
    for (int i = first; i < count; i++)
        put_frame(text, (uintptr_t)frames[i], (uintptr_t)frames[i] != at);
    put_text(text);
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    struct text text;

    text.size = 0;
    set_limit();
    put_header(&text, number, info);
    put_calls(&text, context);
    /* The handler is reset (SA_RESETHAND), and the signal blocked until this returns. */
    raise(number);
}

static void on_question(int number, siginfo_t *info, void *context)
{
    const int error = errno;
    struct text text;

    (void)number;
    if (info->si_code > 0) /* of the kernel, from a terminal */
        return;
    text.size = 0;
    put_process(&text);
    append(&text, " was asked where it is:\n");
    put_calls(&text, context);
    /* seq_cst; pairs with supervisor.c, is_showing() */
    atomic_store(&control->slots[weir__self.index].shown, 1);
    errno = error;
}

/* Also loads what find_calls() needs, which a handler must not. */
static void note_calls_before(void)
{
    const int count = find_calls(calls_before, FRAMES_MAX);

    calls_before_count = count < FRAMES_MAX ? count : 0; /* else they are not all */
}

void weir__backtrace_install(struct weir__control *pool)
{
    struct sigaction before, action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND};
    stack_t stack = {.ss_size = STACK_SIZE};

    stack.ss_sp =
        mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL) < 0)
        return;
    control = pool;
    note_calls_before();
    action.sa_sigaction = on_crash;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (sigaction(signals[i].number, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(signals[i].number, &action, NULL);
    }
    action.sa_sigaction = on_question;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigaction(SIGQUIT, &action, NULL);
}
