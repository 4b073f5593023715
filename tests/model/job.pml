/* SPDX-License-Identifier: MIT
 *
 * job.pml: ledger, ready set, parking, and the reuse of a job's memory (work_jobs.c, supervisor.c,
 * job.c and park.c of pool/), for one place of a job and two workers, of which KILLS are killed
 * anywhere.
 *
 *   host        opens a job, waits for it, closes it, and opens another one in the same place
 *   worker      0 and 1: parks, enters, claims, runs, settles, counts, leaves; or is killed
 *               anywhere
 *   supervisor  reaps a dead worker, takes its chunk back, repairs, and lets another one begin
 *   canceller   with -DCANCEL: cancels the job at any time
 *
 * Each statement or atomic sequence is one atomic step of the program; memory is sequentially
 * consistent. Waits block, and there are no ticks: the protocol needs none. A bell is rung or not
 * since it was last read, which is what comparing its number comes to. What no later step depends
 * on is set to one value, to have fewer states.
 *
 * With -DPARTS each chunk is a part of its own (parts.h), and a worker passes over those whose mark
 * says that no chunk of it is FREE.
 *
 * With -DNO_BELLS each process sees at once what it waits for: a smaller model of all the rest, for
 * more chunks and kills.
 *
 * Checked: no process waits for ever (no invalid end state: only workers and supervisor may end
 * waiting); a chunk is committed once; a chunk is claimed and run only for the open job that the
 * worker believes to be in; who is inside is counted; a final cell never changes; with attempts
 * left no chunk is lost. With -DBUG_... one of these must fail: run.sh tries all.
 */
#ifndef KILLS
#define KILLS 2
#endif
#ifndef RETRIES
#define RETRIES KILLS
#endif
#ifndef CHUNKS
#define CHUNKS 3
#endif
#ifndef CHUNKS_AGAIN
#define CHUNKS_AGAIN 1 /* of the second job */
#endif

#define FREE      0
#define RUNNING   1
#define DONE      2
#define FAILED    3
#define CANCELLED 4
#define NOBODY    2 /* neither worker */
#define NO_CHUNK  CHUNKS

/* shared memory */
byte state[CHUNKS], owner[CHUNKS] = NOBODY, attempt[CHUNKS]; /* attempts that ended in a death */
bool open;
byte count;
byte inside, settled;
bool looking, entered; /* since the host last looked: the count of entries has changed */
byte retry_seq;
#ifdef PARTS
byte mark[CHUNKS]; /* 1 + the retry_seq at which the part was looked through; 0: it was not */
#endif
bool recount, waiting, stop;
bool ready;
bool parked[2], bell[2], host_bell;
bool slot_job[2], supervisor_job;
byte slot_chunk[2] = NO_CHUNK;

/* ghosts */
byte generation;
bool alive[2] = true, dying[2], killed[2], dead[2], reaped[2];
byte kills;

inline enter()
{
    atomic { inside++; entered = looking }
}

inline ring_host()
{
#ifndef NO_BELLS
    if
    :: waiting -> host_bell = true
    :: else
    fi
#else
    skip
#endif
}


