/* SPDX-License-Identifier: MIT
 *
 * failure.pml: which failure a job reports (pool/control/failure.c): the record of the workers,
 * that of the supervisor, and the cells that make them count, for two workers of which KILLS are
 * killed anywhere.
 *
 *   worker      0 has the chunks 0 and 2, 1 has chunk 1; each attempt may fail, be done, or be
 *               killed
 *   supervisor  reaps a dead worker: withdraws its record, takes its chunk back, and lets another
 *               begin
 *
 * Each statement or atomic sequence is one atomic step of the program; memory is sequentially
 * consistent. A record is written in two steps, and is torn in between. Waits block.
 *
 * Checked: no process waits for ever (no invalid end state); a record that counts is whole and
 * about the chunk that it counts for; when a chunk has failed and all are final, a record counts.
 * With -DBUG_... one of these must fail: run.sh tries all.
 */
#ifndef KILLS
#define KILLS 2
#endif
#ifndef RETRIES
#define RETRIES 1
#endif

#define CHUNKS  3
#define NONE    CHUNKS
#define FREE    0
#define RUNNING 1
#define DONE    2
#define FAILED  3

/* shared memory; the last cell is never used */
byte state[CHUNKS + 1], attempt[CHUNKS];
byte owner; /* worker + 1 */
byte task_chunk = NONE, death_chunk = NONE;

/* what is written in the records */
bool task_torn, death_torn;
byte task_about = NONE, death_about = NONE;

bool killed[2], dead[2];
byte kills;

#define COUNTS(chunk) (state[chunk] == FAILED)
#define FINAL(chunk)  (state[chunk] >= DONE)
#define ALL_FINAL     (FINAL(0) && FINAL(1) && FINAL(2))

inline describe(w, c)
{
    do
    :: atomic { owner == 0 -> owner = w + 1 };
        task_chunk = c;
        task_torn = true;
        atomic { task_torn = false; task_about = c };
        break
#ifdef BUG_NO_WAIT
    :: owner != 0 -> break
#else
    :: owner != 0 && COUNTS(task_chunk) -> break
#endif
    od
}

inline run_chunk(w, c)
{
    if
    :: state[c] == FREE ->
        atomic { state[c] = RUNNING; attempt[c]++ };
        if
        :: state[c] = DONE
        :: skip; /* the task fails */
#ifdef BUG_SETTLE_BEFORE_WRITING
            state[c] = FAILED;
            describe(w, c)
#else
            describe(w, c);
            state[c] = FAILED
#endif
        fi
    :: else
    fi
}

proctype worker(byte w)
{
    {
        if
        :: w == 0 -> run_chunk(w, 0); run_chunk(w, 2)
        :: w == 1 -> run_chunk(w, 1)
        fi
    } unless {
        atomic { killed[w]; dead[w] = true }
    }
}

inline withdraw(w)
{
    if
#ifdef BUG_WITHDRAW_WHAT_COUNTS
    :: owner == w + 1 ->
#else
    :: owner == w + 1 && !COUNTS(task_chunk) ->
#endif
#ifdef BUG_FREE_BEFORE_ITS_CHUNK
        owner = 0;
        task_chunk = NONE
#else
        task_chunk = NONE;
        owner = 0
#endif
    :: else
    fi
}

inline report_death(w, c)
{
#ifdef BUG_ONE_RECORD
    if
    :: atomic { owner == 0 -> owner = 3 };
        task_chunk = c;
        task_torn = true;
        atomic { task_torn = false; task_about = c }
    :: else
    fi
#else
    if
    :: !COUNTS(death_chunk) ->
        death_chunk = c;
        death_torn = true;
        atomic { death_torn = false; death_about = c }
    :: else
    fi
#endif
}

inline reclaim(w, c)
{
    if
    :: state[c] == RUNNING ->
#ifndef BUG_WITHDRAW_AFTER_RECLAIMING
        withdraw(w);
#endif
        if
        :: attempt[c] > RETRIES -> report_death(w, c); state[c] = FAILED
        :: else -> state[c] = FREE
        fi;
#ifdef BUG_WITHDRAW_AFTER_RECLAIMING
        withdraw(w)
#endif
    :: else
    fi
}

inline reap_worker(w)
{
    if
    :: w == 0 -> reclaim(w, 0); reclaim(w, 2)
    :: w == 1 -> reclaim(w, 1)
    fi;
    atomic { killed[w] = false; dead[w] = false; run worker(w) }
}

active proctype supervisor()
{
    run worker(0);
    run worker(1);
end:
    do
    :: dead[0] -> reap_worker(0)
    :: dead[1] -> reap_worker(1)
    od
}

active proctype killer()
{
    do
    :: atomic { kills < KILLS && !killed[0] && !ALL_FINAL -> kills++; killed[0] = true }
    :: atomic { kills < KILLS && !killed[1] && !ALL_FINAL -> kills++; killed[1] = true }
    :: break
    od
}

active proctype host()
{
    ALL_FINAL;
    assert(!COUNTS(task_chunk) || (!task_torn && task_about == task_chunk));
    assert(!COUNTS(death_chunk) || (!death_torn && death_about == death_chunk));
    assert((!COUNTS(0) && !COUNTS(1) && !COUNTS(2)) || COUNTS(task_chunk) || COUNTS(death_chunk))
}
