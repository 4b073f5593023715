/* SPDX-License-Identifier: MIT
 *
 * What the supervisor says on stderr with WEIR_LOG=stderr, of workers, deaths, deadlines and ends.
 */
#include "ear.h"
#include "support.h"

#include <errno.h>
#include <regex.h>
#include <signal.h>
#include <sys/resource.h>

static struct ear ear;

/* stderr in a pipe, from here on until heard() */
static void listen_to(const char *said)
{
    if (said != NULL)
        setenv("WEIR_LOG", said, 1);
    ear_open(&ear);
}

/* All that was written, when all processes have ended that could write. */
static const char *heard(void)
{
    unsetenv("WEIR_LOG");
    ear_close(&ear);
    return ear_read(&ear);
}

/* How often the pattern is in the text. */
static int count(const char *text, const char *pattern)
{
    regmatch_t at;
    regex_t regex;
    int found = 0;

    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NEWLINE), 0);
    for (; regexec(&regex, text, 1, &at, 0) == 0; text += at.rm_eo)
        found++;
    regfree(&regex);
    return found;
}

static void assert_told(const char *text, int times, const char *pattern)
{
    if (count(text, pattern) != times)
        fail_msg("%d times \"%s\", and not %d, in:\n%s", count(text, pattern), pattern, times,
                 text);
}

static int die_once(weir_task *task, weir_range range, void *arg)
{
    (void)range;
    (void)arg;
    return weir_task_attempt(task) == 1 ? raise(SIGKILL) : 0;
}

static int spin(weir_task *task, weir_range range, void *arg)
{
    (void)range;
    (void)arg;
    while (!weir_task_cancelled(task))
        usleep(1000);
    return 0;
}

static weir_pool *named_pool(weir_scope *scope, weir_pool_options options)
{
    weir_pool *pool;

    options.name = "told of";
    pool = weir_pool_new(scope, &options);
    assert_non_null(pool);
    return pool;
}

static void starts_deaths_and_the_end_are_told__when_it_was_asked_for(void **state)
{
    weir_scope *scope = begin();
    weir_pool_stats stats;
    const char *text;
    weir_pool *pool;

    (void)state;
    listen_to("stderr");
    pool = named_pool(scope, (weir_pool_options){.workers = 2});
    assert_int_equal(weir_pool_for(pool, (weir_range){10, 20}, die_once, NULL,
                                   OPTIONS(.chunks = 1, .retries = 1)),
                     0);
    assert_int_equal(weir_pool_for(pool, (weir_range){0, 5}, die_once, NULL, OPTIONS(.chunks = 1)),
                     WEIR_EDIED);
    WAIT_UNTIL(weir_pool_get_stats(pool, &stats) == 0 && stats.workers_started == 4, 20000);
    weir_pool_free(pool);
    text = heard();
    assert_told(text, 2,
                "^weir: told of \\(pid [0-9]+\\): worker [01] \\(pid [0-9]+\\) was started$");
    assert_told(text, 2,
                ": worker [01] \\(pid [0-9]+\\) was started, process [23] of this worker$");
    assert_told(
        text, 1,
        ": worker [01] \\(pid [0-9]+\\) was killed by signal 9 \\(Killed\\) on \\[10, 20\\), "
        "attempt 1 of 2; the range is run again$");
    assert_told(text, 1, " on \\[0, 5\\), attempt 1 of 1; the range has failed$");
    assert_told(
        text, 1,
        ": the pool has ended: 4 workers were started, 2 died, and 1 ranges were run again$");
    assert_told(text, 7, "^weir: told of");
    assert_int_equal(weir_scope_end(scope), 0);
}

static void a_deadline_is_told_of__when_a_worker_was_killed_for_it(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    const char *text;

    (void)state;
    listen_to("stderr");
    pool = named_pool(scope, (weir_pool_options){.workers = 1});
    assert_int_equal(
        weir_pool_for(pool, weir_range_of(1), spin, NULL, OPTIONS(.chunk_timeout_ms = 30)),
        -ETIMEDOUT);
    weir_pool_free(pool);
    text = heard();
    assert_told(text, 1,
                "was killed: the chunk took longer than chunk_timeout_ms 30 on \\[0, 1\\), "
                "attempt 1 of 1; the range has failed$");
    assert_int_equal(weir_scope_end(scope), 0);
}

