/* SPDX-License-Identifier: MIT
 *
 * Progress: what a terminal would show of it, on a real pseudo-terminal, also while tasks write
 * there; and that nothing is written where nothing was asked for.
 */
#include "child.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

/* ---- a terminal ------------------------------------------------------------------------------ */

#define ROWS    128
#define COLUMNS 512

#define WIDTH_UNKNOWN 30 /* of a terminal that says 0 */

struct screen {
    int width;
    char rows[ROWS][COLUMNS];
    int row, column;
    bool waits;   /* the last column was written: the next character goes to the next row */
    bool wrapped; /* something was written to the last column or beyond */
    int frames;   /* carriage returns that began a frame */
    int bars;     /* frames that had a bar */
    bool coloured;
    bool strange; /* an escape sequence or control character that a bar has no use for */
};

static void put_char(struct screen *screen, char c)
{
    if (screen->waits && screen->row < ROWS - 1) {
        screen->row++;
        screen->column = 0;
    }
    screen->waits = screen->column >= screen->width - 1;
    if (screen->waits && c != ' ')
        screen->wrapped = true;
    if (screen->column < COLUMNS - 1)
        screen->rows[screen->row][screen->column] = c;
    screen->column += !screen->waits;
}

/* "\033[K", "\033[...m" and "\033[999C". Returns its length. */
static size_t escape(struct screen *screen, const char *text)
{
    size_t size = 2 + strspn(text + 2, "0123456789;");

    if (strncmp(text, "\033[999C", size + 1) == 0) {
        screen->column = screen->width - 1;
        return size + 1;
    }
    if (text[1] != '[' || (text[size] != 'K' && text[size] != 'm')) {
        screen->strange = true;
        return 1;
    }
    if (text[size] == 'm')
        screen->coloured = true;
    else
        memset(&screen->rows[screen->row][screen->column], 0, (size_t)(COLUMNS - screen->column));
    return size + 1;
}

/* Plain text only: one byte, one column. */
static void play(struct screen *screen, const char *text, int width)
{
    memset(screen, 0, sizeof *screen);
    screen->width = width;
    for (size_t i = 0; text[i] != '\0';) {
        if (text[i] == '\033') {
            i += escape(screen, text + i);
            continue;
        }
        if (text[i] == '\r') {
            screen->bars += memchr(screen->rows[screen->row], '[', COLUMNS) != NULL;
            screen->column = 0;
            screen->waits = false;
            screen->frames += text[i + 1] != '\n'; /* "\n" arrives as "\r\n" */
        } else if (text[i] == '\n' && screen->row < ROWS - 1) {
            screen->row++;
        } else if ((unsigned char)text[i] < ' ') {
            screen->strange = true;
        } else {
            put_char(screen, text[i]);
        }
        i++;
    }
}

static void read_all(int fd, char *out, size_t size)
{
    size_t used = 0;
    ssize_t got;

    while ((got = read(fd, out + used, size - 1 - used)) > 0)
        used += (size_t)got;
    out[used] = '\0';
    close(fd);
}

static int open_terminal(int width, char *name, size_t size)
{
    struct winsize window = {.ws_row = 24, .ws_col = (unsigned short)width};
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(grantpt(fd), 0);
    assert_int_equal(unlockpt(fd), 0);
    assert_int_equal(ptsname_r(fd, name, size), 0);
    assert_int_equal(ioctl(fd, TIOCSWINSZ, &window), 0);
    return fd;
}

/* Runs program() in a process whose stderr is a terminal, and plays what it wrote. Its exit status
 * must be 0. */
static void run_on_terminal(int (*program)(void), int width, struct screen *screen)
{
    static char text[1 << 16];
    char name[64];
    int master = open_terminal(width, name, sizeof name), status, terminal;
    pid_t pid = fork();

    if (pid == 0) {
        child_reset();
        setsid();
        terminal = open(name, O_RDWR); /* it becomes this session's */
        dup2(terminal, STDERR_FILENO);
        close(terminal);
        _exit(program());
    }
    read_all(master, text, sizeof text);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("status %d: %s", status, text);
    play(screen, text, width > 0 ? width : WIDTH_UNKNOWN);
    if (screen->strange)
        fail_msg("not for a terminal: %s", text);
}

