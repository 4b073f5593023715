/* SPDX-License-Identifier: MIT
 *
 * cluster_exchange.pml: how nodes of a cluster send each other parts in a call, and in the next one
 * (pool/mpi/exchange.c, lead.c, collective.c): CALLS calls of two nodes; with -DTHREE, of three.
 *
 *   node    says hello to node 0, sends its parts once node 0 has said GO, then the END with their
 *           number; when all ENDs have come it uses what came, and says MERGED
 *   node 0  the same; says GO when all have made the call, ends it when all have MERGED
 *
 * A node has a part for each other one, or for all but the next one. Any node may be late, or fail
 * at any time (FAILS in all): it sends what it had queued, and waits for node 0's word. Messages
 * between two nodes keep their order. Each statement or atomic sequence is one step.
 *
 * Checked: no part, and no END, is sent to a node that has not made its call; what is used is all
 * that was queued; a call has one outcome on all nodes, and success only if all have used what
 * came; every call of every node returns (no invalid end state). With -DBUG_... one of these must
 * fail: run.sh tries all.
 */
#ifndef CALLS
#define CALLS 2
#endif
#ifndef FAILS
#define FAILS 0
#endif

#ifdef THREE
#define N 3
#else
#define N 2
#endif

/* Outcomes; FAILED_OF + n: node n has failed. */
#define UNKNOWN   0
#define WELL      1
#define FAILED_OF 2

mtype = { HELLO, GO, PART, PARTS_END, MERGED, FAILURE, STOP, RESULT };

chan link[9] = [11] of { mtype, byte, byte }; /* [from * 3 + to]: kind, call, a value */

byte outcome[CALLS + 1];    /* ghost */
byte uses[CALLS + 1];       /* ghost: nodes that have used what came */
byte queued[(CALLS + 1) * 9]; /* ghost: parts, [call, from, to] */
byte made[3];               /* ghost: the latest call of a node */
byte fails;

#define TO(to)        link[n * 3 + (to)]
#define QUEUED(from, to) queued[c * 9 + (from) * 3 + (to)]

inline note_outcome(what)
{
    assert(outcome[c] == UNKNOWN || outcome[c] == what);
    outcome[c] = what;
    assert(what != WELL || uses[c] == N)
}

inline say_to_all(kind, what)
{
    i = 0;
    do
    :: i < N && i != n -> TO(i)!kind,c,what; i++
    :: i < N && i == n -> i++
    :: i == N -> break
    od;
    i = 0
}

#ifdef BUG_GO_BEFORE_ALL
#define ALL_ENTERED 2
#else
#define ALL_ENTERED N
#endif

#ifdef BUG_DECIDED_BEFORE_MERGED
#define ALL_MERGED (N - 1)
#else
#define ALL_MERGED N
#endif

#ifdef BUG_FED_WITHOUT_AN_END
#define ALL_ENDED (N - 2)
#else
#define ALL_ENDED (N - 1)
#endif

/* What a node takes as a message of its call. */
#ifdef BUG_OLD_PART_TAKEN
#define IS_NOW (call == c || kind == PART)
#else
#ifdef BUG_OLD_END_TAKEN
#define IS_NOW (call == c || kind == PARTS_END)
#else
#ifdef BUG_OLD_MERGED_TAKEN
#define IS_NOW (call == c || kind == MERGED)
#else
#define IS_NOW (call == c)
#endif
#endif
#endif

/* One message of node j. */
inline receive(j)
{
    link[(j) * 3 + n]?kind,call,value;
    assert(call <= c);
    if
    :: !IS_NOW -> skip
    :: IS_NOW && kind == HELLO ->
        entered++;
        if
        :: entered == ALL_ENTERED -> say_to_all(GO, 0); go = true
        :: else
        fi
    :: IS_NOW && kind == GO -> assert(!go); go = true
    :: IS_NOW && kind == PART && !halted -> got[j]++
    :: IS_NOW && kind == PART && !halted && fails < FAILS -> fail() /* there is no room for it */
    :: IS_NOW && kind == PARTS_END && !halted -> assert(got[j] == value); ends++
    :: IS_NOW && (kind == PART || kind == PARTS_END) && halted -> skip
    :: IS_NOW && kind == MERGED -> merged++; assert(merged <= N)
    :: IS_NOW && (kind == FAILURE || kind == STOP || kind == RESULT) -> result = value
    fi;
    kind = 0; call = 0; value = 0
}