static void workers_that_are_killed_with_their_pool_have_not_died__when_its_scope_ends(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;

    (void)state;
    listen_to("stderr");
    pool = named_pool(scope, (weir_pool_options){.workers = 2});
    assert_int_equal(weir_pool_for(pool, weir_range_of(1), die_once, NULL, OPTIONS(.retries = 1)),
                     0);
    assert_int_equal(weir_scope_end(scope), 0);
    assert_told(
        heard(), 1,
        ": the pool has ended: [23] workers were started, 1 died, and 1 ranges were run again$");
}

static int fail_at_start(void *arg)
{
    (void)arg;
    return 1;
}

static void a_start_that_fails_is_told_of__and_that_none_can_be_made(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;
    const char *text;

    (void)state;
    listen_to("stderr");
    pool = named_pool(scope, (weir_pool_options){.workers = 1, .initializer = fail_at_start});
    assert_int_equal(weir_pool_for(pool, weir_range_of(1), spin, NULL, NULL), WEIR_EDIED);
    weir_pool_free(pool);
    text = heard();
    assert_told(text, 3, "ended because its initializer failed, before it was ready$");
    assert_told(text, 1, ": no worker can be started: ");
    assert_int_equal(weir_scope_end(scope), 0);
}

static int seven(void *arg)
{
    (void)arg;
    return 7;
}

static void a_process_is_told_of__when_it_ends(void **state)
{
    weir_scope *scope = begin();
    weir_process *process;
    const char *text;

    (void)state;
    listen_to("stderr");
    process = weir_process_start(scope, seven, NULL);
    assert_int_equal(weir_process_join(process, 20000, NULL), 0);
    weir_process_free(process);
    text = heard();
    assert_told(text, 1,
                "^weir: a process \\(pid [0-9]+\\): worker 0 \\(pid [0-9]+\\) was started$");
    assert_told(text, 1, ": worker 0 \\(pid [0-9]+\\) exited with status 7$");
    assert_int_equal(weir_scope_end(scope), 0);
}

static void nothing_is_told__when_it_was_not_asked_for(void **state)
{
    weir_scope *scope = begin();
    weir_pool *pool;

    (void)state;
    listen_to(NULL);
    pool = named_pool(scope, (weir_pool_options){.workers = 1});
    assert_int_equal(weir_pool_for(pool, weir_range_of(1), die_once, NULL, OPTIONS(.retries = 1)),
                     0);
    weir_pool_free(pool);
    assert_string_equal(heard(), "");
    listen_to("");
    pool = named_pool(scope, (weir_pool_options){.workers = 1});
    weir_pool_free(pool);
    assert_string_equal(heard(), "");
    assert_int_equal(weir_scope_end(scope), 0);
}

static void a_pool_or_process_is_refused__when_the_log_is_to_go_elsewhere(void **state)
{
    weir_scope *scope = begin();

    (void)state;
    setenv("WEIR_LOG", "/tmp/log", 1);
    assert_null(weir_process_start(scope, seven, NULL));
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_null(weir_pool_new(scope, &(weir_pool_options){.workers = 1}));
    unsetenv("WEIR_LOG");
    assert_int_equal(weir_last_error()->code, -EINVAL);
    assert_message_has("WEIR_LOG is \"/tmp/log\"");
    assert_message_has("stderr");
    assert_int_equal(weir_scope_end(scope), 0);
}

static void a_pool_that_nobody_can_see_says_so(void **state)
{
    weir_scope *scope = begin();
    struct rlimit before, limit;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 1 << 20, .rlim_max = before.rlim_max};
    listen_to("stderr");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    weir_pool_free(named_pool(scope, (weir_pool_options){.workers = 1}));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_told(heard(), 1, ": other programs cannot see it: .*RLIMIT_FSIZE");
    assert_int_equal(weir_scope_end(scope), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_pool_that_nobody_can_see_says_so),
        UNIT(starts_deaths_and_the_end_are_told__when_it_was_asked_for),
        UNIT(a_deadline_is_told_of__when_a_worker_was_killed_for_it),
        UNIT(workers_that_are_killed_with_their_pool_have_not_died__when_its_scope_ends),
        UNIT(a_start_that_fails_is_told_of__and_that_none_can_be_made),
        UNIT(a_process_is_told_of__when_it_ends),
        UNIT(nothing_is_told__when_it_was_not_asked_for),
        UNIT(a_pool_or_process_is_refused__when_the_log_is_to_go_elsewhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
