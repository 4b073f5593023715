/* SPDX-License-Identifier: MIT
 *
 * future.pml: threads of the program that look at the same futures (job_future.c, job.c and hold.c
 * of pool/host/), for two futures and one place of a job, which the jobs of both need.
 *
 *   user     0 and 1, each of a future: launches it, looks at it, waits for it (also with a limit),
 *            cancels it, frees it. Future 0 is of a map-reduce: its first job goes on with a second
 *            one. Each ends the other's future, if that has settled, to have the place
 *   other    a thread that needs memory, or dispatches: ends any future that has settled
 *   ender    with -DEND: ends the pool, after which a user may free its future
 *   worker   runs the chunk of the job that is open
 *
 * Each statement or atomic sequence is one atomic step of the program; memory is sequentially
 * consistent. What a thread does with pool->lock is one step, as a cancel, which takes no lock,
 * reads nothing else of it. Waits block, and there are no ticks: the protocol needs none. How a
 * thread learns that a job has settled is in job.pml. A job has one chunk. With -DALONE there is no
 * user 1, with -DNO_OTHER no other thread: smaller models of all the rest.
 *
 * Checked: no thread waits for ever (no invalid end state: only the worker may end waiting); one
 * thread at a time finishes a future, and takes each job's result once, while the job has its
 * place; a cancelled future's job is cancelled, and no other one is; no thread touches a future that
 * has been freed, or a pool that is gone; nothing of a freed future runs. With -DBUG_... one of
 * these must fail: run.sh tries all.
 */
#define NOBODY 2
#define ENDER  2 /* beside the users */

#define FREE      0
#define RUNNING   1
#define DONE      2
#define CANCELLED 3

/* the place: control.jobs[0] and its private part */
bool vacant = true, open, stop;
byte number, stop_number; /* private->number, and the number in job.stop */
byte cell;

/* the futures */
bool has_pool[2], listed[2], finishing[2], cancelled[2];
byte users[2], position[2];

/* the pool */
bool ending, ended;
byte in_use, touching, opened;
bool sleeps[3], sleeps_idle; /* for `finished`; for `idle` */

/* ghosts */
byte holder = NOBODY;             /* the future whose job has the place */
bool second[2];                   /* its job is the last one */
bool taking[2];                   /* a thread takes its job's result */
bool taken[2];                    /* of the job that it has */
bool wanted[2], has_cancelled[2]; /* a cancel has begun, has returned */
bool freed[2], gone;

#define SETTLED      (cell >= DONE || (stop && cell == FREE))
#define CLAIMABLE(f) (listed[f] && users[f] == 0)

/* ---- the pool ---- */

inline tell_finished()
{
    sleeps[0] = false;
    sleeps[1] = false;
    sleeps[ENDER] = false
}

inline leave_pool()
{
    atomic {
        assert(in_use > 0 && !gone);
        in_use--;
        if
        :: in_use == 0 -> sleeps_idle = false
        :: else
        fi
    }
}

/* ---- job.c ---- */

/* weir__job_settled(), with what SETTLED says: no worker takes the chunk of a job that is to stop. */
inline seal(f)
{
    assert(!gone && !freed[f] && holder == f);
    cell = (cell == FREE -> CANCELLED : cell)
}

inline take_place(f)
{
    number = opened + 1;
    opened++;
    vacant = false;
    holder = f;
    taken[f] = false
}

inline fill_place()
{
    assert(!gone && in_use > 0);
    atomic { stop_number = number; stop = false; cell = FREE };
    open = true
}

/* The last step is with the lock. */
inline close_place()
{
    assert(!gone);
    open = false;
#ifdef BUG_LEAVE_BEFORE_CLOSING
    if
    :: leaves -> leave_pool()
    :: else
    fi;
#endif
    atomic {
        assert(!gone && !vacant);
        vacant = true;
        holder = NOBODY;
#ifndef BUG_LEAVE_BEFORE_CLOSING
        if
        :: leaves -> leave_pool()
        :: else
        fi;
#endif
        leaves = false
    }
}

/* weir__job_cancel() */
inline cancel_job(at)
{
    assert(!gone);
#ifdef BUG_CANCEL_BY_PLACE
    stop = true
#elif defined(BUG_CANCEL_IN_TWO_STEPS)
    if
    :: stop_number == at -> stop = true
    :: else
    fi
#else
    atomic {
        if
        :: stop_number == at -> stop = true
        :: else
        fi
    }
#endif
}

/* ---- job_future.c ---- */