/* The same with a pipe; text is what came out of it. */
static const char *run_on_pipe(int (*program)(void))
{
    static char text[4 << 20];
    int ends[2], status;
    pid_t pid;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        child_reset();
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        _exit(program());
    }
    close(ends[1]);
    read_all(ends[0], text, sizeof text);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("status %d: %s", status, text);
    return text;
}

/* ---- programs -------------------------------------------------------------------------------- */

static int nap(weir_task *task, weir_range range, void *arg)
{
    (void)task;
    usleep((useconds_t)((range.end - range.begin) * *(const int *)arg * 1000));
    return 0;
}

static int nap_then_fail(weir_task *task, weir_range range, void *arg)
{
    nap(task, range, arg);
    return range.begin >= 30 ? weir_task_fail(task, 5, "no luck at %d", (int)range.begin) : 0;
}

/* Runs a job of 40 naps of nap_ms each on two workers. Returns what the call does. */
static int run_job(weir_task_fn function, int nap_ms, const weir_job_options *options)
{
    weir_job_options all = *options;
    int result = -1;

    all.grain = 1;
    all.arg_size = sizeof nap_ms;
    WEIR_SCOPE (scope, NULL) {
        weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});

        result = weir_pool_for(pool, (weir_range){0, 40}, function, &nap_ms, &all);
    }
    return result;
}

static int program_with_bar(void)
{
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    return run_job(nap, 25, OPTIONS(.progress = "sum"));
}

static int program_without_colour(void)
{
    setenv("TERM", "xterm", 1);
    setenv("NO_COLOR", "1", 1);
    return run_job(nap, 25, OPTIONS(.progress = "sum"));
}

/* Without a line end, as a terminal's echo of Ctrl-C. */
static int nap_and_print(weir_task *task, weir_range range, void *arg)
{
    nap(task, range, arg);
    dprintf(STDERR_FILENO, range.begin % 2 == 0 ? "noise %d\n" : "^C%d", (int)range.begin);
    return 0;
}

static int program_whose_tasks_print(void)
{
    setenv("TERM", "xterm", 1);
    return run_job(nap_and_print, 50, OPTIONS(.progress = "sum"));
}

static int nap_and_log(weir_task *task, weir_range range, void *arg)
{
    nap(task, range, arg);
    return weir_task_log(task, "line %d%s", (int)range.begin, range.begin % 2 == 0 ? "\n" : "");
}

static int program_whose_tasks_log(void)
{
    setenv("TERM", "xterm", 1);
    return run_job(nap_and_log, 25, OPTIONS(.progress = "sum"));
}

static int nap_long_once(weir_task *task, weir_range range, void *arg)
{
    if (range.begin == 20)
        usleep(1500000);
    return nap(task, range, arg);
}

static int program_that_stalls(void)
{
    setenv("TERM", "xterm", 1);
    return run_job(nap_long_once, 10, OPTIONS(.progress = "sum", .stall_ms = 300));
}

static void look_on(const weir_progress *progress, void *arg)
{
    (void)progress;
    ++*(int *)arg;
}

static int program_that_draws_itself(void)
{
    int calls = 0;

    setenv("TERM", "xterm", 1);
    return run_job(nap_and_log, 10, OPTIONS(.on_progress = look_on, .on_progress_arg = &calls)) != 0
               ? 1
               : calls == 0;
}

/* All by one task: lines of two tasks may stand in any order. */
static int log_strange_lines(weir_task *task, weir_range range, void *arg)
{
    char longer[3000];

    (void)arg;
    if (range.begin > 0)
        return 0;
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    return weir_task_log(task, "a\033[2Jb\tc\rd\n\xc2\x9b \xff \xc3\xa9\n") +
           weir_task_log(task, "%s", "") + weir_task_log(task, "%s", longer);
}

