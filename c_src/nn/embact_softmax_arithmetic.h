/*
 * What the files of softmax and log_softmax share: products, reciprocals, checks of arguments.
 * Private: include embact_nn.h instead.
 *
 * A row's codes matter only as differences from the largest code of the row, d = 0, 1, ...; so for
 * int8 input all exponentials are entries of one table, table[d], of which those left out are 0.
 */
#ifndef EMBACT_SOFTMAX_ARITHMETIC_H
#define EMBACT_SOFTMAX_ARITHMETIC_H

#include "embact_nn.h"
#include "embact_nn_arithmetic.h"
#include "embact_tiers.h"

/** Longest row: 4096 exponentials of at most 2**19 are a sum of at most 2**31. */
#define EMBACT_SOFTMAX_ROW_MAX 4096

/** Return the number of zero bits above the highest one; value > 0. */
static inline int32_t embact_softmax_leading_zeros(uint32_t value) {
#if EMBACT_TIER >= EMBACT_TIER_THUMB2
    return (int32_t)__builtin_clz(value);
#else
    int32_t zeros = 0; /* 0..31 */
    for (int32_t step = 16; step > 0; step >>= 1) {
        if (value >> (32 - step) == 0) {
            value <<= step; /* loses no bit */
            zeros += step;
        }
    }
    return zeros;
#endif
}

/**
 * Return the upper 32 bits of a * (low + high * 2**16); low 0..2**16, high below 2**16.
 *
 * Likewise where a product has 32 bits only: what is added up is never more than that.
 */
static inline uint32_t embact_softmax_high(uint32_t a, uint32_t low, uint32_t high) {
    const uint32_t a_low = a & 0xFFFFu;
    const uint32_t a_high = a >> 16;
    const uint32_t first = a_high * low + (a_low * low >> 16);
    const uint32_t second = a_low * high + (first & 0xFFFFu);
    return a_high * high + (first >> 16) + (second >> 16);
}

/** Return a * b: the product of two 32-bit numbers. */
static inline uint64_t embact_softmax_wide(uint32_t a, uint32_t b) {
#if EMBACT_TIER == EMBACT_TIER_THUMB1
    const uint32_t high = embact_softmax_high(a, b & 0xFFFFu, b >> 16);
    return (uint64_t)high << 32 | a * b; /* the lower 32 bits */
#else
    return (uint64_t)a * b;
#endif
}

/**
 * Return a * b / 2**31 of Q0.31 numbers, ties upwards: not both are INT32_MIN.
 *
 * The same as embact_nn_doubling_high_mul, in halves where a product has 32 bits only; each of
 * their sums is one of int32.
 */
static inline int32_t embact_softmax_times(int32_t a, int32_t b) {
#if EMBACT_TIER == EMBACT_TIER_THUMB1
    const int32_t a_low = a & 0xFFFF;
    const int32_t a_high = a >> 16;
    const int32_t b_low = b & 0xFFFF;
    const int32_t b_high = b >> 16;
    const int32_t low = (int32_t)((uint32_t)a_low * (uint32_t)b_low >> 16); /* 0..2**16 - 2 */
    const int32_t first = a_high * b_low + low;
    const int32_t second = a_low * b_high + (first & 0xFFFF);
    return 2 * (a_high * b_high + (first >> 16)) + ((second + (1 << 14)) >> 15);
#else
    return embact_nn_doubling_high_mul(a, b);
#endif
}

/**
 * Return 1 / (1 + a) in Q0.31 of a in Q0.31, 0..2**31 - 1, by three steps of Newton and Raphson.
 *
 * Source: one_over_one_plus_x_for_x_in_0_1 of gemmlowp, bit by bit; its start is 48/17 - 32/17 d.
 * The rest is at most 1/17 of 1, so that only the last of its saturating shifts can saturate.
 */
static inline int32_t embact_softmax_one_over_one_plus(int32_t a) {
    const int32_t half = (a >> 1) + ((int32_t)1 << 30); /* (1 + a) / 2 in Q0.31: 2**30..2**31 - 1 */
    int32_t x = 1515870810 + embact_softmax_times(half, -1010580540); /* Q2.29, < 2**30 */
    for (int32_t step = 0; step < 3; ++step) {
        const int32_t rest = ((int32_t)1 << 29) - embact_softmax_times(half, x); /* in Q2.29 */
        x += embact_softmax_times(x, rest) * 4; /* within 2**26 */
    }
    return embact_nn_shift_left(x, 1);
}