inline note_position(f)
{
#ifdef BUG_LOOK_BEFORE_POSITION
    was_cancelled = cancelled[f];
    position[f] = number;
#else
    position[f] = number;
    was_cancelled = cancelled[f];
#endif
    if
    :: was_cancelled -> cancel_job(position[f])
    :: else
    fi;
    was_cancelled = false
}

inline claim_to_finish(f)
{
    assert(!freed[f]);
    users[f]++;
    finishing[f] = true
}

inline take_result(f)
{
    atomic {
        assert(!gone && !freed[f] && !taking[f] && !taken[f] && holder == f && !vacant);
        taking[f] = true
    };
    atomic {
        assert(!gone && !freed[f] && holder == f && cell >= DONE);
        assert(!stop || wanted[f]);
        assert(stop || !has_cancelled[f]);
        taking[f] = false;
        taken[f] = true;
        goes_on = !second[f] && cell == DONE
    }
}

/* end_look() of one that has not ended */
inline end_look(f)
{
    atomic {
        assert(!freed[f] && has_pool[f]);
        users[f]--;
        if
#ifdef BUG_ENDER_NOT_TOLD
        :: finishing[f] -> tell_finished()
#else
        :: finishing[f] || ending -> tell_finished()
#endif
        :: else
        fi;
        finishing[f] = false
    }
}

/* end_look() of one that has ended, and leave_job() */
inline end_future(f)
{
#ifdef BUG_POOL_BEFORE_LIST
    has_pool[f] = false;
#endif
#ifdef BUG_TELL_BEFORE_FINISHED
    tell_finished();
#endif
    atomic {
        assert(!freed[f] && !gone);
        users[f]--;
#ifndef BUG_TELL_BEFORE_FINISHED
        if
        :: finishing[f] || ending -> tell_finished()
        :: else
        fi;
#endif
        finishing[f] = false;
        listed[f] = false;
        has_pool[f] = false;
        leaves = true
    };
    close_place()
}

#ifdef BUG_CLOSE_BEFORE_TAKING
/* Its result is taken when the place is another job's. */
#define take_last(f)                                                                               \
    leaves = false; close_place(); take_result(f)
#else
#define take_last(f) take_result(f)
#endif

/* make_place() for future 0: ends future 1 if that has settled. */
inline open_0()
{
    do
    :: atomic { vacant -> take_place(0); break }
#ifndef BUG_NO_PLACE_MADE
    :: atomic { !vacant && CLAIMABLE(1) && SETTLED -> seal(1); claim_to_finish(1) };
        take_last(1);
        end_future(1)
#endif
    od;
    fill_place()
}

/* finish_if_done() of one whose job has settled */
inline finish(f)
{
    take_last(f);
    if
    :: goes_on -> /* future 0 */
        close_place();
        second[0] = true;
        open_0();
        note_position(0);
        end_look(f)
    :: else -> end_future(f)
    fi;
    goes_on = false
}

/* make_place() for future 1, and its opening */
inline open_1()
{
    do
    :: atomic { vacant -> take_place(1); break }
#ifndef BUG_NO_PLACE_MADE
    :: atomic { !vacant && CLAIMABLE(0) && SETTLED -> seal(0); claim_to_finish(0) };
        finish(0)
#endif
    od;
    fill_place()
}