static int program_that_logs_strange_lines(void)
{
    return run_job(log_strange_lines, 0, OPTIONS(.progress = "sum"));
}

static int log_and_be_killed(weir_task *task, weir_range range, void *arg)
{
    const char *dots = "................................................................";

    (void)arg;
    if (weir_task_attempt(task) == 1 && range.begin % 4 == 0)
        ualarm((useconds_t)(range.begin * 100 + 1), 0);
    for (int i = 0; i < 200; i++) {
        if (weir_task_log(task, "%d%s%s%d", (int)range.begin, dots, dots, (int)range.begin) < 0)
            return 1;
    }
    ualarm(0, 0);
    return 0;
}

static int program_whose_workers_are_killed(void)
{
    return run_job(log_and_be_killed, 0, OPTIONS(.retries = 1));
}

static int log_to_nobody(weir_task *task, weir_range range, void *arg)
{
    (void)range;
    (void)arg;
    return weir_task_log(task, "lost") == -EPIPE ? 0 : 1;
}

static int program_whose_log_nobody_reads(void)
{
    int ends[2], before = dup(STDERR_FILENO), result;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return 1;
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    result = run_job(log_to_nobody, 0, OPTIONS(.progress = "sum"));
    dup2(before, STDERR_FILENO);
    return result;
}

static int program_on_dumb_terminal(void)
{
    setenv("TERM", "dumb", 1);
    return run_job(nap, 10, OPTIONS(.progress = "sum"));
}

static int program_with_columns(void)
{
    setenv("COLUMNS", "30", 1);
    return program_with_bar();
}

static int program_that_fails(void)
{
    setenv("TERM", "xterm", 1);
    if (run_job(nap_then_fail, 20, OPTIONS(.progress = "load")) != WEIR_EFAILED)
        return 1;
    fprintf(stderr, "%s\n", weir_last_error()->message);
    return 0;
}

static int program_with_strange_label(void)
{
    setenv("TERM", "xterm", 1);
    return run_job(nap, 10, OPTIONS(.progress = "a\033[2Jb\nc\td\x9b"));
}

static int program_that_waits_in_between(void)
{
    static int nap_ms = 20;
    int result = -1;

    setenv("TERM", "xterm", 1);
    WEIR_SCOPE (scope, NULL) {
        weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
        weir_future *future = weir_pool_for_async(pool, (weir_range){0, 40}, nap, &nap_ms,
                                                  OPTIONS(.grain = 1, .progress = "wait"));

        if (weir_future_wait(future, 180) == -ETIMEDOUT)
            fprintf(stderr, "in between\n");
        result = weir_future_wait(future, -1);
        weir_future_free(future);
    }
    return result;
}

/* Two bars, one after the other, and a job without. */
static int program_that_waits_for_several(void)
{
    static int nap_ms = 25;
    int result = -1;

    setenv("TERM", "xterm", 1);
    WEIR_SCOPE (scope, NULL) {
        weir_pool *pool = weir_pool_new(scope, &(weir_pool_options){.workers = 2});
        const char *labels[] = {"one", NULL, "two"};
        weir_future *futures[3];

        for (int i = 0; i < 3; i++)
            futures[i] = weir_pool_for_async(pool, (weir_range){0, 20}, nap, &nap_ms,
                                             OPTIONS(.grain = 1, .progress = labels[i]));
        if (weir_future_wait_many(futures, 3, WEIR_WHEN_ALL, 150) == -ETIMEDOUT)
            fprintf(stderr, "in between\n");
        result = (int)weir_future_wait_many(futures, 3, WEIR_WHEN_ALL, -1) - 3;
        for (int i = 0; i < 3; i++)
            weir_future_free(futures[i]);
    }
    return result;
}

