/* SPDX-License-Identifier: MIT
 *
 * runner.c: the process of a sequence, and what is left when it has ended.
 *
 * This process is the reaper of all that a sequence starts: managers, supervisors and workers come
 * to it when their parents are gone. So a process that outlives its sequence is found with
 * certainty, and without knowing its number. /dev/shm is a file system of this program's own.
 * Where it cannot be the reaper (qemu-user), managers are given time to remove their names.
 *
 * What fails: the sequence notes a violation, is ended by a signal, does not end in time, or leaves
 * a process or a file. What is left is removed then, and the next sequence begins clean.
 */
#include "runner.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "child.h"
#include "leak.h"

#define LONGEST_S (60 * SLOWER) /* a sequence */
#define LEAVING_S (10 * SLOWER) /* what it has started, after its end */
#define TEXT_SIZE 20000

static struct record *record;
static bool isolated, is_reaper;
static int errors = -1; /* what sequences write to stderr */

/* ---- processes ------------------------------------------------------------------------------ */

/* The first child of this process; 0: there is none. */
static pid_t first_child(void)
{
    char path[64];
    FILE *file;
    int pid = 0;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    file = fopen(path, "re");
    if (file != NULL && fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file != NULL)
        fclose(file);
    return pid;
}

/* Waits until the process has ended; of other children none stays a zombie. False: it is late. */
static bool wait_for(pid_t pid, double limit_ms, int *status)
{
    while (now_ms() < limit_ms) {
        int other;
        pid_t ended = waitpid(-1, &other, WNOHANG);

        if (ended == pid)
            *status = other;
        if (ended == pid || (ended < 0 && errno == ECHILD))
            return true;
        if (ended == 0)
            sleep_us(200);
    }
    return false;
}

static void describe_process(pid_t pid, FILE *told)
{
    char path[64], line[256] = "?";
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (file != NULL && fgets(line, sizeof line, file) != NULL)
        line[strcspn(line, "\n")] = '\0';
    if (file != NULL)
        fclose(file);
    fprintf(told, "left behind: process %.60s\n", line);
}

/* Waits for all that the sequence has started; kills what stays. Returns how many stayed. */
static int end_processes(FILE *told)
{
    double limit_ms = now_ms() + LEAVING_S * 1e3;
    int status, left = 0;
    pid_t pid;

    if (wait_for(-1, limit_ms, &status))
        return 0;
    while ((pid = first_child()) > 0) {
        left++;
        if (told != NULL)
            describe_process(pid, told);
        kill(pid, SIGKILL);
        kill(pid, SIGCONT);
        waitpid(pid, &status, 0);
    }
    return left;
}

/* ---- files ----------------------------------------------------------------------------------- */

enum files { ARE_COUNTED, ARE_REMOVED };

/* What is in /dev/shm besides stand-alone objects of a sequence that ended itself: how many files
 * there are. */
static int look_at_files(enum files files, bool ends_itself, FILE *told)
{
    DIR *directory = opendir("/dev/shm");
    struct dirent *entry;
    int left = 0;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        bool alone =
            strncmp(entry->d_name, "weir_", 5) == 0 || strncmp(entry->d_name, "rt-", 3) == 0;

        if (entry->d_name[0] == '.')
            continue;
        if (!alone || !ends_itself) {
            left++;
            if (told != NULL)
                fprintf(told, "left behind: file %s\n", entry->d_name);
        }
        if (files == ARE_REMOVED)
            unlinkat(dirfd(directory), entry->d_name, 0);
    }
    if (directory != NULL)
        closedir(directory);
    return left;
}

/* Removes all of them; returns how many there were. */
static int remove_files(bool ends_itself, FILE *told)
{
    const double limit_ms = now_ms() + at_most(LEAVING_S * 1e3);

    while (!is_reaper && look_at_files(ARE_COUNTED, ends_itself, NULL) > 0 && now_ms() < limit_ms)
        sleep_us(1000);
    return look_at_files(ARE_REMOVED, ends_itself, told);
}

/* What the next program of the same user does first. */
static void sweep(void)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        weir_scope *scope = weir_scope_begin(NULL);

        _exit(scope == NULL || weir_scope_end(scope) < 0);
    }
    wait_for(pid, now_ms() + LONGEST_S * 1e3, &status);
    end_processes(NULL);
}

/* ---- one sequence ---------------------------------------------------------------------------- */

