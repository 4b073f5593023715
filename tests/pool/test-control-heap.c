/* SPDX-License-Identifier: MIT
 *
 * The control heap against a reference that only remembers which pieces are out.
 */
#include "leak.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pool/host/control_heap.h"

#define SIZE   ((size_t)8 << 20)
#define PIECES 400

struct piece {
    unsigned char *memory;
    size_t size;
    unsigned char mark;
};

static unsigned char *map_base(void)
{
    void *base = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(base, MAP_FAILED);
    return base;
}

static void assert_whole(const struct weir__control_heap *heap)
{
    assert_int_equal(heap->count, 1);
    assert_int_equal(heap->vacant[0].offset, 0);
    assert_int_equal(heap->vacant[0].size, SIZE);
}

static bool is_filled(const struct piece *piece)
{
    for (size_t i = 0; i < piece->size; i++) {
        if (piece->memory[i] != piece->mark)
            return false;
    }
    return true;
}

static void pieces_never_overlap__when_allocated_and_freed_at_random(void **state)
{
    static struct piece pieces[PIECES];
    unsigned char *base = map_base();
    struct weir__control_heap heap;
    int refused = 0;

    (void)state;
    srand(7);
    assert_int_equal(weir__control_heap_init(&heap, base, SIZE), 0);
    for (int round = 0; round < 40000; round++) {
        struct piece *piece = &pieces[rand() % PIECES];

        if (piece->memory != NULL) {
            assert_true(is_filled(piece));
            weir__control_heap_free(&heap, piece->memory, piece->size);
            piece->memory = NULL;
            continue;
        }
        piece->size = (size_t)(rand() % 40 == 0 ? rand() % 1500000 + 1 : rand() % 3000 + 1);
        piece->mark = (unsigned char)rand();
        piece->memory = weir__control_heap_alloc(&heap, piece->size);
        if (piece->memory == NULL) {
            refused++;
            continue;
        }
        assert_int_equal((piece->memory - base) % 64, 0);
        assert_true(piece->memory >= base && piece->memory + piece->size <= base + SIZE);
        memset(piece->memory, piece->mark, piece->size);
    }
    assert_true(refused > 0); /* the heap was full at times */
    for (int i = 0; i < PIECES; i++)
        weir__control_heap_free(&heap, pieces[i].memory, pieces[i].size);
    assert_whole(&heap);
    weir__control_heap_destroy(&heap);
    munmap(base, SIZE);
}

/* The worst case for the records: as many vacant extents as pieces. */
static void every_gap_is_recorded__when_every_other_piece_is_freed(void **state)
{
    static unsigned char *memory[PIECES];
    unsigned char *base = map_base();
    struct weir__control_heap heap;

    (void)state;
    assert_int_equal(weir__control_heap_init(&heap, base, SIZE), 0);
    for (int i = 0; i < PIECES; i++) {
        memory[i] = weir__control_heap_alloc(&heap, 64);
        assert_non_null(memory[i]);
    }
    for (int i = 0; i < PIECES; i += 2) {
        weir__control_heap_free(&heap, memory[i], 64);
        assert_true(heap.count <= heap.capacity);
    }
    assert_int_equal(heap.count, PIECES / 2 + 1);
    for (int i = 1; i < PIECES; i += 2)
        weir__control_heap_free(&heap, memory[i], 64);
    assert_whole(&heap);
    weir__control_heap_destroy(&heap);
    munmap(base, SIZE);
}

static void all_or_nothing__when_a_piece_is_as_large_as_the_heap(void **state)
{
    unsigned char *base = map_base(), *all;
    struct weir__control_heap heap;

    (void)state;
    assert_int_equal(weir__control_heap_init(&heap, base, SIZE), 0);
    assert_null(weir__control_heap_alloc(&heap, SIZE + 1));
    all = weir__control_heap_alloc(&heap, SIZE);
    assert_ptr_equal(all, base);
    assert_null(weir__control_heap_alloc(&heap, 1));
    weir__control_heap_free(&heap, all, SIZE);
    weir__control_heap_free(&heap, NULL, 100);
    assert_whole(&heap);
    weir__control_heap_destroy(&heap);
    munmap(base, SIZE);
}

/* Bytes that are in memory. */
static size_t resident(unsigned char *base)
{
    static unsigned char pages[SIZE / 4096];
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t count = 0;

    assert_int_equal(mincore(base, SIZE, pages), 0);
    for (size_t i = 0; i < SIZE / page; i++)
        count += pages[i] & 1;
    return count * page;
}

static void pages_go_back__when_a_large_piece_is_freed(void **state)
{
    unsigned char *base = map_base(), *piece;
    struct weir__control_heap heap;

    (void)state;
    assert_int_equal(weir__control_heap_init(&heap, base, SIZE), 0);
    piece = weir__control_heap_alloc(&heap, SIZE / 2);
    memset(piece, 1, SIZE / 2);
    weir__control_heap_free(&heap, piece, SIZE / 2);
    assert_true(resident(base) <= 2 * 65536); /* what is less than the largest page, at both ends */
    weir__control_heap_destroy(&heap);
    munmap(base, SIZE);
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, leak_setup, leak_teardown)

/* In an order in which extents grow together late. */
static void most_memory_is_given_back__when_pieces_of_any_size_are_freed(void **state)
{
    const size_t sizes[] = {1000, 5000, 60000, 300000, 1100000};
    static unsigned char *pieces[8000];
    struct weir__control_heap heap;

    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        unsigned char *base = map_base();
        int count = 0;

        assert_int_equal(weir__control_heap_init(&heap, base, SIZE), 0);
        while (count < 8000 && (pieces[count] = weir__control_heap_alloc(&heap, sizes[s])) != NULL)
            memset(pieces[count++], 1, sizes[s]);
        assert_true(resident(base) > SIZE - ((size_t)2 << 20));
        for (int first = 0; first < 3; first++) {
            for (int i = first; i < count; i += 3)
                weir__control_heap_free(&heap, pieces[i], sizes[s]);
        }
        assert_whole(&heap);
        assert_true(resident(base) <= (size_t)4 << 20);
        weir__control_heap_destroy(&heap);
        munmap(base, SIZE);
    }
}

static void a_small_piece_stays_in_memory__when_it_is_used_again_and_again(void **state)
{
    unsigned char *base = map_base();
    struct weir__control_heap heap;

    (void)state;
    assert_int_equal(weir__control_heap_init(&heap, base, SIZE), 0);
    for (int i = 0; i < 1000; i++) {
        unsigned char *piece = weir__control_heap_alloc(&heap, 60000);

        assert_true(i == 0 || piece[30000] == 1); /* given back it would be 0 */
        memset(piece, 1, 60000);
        weir__control_heap_free(&heap, piece, 60000);
    }
    weir__control_heap_destroy(&heap);
    munmap(base, SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(pieces_never_overlap__when_allocated_and_freed_at_random),
        UNIT(every_gap_is_recorded__when_every_other_piece_is_freed),
        UNIT(all_or_nothing__when_a_piece_is_as_large_as_the_heap),
        UNIT(pages_go_back__when_a_large_piece_is_freed),
        UNIT(most_memory_is_given_back__when_pieces_of_any_size_are_freed),
        UNIT(a_small_piece_stays_in_memory__when_it_is_used_again_and_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