static int program_in_background(void)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        setpgid(0, 0);
        signal(SIGTTOU, SIG_IGN);
        _exit(program_with_bar());
    }
    waitpid(pid, &status, 0);
    return status != 0;
}

static int program_that_is_quiet(void)
{
    setenv("TERM", "xterm", 1);
    return run_job(nap, 10, OPTIONS(.progress = "sum"));
}

static int program_with_lines(void)
{
    return run_job(nap, 130, OPTIONS(.progress = "sum", .progress_lines = true));
}

/* The pipe's other end is closed at once. */
static int program_with_closed_pipe(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0 || dup2(ends[1], STDERR_FILENO) < 0)
        return 1;
    close(ends[0]);
    return run_job(nap, 1, OPTIONS(.progress = "sum", .progress_lines = true));
}

/* ---- on a terminal --------------------------------------------------------------------------- */

static void assert_row_begins(const struct screen *screen, int row, const char *text)
{
    if (strncmp(screen->rows[row], text, strlen(text)) != 0)
        fail_msg("row %d is: %s", row, screen->rows[row]);
}

static void assert_row_has(const struct screen *screen, int row, const char *text)
{
    if (strstr(screen->rows[row], text) == NULL)
        fail_msg("row %d is: %s", row, screen->rows[row]);
}

static void a_bar_becomes_a_line_and_never_breaks__at_any_width(void **state)
{
    static const int widths[] = {20, 80, 200};
    struct screen screen;

    (void)state;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        double start = now_ms();

        run_on_terminal(program_with_bar, widths[i], &screen);
        assert_false(screen.wrapped);
        assert_true(screen.frames >= 3);
        /* one more for the end */
        assert_true(screen.frames <= (int)((now_ms() - start) / 100) + 1);
        assert_true(widths[i] == 20 ? screen.bars == 0 : screen.bars >= 2);
        assert_row_begins(&screen, 0, "sum 100%");
        if (widths[i] > 20)
            assert_row_has(&screen, 0, "40/40");
        /* the program goes on below it */
        assert_int_equal(screen.row, 1);
        assert_int_equal(screen.column, 0);
        assert_string_equal(screen.rows[1], "");
    }
}

static void colours_are_used__unless_no_color_is_set(void **state)
{
    struct screen screen;

    (void)state;
    run_on_terminal(program_with_bar, 80, &screen);
    assert_true(screen.coloured);
    run_on_terminal(program_without_colour, 80, &screen);
    assert_true(screen.bars >= 2);
    assert_false(screen.coloured);
}

static void columns_counts__when_the_terminal_does_not_know_its_width(void **state)
{
    struct screen screen;

    (void)state;
    run_on_terminal(program_with_columns, 0, &screen);
    assert_false(screen.wrapped);
    assert_true(screen.frames >= 3);
    assert_row_begins(&screen, 0, "sum 100%  in 0:0");
    assert_null(strstr(screen.rows[0], "/s"));
    run_on_terminal(program_with_columns, 100, &screen);
    assert_row_has(&screen, 0, "/s"); /* the terminal knows better */
}

static void the_error_has_a_line_of_its_own__when_a_job_fails(void **state)
{
    struct screen screen;

    (void)state;
    run_on_terminal(program_that_fails, 80, &screen);
    assert_false(screen.wrapped && screen.row < 2);
    assert_row_begins(&screen, 0, "load ");
    assert_row_has(&screen, 0, "failed after 0:0");
    assert_row_begins(&screen, 1, "task failed on [3");
}

static void the_line_is_free__when_a_wait_ends_before_the_job(void **state)
{
    struct screen screen;

    (void)state;
    run_on_terminal(program_that_waits_in_between, 80, &screen);
    assert_string_equal(screen.rows[0], "in between");
    assert_row_begins(&screen, 1, "wait 100%");
    assert_int_equal(screen.row, 2);
}

