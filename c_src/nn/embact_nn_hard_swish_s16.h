/*
 * Hard swish of int16 codes around 0, prepared once. Private: include embact_nn.h instead.
 *
 * From +end on the gate is 1, and down from -end on the result is 0, for
 *
 *     end = the least v > 0 with v * gate_multiplier * 2**left >= 2**60 - 2**30
 *
 * Between them nothing saturates: since the multiplier has 31 bits, |v| * 2**left is below 2**30.
 * (At -end the gate may be 2**-30, which makes no difference to the result.)
 */
#ifndef EMBACT_NN_HARD_SWISH_S16_H
#define EMBACT_NN_HARD_SWISH_S16_H

#include "embact_nn_scale.h"

#if EMBACT_TIER >= EMBACT_TIER_THUMB1

/** The factors: of the gate, which is 2**30 at 1, with its left shift, and of the output. */
typedef struct {
    int32_t gate_multiplier; /* 2**30..2**31 - 1 */
    int32_t left;            /* 0..30, from 15 on without 64-bit products */
    int32_t multiplier;      /* 0..2**31 - 1 */
    int32_t right;           /* 7..31 */
    int32_t output_offset;   /* int16 */
} embact_nn_hard_swish;

/** Return whether factors are such, for an input of zero point 0. */
static inline int embact_nn_is_hard_swish(const embact_nn_hard_swish *how) {
#if EMBACT_TIER == EMBACT_TIER_THUMB1
    return how->gate_multiplier >= (int32_t)1 << 30 && how->left >= 15;
#else
    return how->gate_multiplier >= (int32_t)1 << 30 && how->left >= 0;
#endif
}

#if EMBACT_TIER == EMBACT_TIER_HELIUM

#include <arm_mve.h>

#ifdef EMBACT_NN_SINGLE_ROUNDING
#define EMBACT_NN_TIMES "vqdmulh.s32 q1, q1, %[multiplier]\n\t"
#else
/* ties of what is negative go away from zero */
#define EMBACT_NN_TIMES                                                                            \
    "vqrdmulh.s32 q1, q1, %[multiplier]\n\t"                                                       \
    "vshr.s32 q0, q0, #31\n\t"                                                                     \
    "vadd.i32 q1, q1, q0\n\t"
#endif

/** Apply to size codes. */
static inline void embact_nn_hard_swish_s16(const int16_t *input, int16_t *output,
                                            const embact_nn_hard_swish *how, int32_t size) {
    const int32_t half = (int32_t)1 << 29;
    const int32x4_t left = vdupq_n_s32(how->left);
    const int32x4_t most = vdupq_n_s32(half);
    const int32x4_t least = vdupq_n_s32(-half);
    __asm__ volatile("dlstp.32 lr, %[size]\n"
                     "1:\n\t"
                     "vldrh.s32 q0, [%[input]], #8\n\t"
                     "vqshl.s32 q1, q0, %q[left]\n\t"
                     "vqrdmulh.s32 q1, q1, %[gate]\n\t"
                     "vmin.s32 q1, q1, %q[most]\n\t"
                     "vmax.s32 q1, q1, %q[least]\n\t"
                     "vadd.i32 q1, q1, %[half]\n\t"
                     "vshl.i32 q0, q0, #16\n\t"
                     "vqrdmulh.s32 q1, q0, q1\n\t"
                     EMBACT_NN_TIMES
                     "vrshl.s32 q1, %[down]\n\t"
                     "vadd.i32 q1, q1, %[output_offset]\n\t"
                     "vqmovnb.s32 q1, q1\n\t"
                     "vstrh.32 q1, [%[output]], #8\n\t"
                     "letp lr, 1b"
                     : [input] "+&l"(input), [output] "+&l"(output)
                     : [size] "r"(size), [gate] "r"(how->gate_multiplier), [half] "r"(half),
                       [multiplier] "r"(how->multiplier), [down] "r"(-how->right),
                       [output_offset] "r"(how->output_offset), [left] "w"(left), [most] "w"(most),
                       [least] "w"(least)
                     : "cc", "memory", "lr", "q0", "q1");
}
#undef EMBACT_NN_TIMES

#else

/** Return end, or 65536 if it is beyond. */
static inline int32_t embact_nn_hard_swish_end(const embact_nn_hard_swish *how) {
    int64_t left = ((((int64_t)1 << 30) - 1) << (30 - how->left)) - 1; /* below 2**60 */
    int64_t part = (int64_t)how->gate_multiplier * 32768;
    int32_t last = 0;
    for (int32_t bit = 32768; bit > 0; bit >>= 1) {
        if (part <= left) {
            left -= part;
            last += bit;
        }
        part >>= 1; /* no bit is lost before the last */
    }
    return last + 1;
}