proctype worker(byte me)
{
    byte c, i, mine, retries, believed;
    bool self;

life:
    {
            skip;
end_idle:
#ifdef NO_BELLS
            ready;
#else
            if
            :: ready
            :: !ready ->
                atomic { bell[me] = false; /* seen */ parked[me] = true };
                if
#ifndef BUG_NO_LOOK_BEFORE_SLEEPING
                :: ready
                :: !ready ->
#else
                ::
#endif
end_asleep:
                    bell[me]
                fi;
                atomic { parked[me] = false; bell[me] = false };
                goto end_idle
            fi;
#endif
#ifdef BUG_NAME_AFTER_ENTERING
            enter();
            slot_job[me] = true;
#else
            slot_job[me] = true;
            enter();
#endif
again:
#ifndef BUG_NO_LOOK_AT_STATE
            if
            :: !open ->
                ready = false;
#ifdef BUG_NO_LOOK_AFTER_REMOVAL
                goto leave;
#endif
                if
                :: !open -> goto leave
                :: else -> ready = true
                fi
            :: else
            fi;
#endif
            atomic { retries = retry_seq; believed = generation; mine = 0; i = 0 };
            do
            :: atomic { i < count -> c = (i + me) % count; i++ }; /* its own region first */
#ifdef PARTS
                if
#ifdef BUG_MARK_FOR_EVER
                :: mark[c] != 0 -> goto passed
#else
                :: mark[c] == retries + 1 -> goto passed
#endif
                :: else
                fi;
#ifdef BUG_MARK_BEFORE_LOOKING
                mark[c] = retries + 1;
#endif
#endif
                if
                :: state[c] == FREE && !stop ->
#ifndef BUG_CLAIM_BEFORE_CHUNK
                    slot_chunk[me] = c;
#endif
                    atomic {
                        if
                        :: state[c] == FREE ->
                            assert(open && believed == generation);
                            state[c] = RUNNING;
                            owner[c] = me;
                            self = true
                        :: else
                        fi
                    };
#ifdef BUG_CLAIM_BEFORE_CHUNK
                    slot_chunk[me] = c;
#endif
                    if
                    :: self ->
                        atomic { /* it has run */
                            assert(open && believed == generation);
                            assert(state[c] == RUNNING && owner[c] == me);
                            state[c] = DONE;
                            owner[c] = NOBODY;
                            attempt[c] = 0;
                            self = false;
                            mine++
                        }
                    :: else
                    fi
#ifdef PARTS
                :: state[c] != FREE ->
#ifdef BUG_MARK_WITH_A_LATER_NUMBER
                    mark[c] = retry_seq + 1
#else
                    mark[c] = retries + 1
#endif
                :: state[c] == FREE && stop
#else
                :: else
#endif
                fi;
passed:
                skip
            :: atomic { else -> c = 0; i = 0; break }
            od;
            if
            :: atomic { mine > 0 -> settled = settled + mine; mine = 0 };
                if
                :: settled >= count || stop || recount -> ring_host()
                :: else
                fi
            :: mine == 0
            fi;
            ready = false;
            if
            :: retry_seq != retries && !stop -> goto again
            :: else
            fi;
leave:
            atomic { assert(inside > 0); inside-- };
            atomic { slot_job[me] = false; slot_chunk[me] = NO_CHUNK; retries = 0; believed = 0 };
            goto end_idle
    } unless { killed[me] && alive[me] };
    atomic { alive[me] = false; dead[me] = true; c = 0; i = 0; mine = 0; retries = 0; believed = 0; self = false };
end_dead:
    atomic { reaped[me] -> reaped[me] = false; dying[me] = false; killed[me] = false; alive[me] = true };
    goto life
}

#ifdef BUG_RECLAIM_BEFORE_REAPING
#define DIE(w) } killed[w] = true; atomic { skip /* it lives a little longer than others think */
#else
#define DIE(w) killed[w] = true
#endif

/* Kills a worker that lives; or does not. */
active proctype killer()
{
end:
    do
    :: atomic { kills < KILLS && alive[0] && !dying[0] -> kills++; dying[0] = true; DIE(0) }
    :: atomic { kills < KILLS && alive[1] && !dying[1] -> kills++; dying[1] = true; DIE(1) }
    :: kills == KILLS -> break
    od
}

#ifdef BUG_RECLAIM_BEFORE_REAPING
#define NOTICE(w) dying[w] && !reaped[w] -> skip
#define REAP(w)   (dead[w]) -> dead[w] = false
#else
#define NOTICE(w) dead[w] -> dead[w] = false
#define REAP(w)   skip
#endif

inline respawn(w)
{
    atomic { REAP(w); c = 0; reaped[w] = true }
}

inline reap_worker(w)
{
#ifdef BUG_FORK_BEFORE_RECLAIMING
    respawn(w);
#endif
    if
    :: slot_job[w] ->
        supervisor_job = true;
        enter();
        if
        :: open ->
            c = slot_chunk[w];
            if
            :: c < count && state[c] == RUNNING && owner[c] == w ->
                atomic {
                    owner[c] = NOBODY;
                    state[c] = (attempt[c] < RETRIES -> FREE : FAILED);
                    attempt[c] = (attempt[c] < RETRIES -> attempt[c] + 1 : 0)
                };
#ifndef BUG_NO_RETRY_SEQ
                retry_seq++
#else
                skip
#endif
            :: else
            fi
        :: else
        fi;
        inside--;
        supervisor_job = false
    :: else
    fi;
    atomic { slot_job[w] = false; slot_chunk[w] = NO_CHUNK; parked[w] = false };
    if
    :: open ->
#ifndef BUG_NO_REPAIR
        ready = true;
#endif
#ifndef BUG_HOST_NOT_RUNG
        recount = true;
        ring_host()
#endif
    :: else
    fi;
#ifndef NO_BELLS
    atomic { bell[0] = bell[0] || !parked[0]; bell[1] = bell[1] || !parked[1] };
    atomic {
        if
        :: ready && parked[0] -> parked[0] = false; bell[0] = true
        :: ready && !parked[0] && parked[1] -> parked[1] = false; bell[1] = true
        :: else
        fi
    };
#endif
#ifndef BUG_FORK_BEFORE_RECLAIMING
    respawn(w)
#endif
}

active proctype supervisor()
{
    byte c;

end:
    do
    :: atomic { NOTICE(0) }; reap_worker(0)
    :: atomic { NOTICE(1) }; reap_worker(1)
    od
}