static void bars_are_drawn_in_turn__when_several_jobs_are_waited_for(void **state)
{
    struct screen screen;
    bool first;

    (void)state;
    run_on_terminal(program_that_waits_for_several, 80, &screen);
    assert_string_equal(screen.rows[0], "in between");
    first = strncmp(screen.rows[1], "one", 3) == 0;
    assert_row_begins(&screen, 1, first ? "one 100%" : "two 100%");
    assert_row_begins(&screen, 2, first ? "two 100%" : "one 100%");
    assert_int_equal(screen.row, 3);
    assert_true(screen.bars >= 4);
}

static void a_label_cannot_command_the_terminal__whatever_it_is(void **state)
{
    struct screen screen;

    (void)state;
    run_on_terminal(program_with_strange_label, 80, &screen);
    assert_row_begins(&screen, 0, "a?[2Jb?c?d? 100%");
    assert_int_equal(screen.row, 1);
}

static bool begins(const struct screen *screen, int row, const char *text)
{
    return strncmp(screen->rows[row], text, strlen(text)) == 0;
}

static void output_has_lines_of_its_own__while_a_bar_is_drawn(void **state)
{
    struct screen screen;
    int noise = 0, bars = 0;

    (void)state;
    run_on_terminal(program_whose_tasks_print, 80, &screen);
    assert_false(screen.wrapped);
    for (int row = 0; row < screen.row; row++) {
        noise += begins(&screen, row, "noise ") || strstr(screen.rows[row], "noise") != NULL;
        bars += begins(&screen, row, "sum ");
        if (strchr(screen.rows[row], '[') != NULL && strpbrk(screen.rows[row], "^n") != NULL)
            fail_msg("a bar and other output share a line: %s", screen.rows[row]);
    }
    assert_true(noise >=
                10); /* what had no line end is overwritten by the bar, or by other noise */
    assert_true(bars >= 2);
}

static void lines_stand_above_the_bar__when_tasks_log(void **state)
{
    struct screen screen;
    char line[32];

    (void)state;
    run_on_terminal(program_whose_tasks_log, 80, &screen);
    assert_false(screen.wrapped);
    assert_true(screen.bars >= 20); /* it comes back with each line */
    assert_int_equal(screen.row, 41);
    assert_row_begins(&screen, 40, "sum 100%  in 0:0");
    for (int i = 0, row; i < 40; i++) {
        snprintf(line, sizeof line, "line %d", i);
        for (row = 0; row < 40 && strcmp(screen.rows[row], line) != 0; row++)
            ;
        assert_true(row < 40);
    }
}

static void what_it_waits_for_stands_above_the_bar__when_a_job_stalls(void **state)
{
    struct screen screen;

    (void)state;
    run_on_terminal(program_that_stalls, 400, &screen);
    assert_in_range(screen.row, 2, 4); /* after 0.3 and 0.6 s; on a busy machine others */
    for (int row = 0; row < screen.row - 1; row++)
        assert_row_begins(&screen, row,
                          "weir: pool test-progress, job sum: no chunk has ended for ");
    assert_row_begins(&screen, screen.row - 1, "sum 100%  in 0:0");
    assert_true(screen.bars >= 10);
}

static void lines_are_plain__when_the_program_draws_itself(void **state)
{
    struct screen screen;

    (void)state;
    run_on_terminal(program_that_draws_itself, 80, &screen);
    assert_int_equal(screen.row, 40);
    assert_int_equal(screen.frames, 0);
    assert_row_begins(&screen, 39, "line ");
}

static void nothing_is_drawn__in_the_background_or_on_a_dumb_terminal(void **state)
{
    struct screen screen;

    (void)state;
    run_on_terminal(program_in_background, 80, &screen);
    assert_string_equal(screen.rows[0], "");
    assert_int_equal(screen.frames, 0);
    run_on_terminal(program_on_dumb_terminal, 80, &screen);
    assert_string_equal(screen.rows[0], "");
    assert_int_equal(screen.frames, 0);
}

