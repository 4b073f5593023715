/* SPDX-License-Identifier: MIT
 *
 * sequence.c: which operations a seed stands for.
 *
 * Each seed has a taste of its own: some families are left out, and others are drawn often, so that
 * few kinds meet each other again and again in one sequence, and all kinds meet over many.
 */
#include "sequence.h"

#include <inttypes.h>
#include <string.h>

const struct kind *kind_at(unsigned number, const struct family **family)
{
    unsigned at = 0;

    for (int f = 0; families[f] != NULL; f++) {
        for (const struct kind *kind = families[f]->kinds; kind->name != NULL; kind++) {
            if (at++ != number)
                continue;
            if (family != NULL)
                *family = families[f];
            return kind;
        }
    }
    return NULL;
}

static bool is_named(const char *only, const char *name)
{
    size_t size = strlen(name);

    while (only != NULL) {
        if (strncmp(only, name, size) == 0 && (only[size] == ',' || only[size] == '\0'))
            return true;
        only = strchr(only, ',');
        only = only != NULL ? only + 1 : NULL;
    }
    return false;
}

bool families_exist(const char *only)
{
    char name[32];
    int size = 0;

    for (; *only != '\0'; only += size + (only[size] == ',')) {
        bool found = false;

        size = (int)strcspn(only, ",");
        snprintf(name, sizeof name, "%.*s", size, only);
        for (int f = 0; families[f] != NULL; f++)
            found = found || strcmp(families[f]->name, name) == 0;
        if (!found)
            return false;
    }
    return true;
}

/* How often each kind is drawn in this sequence; `last`: of those that end the process. */
static unsigned weigh(uint64_t *seed, const char *only, bool last, unsigned *weights)
{
    const struct family *family = NULL;
    const struct kind *kind;
    unsigned factor = 0, total = 0;

    for (unsigned k = 0; (kind = kind_at(k, &family)) != NULL; k++) {
        if (kind == family->kinds) {
            static const unsigned tastes[] = {0, 1, 1, 2, 4};

            factor = family->weight * tastes[draw(seed, 5)];
            if (only != NULL)
                factor = is_named(only, family->name) || family == families[0];
        }
        weights[k] = kind->last == last ? factor * kind->weight : 0;
        total += weights[k];
    }
    return total;
}

static unsigned draw_kind(uint64_t *seed, const unsigned *weights, unsigned total)
{
    unsigned at = draw(seed, total), k = 0;

    while (at >= weights[k])
        at -= weights[k++];
    return k;
}

static void add_op(struct sequence *sequence, uint64_t *seed, unsigned kind)
{
    struct op *op = &sequence->ops[sequence->count++];

    op->kind = kind;
    op->lane = kind_at(kind, NULL)->alone ? 0 : draw(seed, sequence->lanes);
    for (int i = 0; i < 4; i++)
        op->n[i] = (uint32_t)next_random(seed);
}

void sequence_make(struct sequence *sequence, uint64_t seed, const char *only, size_t count)
{
    static const unsigned lanes[] = {1, 1, 2, 3, 4};
    unsigned weights[KINDS_MAX], total;
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;

    memset(sequence, 0, sizeof *sequence);
    sequence->seed = seed;
    sequence->lanes = lanes[draw(&state, 5)];
    count = count > 0 ? count : 20 + draw(&state, 80);
    count = count < OPS_MAX ? count : OPS_MAX - 1;
    total = weigh(&state, only, false, weights);
    /* The first two kinds of all begin a scope and make a pool. */
    add_op(sequence, &state, 0);
    add_op(sequence, &state, 1);
    while (total > 0 && sequence->count < count)
        add_op(sequence, &state, draw_kind(&state, weights, total));
    total = weigh(&state, only, true, weights);
    if (total > 0 && one_in(&state, 4))
        add_op(sequence, &state, draw_kind(&state, weights, total));
}

void sequence_print(const struct sequence *sequence, FILE *out)
{
    fprintf(out, "seed %" PRIu64 ", lanes: %u\n", sequence->seed, sequence->lanes);
    for (size_t i = 0; i < sequence->count; i++) {
        const struct op *op = &sequence->ops[i];
        const struct family *family = NULL;
        const struct kind *kind = kind_at(op->kind, &family);

        if (!sequence->left_out[i])
            fprintf(out, "%4zu  lane %u%s  %s: %s  %u %u %u %u\n", i, op->lane,
                    kind->alone ? " alone" : "      ", family->name, kind->name, op->n[0], op->n[1],
                    op->n[2], op->n[3]);
    }
}
