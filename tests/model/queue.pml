/* SPDX-License-Identifier: MIT
 *
 * queue.pml: the queue of submitted calls (calls.h, calls.c and work_calls.c of pool/): places that
 * are used again and again, the tail with its flag, the ready set, the chain of wake-ups, and
 * deaths.
 *
 *   host        puts CALLS calls into PLACES places, and waits for a call only when its place is
 *               needed, or after the last one. The last two need each other: neither ends before
 *               both have been started, so whoever runs one must have seen to the other
 *   worker      0 and 1: looks, takes calls, says that it will look again, spins, sleeps; with
 *               KILLS, is killed anywhere
 *   supervisor  reaps a dead worker, fails its call, repairs, and lets another one begin
 *
 * Each statement or atomic sequence is one atomic step of the program; memory is sequentially
 * consistent. At most one worker spins. A call whose worker is killed counts as started, for the
 * one that needs it.
 *
 * With -DPASSED workers tell each other how far they have looked. With -DNO_SLEEP workers see at once what they wait for, and with -DNO_MARKS the host does:
 * smaller models of all the rest.
 *
 * Checked: no call is lost or waits for ever (no invalid end state: only workers, killer and
 * supervisor may end waiting); none runs twice; the place that is settled is the one that was
 * claimed. With -DBUG_... one of these must fail: run.sh tries all.
 */
#ifndef KILLS
#define KILLS 0
#endif
#ifndef CALLS
#define CALLS 3
#endif
#ifndef PLACES
#define PLACES 2
#endif
#define NONE   2

#define FREE    0
#define RUNNING 1
#define FINAL   2

byte state[PLACES] = FINAL, owner[PLACES] = NONE, call[PLACES];
bool waiting[PLACES];
byte tail;
bool idle = true, ready;
bool spinning[2], parked[2], bell[2], host_bell;
byte slot_chunk[2] = NONE;
#ifdef PASSED
byte passed;
#endif

/* ghosts */
bool started[CALLS];
byte kills;
bool alive[2] = true, killed[2], dying[2], dead[2], reaped[2];

inline wake_one(w)
{
#ifndef NO_SLEEP
    atomic {
        if
        :: parked[0] -> parked[0] = false; w = 0
        :: !parked[0] && parked[1] -> parked[1] = false; w = 1
        :: else -> w = NONE
        fi
    }
    if
    :: w != NONE -> atomic { bell[w] = true; w = NONE }
    :: else
    fi
#else
    skip
#endif
}

inline settle_wait(p)
{
#ifdef NO_MARKS
    state[p] == FINAL
#elif defined(BUG_NO_LOOK_AFTER_MARKING)
    state[p] == FINAL || !waiting[p];
    if
    :: state[p] == FINAL -> skip
    :: else -> waiting[p] = true; host_bell; host_bell = false
    fi;
    state[p] == FINAL;
#else
    do
    :: host_bell = false; /* seen */
       waiting[p] = true;
       if
       :: state[p] == FINAL -> break
       :: else -> host_bell
       fi
    od
#endif
}

inline fill(p)
{
    atomic { call[p] = n; waiting[p] = false; owner[p] = NONE };
    state[p] = FREE
}

inline publish()
{
    atomic { was_idle = idle; idle = false; tail++ }
}

active proctype host()
{
    byte n, w = NONE;
    bool was_idle, alone, counted;

    do
    :: n < CALLS ->
#ifndef BUG_PLACE_USED_TOO_EARLY
        if
        :: n >= PLACES -> settle_wait(n % PLACES)
        :: else
        fi;
#endif
#ifdef BUG_TAIL_BEFORE_CELL
        publish();
        fill(n % PLACES);
#else
        fill(n % PLACES);
        publish();
#endif
        if
        :: was_idle ->
#ifdef BUG_LOOK_BEFORE_ADDING
            counted = spinning[0] || spinning[1];
#endif
            atomic { alone = !ready; ready = true };
#if !defined(BUG_LOOK_BEFORE_ADDING) && !defined(NO_SLEEP)
            counted = spinning[0] || spinning[1];
#endif
            if
            :: alone && !counted -> wake_one(w)
            :: else
            fi
        :: else
        fi;
        atomic { n++; was_idle = false; alone = false; counted = false }
    :: else -> break
    od;
    n = 0;
    settle_wait(0);
#if PLACES > 1
    settle_wait(1);
#endif
    assert(started[0] && started[1] && started[CALLS - 1])
}

/* The cursor goes to the next call below `known` that is FREE. */
inline find()
{
    more = false;
    if
    :: known > cursor + PLACES -> cursor = known - PLACES
    :: else
    fi;
    do
    :: atomic { cursor < known && state[cursor % PLACES] == FREE -> more = true; break }
    :: atomic { cursor < known && state[cursor % PLACES] != FREE -> cursor++ }
    :: cursor == known -> break
    od
}

#ifdef PASSED
inline skip_passed()
{
    atomic {
        if
#ifdef BUG_TAIL_NOT_READ_AGAIN
        :: cursor < passed -> cursor = passed
#else
        :: cursor < passed -> known = tail; cursor = passed
#endif
        :: else
        fi
    };
    if
#ifdef BUG_PASSED_IS_THE_TAIL
    :: cursor > passed -> passed = known
#else
    :: cursor > passed -> passed = cursor
#endif
    :: cursor <= passed
    fi
}
#endif

