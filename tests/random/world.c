/* SPDX-License-Identifier: MIT
 *
 * world.c: playing a sequence, and telling what went wrong.
 */
#include "world.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

struct world world;

static const struct sequence *played;

size_t op_number(const struct lane *lane)
{
    return (size_t)(lane->op - played->ops);
}

/* ---- telling --------------------------------------------------------------------------------- */

void say(struct lane *lane, const char *format, ...)
{
    struct record *record = world.record;
    unsigned next = atomic_fetch_add(&record->trace[lane->number].next, 1);
    char *line = record->trace[lane->number].lines[next % TRACE_LINES];
    va_list arguments;
    int size = snprintf(line, TRACE_SIZE, "%zu: ", op_number(lane));

    va_start(arguments, format);
    vsnprintf(line + size, TRACE_SIZE - (size_t)size, format, arguments);
    va_end(arguments);
    if (world.tracing)
        fprintf(stderr, "[%u] %s\n", lane->number, line);
}

static void note(const char *file, int line, const char *what, const char *format,
                 va_list arguments)
{
    struct record *record = world.record;
    char text[600];

    if (atomic_fetch_add(&record->violated, 1) != 0)
        return; /* the first one is told */
    file = strrchr(file, '/') != NULL ? strrchr(file, '/') + 1 : file;
    snprintf(record->where, sizeof record->where, "%s:%d", file, line);
    vsnprintf(text, sizeof text, format, arguments);
    snprintf(record->what, sizeof record->what,
             "does not hold: %s: %s (process %d; the last error is %d, \"%s\")", what, text,
             (int)getpid(), weir_last_error()->code, weir_last_error()->message);
}

void violation_in_worker(const char *file, int line, const char *what, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    note(file, line, what, format, arguments);
    va_end(arguments);
}

void violation(const char *file, int line, const char *what, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    note(file, line, what, format, arguments);
    va_end(arguments);
    _exit(1);
}

/* ---- codes ----------------------------------------------------------------------------------- */

void check_code(const char *file, int line, const char *call, int64_t code, const int *allowed)
{
    const weir_error *error = weir_last_error();
    bool found = false;

    if (code >= 0)
        return;
    for (; *allowed != 0; allowed++)
        found = found || code == *allowed;
    if (!found)
        violation(file, line, "one of its errors", "%s: %lld", call, (long long)code);
    if (error->code != code)
        violation(file, line, "the last error's code", "%s: returned %lld", call, (long long)code);
    if (error->message[0] == '\0' || strchr(error->message, '\n') != NULL)
        violation(file, line, "a message of one line", "%s: %lld", call, (long long)code);
}

bool message_has(const char *part)
{
    return strstr(weir_last_error()->message, part) != NULL;
}

/* ---- places ---------------------------------------------------------------------------------- */

struct scope_place *scope_of(unsigned number)
{
    struct scope_place *place = &world.scopes[number % SCOPES];

    return place->scope != NULL ? place : NULL;
}

struct pool_place *pool_of(unsigned number)
{
    struct pool_place *place = &world.pools[number % POOLS];

    return place->pool != NULL ? place : NULL;
}

static void leave_pool(struct pool_place *place, bool orderly)
{
    atomic_store(&place->ending, true);
    for (unsigned l = 0; l < world.lane_count; l++)
        for (int f = 0; families[f] != NULL; f++)
            if (families[f]->leave_pool != NULL)
                families[f]->leave_pool(&world.lanes[l], place, orderly);
}

static void pool_ended(struct pool_place *place)
{
    place->pool = NULL;
    for (unsigned l = 0; l < world.lane_count; l++)
        for (int f = 0; families[f] != NULL; f++)
            if (families[f]->pool_ended != NULL)
                families[f]->pool_ended(&world.lanes[l], place);
}

void end_pool(struct pool_place *place, bool kill, bool orderly)
{
    weir_pool *pool = place->pool;

    leave_pool(place, orderly);
    if (kill) {
        atomic_store(&place->killed, true);
        weir_pool_kill(pool);
    } else {
        weir_pool_free(pool);
    }
    pool_ended(place);
}

