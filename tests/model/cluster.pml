/* SPDX-License-Identifier: MIT
 *
 * cluster.pml: what nodes of a cluster say to each other in a call, and in the next one
 * (pool/mpi/collective.c, lead.c, share.c, verdict.c): CALLS calls of three nodes, with a
 * block for each; with -DTWO, of two nodes, the second of which has two blocks.
 *
 *   lead    node 0: compares, gives blocks, also from the back of another's region; knows what is
 *           done; ends the call on all nodes, well or with the first failure that it learns of
 *   node    says hello, runs what it is given, asks for more, says what is done
 *
 * Any node may be late, fail in a block (FAILS in all), be cancelled (CANCELS), make another call
 * than the others (ODDS), or leave before a call (LEAVES); node 0's deadline may pass (DEADLINES).
 * Messages between two nodes keep their order. Each statement or atomic sequence is one step.
 *
 * Checked: a block is run once, and all are when a call succeeds; a call has one outcome on all
 * nodes, none that an earlier call has brought, and not success if the nodes' calls differ; every
 * call of every node returns (no invalid end state). With -DBUG_... one of these must fail: run.sh
 * tries all.
 */
#ifndef CALLS
#define CALLS 2
#endif
#ifndef FAILS
#define FAILS 0
#endif
#ifndef CANCELS
#define CANCELS 0
#endif
#ifndef ODDS
#define ODDS 0
#endif
#ifndef LEAVES
#define LEAVES 0
#endif
#ifndef DEADLINES
#define DEADLINES 0
#endif

#ifdef TWO
#define N          2
#define FIRST_OF_2 3
#else
#define N          3
#define FIRST_OF_2 2
#endif
#define BLOCKS 3
#define NONE   BLOCKS /* of a block: there is no more */

/* Outcomes; FAILED_OF + n: node n has failed, CANCELLED_OF + n: was cancelled. */
#define UNKNOWN      0
#define WELL         1
#define GONE         2 /* for good: a node has left */
#define LATE         3
#define DIFFERENT    4
#define FAILED_OF    5
#define CANCELLED_OF 8

mtype = { HELLO, GIVE, REPORT, FAILURE, STOP, END, BYE };

chan to_lead[3] = [6] of { mtype, byte, byte, byte }; /* from node n: kind, call, two values */
chan to_node[3] = [10] of { mtype, byte, byte };

byte outcome[CALLS + 1];              /* ghost */
byte ran[(CALLS + 1) * (BLOCKS + 1)]; /* ghost */
byte fails, cancels, odds, leaves, deadlines;

#define RAN(c, b) ran[(c) * (BLOCKS + 1) + (b)]

inline note_outcome(c, what)
{
    d_step {
        assert(outcome[c] == UNKNOWN || outcome[c] == what);
        outcome[c] = what;
        if
        :: what == WELL ->
            assert(RAN(c, 0) == 1 && RAN(c, 1) == 1 && RAN(c, 2) == 1)
        :: else
        fi
    }
}

inline run_block(c, b)
{
    d_step { RAN(c, b)++; assert(RAN(c, b) == 1) }
}

