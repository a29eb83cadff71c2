/*
 * Rows of int8 codes: the largest code, and the sum of the exponentials, of a short or a long row.
 * Private: include embact_nn.h instead.
 *
 * Rows from EMBACT_SOFTMAX_LONG_ROW codes on are treated by code: how often each code occurs gives
 * the largest one and the sum, and each code's output is computed once and looked up. Helium sums
 * the exponentials of the row itself: its gathers are faster than counting.
 */
#ifndef EMBACT_SOFTMAX_CODES_H
#define EMBACT_SOFTMAX_CODES_H

#include "embact_loop_count_s8.h"
#include "embact_loop_max_s8.h"
#include "embact_softmax_arithmetic.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#include <arm_mve.h>
#endif

/** From how many codes on a row is treated by code: where that takes fewer instructions. */
#define EMBACT_SOFTMAX_LONG_ROW 256

/**
 * Work space of a long row, 512 bytes: the counts of its codes, then the outputs of all codes.
 *
 * All are in byte order: of code (int8_t)i at index i.
 */
typedef union {
    uint16_t counts[256];
    int8_t narrow[256];
    int16_t wide[256];
    uint32_t words[128];
} embact_softmax_space;

/** Set the first words of the space; count is a multiple of 4. */
static inline void embact_softmax_fill(embact_softmax_space *space, int32_t count, uint32_t value) {
    uint32_t *words = space->words;
    for (; count > 0; count -= 4) {
        words[0] = value;
        words[1] = value;
        words[2] = value;
        words[3] = value;
        words += 4;
#if defined(__GNUC__)
        __asm__("" : "+&r"(words) : : "memory"); /* or compilers call memset, of 32 bytes too */
#endif
    }
}

/** Return the exponential of a difference 0..255. */
static inline uint32_t embact_softmax_entry(const uint32_t *table, int32_t table_size,
                                            int32_t difference) {
    return difference < table_size ? table[difference] : 0;
}

/** Return an entry, at most 2**31 - 1, over 2**12, ties upwards, as Rescale of gemmlowp does. */
static inline uint32_t embact_softmax_rounded(uint32_t entry) {
    return (entry + (1u << 11)) >> 12;
}

/** Return whether a row's codes are counted. */
static inline int embact_softmax_is_counted(int32_t size) {
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    (void)size;
    return 0;
#else
    return size >= EMBACT_SOFTMAX_LONG_ROW;
#endif
}

/** Return the largest code of a row; if the row is counted, leave the counts in the space. */
static inline int32_t embact_softmax_largest(const int8_t *row, int32_t size,
                                             embact_softmax_space *space) {
    if (!embact_softmax_is_counted(size)) {
        return embact_loop_max_s8(row, size);
    }
    embact_softmax_fill(space, 128, 0);
    embact_loop_count_s8(row, space->counts, size);
    int32_t largest = INT8_MAX;
    while (space->counts[(uint8_t)largest] == 0) { /* ends: there is a code */
        --largest;
    }
    return largest;
}

/** Return how many differences 0, 1, ... the table and the codes have. */
static inline int32_t embact_softmax_differences(int32_t largest, int32_t table_size) {
    const int32_t codes = largest - INT8_MIN + 1; /* 1..256 */
    return codes < table_size ? codes : table_size;
}

/**
 * Return the sum of a row's exponentials in Q12.19, each of which is rounded: 2**19..2**31.
 *
 * space: as embact_softmax_largest left it.
 */
