/* SPDX-License-Identifier: MIT
 *
 * scope.pml: the scope file's protocol. One scope; any process may be killed anywhere, KILLS of
 * them.
 *
 *   host      has made the scope file (locked, unnamed) and started the manager; names it, and dies
 *   member    makes a block: record lock, "closed?", record, name, unlock. It may outlive the host
 *   cleaner   the manager, or the supervisor: cleans when the host is gone
 *   sweeper   another program's weir_scope_begin(): cleans if it gets the scope's lock. At any
 *             time; and one that nobody kills after all others have ended
 * There are MEMBERS, CLEANERS and SWEEPERS of them, 1 or 2.
 *
 * Each statement or atomic sequence stands for one system call. To be killed is to leave by
 * `unless`; what the kernel then gives back stands behind it. Waits block, or give up.
 *
 * Asserted: a scope in which a process lives is never swept; once the scope file has lost its name
 * no block has one or gets one; after the last sweep nothing is left; another program's file that
 * took a block's name is never unlinked. With -DBUG_... one of them must fail: run.sh tries all.
 */
#define NONE    0
#define BLOCK   1
#define FOREIGN 2 /* another program's file under the block's name */

#ifndef MEMBERS
#define MEMBERS 1
#endif
#ifndef CLEANERS
#define CLEANERS 1
#endif
#ifndef SWEEPERS
#define SWEEPERS 1
#endif
#ifndef KILLS
#define KILLS 2
#endif

/* Whom kill[] is about. */
#define HOST    0
#define MEMBER  1
#define CLEANER (MEMBER + MEMBERS)
#define SWEEPER (CLEANER + CLEANERS)
#define ALL     (SWEEPER + SWEEPERS)

bool scope_linked, was_linked; /* the scope file has its name; has had it */
bool scope_locked;             /* flock on the description that host, members and cleaners share */
byte holders = 1 + MEMBERS + CLEANERS;             /* of that description */
bool swept_locked;             /* flock on a sweeper's own description */
bool closed;                   /* the header */
bool recorded[2];
byte name[2];
byte readers;                  /* record lock: creations under way */
bool writer;                   /* record lock: a cleaner */
bool host_gone;
byte running = ALL;
bool kill[ALL];

inline close_description()
{
    holders--;
    if
    :: holders == 0 -> scope_locked = false
    :: else
    fi
}

/* Unlinks the name if it still is the recorded inode (lstat and unlink in one step: between the two,
 * only one who had unlinked the block himself could put another file there). */
inline unlink_recorded(i)
{
    atomic {
        if
#ifdef BUG_IGNORE_INODE
        :: recorded[i] && name[i] != NONE -> assert(name[i] != FOREIGN); name[i] = NONE
#else
        :: recorded[i] && name[i] == BLOCK -> name[i] = NONE
#endif
        :: else
        fi;
#ifdef BUG_BLANK
        recorded[i] = false
#endif
    }
}

inline unlink_scope_file()
{
    atomic { scope_linked = false; assert(name[0] != BLOCK && name[1] != BLOCK) }
}

/* weir__scope_file_unlink_all(). `got`: this process has the record lock. */
inline clean(got)
{
#ifndef BUG_NO_CLOSE
    closed = true;
#endif
#ifdef BUG_SCOPE_FILE_FIRST
    scope_linked = false;
#endif
    atomic {
        if
        :: readers == 0 && !writer -> writer = true; got = true
        :: else
        fi
    }
    unlink_recorded(0);
    unlink_recorded(1);
    if
    :: got
    :: !got ->
        if
        :: atomic { readers == 0 && !writer -> writer = true; got = true }
        :: skip /* has waited long enough */
        fi;
#ifndef BUG_NO_SECOND_SCAN
        unlink_recorded(0);
        unlink_recorded(1)
#endif
    fi;
    if
    :: got -> unlink_scope_file()
#ifdef BUG_SCOPE_FILE_ANYWAY
    :: !got -> unlink_scope_file()
#else
    :: !got
#endif
    fi
}