inline take_out()
{
#ifdef BUG_FLAG_BEFORE_REMOVAL
    atomic {
        out = (tail == known);
        if
        :: out -> idle = true
        :: else
        fi
    };
    if
    :: out -> ready = false
    :: else
    fi
#else
    ready = false;
    atomic {
#ifdef BUG_NO_LOOK_AT_TAIL
        out = true;
#else
        out = (tail == known);
#endif
        if
        :: out -> idle = true
        :: else
        fi
    };
    if
    :: !out -> ready = true
    :: else
    fi
#endif
}

/* Sees to the calls after the one that was claimed. */
inline see_to_next()
{
    out = false;
    do
    :: known = tail; find();
       if
       :: more -> break
       :: else -> take_out();
            if
            :: out -> break
            :: else
            fi
       fi
    od;
#ifndef BUG_NO_CHAIN
    if
    :: more -> wake_one(w)
    :: else
    fi
#endif
}

inline run_it()
{
    atomic {
        assert(state[c] == RUNNING && owner[c] == me && !started[call[c]]);
        started[call[c]] = true
    };
#ifndef ALONE
    if
    :: call[c] >= CALLS - 2 -> started[CALLS - 2] && started[CALLS - 1]
    :: else
    fi;
#endif
    atomic { assert(state[c] == RUNNING && owner[c] == me); state[c] = FINAL; owner[c] = NONE };
    if
    :: waiting[c] -> host_bell = true
    :: else
    fi
}

inline claim()
{
#ifdef BUG_CLAIM_BEFORE_CHUNK
    c = cursor % PLACES;
#else
    atomic { c = cursor % PLACES; slot_chunk[me] = c };
#endif
    atomic {
        cursor++;
        mine = (state[c] == FREE);
        if
        :: mine -> state[c] = RUNNING; owner[c] = me
        :: else
        fi
    };
#ifdef BUG_CLAIM_BEFORE_CHUNK
    slot_chunk[me] = c
#else
    skip
#endif
}

proctype worker(byte me)
{
    byte cursor, known, c, w = NONE;
    bool more, out, mine;

life:
    {
        skip;
end_idle:
        if
        :: ready ->
#ifndef NO_SLEEP
            spinning[me] = false;
#endif
            do
            :: atomic { mine = false; known = tail };
#ifdef PASSED
                skip_passed();
#endif
                find();
                if
                :: more -> claim()
                :: else
                fi;
#ifdef BUG_NEXT_AFTER_THE_RUN
                if
                :: mine -> run_it()
                :: else
                fi;
                see_to_next();
#else
                see_to_next();
                if
                :: mine -> run_it()
                :: else
                fi;
#endif
                if
                :: !more -> break
                :: else
                fi
            od;
            atomic { known = 0; c = 0; out = false; mine = false };
#ifndef NO_SLEEP
            spinning[me] = true;
            atomic {
                if
                :: spinning[1 - me] -> spinning[1 - me] = false
                :: else
                fi
            };
#endif
            goto end_idle
#ifndef NO_SLEEP
        :: !ready ->
            /* it spins as long as it likes, or its place is taken, and looks once more */
            spinning[me] = false;
            atomic { bell[me] = false; parked[me] = true };
            if
#ifdef BUG_NO_LOOK_BEFORE_SLEEPING
            :: skip ->
#else
            :: ready
            :: !ready ->
#endif
end_asleep:
                bell[me]
            fi;
            atomic { parked[me] = false; bell[me] = false };
            goto end_idle
#endif
        fi
    } unless { killed[me] && alive[me] };
    atomic { alive[me] = false; dead[me] = true; cursor = 0; known = 0; c = 0; w = NONE; more = false; out = false; mine = false };
end_dead:
    atomic { reaped[me] -> reaped[me] = false; dying[me] = false; killed[me] = false; alive[me] = true };
    goto life
}

active proctype killer()
{
end:
    do
    :: atomic { kills < KILLS && alive[0] && !dying[0] -> kills++; dying[0] = true; killed[0] = true }
    :: atomic { kills < KILLS && alive[1] && !dying[1] -> kills++; dying[1] = true; killed[1] = true }
    :: kills == KILLS -> break
    od
}

inline reap_worker(w)
{
    c = slot_chunk[w];
    if
    :: c != NONE ->
        atomic {
            if
            :: state[c] == RUNNING && owner[c] == w ->
                /* killed before it was started: as if it had been, for those that need it */
                started[call[c]] = true;
                state[c] = FINAL;
                owner[c] = NONE
            :: else
            fi
        }
    :: else
    fi;
    atomic { slot_chunk[w] = NONE; parked[w] = false; spinning[w] = false };
#ifndef BUG_NO_REPAIR
    ready = true;
#endif
#ifndef BUG_HOST_NOT_RUNG
    host_bell = true;
#endif
#ifndef NO_SLEEP
    atomic { bell[0] = bell[0] || !parked[0]; bell[1] = bell[1] || !parked[1] };
    atomic {
        if
        :: ready && parked[0] -> parked[0] = false; bell[0] = true
        :: ready && !parked[0] && parked[1] -> parked[1] = false; bell[1] = true
        :: else
        fi
    };
#endif
    atomic { c = 0; reaped[w] = true }
}

active proctype supervisor()
{
    byte c;

end:
    do
    :: atomic { dead[0] -> dead[0] = false }; reap_worker(0)
    :: atomic { dead[1] -> dead[1] = false }; reap_worker(1)
    od
}

init
{
    atomic { run worker(0); run worker(1) }
}