void end_scope(struct scope_place *place, bool orderly)
{
    weir_scope *scope = place->scope;
    struct pool_place *open[POOLS];
    int count = 0;

    for (int p = 0; p < POOLS; p++) {
        if (world.pools[p].pool == NULL || world.pools[p].scope != place)
            continue;
        if (orderly) {
            end_pool(&world.pools[p], false, true);
            continue;
        }
        open[count++] = &world.pools[p];
        leave_pool(&world.pools[p], false);
        atomic_store(&world.pools[p].killed, true);
    }
    for (unsigned l = 0; l < world.lane_count; l++)
        for (int f = 0; families[f] != NULL; f++)
            if (families[f]->leave_scope != NULL)
                families[f]->leave_scope(&world.lanes[l], place, orderly);
    SUCCEEDS(weir_scope_end(scope));
    place->scope = NULL;
    while (count > 0)
        pool_ended(open[--count]);
}

void check_all(void)
{
    for (unsigned l = 0; l < world.lane_count; l++)
        for (int f = 0; families[f] != NULL; f++)
            if (families[f]->check != NULL)
                families[f]->check(&world.lanes[l]);
}

void reap(pid_t pid, const char *what)
{
    int status = -1;

    MUST(pid > 0, "fork");
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (atomic_load(&world.record->violated) != 0)
        _exit(1);
    MUST(status == 0, "%s: the child ended with status 0x%x", what, (unsigned)status);
}

/* ---- playing --------------------------------------------------------------------------------- */

static size_t stretch_begin, stretch_end; /* operations without one that runs alone */

static void run_op(struct lane *lane, const struct op *op)
{
    const struct family *family = NULL;
    const struct kind *kind = kind_at(op->kind, &family);

    lane->op = op;
    lane->seed = op_seed(op);
    say(lane, "%s: %s", family->name, kind->name);
    atomic_fetch_add(&world.record->count.run[op->kind], 1);
    kind->run(lane, op);
}

static void *run_lane(void *argument)
{
    struct lane *lane = argument;

    for (size_t i = stretch_begin; i < stretch_end; i++)
        if (!played->left_out[i] && played->ops[i].lane == lane->number)
            run_op(lane, &played->ops[i]);
    return NULL;
}

static void run_stretch(size_t begin, size_t end)
{
    pthread_t threads[LANES];

    stretch_begin = begin;
    stretch_end = end;
    for (unsigned l = 1; l < world.lane_count; l++)
        MUST(pthread_create(&threads[l], NULL, run_lane, &world.lanes[l]) == 0, "no thread");
    run_lane(&world.lanes[0]);
    for (unsigned l = 1; l < world.lane_count; l++)
        pthread_join(threads[l], NULL);
}

static void end_all(uint64_t seed)
{
    unsigned first = draw(&seed, SCOPES);

    for (unsigned i = 0; i < POOLS; i++)
        if (world.pools[i].pool != NULL && one_in(&seed, 2))
            end_pool(&world.pools[i], one_in(&seed, 3), one_in(&seed, 2));
    for (unsigned i = 0; i < SCOPES; i++)
        if (world.scopes[(first + i) % SCOPES].scope != NULL)
            end_scope(&world.scopes[(first + i) % SCOPES], one_in(&seed, 2));
    for (unsigned l = 0; l < world.lane_count; l++)
        for (int f = 0; families[f] != NULL; f++)
            if (families[f]->leave != NULL)
                families[f]->leave(&world.lanes[l]);
}

void play(const struct sequence *sequence, struct record *record, bool tracing)
{
    size_t begin = 0;

    world = (struct world){.record = record, .tracing = tracing, .lane_count = sequence->lanes};
    played = sequence;
    for (unsigned l = 0; l < LANES; l++)
        world.lanes[l] = (struct lane){.number = l, .op = sequence->ops};
    for (size_t i = 0; i < sequence->count; i++) {
        if (sequence->left_out[i] || !kind_at(sequence->ops[i].kind, NULL)->alone)
            continue;
        run_stretch(begin, i);
        run_op(&world.lanes[0], &sequence->ops[i]);
        begin = i + 1;
    }
    run_stretch(begin, sequence->count);
    end_all(sequence->seed);
}