static inline uint32_t embact_softmax_sum(const int8_t *row, int32_t size, int32_t largest,
                                          const uint32_t *table, int32_t table_size,
                                          const embact_softmax_space *space) {
    uint32_t sum = 0;
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    (void)space;
    __asm__ volatile("dlstp.32 lr, %[size]\n"
                     "1:\n\t"
                     "vldrb.s32 q0, [%[row]], #4\n\t"
                     "vsub.i32 q0, %q[largest], q0\n\t" /* differences, 0..255 */
                     "vpt.u32 hi, %q[table_size], q0\n\t"
                     "vldrwt.u32 q1, [%[table], q0, uxtw #2]\n\t" /* and 0 elsewhere */
                     "vrshr.u32 q1, q1, #12\n\t"
                     "vaddva.u32 %[sum], q1\n\t"
                     "letp lr, 1b"
                     : [row] "+&l"(row), [sum] "+Te"(sum)
                     : [size] "r"(size), [largest] "w"(vdupq_n_s32(largest)), [table] "r"(table),
                       [table_size] "w"(vdupq_n_s32(table_size))
                     : "q0", "q1", "lr", "cc", "memory");
#else
    if (embact_softmax_is_counted(size)) {
        const int32_t differences = embact_softmax_differences(largest, table_size);
        for (int32_t d = 0; d < differences; ++d) {
            sum += space->counts[(uint8_t)(largest - d)] * embact_softmax_rounded(table[d]);
        }
    } else {
        for (int32_t i = 0; i < size; ++i) {
            const uint32_t entry = embact_softmax_entry(table, table_size, largest - row[i]);
            sum += embact_softmax_rounded(entry);
        }
    }
#endif
    return sum;
}

/** Return the sum of a row's exponentials in Q12.31, exactly: 2**31..2**43. */
static inline uint64_t embact_softmax_exact_sum(const int8_t *row, int32_t size, int32_t largest,
                                                const uint32_t *table, int32_t table_size,
                                                const embact_softmax_space *space) {
    uint64_t sum = 0;
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    (void)space;
    __asm__ volatile("dlstp.32 lr, %[size]\n"
                     "1:\n\t"
                     "vldrb.s32 q0, [%[row]], #4\n\t"
                     "vsub.i32 q0, %q[largest], q0\n\t" /* differences, 0..255 */
                     "vpt.u32 hi, %q[table_size], q0\n\t"
                     "vldrwt.u32 q1, [%[table], q0, uxtw #2]\n\t" /* and 0 elsewhere */
                     "vaddlva.u32 %Q[sum], %R[sum], q1\n\t"
                     "letp lr, 1b"
                     : [row] "+&l"(row), [sum] "+&r"(sum) /* an even register and the next */
                     : [size] "r"(size), [largest] "w"(vdupq_n_s32(largest)), [table] "r"(table),
                       [table_size] "w"(vdupq_n_s32(table_size))
                     : "q0", "q1", "lr", "cc", "memory");
#else
    if (embact_softmax_is_counted(size)) {
        const int32_t differences = embact_softmax_differences(largest, table_size);
#if EMBACT_TIER == EMBACT_TIER_THUMB1
        uint32_t low = 0; /* counts, 4096 in all, times the halves of entries: both below 2**28 */
        uint32_t high = 0;
        for (int32_t d = 0; d < differences; ++d) {
            const uint32_t count = space->counts[(uint8_t)(largest - d)];
            low += count * (table[d] & 0xFFFFu);
            high += count * (table[d] >> 16);
        }
        sum = ((uint64_t)high << 16) + low;
#else
        for (int32_t d = 0; d < differences; ++d) {
            sum += (uint64_t)table[d] * space->counts[(uint8_t)(largest - d)];
        }
#endif
    } else {
        for (int32_t i = 0; i < size; ++i) {
            sum += embact_softmax_entry(table, table_size, largest - row[i]);
        }
    }
#endif
    return sum;
}

#if EMBACT_TIER == EMBACT_TIER_HELIUM
/**
 * How vectors divide by a sum: entry * factor / 2**32, cut, times 2**left, rounded.
 *
 * factor: embact_softmax_exact_factor plus 1; half of it, and a shift by 1 less, if that is 2**32.
 */
typedef struct {
    uint32_t factor;
    int32_t left;
} embact_softmax_scaling;

/** Return how vectors multiply by (factor + 1) * 2**(-32 - right). */
static inline embact_softmax_scaling embact_softmax_scaling_of(uint32_t factor, int32_t right) {
    embact_softmax_scaling found;
    found.factor = factor == UINT32_MAX ? (uint32_t)1 << 31 : factor + 1;
    found.left = factor == UINT32_MAX ? 1 - right : -right;
    return found;
}
#endif

#endif /* EMBACT_SOFTMAX_CODES_H */