/* claim_job() by the thread that uses it */
inline claim(f)
{
    claimed = false;
    if
    :: !has_pool[f]
    :: has_pool[f] ->
        do
#ifndef BUG_USER_DOES_NOT_WAIT
        :: atomic { finishing[f] -> sleeps[f] = true };
            !sleeps[f]
        :: atomic { !finishing[f] ->
#else
        :: atomic { true ->
#endif
            claimed = has_pool[f];
            users[f] = users[f] + claimed;
            break }
        od
    fi
}

/* ---- the processes ---- */

/* weir_future_cancel() */
inline cancel(f)
{
    if
    :: !has_pool[f]
    :: has_pool[f] ->
        wanted[f] = true;
#ifdef BUG_LOOK_BEFORE_TOUCHING
        was_ended = ended;
        touching++;
#else
        touching++;
        was_ended = ended;
#endif
        if
        :: !was_ended ->
#ifdef BUG_POSITION_BEFORE_CANCELLED
            at = position[f];
            cancelled[f] = true;
#else
            cancelled[f] = true;
            at = position[f];
#endif
            cancel_job(at);
            at = 0
        :: else
        fi;
        has_cancelled[f] = true;
        touching--;
        was_ended = false
    fi
}

/* wait_for_job() without a limit */
inline wait(f)
{
    do
    :: claim(f);
        if
        :: !claimed -> break
        :: else
        fi;
        atomic { SETTLED -> seal(f) };
        finish(f)
    od;
    claimed = false
}

/* weir_future_done(), or a wait whose time is over before */
inline glance(f)
{
    claim(f);
    if
    :: claimed ->
        if
        :: atomic { SETTLED -> seal(f) };
            finish(f)
        :: end_look(f)
        fi;
        claimed = false
    :: else
    fi
}

proctype user(byte f)
{
    bool claimed, goes_on, leaves, was_ended, was_cancelled, looked;
    byte at;

    /* weir__launch() */
    if
    :: atomic { ending -> goto out }
    :: atomic { !ending -> in_use++ }
    fi;
    atomic { has_pool[f] = true; second[f] = (f == 1) };
    if
    :: f == 0 -> open_0()
    :: else -> open_1()
    fi;
    note_position(f);
    atomic {
        listed[f] = true;
#ifndef BUG_LATE_FUTURE_NOT_TOLD
        if
        :: ending -> sleeps_idle = false
        :: else
        fi
#endif
    };
    do
    :: !looked -> glance(f); looked = true
    :: f == 0 && !wanted[f] -> cancel(f)
    :: wait(f); assert(!has_pool[f] && !taking[f]); break
    :: break
    od;
    if
    :: skip
#ifdef END
    :: true -> gone /* freed after the pool */
#else
    :: f == 1 && !freed[0] -> freed[0] /* the program needs future 0 first */
#endif
    fi;
    /* weir_future_free() */
    if
    :: !has_pool[f]
    :: has_pool[f] ->
#ifdef BUG_FREE_WITHOUT_WAITING
        cancel(f)
#else
        glance(f);
        if
        :: has_pool[f] -> cancel(f); wait(f)
        :: else
        fi
#endif
    fi;
    atomic {
        assert(!taking[f] && (holder != f || cell != RUNNING));
        freed[f] = true
    };
out:
    skip
}

#ifndef NO_OTHER
active proctype other()
{
    bool goes_on, leaves, was_cancelled;

    do
    :: atomic { !ended -> in_use++ }; /* weir__pool_hold() */
        if
#ifdef BUG_CLAIM_WITHOUT_LOOKING
        :: atomic { listed[0] && holder == 0 && SETTLED -> seal(0); claim_to_finish(0) };
#else
        :: atomic { CLAIMABLE(0) && SETTLED -> seal(0); claim_to_finish(0) };
#endif
            finish(0)
        :: atomic { CLAIMABLE(1) && SETTLED -> seal(1); claim_to_finish(1) };
            finish(1)
        :: skip
        fi;
        leave_pool()
    :: break
    od
}
#endif

#ifdef END
inline end_claimed(f)
{
    atomic { SETTLED -> seal(f) };
    finish(f)
}

/* weir_pool_free() */
active proctype ender()
{
    bool goes_on, leaves, was_cancelled;

    ending = true;
again:
    do /* weir__job_futures_end() */
    :: atomic { CLAIMABLE(0) -> claim_to_finish(0) };
        end_claimed(0)
    :: atomic { CLAIMABLE(1) -> claim_to_finish(1) };
        end_claimed(1)
    :: atomic { !listed[0] && !listed[1] -> break }
    :: atomic { (listed[0] || listed[1]) && !CLAIMABLE(0) && !CLAIMABLE(1) ->
                sleeps[ENDER] = true };
        !sleeps[ENDER]
    od;
    /* wait_until_idle() */
    if
    :: atomic { in_use == 0 -> ended = true }
    :: atomic { in_use > 0 && !listed[0] && !listed[1] -> sleeps_idle = true };
        !sleeps_idle;
        goto again
    :: atomic { in_use > 0 && (listed[0] || listed[1]) -> goto again }
    fi;
#ifndef BUG_NO_LOOK_AT_TOUCHING
    touching == 0;
#endif
    gone = true
}
#endif

active proctype worker()
{
    byte mine;

end:
    do
    :: atomic { open && cell == FREE -> cell = RUNNING; mine = number };
        atomic {
            assert(!gone && open && cell == RUNNING && number == mine);
            cell = DONE;
            mine = 0
        }
    od
}

init
{
    atomic {
        run user(0);
#ifndef ALONE
        run user(1)
#endif
    }
}
