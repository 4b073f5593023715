/* SPDX-License-Identifier: MIT
 *
 * dict-steps.h: a child that makes one call on a dictionary, single-stepped by ptrace(2); what
 * dictionaries the call is made on, and what a sound dictionary is.
 *
 * A child that is stopped for ever is as good as killed for other processes: what they see is the
 * memory.
 */
#ifndef TEST_DICT_STEPS_H
#define TEST_DICT_STEPS_H

#include "leak.h"

#include "shm/dict/layout.h"

enum { SIZE = 1 << 16, STEPS_MAX = 200000 };

/* ---- what the dictionary holds, and what is done to it -------------------------------------- */

/* In every scene: some keys that no call touches, and K, which they are about. */
#define LONG_TEXT  "a value that does not fit into a word"
#define OTHER_TEXT "another value, which is a little longer than that"

/* Other keys that are not there at first. What K had may be M's when a call that was after K goes
 * on: the same node, the same box, the same value. */
#define M weir_int(99999)
#define N weir_int(88888)

struct action {
    const char *name;
    int (*call)(weir_dict *dict, weir_value key);
    bool any_key; /* takes whatever item there is: only where K alone can be */
};

struct scene {
    const char *name;
    weir_value key;
    int keys; /* others */
    enum { ABSENT, INT, LARGE_INT, TEXT } first;
    bool used_before; /* free lists are not empty */
    bool used_up;     /* and there is nothing but what is free for other sizes */
};

enum { ACTIONS = 13, SCENES = 16 };

extern const struct action actions[ACTIONS];
extern const struct scene scenes[SCENES];

int set_int(weir_dict *dict, weir_value key);
int set_text(weir_dict *dict, weir_value key);
int swap(weir_dict *dict, weir_value key);
int delete_key(weir_dict *dict, weir_value key);
/* The result tells what was popped. */
int pop_key(weir_dict *dict, weir_value key);
/* The result tells what was read: -1 for something that nobody has written. */
int get_key(weir_dict *dict, weir_value key);
int contains_key(weir_dict *dict, weir_value key);
int clear(weir_dict *dict, weir_value key);

/* Calls that look at one item after the other. */
bool walks(const struct action *action);
/* A call that takes whatever item there is, where there are others than K; or a walk without end.
 * */
bool is_out_of_place(const struct action *action, const struct scene *scene);

/* ---- dictionaries ---------------------------------------------------------------------------- */

/* Two of the same size and seed, without names: the call is made on `stepped`, and `copy` is to
 * look at. */
extern weir_dict *stepped, *copy;
extern void *prepared; /* the block before the call */

void make_two(size_t size);
void drop_two(void);
size_t block_size(void);
void copy_block(void);

void prepare(weir_dict *dict, const struct scene *scene);
/* Makes all that free lists hold free for anything, by a call that fails. */
void free_for_all(weir_dict *dict);
bool is_other(const weir_dict *dict, int i);

/* The state of K and M, as a text. */
struct state {
    char text[200];
};

/* What M has if it has bytes. */
extern char mimicked[WEIR__DICT_NODE_SIZE];

struct state state_of(const weir_dict *dict, weir_value key);
bool same_state(const struct state *a, const struct state *b);

/* Sound in itself, the others untouched, and fit for use: all of it is used, and nothing is left in
 * it afterwards. NULL, or what is wrong. */
const char *find_fault(weir_dict *dict, const struct scene *scene);

/* ---- stepping -------------------------------------------------------------------------------- */

struct report {
    int result;
    bool done; /* the call has been made */
};

extern struct report *child;

/* A child that is stopped before its call. */
pid_t start(const struct action *action, const struct scene *scene);
/* One instruction further; false when the child has made its call. */
bool step(pid_t pid);
/* Until the child has made its call. */
void go_on(pid_t pid);
void finish(pid_t pid);

/* Runs the tests; skips them (77) where tracing is forbidden. */
#define RUN_IF_TRACEABLE(tests) (can_trace() ? cmocka_run_group_tests(tests, NULL, NULL) : 77)
bool can_trace(void);

#endif