/**
 * Return 1 / sum = scale * 2**-31 * 2**-bits of a sum 2**19..2**31 in Q12.19.
 *
 * scale: 2**30..2**31 - 1. bits: 0..12. Source: GetReciprocal of TFLite.
 */
typedef struct {
    uint32_t scale;
    int32_t bits;
} embact_softmax_reciprocal;

static inline embact_softmax_reciprocal embact_softmax_invert(uint32_t sum) {
    const int32_t zeros = embact_softmax_leading_zeros(sum); /* 0..12 */
    const uint32_t above_one = (sum << zeros) & 0x7FFFFFFFu;
    embact_softmax_reciprocal found;
    found.scale = (uint32_t)embact_softmax_one_over_one_plus((int32_t)above_one);
    found.bits = 12 - zeros;
    return found;
}

/**
 * Return (entry * scale / 2**31) / 2**exponent, each quotient rounded with ties upwards.
 *
 * entry and scale are at most 2**31 - 1; exponent 2..32. Both roundings are one addition, of
 * 2**30 + 2**(30 + exponent), because the first quotient is cut before the second is.
 */
static inline uint32_t embact_softmax_share(uint32_t entry, uint32_t scale, int32_t exponent) {
    const uint32_t half = (uint32_t)1 << (exponent - 2); /* of 2**32 */
#if EMBACT_TIER == EMBACT_TIER_THUMB1
    const uint32_t low = scale & 0xFFFFu;
    const uint32_t high = scale >> 16;
    const uint32_t entry_low = entry & 0xFFFFu;
    const uint32_t entry_high = entry >> 16; /* below 2**15, as high is: no sum exceeds 2**32 */
    const uint32_t middle = entry_high * low + entry_low * high + (entry_low * low >> 16);
    const uint32_t upper = entry_high * high + ((middle + (1u << 14)) >> 16); /* of 2**32 */
    return (upper + half) >> (exponent - 1);
#else
    const uint64_t product = (uint64_t)entry * scale + ((uint64_t)half << 32 | 1u << 30);
    return (uint32_t)(product >> 32) >> (exponent - 1);
#endif
}

/**
 * Return ceil(2**63 / m) - 1 for the upper 32 bits m of a sum, 2**31..2**32 - 1: 2**31..2**32 - 1.
 *
 * The only division of a row: of 2**63 - 1, in digits, as a call of the compiler's library takes
 * longer. Those of 16 bits are estimated from the upper half of m, 1 or 2 too high at most.
 */
static inline uint32_t embact_softmax_exact_factor(uint32_t m) {
#if EMBACT_TIER >= EMBACT_TIER_THUMB2
    const uint32_t first = INT32_MAX / (m >> 16); /* at most 2**16 - 1 */
    uint32_t factor = first << 16;
    int64_t rest = (((int64_t)1 << 47) - 1) - (int64_t)((uint64_t)first * m);
    for (; rest < 0; rest += m) {
        factor -= (uint32_t)1 << 16;
    }
    const uint32_t second = (uint32_t)rest / (m >> 16); /* at most 2**17 */
    rest = (rest << 16 | 0xFFFF) - (int64_t)((uint64_t)second * m);
    for (factor += second; rest < 0; rest += m) {
        --factor;
    }
    return factor;
#elif EMBACT_TIER == EMBACT_TIER_THUMB1
    uint32_t rest = 0xFFFFFFFFu - m; /* after the first digit, 1; every digit of 2**63 - 1 is 1 */
    uint32_t factor = 1;
    for (int32_t digit = 0; digit < 31; ++digit) {
        const uint32_t carry = rest >> 31;
        rest = rest << 1 | 1u;
        factor <<= 1;
        if (carry != 0 || rest >= m) {
            rest -= m;
            factor |= 1u;
        }
    }
    return factor;
#else
    return (uint32_t)((((uint64_t)1 << 63) - 1) / m);
#endif
}

/** Return floor(entry * (factor + 1) / 2**32): 0..2**31; entry is at most 2**31. */
static inline uint32_t embact_softmax_exact_product(uint32_t entry, uint32_t factor) {
#if EMBACT_TIER == EMBACT_TIER_THUMB1
    return embact_softmax_high(entry, (factor & 0xFFFFu) + 1, factor >> 16);
#else
    return (uint32_t)(((uint64_t)entry * factor + entry) >> 32);
#endif
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