proctype node(byte n)
{
    byte c = 1, call, value, have, done, told, result, odd;
    bool no_more, halted, broken;

    do
    :: c > CALLS -> break
    :: c <= CALLS && leaves < LEAVES -> atomic { leaves++; to_lead[n]!BYE,c,0,0 }; break
    :: c <= CALLS && broken -> note_outcome(c, GONE); c++
    :: c <= CALLS && !broken ->
        d_step {
            have = NONE; done = 0; told = 0; no_more = false; halted = false;
            result = UNKNOWN; odd = 0
        };
        if
        :: odds < ODDS -> atomic { odds++; odd = 1 }
        :: true
        fi;
        to_lead[n]!HELLO,c,odd,0;
        do
        :: result != UNKNOWN -> break
        :: result == UNKNOWN && have == NONE && to_node[n]?[GIVE,call,value] -> atomic {
               to_node[n]?GIVE,call,value;
               if
               :: call == c ->
                   if
                   :: value == NONE -> no_more = true
                   :: value != NONE && halted -> skip
                   :: value != NONE && !halted -> have = value; to_lead[n]!REPORT,c,done,1; told = done /* asks ahead */
                   fi
               :: else
               fi;
               call = 0; value = 0 }
        :: result == UNKNOWN && to_node[n]?[STOP,call,value] -> atomic {
               to_node[n]?STOP,call,value;
               if
               :: call == c -> result = value
               :: else -> assert(call < c)
               fi;
               call = 0; value = 0 }
        :: result == UNKNOWN && to_node[n]?[END,call,value] -> atomic {
               to_node[n]?END,call,value; assert(call == c && odd == 0); result = WELL;
               call = 0; value = 0 }
        :: result == UNKNOWN && to_node[n]?[BYE,call,value] -> atomic {
               to_node[n]?BYE,call,value; assert(call <= c); result = GONE;
               call = 0; value = 0 }
        :: result == UNKNOWN && have != NONE && !halted ->
            if
            :: run_block(c, have); atomic { done++; have = NONE }
            :: fails < FAILS -> atomic {
                   fails++; halted = true; have = NONE; to_lead[n]!FAILURE,c,FAILED_OF + n,0;
#ifdef BUG_NODE_DECIDES
                   result = FAILED_OF + n
#endif
               }
            fi
#ifndef BUG_NO_FINAL_REPORT
        :: result == UNKNOWN && have == NONE && no_more && told < done && !halted -> atomic {
               to_lead[n]!REPORT,c,done,0; told = done }
#endif
        :: result == UNKNOWN && cancels < CANCELS -> atomic {
               cancels++; halted = true; have = NONE; to_lead[n]!FAILURE,c,CANCELLED_OF + n,0 }
        od;
        note_outcome(c, result);
        atomic { broken = (result == GONE); result = UNKNOWN; have = 0; done = 0; told = 0; odd = 0; c++ }
    od
}

#ifdef BUG_SUCCEED_WITHOUT_ALL
#define ALL_HAVE_COME true
#else
#define ALL_HAVE_COME (entered[1] && entered[2])
#endif

/* Of the lead. */
byte front[3], back[3], said[3]; /* regions; said: blocks that a node has reported */
bool entered[3];
byte bye = CALLS + 1; /* the first call that a node does not make */
byte kept[3]; /* a hello of the next call: its number; 0: none */
byte kept_odd[3], kept_failure[3]; /* the outcome that a FAILURE behind it brings; 0: none */

inline take_block(n, b)
{
    d_step {
        b = NONE;
        if
        :: front[n] < back[n] -> b = front[n]; front[n]++
        :: else ->
            v = 0;
            if
            :: back[1] - front[1] > back[v] - front[v] -> v = 1
            :: else
            fi;
            if
            :: back[2] - front[2] > back[v] - front[v] -> v = 2
            :: else
            fi;
            if
            :: front[v] < back[v] ->
                b = back[v] - 1;
#ifndef BUG_STEAL_AND_LEAVE
                back[v]--
#endif
            :: else
            fi;
            v = 0
        fi
    }
}

inline hello(n, different)
{
    if
    :: different == 1 && result == UNKNOWN -> result = DIFFERENT
    :: else ->
        entered[n] = true;
        take_block(n, b);
        to_node[n]!GIVE,c,b
    fi
}

/* What came of this call before it was made. */
inline take_kept(n)
{
    if
    :: kept[n] == c && result == UNKNOWN ->
        hello(n, kept_odd[n]);
        if
        :: kept_failure[n] != 0 && result == UNKNOWN -> result = kept_failure[n]
        :: else
        fi
    :: else
    fi;
    if
    :: kept[n] == c -> kept[n] = 0; kept_failure[n] = 0
    :: else
    fi
}