inline fail()
{
    fails++;
    if
    :: n == 0 -> result = FAILED_OF
    :: n != 0 ->
        halted = true; TO(0)!FAILURE,c,FAILED_OF + n;
#ifdef BUG_NODE_DECIDES
        result = FAILED_OF + n
#endif
    fi
}

inline begin_call()
{
    d_step {
        ends = 0; got[0] = 0; got[1] = 0; got[2] = 0; left[0] = 1; left[1] = 1; left[2] = (N == 3);
        left[n] = 0; said_end = false; used = false; halted = false; result = UNKNOWN;
        entered = 1; merged = 0; made[n] = c
    };
    if
    :: true
    :: left[(n + 1) % N] = 0
    fi;
    d_step {
        QUEUED(n, 0) = left[0]; QUEUED(n, 1) = left[1]; QUEUED(n, 2) = left[2];
#ifdef BUG_GO_NOT_WAITED_FOR
        go = true
#else
        go = false
#endif
    };
    if
    :: n != 0 -> TO(0)!HELLO,c,0
    :: else
    fi
}

#define ALL_LEFT (left[0] + left[1] + left[2] == 0)

#ifdef BUG_END_BEFORE_PARTS
#define ALL_SENT true
#else
#define ALL_SENT ALL_LEFT
#endif

inline say_end()
{
    said_end = true;
    i = 0;
    do
    :: i < N && i != n -> assert(made[i] >= c); TO(i)!PARTS_END,c,QUEUED(n, i); i++
    :: i < N && i == n -> i++
    :: i == N -> break
    od;
    i = 0
}

/* One part; behind the last one the END. */
inline send()
{
    if
    :: left[(n + 1) % N] > 0 -> i = (n + 1) % N
    :: else -> i = (n + 2) % N
    fi;
    if
    :: left[i] > 0 -> assert(made[i] >= c); TO(i)!PART,c,0; left[i]--
    :: else
    fi;
    i = 0;
    if
    :: !said_end && ALL_SENT -> say_end()
    :: else
    fi
}

inline use_what_came()
{
    used = true;
    uses[c]++;
    assert(got[0] == QUEUED(0, n) && got[1] == QUEUED(1, n) && got[2] == QUEUED(2, n));
    if
    :: n == 0 -> merged++
    :: n != 0 -> TO(0)!MERGED,c,0
    fi
}

active [N] proctype node()
{
    byte n, c, call, value, i, ends, entered, merged, result;
    byte got[3], left[3];
    bool go, said_end, used, halted;
    mtype kind;

    n = _pid;
    do
    :: c == CALLS -> break
    :: c < CALLS ->
        atomic { c++; begin_call() };
        do
        :: result != UNKNOWN -> break
        :: result == UNKNOWN && n != 0 && len(link[0 * 3 + n]) > 0 -> atomic { receive(0) }
        :: result == UNKNOWN && n != 1 && len(link[1 * 3 + n]) > 0 -> atomic { receive(1) }
#ifdef THREE
        :: result == UNKNOWN && n != 2 && len(link[2 * 3 + n]) > 0 -> atomic { receive(2) }
#endif
        :: result == UNKNOWN && go && !(said_end && ALL_LEFT) -> atomic { send() }
        :: result == UNKNOWN && said_end && !used && !halted && ends == ALL_ENDED ->
            atomic { use_what_came() }
        :: result == UNKNOWN && n == 0 && merged == ALL_MERGED -> result = WELL
        :: result == UNKNOWN && !halted && fails < FAILS -> atomic { fail() }
        od;
        atomic {
            if
            :: n == 0 && result == WELL -> say_to_all(RESULT, WELL)
            :: n == 0 && result != WELL -> say_to_all(STOP, result)
            :: else
            fi;
            note_outcome(result);
            ends = 0; merged = 0; entered = 0; got[0] = 0; got[1] = 0; got[2] = 0; left[0] = 0;
            left[1] = 0; left[2] = 0; go = false; said_end = false; used = false; halted = false
        }
    od
}
