/* SPDX-License-Identifier: MIT
 *
 * deadline.pml: which chunk dies when one has taken too long (pool/supervisor/deadline.c,
 * ledger.c), for a worker that runs CHUNKS chunks one after the other; any of them may take too
 * long.
 *
 *   worker      notes its time and its chunk, claims it, runs it, settles it, and goes on
 *   supervisor  looks at the worker's chunk and its time, condemns the chunk and kills; reaps the
 *               worker, takes its chunk back, and lets another one begin
 *
 * Each statement or atomic sequence is one atomic step of the program; memory is sequentially
 * consistent. Waits block.
 *
 * Checked: a worker that is killed for time dies in a chunk that was late; a settled chunk never
 * changes; a late chunk that is not settled is condemned at last (no invalid end state). With
 * -DBUG_... one of these must fail: run.sh tries all.
 */
#ifndef CHUNKS
#define CHUNKS 3
#endif

#define FREE    0
#define RUNNING 1
#define DONE    2
#define FAILED  3
#define NONE    CHUNKS

byte state[CHUNKS + 1];
bool condemned[CHUNKS + 1], late[CHUNKS + 1]; /* late: its time is over */
byte chunk = NONE;                            /* by the worker */
byte running = NONE; /* ghost: the chunk that the worker has claimed and not settled */
bool killed, dead, ended;

/* A kill takes effect before the worker's next step. */
active proctype worker()
{
    byte c = 0;

again:
    do
    :: c == CHUNKS -> break
    :: c < CHUNKS && state[c] != FREE -> c++
    :: c < CHUNKS && state[c] == FREE ->
        atomic { !killed -> chunk = c };
        atomic { !killed -> state[c] = RUNNING; running = c };
        if
        :: atomic { !killed -> late[c] = true }
        :: !killed
        fi;
        if
#ifdef BUG_SETTLE_WITHOUT_LOOKING
        :: atomic { !killed -> assert(state[c] == RUNNING); state[c] = DONE; running = NONE }
#else
        :: atomic { !killed && !condemned[c] -> assert(state[c] == RUNNING); state[c] = DONE;
                    running = NONE }
#endif
        :: atomic { killed -> goto died }
        fi;
        c++
    :: atomic { killed -> goto died }
    od;
    if
    :: atomic { !killed -> ended = true; goto out }
    :: atomic { killed -> goto died }
    fi;
died:
    atomic { dead = true; c = 0 };
    atomic { !dead -> goto again };
out:
    skip
}

active proctype supervisor()
{
    byte seen;
    bool over;

    do
    :: ended -> break
    :: !ended && chunk != NONE ->
        seen = chunk;
        atomic { over = (state[seen] == RUNNING && late[seen]) };
        if
        :: !over -> /* when nothing changes there is nothing to look at */
            (ended || chunk != seen || (state[seen] == RUNNING && late[seen]))
        :: over ->
            if
#ifdef BUG_KILL_WITHOUT_CONDEMNING
            :: true ->
#else
            :: atomic { state[seen] == RUNNING -> condemned[seen] = true };
#endif
                atomic {
                    if
                    :: ended
                    :: !ended ->
                        killed = true;
                        assert(running == seen) /* no other chunk dies */
                    fi
                };
                if
                :: ended -> break
                :: atomic { dead -> assert(running == NONE || running == seen) };
                    atomic {
                        if
                        :: state[seen] == RUNNING -> state[seen] = FAILED
                        :: else
                        fi;
#ifndef BUG_CONDEMNED_FOR_EVER
                        condemned[seen] = false;
#endif
                        assert(!condemned[seen]);
                        running = NONE;
                        chunk = NONE;
                        killed = false;
                        dead = false
                    }
                fi
#ifndef BUG_KILL_WITHOUT_CONDEMNING
            :: state[seen] != RUNNING /* the worker came first */
#endif
            fi
        fi
    od
}