#ifdef EMBACT_NN_SINGLE_ROUNDING
#define EMBACT_NN_ROUND 0
#else
#define EMBACT_NN_ROUND 1
#endif

#if EMBACT_TIER >= EMBACT_TIER_THUMB2

/** Return a * b / 2**32 + c, rounded with ties upwards, or downwards if not to be rounded. */
static inline int32_t embact_nn_upper(int32_t a, int32_t b, int32_t c, int rounded) {
#if EMBACT_TIER >= EMBACT_TIER_DSP
    int32_t sum;
    if (rounded) {
        __asm__("smmlar %0, %1, %2, %3" : "=r"(sum) : "r"(a), "r"(b), "r"(c));
    } else {
        __asm__("smmla %0, %1, %2, %3" : "=r"(sum) : "r"(a), "r"(b), "r"(c));
    }
    return sum;
#else
    const int64_t half = (int64_t)(rounded ? 1 : 0) << 31;
    return (int32_t)(((int64_t)a * b + half) >> 32) + c;
#endif
}

/** Return v * gate / 2**15, rounded, of a code between the ends. */
static inline int32_t embact_nn_hard_swish_gated(int32_t v, const embact_nn_hard_swish *how) {
    const int32_t half = (int32_t)1 << 29;
    const int32_t shifted = (int32_t)((uint32_t)v << (how->left + 1)); /* no bit is lost */
    const int32_t gate = embact_nn_upper(shifted, how->gate_multiplier, half, 1); /* 1..2**30 - 1 */
    return embact_nn_upper(v * 65536, gate * 2, 0, 1);
}

/** Return gated * multiplier / 2**31, rounded with ties upwards if there are two roundings. */
static inline int32_t embact_nn_hard_swish_times(int32_t gated, int32_t multiplier, int32_t plus) {
    return embact_nn_upper(gated * 2, multiplier, plus, EMBACT_NN_ROUND);
}

#else

/** Return v * gate / 2**15, rounded, of a code between the ends. */
static inline int32_t embact_nn_hard_swish_gated(int32_t v, const embact_nn_hard_swish *how) {
    const int32_t half = (int32_t)1 << 29;
    const int32_t high = embact_nn_upper_half(how->gate_multiplier);
    const int32_t low = embact_nn_lower_half(how->gate_multiplier);
    const int32_t w = v * ((int32_t)1 << (how->left - 15));      /* -32767..32767 */
    const int32_t gate = w * high + ((w * low + 32768) >> 16) + half; /* 1..2**30 - 1 */
    return v * (gate >> 16) * 2 + ((v * (gate & 65535) + 16384) >> 15);
}

/** Return gated * multiplier / 2**31, rounded with ties upwards if there are two roundings. */
static inline int32_t embact_nn_hard_swish_times(int32_t gated, int32_t multiplier, int32_t plus) {
    const int32_t high = embact_nn_upper_half(multiplier);
    const int32_t low = embact_nn_lower_half(multiplier);
    const int32_t upper = (gated + 32768) >> 16; /* -16384..16384 */
    const int32_t lower = gated - upper * 65536; /* -32768..32767 */
    /* of products by 2**16: up to 2**29, 2**30 and 2**14 */
    const int32_t middle = upper * low + lower * high + ((lower * low) >> 16);
    return upper * high * 2 + ((middle + EMBACT_NN_ROUND * 16384) >> 15) + plus;
}

#endif

/** Apply to size codes. */
static inline void embact_nn_hard_swish_s16(const int16_t *input, int16_t *output,
                                            const embact_nn_hard_swish *how, int32_t size) {
    const int32_t end = embact_nn_hard_swish_end(how); /* 1..65536 */
    const int32_t half = (int32_t)1 << (how->right - 1);
    for (int32_t i = 0; i < size; ++i) {
        const int32_t v = input[i];
        int32_t scaled = 0;
        if (v > -end) {
            const int32_t gated = v < end ? embact_nn_hard_swish_gated(v, how) : v * 32768;
            const int32_t tie = half + (EMBACT_NN_ROUND ? v >> 31 : 0);
            scaled = embact_nn_hard_swish_times(gated, how->multiplier, tie) >> how->right;
        }
        output[i] = embact_nn_code_s16(scaled, how->output_offset);
    }
}
#undef EMBACT_NN_ROUND

#endif

#endif

#endif /* EMBACT_NN_HARD_SWISH_S16_H */
