/*
 * Factors that are applied to many values: embact_nn_requantize, prepared once. Private: include
 * embact_nn.h instead.
 *
 * With q = value * multiplier and R = -shift, both roundings of TFLM are one division: for a
 * multiplier >= 0, since floor(floor(a / b) + c) / d) = floor((a + b * c) / (b * d)),
 *
 *     requantize(value) = (q + 2**(30 + R) + e) >> (31 + R)
 *
 * with e = 2**30 of values >= 0 and -2**30 of others where R > 0 and there are two roundings, and
 * e = 0 otherwise. (Of a value that is negative and a first rounding to 0, both e give 0.) From
 * R = bits + 1 on the result of |value| < 2**bits is 0.
 */
#ifndef EMBACT_NN_SCALE_H
#define EMBACT_NN_SCALE_H

#include "embact_nn_arithmetic.h"
#include "embact_tiers.h"

/**
 * What embact_nn_scale_prepare makes of a factor.
 *
 * With p the part of the product that is kept, (value * 2**shift * multiplier) >> 32, or, on a core
 * without 64-bit products, (value * multiplier) >> (16 + shift), or >> (24 + shift) of more than 16
 * bits: the result is
 * (p + upper) >> right for values >= 0, and (p + lower) >> right for others. On the portable tier
 * there are the factor's multiplier and shift alone.
 */
typedef struct {
    int32_t multiplier;
    int32_t shift;
    int32_t upper;
    int32_t lower;
    int32_t right;
} embact_nn_scale;

/**
 * Prepare a factor for values of -(2**bits - 1)..2**bits - 1; return whether it can be.
 *
 * @param multiplier  -(2**31 - 1)..2**31 - 1; none below 0 can be prepared for a core
 * @param shift       -31..30
 * @param bits        8..24; of more than 16, embact_nn_scale_wide alone takes the values
 */
static inline int embact_nn_scale_prepare(int32_t multiplier, int32_t shift, int32_t bits,
                                          embact_nn_scale *scale) {
#if EMBACT_TIER == EMBACT_TIER_PORTABLE
    (void)bits;
    const embact_nn_scale made = {multiplier, shift, 0, 0, 0};
    *scale = made;
    return 1;
#else
    const int32_t most = bits + 1;                     /* 9..25 */
    const int32_t right = -shift > most ? most : -shift; /* R, -30..25 */
#ifdef EMBACT_NN_SINGLE_ROUNDING
    const int32_t twice = 0;
#else
    const int32_t twice = right > 0;
#endif
#if EMBACT_TIER >= EMBACT_TIER_THUMB2
    const int32_t left = 31 - bits;          /* 7..23: values stay within int32 */
    const int32_t total = left - 1 + right;  /* ..31, after the 32 bits of the lower word */
    if (multiplier < 0 || total < 1) {
        return 0;
    }
    const int32_t half = (int32_t)((uint32_t)1 << (total - 1)); /* 1..2**30 */
    const int32_t e = twice << (left - 2);                      /* 0..2**21 */
    const embact_nn_scale made = {multiplier, left, half + e, half - e, total};
#else
    const int32_t most_kept = bits > 16 ? 6 : 14; /* down to 30 bits below */
    if (multiplier < 0 || right < -most_kept) {
        return 0;
    }
    const int32_t down = right > 0 ? right : 0;    /* 0..17 */
    const int32_t half = (int32_t)1 << down;       /* 1..2**17 */
    const int32_t kept = right < 0 ? most_kept + right : most_kept; /* 0..14 */
    const embact_nn_scale made = {multiplier, kept, half + twice, half - twice, down + 1};
#endif
    *scale = made;
    return 1;
#endif
}

/** Return h of multiplier = h * 2**16 + l with -32768 <= l <= 32767; 0..32768 of what is >= 0. */
static inline int32_t embact_nn_upper_half(int32_t multiplier) {
    return (int32_t)(((uint32_t)multiplier + 32768U) >> 16);
}

/** Return l of the same. */
static inline int32_t embact_nn_lower_half(int32_t multiplier) {
    return (int32_t)(((uint32_t)multiplier + 32768U) & 65535U) - 32768;
}