/* ---- elsewhere ------------------------------------------------------------------------------- */

static void nothing_is_written__when_stderr_is_no_terminal(void **state)
{
    (void)state;
    assert_string_equal(run_on_pipe(program_that_is_quiet), "");
}

static void lines_are_few_and_whole__when_they_are_asked_for(void **state)
{
    double start = now_ms();
    const char *text = run_on_pipe(program_with_lines), *end;
    int lines = 0, most = (int)((now_ms() - start) / 1000) + 1;

    (void)state;
    assert_null(strchr(text, '\r'));
    assert_null(strchr(text, '\033'));
    for (; (end = strchr(text, '\n')) != NULL; text = end + 1) {
        assert_int_equal(strncmp(text, "sum ", 4), 0);
        if (end[1] == '\0')
            assert_int_equal(strncmp(text, "sum 100%  in 0:0", 16), 0);
        lines++;
    }
    assert_string_equal(text, "");
    /* a job of 2.6 s: at most one a second, and the last one */
    assert_in_range(lines, 3, most);
}

static void a_line_is_cut_and_harmless__whatever_is_logged(void **state)
{
    const char *text = run_on_pipe(program_that_logs_strange_lines);
    const char *const first = "a?[2Jb\tc?d\n? ? \xc3\xa9\n\n";
    const char *last;
    size_t cut;

    (void)state;
    assert_non_null(strstr(text, first));
    last = strchr(text, 'x'); /* there is none in the other */
    assert_non_null(last);
    cut = strspn(last, "x");
    assert_int_equal(cut, 1020);
    assert_int_equal(strncmp(last + cut, "...\n", 4), 0);
    assert_int_equal(strlen(text), strlen(first) + 1024);
}

static void no_line_is_torn__when_workers_are_killed(void **state)
{
    const char *text = run_on_pipe(program_whose_workers_are_killed), *end;
    int lines = 0;

    (void)state;
    for (; (end = strchr(text, '\n')) != NULL; text = end + 1, lines++) {
        int first, last, used = -1;

        sscanf(text, "%d%*[.]%d%n", &first, &last, &used);
        assert_int_equal(used, end - text);
        assert_int_equal(first, last);
        assert_int_equal(end - text, 128 + (first > 9 ? 4 : 2));
    }
    assert_string_equal(text, "");
    assert_true(lines >= 8000);
}

static void the_program_lives__when_nobody_reads_the_lines(void **state)
{
    (void)state;
    assert_string_equal(run_on_pipe(program_whose_log_nobody_reads), "");
    assert_string_equal(run_on_pipe(program_with_closed_pipe), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_bar_becomes_a_line_and_never_breaks__at_any_width),
        UNIT(colours_are_used__unless_no_color_is_set),
        UNIT(columns_counts__when_the_terminal_does_not_know_its_width),
        UNIT(the_error_has_a_line_of_its_own__when_a_job_fails),
        UNIT(the_line_is_free__when_a_wait_ends_before_the_job),
        UNIT(bars_are_drawn_in_turn__when_several_jobs_are_waited_for),
        UNIT(a_label_cannot_command_the_terminal__whatever_it_is),
        UNIT(output_has_lines_of_its_own__while_a_bar_is_drawn),
        UNIT(lines_stand_above_the_bar__when_tasks_log),
        UNIT(what_it_waits_for_stands_above_the_bar__when_a_job_stalls),
        UNIT(lines_are_plain__when_the_program_draws_itself),
        UNIT(nothing_is_drawn__in_the_background_or_on_a_dumb_terminal),
        UNIT(nothing_is_written__when_stderr_is_no_terminal),
        UNIT(lines_are_few_and_whole__when_they_are_asked_for),
        UNIT(a_line_is_cut_and_harmless__whatever_is_logged),
        UNIT(no_line_is_torn__when_workers_are_killed),
        UNIT(the_program_lives__when_nobody_reads_the_lines),
    };

    leak_isolate();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