#ifdef CANCEL
active proctype canceller()
{
    if
    :: stop = true; host_bell = true
    :: true
    fi
}
#endif

inline wake_one()
{
    if
    :: parked[0] ->
        atomic { was_set = parked[0]; parked[0] = false };
        if
        :: was_set -> bell[0] = true
        :: else -> woken = false
        fi
    :: else -> woken = false
    fi;
    if
    :: !woken && parked[1] ->
        atomic { was_set = parked[1]; parked[1] = false };
        if
        :: was_set -> bell[1] = true
        :: else
        fi
    :: else
    fi;
    atomic { woken = true; was_set = false }
}

/* Nobody lives in the place: as job_is_empty(), waiting where it would take another place. */
inline take_place()
{
    do
    :: atomic { inside == 0 -> break }
    :: atomic { inside > 0 && !slot_job[0] -> /* it waits for that one; the others it may find any way */
                seen = inside; entered = false; looking = true };
        if
        :: slot_job[0] -> goto not_yet
        :: else
        fi;
        if
        :: slot_job[1] -> goto not_yet
        :: else
        fi;
        if
        :: supervisor_job -> goto not_yet
        :: else
        fi;
        atomic {
            if
#ifdef BUG_NO_COUNT_OF_ENTRIES
            :: inside == seen -> inside = 0; break
#else
            :: inside == seen && !entered -> inside = 0; break
#endif
            :: else
            fi
        };
not_yet:
        atomic { looking = false; entered = false; seen = 0 }
    od
}

inline cancel_unstarted(c)
{
#ifdef BUG_SEAL_IN_TWO_STEPS
    if
    :: state[c] == FREE -> state[c] = CANCELLED
    :: else
    fi
#else
    atomic {
        if
        :: state[c] == FREE -> state[c] = CANCELLED
        :: else
        fi
    }
#endif
}

inline look_at_cells()
{
    if
    :: stop ->
        c = 0;
        do
        :: c < count -> cancel_unstarted(c); c++
        :: else -> break
        od
    :: else
    fi;
#ifdef BUG_HINT_ONLY
    settled_all = settled >= count;
#else
    do
    :: cursor < count && state[cursor] >= DONE -> cursor++
    :: cursor < count && state[cursor] < DONE -> break
    :: cursor == count -> break
    od;
    settled_all = cursor == count;
#endif
    c = 0
}

#define IS_FREE(c) (c < count && state[(c < CHUNKS -> c : 0)] == FREE)
#define FINAL(c)   (c >= count || state[(c < CHUNKS -> c : 0)] >= DONE)

/* One job: open, wait, result, close. */
inline run_job(n)
{
    /* open */
#ifndef BUG_REUSE_WHILE_INSIDE
    take_place();
#endif
    atomic { /* a process may look at it only to find it closed */
        settled = 0;
        recount = false;
        waiting = false;
        generation++;
        count = n;
        c = 0;
        do
        :: c < CHUNKS ->
            state[c] = FREE;
#ifdef PARTS
            mark[c] = 0;
#endif
            attempt[c] = 0;
            owner[c] = NOBODY;
            c++
        :: else -> break
        od;
        c = 0;
        cursor = 0;
        seen = 0;
        looking = false;
        entered = false
    };
    open = true;
    ready = true;
#ifndef NO_BELLS
    wake_one();
#endif
    /* wait */
    do
    ::
#ifndef NO_BELLS
        host_bell = false; /* seen */
#endif
#ifdef BUG_NO_LOOK_AFTER_WAITING
        look_at_cells();
        if
        :: settled_all -> break
        :: else
        fi;
        waiting = true;
#else
#ifndef NO_BELLS
        waiting = true;
#endif
        look_at_cells();
        if
        :: settled_all -> break
        :: else
        fi;
#endif
#ifndef NO_BELLS
        (host_bell)
#else
        /* as if it looked all the time */
        (stop && (IS_FREE(0) || IS_FREE(1) || IS_FREE(2)) || FINAL(0) && FINAL(1) && FINAL(2))
#endif
    od;
    /* result */
    atomic {
    do
    :: c < count ->
        assert(state[c] >= DONE);
#ifndef CANCEL
        assert(state[c] != CANCELLED);
        assert(RETRIES < KILLS || state[c] == DONE);
#endif
        c++
    :: else -> break
    od;
    c = 0;
    cursor = 0;
    settled_all = false
    };
    /* close */
    open = false;
    if
    :: ready -> ready = false
    :: else
    fi
}

active proctype host()
{
    byte c, cursor, seen;
    bool settled_all, was_set, woken = true;

    atomic { run worker(0); run worker(1) };
    do
    :: generation == 0 || generation == 1 && CHUNKS_AGAIN > 0 ->
        run_job((generation == 1 -> CHUNKS : CHUNKS_AGAIN)) /* generation is one up by then */
    :: else -> break
    od
}
