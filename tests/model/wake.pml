/* SPDX-License-Identifier: MIT
 *
 * wake.pml: the process that is woken for a job that no thread waits for (job.c, work_jobs.c and
 * park.c of pool/): the ready set, a spinning worker that the host counts on, sleeping workers, and
 * the chain; and what the supervisor makes up for when a worker has died.
 *
 *   host      opens job 0, and later jobs 1 and 2, which need each other: neither ends before both
 *             have been taken. It wakes no process later on, as a program does that is busy with
 *             other work
 *   worker    0 and 1: looks, takes a job, runs it, says that it will look again, spins, sleeps
 *
 *   other     another thread of the program, that opens a job which it waits for: it takes the bit
 *             of a spinning worker at any time (and looks after its job itself)
 *
 * Each statement or atomic sequence is one atomic step of the program; memory is sequentially
 * consistent. At most one worker spins.
 *
 * With -DKILLS=1 a worker is killed anywhere, but not while it holds up what must be taken at once:
 *
 *   killer      kills a worker that lives; or does not
 *   supervisor  frees what the worker had taken and not run, puts all open jobs back, rings all
 *               workers whose bit is not set, wakes one for what is ready, lets another one begin
 *
 * Checked: every job is taken (no invalid end state: only workers may end asleep). With -DBUG_...
 * that must fail: run.sh tries all.
 */
#define JOBS 3
#define NONE 2

#ifndef KILLS
#define KILLS 0
#endif
#define FIRST_WORKER (KILLS == 0 -> 2 : 1)

bool ready[JOBS], taken[JOBS], opened[JOBS];
byte owner[JOBS] = NONE; /* the worker that has taken it and not run it to its end */
bool retried[JOBS]; /* as retry_seq, of which one step is enough */
bool killed[2], dead[2], reaped[2];
byte kills;
bool spinning[2], parked[2], bell[2];

#define ANY_READY (ready[0] || ready[1] || ready[2])

/* Takes one sleeping worker's bit, and rings. */
inline wake_one(w)
{
    atomic {
        if
        :: parked[0] -> parked[0] = false; w = 0
        :: !parked[0] && parked[1] -> parked[1] = false; w = 1
        :: else -> w = NONE
        fi
    }
    if
    :: w != NONE -> bell[w] = true
    :: else
    fi
}

inline open_job(j)
{
#ifdef BUG_LOOK_BEFORE_ADDING
    counted = spinning[0] || spinning[1];
#endif
    atomic { opened[j] = true; alone = !ANY_READY; ready[j] = true }
#ifndef BUG_LOOK_BEFORE_ADDING
    counted = spinning[0] || spinning[1];
#endif
    if
    :: !counted && alone -> wake_one(w)
    :: else
    fi
}

active proctype host()
{
    byte w;
    bool alone, counted;

#if KILLS == 0
    open_job(0);
    if
    :: taken[0] /* later */
    :: skip     /* or at once */
    fi;
#else
    taken[0] = true; /* two are enough */
#endif
    open_job(1);
    open_job(2);
    taken[0] && taken[1] && taken[2]
}

#if KILLS == 0
active proctype other()
{
    if
    :: spinning[0] -> spinning[0] = false
    :: spinning[1] -> spinning[1] = false
    :: skip
    fi
}
#endif

inline wake_next(j)
{
#ifndef BUG_NO_CHAIN
    if
    :: (ready[0] && j != 0) || (ready[1] && j != 1) || (ready[2] && j != 2) -> wake_one(w)
#ifndef BUG_PUT_BACK_ALONE
    :: back -> wake_one(w)
    :: else
#else
    :: else
#endif
    fi
#else
    skip
#endif
}

inline take_out(j)
{
    ready[j] = false;
    if
    :: retried[j] != retries -> ready[j] = true; back = true
    :: else
    fi
}

inline run_it(j)
{
    if
    :: j == 0 -> skip
    :: else -> taken[1] && taken[2]
    fi
}

/* The place of another one that spins is taken. */
inline announce()
{
    spinning[me] = true;
    atomic {
        if
        :: spinning[1 - me] -> spinning[1 - me] = false
        :: else
        fi
    }
}

inline work(j)
{
    atomic { spinning[me] = false; retries = retried[j]; back = false };
    atomic { mine = !taken[j]; taken[j] = true; owner[j] = (mine -> me : owner[j]) }
    if
    :: mine ->
#ifdef BUG_CHAIN_BEFORE_REMOVAL
        wake_next(j);
        take_out(j);
        run_it(j)
#elif defined(BUG_REMOVAL_AFTER_THE_RUN)
        wake_next(j);
        run_it(j);
        take_out(j)
#else
        take_out(j);
        wake_next(j);
        run_it(j)
#endif
        ;
        owner[j] = NONE
    :: else -> take_out(j)
    fi;
    announce()
}

active [2] proctype worker()
{
    byte me = _pid - FIRST_WORKER, w;
    bool mine, retries, back;

life:
    {
        skip;
look:
    if
    :: ready[0] -> work(0); goto look
    :: ready[1] -> work(1); goto look
    :: ready[2] -> work(2); goto look
    :: !ANY_READY
    fi;
    /* It spins as long as it likes, or its place is taken, and looks once more. */
    if
    :: ANY_READY -> goto look
    :: skip
    fi;
    spinning[me] = false;
    bell[me] = false;
    parked[me] = true;
#ifndef BUG_NO_LOOK_BEFORE_SLEEPING
    if
    :: ANY_READY -> parked[me] = false; goto look
    :: else
    fi;
#endif
end_asleep:
    bell[me];
    parked[me] = false;
    goto look
    } unless { killed[me] };
    atomic { killed[me] = false; dead[me] = true; w = 0; mine = false; retries = false; back = false };
end_dead:
    atomic { reaped[me] -> reaped[me] = false };
    goto life
}

#if KILLS > 0
active proctype killer()
{
end:
    do
    :: atomic { kills < KILLS -> kills++; killed[0] = true }
    :: atomic { kills < KILLS -> kills++; killed[1] = true }
    :: kills == KILLS -> break
    od
}

inline free_if_taken(j)
{
    if
    :: atomic { owner[j] == me -> owner[j] = NONE; taken[j] = false; retried[j] = true }
    :: else
    fi
}

inline add_if_open(j)
{
    if
    :: opened[j] -> ready[j] = true
    :: else
    fi
}

inline ring_if_lost(i)
{
    if
    :: !parked[i] -> bell[i] = true
    :: else
    fi
}

active proctype supervisor()
{
    byte w, me;

end:
    do
    :: atomic { dead[0] -> dead[0] = false; me = 0 }; goto reap
    :: atomic { dead[1] -> dead[1] = false; me = 1 }; goto reap
    od;
reap:
    atomic { free_if_taken(1); free_if_taken(2) }; /* there is no job 0 with kills */
    atomic { spinning[me] = false; parked[me] = false };
    add_if_open(1);
    add_if_open(2);
#ifndef BUG_LOST_NOT_RUNG
    ring_if_lost(0);
    ring_if_lost(1);
#endif
    if
    :: ANY_READY -> wake_one(w)
    :: else
    fi;
    reaped[me] = true;
    goto end
}
#endif