static _Noreturn void sequence_process(const struct sequence *sequence, bool tracing)
{
    void *state;

    child_reset();
    if (!tracing)
        dup2(errors, STDERR_FILENO);
    leak_setup(&state);
    play(sequence, record, tracing);
    if (leak_teardown(&state) != 0)
        violation("leak", 0, "nothing is left behind", "in the program");
    _exit(0);
}

static void tell(const struct sequence *sequence, const char *why, FILE *told)
{
    static char text[TEXT_SIZE];
    off_t size = lseek(errors, 0, SEEK_END), begin = size > TEXT_SIZE ? size - TEXT_SIZE : 0;
    ssize_t got = pread(errors, text, sizeof text, begin);

    fprintf(told, "%s\n", why);
    if (atomic_load(&record->violated) != 0)
        fprintf(told, "%s: %s\n", record->where, record->what);
    for (unsigned l = 0; l < sequence->lanes; l++) {
        unsigned next = atomic_load(&record->trace[l].next);

        fprintf(told, "lane %u, last:\n", l);
        for (unsigned i = next > TRACE_LINES ? next - TRACE_LINES : 0; i < next; i++)
            fprintf(told, "    %s\n", record->trace[l].lines[i % TRACE_LINES]);
    }
    if (got > 0)
        fprintf(told, "its stderr:\n%.*s\n", (int)got, text);
}

static void fails(struct outcome *outcome, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void fails(struct outcome *outcome, const char *format, ...)
{
    va_list arguments;

    if (outcome->failed)
        return;
    outcome->failed = true;
    va_start(arguments, format);
    vsnprintf(outcome->key, sizeof outcome->key, format, arguments);
    va_end(arguments);
}

struct outcome runner_run(const struct sequence *sequence, FILE *told, bool tracing)
{
    struct outcome outcome = {0};
    struct count count = record->count;
    int status = 0, left;
    bool ends_itself;
    pid_t pid;

    memset(record, 0, offsetof(struct record, text_path));
    record->count = count;
    COUNT(sequences);
    if (ftruncate(errors, 0) < 0)
        abort();
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        sequence_process(sequence, tracing);
    if (!wait_for(pid, now_ms() + LONGEST_S * 1e3, &status)) {
        fails(&outcome, "hangs");
        if (told != NULL)
            tell(sequence, "it does not end", told);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        end_processes(NULL);
        remove_files(true, NULL);
        return outcome;
    }
    ends_itself = atomic_load(&record->ends_itself) != 0;
    if (atomic_load(&record->violated) != 0)
        fails(&outcome, "%s", record->where);
    else if (WIFSIGNALED(status) && !ends_itself)
        fails(&outcome, "signal %d", WTERMSIG(status));
    else if (status != 0 && !ends_itself)
        fails(&outcome, "status %d", WEXITSTATUS(status));
    if (outcome.failed && told != NULL)
        tell(sequence, outcome.key, told);
    left = end_processes(outcome.failed ? NULL : told);
    if (left > 0)
        fails(&outcome, "processes left");
    if (atomic_load(&record->all_killed) != 0)
        sweep();
    left = isolated ? remove_files(ends_itself || outcome.failed, outcome.failed ? NULL : told) : 0;
    if (left > 0)
        fails(&outcome, "files left");
    return outcome;
}

/* ---- begin and end --------------------------------------------------------------------------- */

bool runner_begin(void)
{
    static const char words[] = "one two three two three three\nfour  four-four four\n\nfive";
    const struct rlimit no_core = {0, 0};
    int fd;

    isolated = leak_isolate();
    setrlimit(RLIMIT_CORE, &no_core);
    is_reaper = prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
    record = mmap(NULL, sizeof *record, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    errors = memfd_create("errors", MFD_CLOEXEC);
    if (record == MAP_FAILED || errors < 0)
        abort();
    snprintf(record->text_path, sizeof record->text_path, "/tmp/weir-random-XXXXXX");
    fd = mkstemp(record->text_path);
    if (fd < 0 || write(fd, words, sizeof words - 1) != (ssize_t)sizeof words - 1)
        abort();
    close(fd);
    world.record = record;
    return isolated;
}

const struct count *runner_counts(void)
{
    return &record->count;
}

void runner_end(void)
{
    unlink(record->text_path);
    close(errors);
    munmap(record, sizeof *record);
}
