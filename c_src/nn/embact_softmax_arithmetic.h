/*
 * What the files of softmax and log_softmax share. Private: include embact_nn.h instead.
 *
 * A row's codes matter only as differences from the largest code of the row, d = 0, 1, ...; so for
 * int8 input all exponentials are entries of one table, table[d], of which those left out are 0.
 */
#ifndef EMBACT_SOFTMAX_ARITHMETIC_H
#define EMBACT_SOFTMAX_ARITHMETIC_H

#include "embact_nn.h"
#include "embact_nn_arithmetic.h"

/** Longest row: 4096 exponentials of at most 2**19 are a sum of at most 2**31. */
#define EMBACT_SOFTMAX_ROW_MAX 4096

/** Return the number of zero bits above the highest one; value > 0. */
static inline int32_t embact_softmax_leading_zeros(uint32_t value) {
    int32_t zeros = 0; /* 0..31 */
    for (int32_t step = 16; step > 0; step >>= 1) {
        if (value >> (32 - step) == 0) {
            value <<= step; /* loses no bit */
            zeros += step;
        }
    }
    return zeros;
}

/** Return the largest of size codes. */
static inline int32_t embact_softmax_max_s8(const int8_t *row, int32_t size) {
    int32_t largest = row[0];
    for (int32_t i = 1; i < size; ++i) {
        largest = row[i] > largest ? row[i] : largest;
    }
    return largest;
}

/** Return the largest of size codes. */
static inline int32_t embact_softmax_max_s16(const int16_t *row, int32_t size) {
    int32_t largest = row[0];
    for (int32_t i = 1; i < size; ++i) {
        largest = row[i] > largest ? row[i] : largest;
    }
    return largest;
}

/** Return the exponential of a difference 0..255. */
static inline uint32_t embact_softmax_entry(const uint32_t *table, int32_t table_size,
                                            int32_t difference) {
    return difference < table_size ? table[difference] : 0;
}

/**
 * Return the sum of a row's exponentials in Q12.19, each of which is rounded: 2**19..2**31.
 *
 * An entry is at most 2**31 - 1 and is divided by 2**12, ties upwards, as Rescale of gemmlowp does.
 */
static inline uint32_t embact_softmax_sum_s8(const int8_t *row, int32_t size, int32_t largest,
                                             const uint32_t *table, int32_t table_size) {
    uint32_t sum = 0;
    for (int32_t i = 0; i < size; ++i) {
        sum += (embact_softmax_entry(table, table_size, largest - row[i]) + (1u << 11)) >> 12;
    }
    return sum;
}

/** Return the sum of a row's exponentials in Q12.31, exactly: 2**31..2**43. */
static inline uint64_t embact_softmax_exact_sum_s8(const int8_t *row, int32_t size, int32_t largest,
                                                   const uint32_t *table, int32_t table_size) {
    uint64_t sum = 0;
    for (int32_t i = 0; i < size; ++i) {
        sum += embact_softmax_entry(table, table_size, largest - row[i]);
    }
    return sum;
}

/**
 * Return 1 / (1 + a) in Q0.31 of a in Q0.31, 0..2**31 - 1, by three steps of Newton and Raphson.
 *
 * Source: one_over_one_plus_x_for_x_in_0_1 of gemmlowp, bit by bit; its start is 48/17 - 32/17 d.
 */
static inline int32_t embact_softmax_one_over_one_plus(int32_t a) {
    const int32_t half = (a >> 1) + ((int32_t)1 << 30); /* (1 + a) / 2 in Q0.31: 2**30..2**31 - 1 */
    int32_t x = 1515870810 + embact_nn_doubling_high_mul(half, -1010580540); /* Q2.29, < 2**30 */
    for (int32_t step = 0; step < 3; ++step) {
        const int32_t rest =
            ((int32_t)1 << 29) - embact_nn_doubling_high_mul(half, x); /* of 1, in Q2.29 */
        x += embact_nn_shift_left(embact_nn_doubling_high_mul(x, rest), 2);
    }
    return embact_nn_shift_left(x, 1);
}

/** 1 / sum = scale * 2**-31 * 2**-bits. scale: 2**30..2**31 - 1. bits: 0..12. */
typedef struct {
    uint32_t scale;
    int32_t bits;
} embact_softmax_reciprocal;

/** Return the reciprocal of a sum 2**19..2**31 in Q12.19. Source: GetReciprocal of TFLite. */
static inline embact_softmax_reciprocal embact_softmax_invert(uint32_t sum) {
    const int32_t zeros = embact_softmax_leading_zeros(sum); /* 0..12 */
    const uint32_t above_one = (sum << zeros) & 0x7FFFFFFFu;
    embact_softmax_reciprocal found;
    found.scale = (uint32_t)embact_softmax_one_over_one_plus((int32_t)above_one);
    found.bits = 12 - zeros;
    return found;
}

/** Return entry * scale / 2**31, ties upwards: 0..2**31 - 2; both are at most 2**31 - 1. */
static inline uint32_t embact_softmax_product(uint32_t entry, uint32_t scale) {
    return (uint32_t)(((uint64_t)entry * scale + ((uint32_t)1 << 30)) >> 31);
}

/**
 * Return ceil(2**63 / m) - 1 for the upper 32 bits m of a sum, 2**31..2**32 - 1: 2**31..2**32 - 1.
 *
 * The only division of a row.
 */
static inline uint32_t embact_softmax_exact_factor(uint32_t m) {
    return (uint32_t)((((uint64_t)1 << 63) - 1) / m);
}

/** Return floor(entry * (factor + 1) / 2**32): 0..2**31; entry is at most 2**31. */
static inline uint32_t embact_softmax_exact_product(uint32_t entry, uint32_t factor) {
    return (uint32_t)(((uint64_t)entry * factor + entry) >> 32);
}

/** Return whether the arguments that every function of a row has are in their ranges. */
static inline int embact_softmax_are_rows(const void *input, int32_t num_rows, int32_t row_size,
                                          const void *output) {
    return input != NULL && output != NULL && num_rows > 0 && row_size > 0 &&
           row_size <= EMBACT_SOFTMAX_ROW_MAX;
}

/** Return whether a table of int8 differences has a size that it can have. */
static inline int embact_softmax_is_table(const void *table, int32_t table_size) {
    return table != NULL && table_size > 0 && table_size <= 256;
}

#endif /* EMBACT_SOFTMAX_ARITHMETIC_H */