/* One message of node n. */
inline receive(n)
{
    if
    :: to_lead[n]?[HELLO,call,value,more] -> to_lead[n]?HELLO,call,value,more;
        if
        :: call == c && result == UNKNOWN -> hello(n, value)
#ifndef BUG_LATER_CALL_DROPPED
        :: call > c -> kept[n] = call; kept_odd[n] = value
#endif
        :: else
        fi
    :: to_lead[n]?[REPORT,call,value,more] -> to_lead[n]?REPORT,call,value,more;
        if
#ifdef BUG_OLD_REPORT_COUNTS
        :: call <= c && result == UNKNOWN ->
#else
        :: call == c && result == UNKNOWN ->
#endif
            said[n] = value;
            if
            :: more == 1 -> take_block(n, b); to_node[n]!GIVE,c,b
            :: else
            fi
        :: else
        fi
    :: to_lead[n]?[FAILURE,call,value,more] -> to_lead[n]?FAILURE,call,value,more;
        if
#ifdef BUG_OLD_FAILURE_COUNTS
        :: result == UNKNOWN -> assert(call >= c); result = value
#else
#ifdef BUG_CANCEL_AFTER_THE_DECISION
        :: call == c && (result == UNKNOWN || (result == WELL && value >= CANCELLED_OF)) ->
            result = value
#else
        :: call == c && result == UNKNOWN -> result = value
#endif
        :: call > c -> kept_failure[n] = value
#endif
        :: else
        fi
    :: to_lead[n]?[BYE,call,value,more] -> to_lead[n]?BYE,call,value,more;
#ifdef BUG_LATER_GOODBYE_DROPPED
        if
        :: call <= c -> bye = call
        :: else
        fi
#else
        if
        :: call < bye -> bye = call
        :: else
        fi
#endif
    fi;
    call = 0; value = 0; more = 0; b = 0
}

inline tell(n)
{
    if
    :: result == WELL -> to_node[n]!END,c,0
#ifdef BUG_STOP_WHO_HAS_COME
    :: result != WELL && !entered[n] -> skip
    :: result != WELL && entered[n] -> to_node[n]!STOP,c,result
#else
    :: result != WELL -> to_node[n]!STOP,c,result
#endif
    fi
}

active proctype lead()
{
    byte c = 1, call, value, more, b, v, done, result;
    bool no_more, broken, told_1;

    atomic {
        run node(1);
#ifndef TWO
        run node(2)
#endif
    };
    do
    :: c > CALLS -> break
    :: c <= CALLS && leaves < LEAVES -> atomic {
           leaves++; to_node[1]!BYE,c,0;
           if
           :: N == 3 -> to_node[2]!BYE,c,0
           :: else
           fi }; break
    :: c <= CALLS && broken -> note_outcome(c, GONE); c++
    :: c <= CALLS && !broken ->
        d_step {
            front[0] = 0; back[0] = 1; front[1] = 1; back[1] = FIRST_OF_2; front[2] = FIRST_OF_2;
            back[2] = 3; said[1] = 0; said[2] = 0; entered[1] = false; entered[2] = (N == 2);
            done = 0; no_more = false; result = UNKNOWN; told_1 = false
        };
        atomic {
            take_kept(1);
            take_kept(2);
            b = 0
        };
        do
        :: result == UNKNOWN && bye <= c -> result = GONE
        :: result == UNKNOWN && len(to_lead[1]) > 0 -> atomic { receive(1) }
        :: result == UNKNOWN && len(to_lead[2]) > 0 -> atomic { receive(2) }
        :: result == UNKNOWN && !no_more -> atomic {
               take_block(0, b);
               if
               :: b == NONE -> no_more = true
               :: b != NONE -> run_block(c, b); done++
               :: b != NONE && fails < FAILS -> fails++; result = FAILED_OF
               fi;
               b = 0 }
        :: result == UNKNOWN && deadlines < DEADLINES -> atomic { deadlines++; result = LATE }
        :: result == UNKNOWN && done + said[1] + said[2] == BLOCKS && ALL_HAVE_COME -> result = WELL
        :: result != UNKNOWN && !told_1 -> atomic { tell(1); told_1 = true }
        :: result != UNKNOWN && told_1 && len(to_lead[1]) > 0 -> atomic { receive(1) }
        :: result != UNKNOWN && told_1 && len(to_lead[2]) > 0 -> atomic { receive(2) }
        :: result != UNKNOWN && told_1 && N == 3 -> tell(2); break
        :: result != UNKNOWN && told_1 && N == 2 -> break
        od;
        note_outcome(c, result);
        broken = (result == GONE);
        c++
    od;
end:
    do /* what comes after the last call: goodbyes, of which the lead has no use here */
    :: to_lead[1]?_,_,_,_
    :: to_lead[2]?_,_,_,_
    od
}