/** Return (value * multiplier) >> 16 for |value| <= 65535 and a multiplier >= 0, in 32 bits. */
static inline int32_t embact_nn_product_16(int32_t value, int32_t multiplier) {
    const int32_t high = embact_nn_upper_half(multiplier);
    const int32_t low = embact_nn_lower_half(multiplier);
    return value * high + ((value * low) >> 16);
}

/** Return (value * multiplier) >> 24 for |value| <= 65535 * 255 and a multiplier >= 0. */
static inline int32_t embact_nn_product_24(int32_t value, int32_t multiplier) {
    const int32_t high = embact_nn_upper_half(multiplier);
    const int32_t low = embact_nn_lower_half(multiplier);
    const int32_t upper = (value + 32768) >> 16; /* -255..255 */
    const int32_t lower = value - upper * 65536; /* -32768..32767 */
    /* of products by 2**16: up to 2**23, 2**30 and 2**14 */
    const int32_t middle = upper * low + lower * high + ((lower * low) >> 16);
    return upper * high * 256 + (middle >> 8);
}

/** Return the result for a value whose sum is with `half`, of a prepared scale. */
static inline int32_t embact_nn_scaled(int32_t value, const embact_nn_scale *scale, int32_t half) {
#if EMBACT_TIER == EMBACT_TIER_PORTABLE
    (void)half;
    return embact_nn_requantize(value, scale->multiplier, scale->shift);
#elif EMBACT_TIER >= EMBACT_TIER_THUMB2
    const int32_t shifted = (int32_t)((uint32_t)value << scale->shift); /* no bit is lost */
#if EMBACT_TIER >= EMBACT_TIER_DSP
    int32_t sum; /* of the product's upper word and half */
    __asm__("smmla %0, %1, %2, %3" : "=r"(sum) : "r"(shifted), "r"(scale->multiplier), "r"(half));
#else
    const int32_t sum = (int32_t)(((int64_t)shifted * scale->multiplier) >> 32) + half;
#endif
    return sum >> scale->right;
#else
    const int32_t product = embact_nn_product_16(value, scale->multiplier);
    return ((product >> scale->shift) + half) >> scale->right;
#endif
}

/** Return embact_nn_requantize of a value >= 0. */
static inline int32_t embact_nn_scale_above(int32_t value, const embact_nn_scale *scale) {
    return embact_nn_scaled(value, scale, scale->upper);
}

/** Return embact_nn_requantize of a value <= 0. */
static inline int32_t embact_nn_scale_below(int32_t value, const embact_nn_scale *scale) {
    return embact_nn_scaled(value, scale, scale->lower);
}

/** Return embact_nn_requantize of a value of either sign. */
static inline int32_t embact_nn_scale_any(int32_t value, const embact_nn_scale *scale) {
    const int32_t less = scale->lower - scale->upper; /* <= 0 */
    return embact_nn_scaled(value, scale, scale->upper + ((value >> 31) & less));
}

/**
 * Return embact_nn_requantize of a value of either sign, prepared for more than 16 bits.
 *
 * @param value  -65535 * 255..65535 * 255
 */
static inline int32_t embact_nn_scale_wide(int32_t value, const embact_nn_scale *scale) {
#if EMBACT_TIER == EMBACT_TIER_THUMB1
    const int32_t less = scale->lower - scale->upper; /* -2..0 */
    const int32_t half = scale->upper + ((value >> 31) & less);
    const int32_t product = embact_nn_product_24(value, scale->multiplier);
    return ((product >> scale->shift) + half) >> scale->right;
#else
    return embact_nn_scale_any(value, scale);
#endif
}

/** Return value + offset limited to int16; offset of int16, |value| below 2**30. */
static inline int16_t embact_nn_code_s16(int32_t value, int32_t offset) {
#if EMBACT_TIER >= EMBACT_TIER_THUMB2
    int32_t code;
    __asm__("ssat %0, #16, %1" : "=r"(code) : "r"(value + offset) : "cc");
    return (int16_t)code;
#else
    return (int16_t)embact_nn_code(value, offset, INT16_MIN, INT16_MAX);
#endif
}

#endif /* EMBACT_NN_SCALE_H */
