/* SPDX-License-Identifier: MIT
 *
 * result.pml: the memory of larger results (piece.h, and piece.c of worker/ and host/, of pool/): a
 * region of UNITS units, its map, the word in the slot of its worker, and the records.
 *
 *   worker      of slot 0, with the region: claims calls, takes one or more units for each, sometimes
 *               gives that back and takes others, settles; with KILLS, is killed anywhere
 *   other       a worker without a region: gives what it gives in a block
 *   host        looks at each call that is settled, copies its result, frees the units, and puts
 *               another call into the place, PUTS in all; gives memory back now and then
 *   supervisor  reaps the dead worker, reclaims, and lets another one begin
 *
 * Each statement or atomic sequence is one atomic step of the program; memory is sequentially
 * consistent.
 *
 * Checked: what the host copies is what the call's last attempt has written, and no page of it was
 * given back; no unit has two users; in the end each call has ended once, no unit is taken, and no
 * slot names any. With -DBUG_... one of these must fail: run.sh tries all.
 */
#ifndef KILLS
#define KILLS 1
#endif
#ifndef PUTS
#define PUTS 3
#endif
#ifndef UNITS
#define UNITS 2
#endif
#define PLACES 2
#define NONE   0
#define BLOCK  255

#define FREE    0
#define RUNNING 1
#define DONE    2
#define VACANT  3

/* A piece: 1 + its first unit + 4 * its units. */
#define FIRST(piece) ((piece) % 4 - 1)
#define COUNT(piece) ((piece) / 4)

byte state[PLACES] = VACANT, owner[PLACES], record[PLACES], call[PLACES];
bool set[UNITS];
byte content[UNITS]; /* 1 + the call; 0: no page, or zeros */
byte slot, chunk = PLACES;
bool taking, closed;

/* ghosts */
byte puts, ends, kills, user[UNITS]; /* 1 + the call that has the unit; 0: none */
bool killed, dead, reaped, over;

inline clear(piece)
{
    i = 0;
    do
    :: i < COUNT(piece) ->
        atomic { set[FIRST(piece) + i] = false; user[FIRST(piece) + i] = 0; i++ }
    :: else -> break
    od
}

inline let_go()
{
#ifdef BUG_LET_GO_OPENS
    atomic { slot = NONE; taking = false; closed = false }
#else
    atomic { slot = NONE; taking = false }
#endif
}

/* Takes n units. */
inline take()
{
#ifdef BUG_TAKE_WHILE_CLOSED
    taking = true;
#else
    atomic { !closed -> taking = true };
#endif
    atomic {
        if
        :: !set[0] && n == 1 -> piece = 1 + 4
        :: set[0] && UNITS > 1 && !set[UNITS - 1] && n == 1 -> piece = UNITS + 4
        :: UNITS > 1 && !set[0] && !set[UNITS - 1] && n == UNITS -> piece = 1 + 4 * UNITS
        :: else -> piece = NONE
        fi
    };
    if
    :: piece != NONE ->
#ifndef BUG_NAME_AFTER_SETTING
        slot = piece;
#endif
        i = 0;
        do
        :: i < COUNT(piece) ->
            atomic {
                assert(!set[FIRST(piece) + i] && user[FIRST(piece) + i] == 0);
                set[FIRST(piece) + i] = true;
                user[FIRST(piece) + i] = 1 + call[c];
                i++
            }
        :: else -> break
        od;
#ifdef BUG_NAME_AFTER_SETTING
        slot = piece
#else
        skip
#endif
    :: else
    fi;
    taking = false
}

inline write()
{
    i = 0;
    do
    :: i < COUNT(piece) -> atomic { content[FIRST(piece) + i] = 1 + call[c]; i++ }
    :: else -> break
    od
}

inline drop()
{
    record[c] = NONE;
#ifdef BUG_LET_GO_BEFORE_CLEARING
    let_go();
    clear(piece)
#else
    clear(piece);
    let_go()
#endif
}

