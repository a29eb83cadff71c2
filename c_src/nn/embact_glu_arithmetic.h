/*
 * What the files of gated units share: rounding a product of a value and a gate to an output.
 * Private: include embact_nn.h instead.
 */
#ifndef EMBACT_GLU_ARITHMETIC_H
#define EMBACT_GLU_ARITHMETIC_H

#include "embact_nn.h"
#include "embact_nn_arithmetic.h"
#include "embact_tiers.h"

/**
 * Return product * multiplier / 2**total, rounded once with ties away from zero, limited to int32.
 *
 * |product| is below 2**31. total: 1..62. half: 2**(total - 1).
 */
static inline int32_t embact_glu_scaled(int32_t product, int32_t multiplier, int32_t total,
                                        int64_t half) {
    const int64_t scaled = (int64_t)product * multiplier; /* within 2**62 */
    /* one less for a negative: ties go away from zero */
    return embact_nn_saturate((scaled + half - (scaled < 0 ? 1 : 0)) >> total);
}

/**
 * Return whether the upper 32 bits of a product with a factor are enough to round it.
 *
 * bits: products are below 2**bits. They are enough if 2**(total - 1) is a multiple of 2**32, and
 * no product is an odd multiple of it: a tie, which only products have that are multiples of
 * 2**(total - 1) over the factor's power of two.
 */
static inline int embact_glu_is_simple(int32_t multiplier, int32_t total, int32_t bits) {
    const uint32_t factor = (uint32_t)multiplier;
    const int32_t odd = total - 1 - bits; /* the factor is no multiple of 2**(odd + 1) */
    return total > 32 && (odd >= 31 || (odd >= 0 && (factor & (((uint32_t)2 << odd) - 1)) != 0));
}

/** Return the upper 32 bits of product * multiplier, cut downwards; |product| below 2**31. */
static inline int32_t embact_glu_upper(int32_t product, int32_t multiplier) {
#if EMBACT_TIER == EMBACT_TIER_THUMB1
    const int32_t low = product & 0xFFFF;
    const int32_t high = product >> 16;
    const int32_t factor_low = multiplier & 0xFFFF;
    const int32_t factor_high = multiplier >> 16;
    const int32_t lowest = (int32_t)((uint32_t)low * (uint32_t)factor_low >> 16);
    const int32_t first = high * factor_low + lowest; /* each sum is one of int32 */
    const int32_t second = low * factor_high + (first & 0xFFFF);
    return high * factor_high + (first >> 16) + (second >> 16);
#else
    return (int32_t)((int64_t)product * multiplier >> 32);
#endif
}

/** Return the upper 32 bits of product * multiplier and rest, an int32, added up. */
static inline int32_t embact_glu_add_upper(int32_t rest, int32_t product, int32_t multiplier) {
#if EMBACT_TIER >= EMBACT_TIER_DSP
    int32_t sum;
    __asm__("smmla %0, %1, %2, %3" : "=r"(sum) : "r"(product), "r"(multiplier), "r"(rest));
    return sum;
#else
    return embact_glu_upper(product, multiplier) + rest;
#endif
}

/** Return value limited to int8. */
static inline int8_t embact_glu_limit_s8(int32_t value) {
#if EMBACT_TIER >= EMBACT_TIER_THUMB2
    int32_t limited;
    __asm__("ssat %0, #8, %1" : "=r"(limited) : "r"(value) : "cc");
    return (int8_t)limited;
#else
    return (int8_t)embact_nn_clamp(value, INT8_MIN, INT8_MAX);
#endif
}

/** Return value limited to int16. */
static inline int16_t embact_glu_limit_s16(int32_t value) {
#if EMBACT_TIER >= EMBACT_TIER_THUMB2
    int32_t limited;
    __asm__("ssat %0, #16, %1" : "=r"(limited) : "r"(value) : "cc");
    return (int16_t)limited;
#else
    return (int16_t)embact_nn_clamp(value, INT16_MIN, INT16_MAX);
#endif
}

#endif /* EMBACT_GLU_ARITHMETIC_H */