inline unlock_writer(got)
{
    if
    :: got -> writer = false; got = false
    :: else
    fi
}

proctype host()
{
    {
        scope_linked = true;
        was_linked = true;
#ifdef BUG_LINK_BEFORE_LOCK
        atomic { !swept_locked -> scope_locked = true }
#endif
        skip
    } unless { kill[HOST] };
    atomic {
        host_gone = true;
        close_description();
#ifdef BUG_LOCK_NOT_INHERITED
        scope_locked = false;
#endif
        running--
    }
}

proctype member(byte i)
{
    bool in = false;

    {
        was_linked || host_gone;
        if
        :: !was_linked -> goto out /* it ends with the host */
        :: was_linked
        fi;
#ifdef BUG_CHECK_BEFORE_LOCK
        if
        :: closed -> goto out
        :: !closed
        fi;
#endif
#ifndef BUG_NO_RECORD_LOCK
        atomic {
            if
            :: writer -> goto out /* ESTALE */
            :: !writer -> readers++; in = true
            fi
        }
#endif
#ifndef BUG_CHECK_BEFORE_LOCK
        if
        :: closed -> goto out
        :: !closed
        fi;
#endif
#ifndef BUG_RECORD_AFTER_NAME
        recorded[i] = true;
#endif
        atomic { name[i] = BLOCK; assert(scope_linked) }
#ifdef BUG_RECORD_AFTER_NAME
        recorded[i] = true;
#endif
        atomic {
            if
            :: in -> readers--; in = false
            :: !in
            fi
        }
        if
        :: atomic { name[i] == BLOCK -> name[i] = FOREIGN } /* unlinked by hand, then taken */
        :: true
        fi
    } unless { kill[MEMBER + i] };
out:
    atomic {
        if
        :: in -> readers--
        :: else
        fi;
        close_description();
        running--
    }
}

proctype cleaner(byte i)
{
    bool got = false;

    { host_gone; clean(got) } unless { kill[CLEANER + i] };
    atomic { unlock_writer(got); close_description(); running-- }
}

proctype sweeper(byte i)
{
    bool got = false, locked = false;

    {
        if
        :: !scope_linked -> goto out /* not seen, or not yet */
        :: scope_linked
        fi;
#ifndef BUG_SWEEP_WITHOUT_LOCK
        atomic {
            if
            :: scope_locked || swept_locked -> goto out /* a process is there, or sweeps already */
            :: else -> swept_locked = true; locked = true
            fi
        }
#endif
        if
        :: scope_linked -> assert(holders == 0); clean(got)
        :: !scope_linked
        fi
    } unless { kill[SWEEPER + i] };
out:
    atomic {
        unlock_writer(got);
        if
        :: locked -> swept_locked = false
        :: else
        fi;
        running--
    }
}

/* The next program that begins a scope. */
proctype last_sweeper()
{
    bool got = false;

    running == 0;
    if
    :: scope_linked ->
        assert(!scope_locked && !swept_locked && readers == 0 && !writer);
        clean(got)
    :: !scope_linked
    fi;
    assert(!scope_linked && name[0] != BLOCK && name[1] != BLOCK)
}

proctype killer()
{
    byte n = 0, who;

    do
    :: n < KILLS ->
        select(who : 0 .. ALL - 1);
        atomic { kill[who] = true; who = 0 }
        n++
    :: break
    od
}

init {
    atomic {
#ifndef BUG_LINK_BEFORE_LOCK
        scope_locked = true;
#endif
        run host();
        run member(0);
        run cleaner(0);
        run sweeper(0);
#if MEMBERS > 1
        run member(1);
#endif
#if CLEANERS > 1
        run cleaner(1);
#endif
#if SWEEPERS > 1
        run sweeper(1);
#endif
        run last_sweeper();
        run killer()
    }
}