proctype worker()
{
    byte c, i, n, piece;
    bool again;

life:
    {
        skip;
end_idle:
        if
        :: atomic { state[0] == FREE -> state[0] = RUNNING; owner[0] = 0; chunk = 0; c = 0 }
        :: atomic { state[1] == FREE -> state[1] = RUNNING; owner[1] = 0; chunk = 1; c = 1 }
        fi;
        again = true;
        do
        :: again ->
            if
            :: n = 1
            :: n = UNITS
            fi;
            take();
            if
            :: piece == NONE -> record[c] = BLOCK; break
            :: else
            fi;
            write();
            record[c] = piece;
            if
            :: drop(); again = false /* and gives something else */
            :: break
            fi
        :: !again -> n = 1; take();
            if
            :: piece == NONE -> record[c] = BLOCK
            :: else -> write(); record[c] = piece
            fi;
            break
        od;
#ifdef BUG_LET_GO_BEFORE_SETTLING
        let_go();
        state[c] = DONE;
#else
        state[c] = DONE;
        let_go();
#endif
        atomic { c = 0; i = 0; n = 0; piece = NONE; again = false };
        goto end_idle
    } unless { killed };
    atomic { killed = false; dead = true; c = 0; i = 0; n = 0; piece = NONE; again = false };
end_dead:
    atomic { reaped -> reaped = false };
    goto life
}

active proctype other()
{
    byte c;

end:
    do
    :: atomic { state[0] == FREE -> state[0] = RUNNING; owner[0] = 1; c = 0 };
        record[c] = BLOCK; state[c] = DONE
    :: atomic { state[1] == FREE -> state[1] = RUNNING; owner[1] = 1; c = 1 };
        record[c] = BLOCK; state[c] = DONE
    od
}

inline give_back()
{
    atomic {
        if
#ifdef BUG_CLOSE_WHILE_TAKING
        :: !closed -> closed = true; may = true
#else
        :: !closed && !taking -> closed = true; may = true
#endif
        :: else -> may = false
        fi
    };
    if
    :: may ->
        i = 0;
        do
        :: i < UNITS ->
            may = !set[i];
            if
            :: may -> content[i] = 0
            :: else
            fi;
            i++
        :: else -> break
        od;
        closed = false;
        may = false
    :: else
    fi
}

inline take_over(p)
{
    place = record[p];
    record[p] = NONE;
#ifdef BUG_CLEAR_BEFORE_COPYING
    if
    :: place != NONE && place != BLOCK -> clear(place)
    :: else
    fi;
#endif
    assert(place != NONE);
    if
    :: place != BLOCK ->
        i = 0;
        do
        :: i < COUNT(place) -> atomic { assert(content[FIRST(place) + i] == 1 + call[p]); i++ }
        :: else -> break
        od;
#ifndef BUG_CLEAR_BEFORE_COPYING
        clear(place);
#endif
        give_back()
    :: else
    fi;
    atomic { ends++; state[p] = VACANT; place = NONE; i = 0 }
}

active proctype host()
{
    byte i, place;
    bool may;

    do
    :: atomic { puts < PUTS && state[0] == VACANT -> call[0] = puts; puts++; state[0] = FREE }
    :: atomic { puts < PUTS && state[1] == VACANT -> call[1] = puts; puts++; state[1] = FREE }
    :: atomic { state[0] == DONE -> skip }; take_over(0)
    :: atomic { state[1] == DONE -> skip }; take_over(1)
    :: ends == PUTS -> break
    od;
    over = true
}

active proctype killer()
{
end:
    do
    :: atomic { kills < KILLS && !killed && !dead && !reaped -> kills++; killed = true }
    :: kills == KILLS -> break
    od
}

active proctype supervisor()
{
    byte c, i, piece;

end:
    do
    :: atomic { dead -> dead = false; c = chunk };
        piece = slot;
        if
#ifdef BUG_RECLAIM_SETTLED
        :: c < PLACES ->
#else
        :: c < PLACES && state[c] == RUNNING && owner[c] == 0 ->
#endif
#ifdef BUG_RECLAIM_AFTER_FREEING
            if
            :: state[c] == RUNNING && owner[c] == 0 -> state[c] = FREE
            :: else
            fi;
#endif
            if
            :: piece != NONE -> record[c] = NONE; clear(piece)
            :: else
            fi;
#ifndef BUG_RECLAIM_AFTER_FREEING
            if
            :: state[c] == RUNNING && owner[c] == 0 -> state[c] = FREE
            :: else
            fi
#endif
        :: else
        fi;
        let_go();
        atomic { chunk = PLACES; c = 0; i = 0; piece = NONE; reaped = true }
    od
}

/* When all has ended, and no process has a step left, nothing is taken. */
active proctype monitor()
{
end:
    atomic {
        over && timeout ->
            assert(slot == NONE && !taking && !closed && !set[0] && !set[UNITS - 1])
    }
}

init
{
    run worker()
}
