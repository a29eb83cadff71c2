/*
 * One pixel of PReLU, int8, with a slope for each channel. Private: include embact_nn.h instead.
 *
 * Values from 0 on are looked up. Others are negative, and their products with slopes are scaled as
 * embact_nn_scale.h says; the shift to the right is one number on each core, so that the output
 * offset can be shifted up and added beforehand, and the limits of int8 are the shift's.
 */
#ifndef EMBACT_NN_PRELU_S8_H
#define EMBACT_NN_PRELU_S8_H

#include "embact_nn_scale.h"

/** What all elements of a call share. */
typedef struct {
    const int8_t *table;   /* result of value 0..127 + input_offset, at that index */
    int32_t input_offset;  /* -127..128 */
    int32_t alpha_offset;  /* -127..128 */
    int32_t output_offset; /* -128..127 */
    int32_t multiplier;    /* of alpha, 0..2**31 - 1 */
    int32_t shift;         /* of alpha, -31..EMBACT_NN_PRELU_SHIFT_MAX */
} embact_nn_prelu;

#if EMBACT_TIER == EMBACT_TIER_THUMB1
#define EMBACT_NN_PRELU_SHIFT_MAX 0
#else
#define EMBACT_NN_PRELU_SHIFT_MAX (-4)
#endif

#ifdef EMBACT_NN_SINGLE_ROUNDING
#define EMBACT_NN_PRELU_TWICE 0
#else
#define EMBACT_NN_PRELU_TWICE 1
#endif

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#define EMBACT_NN_PRELU_BY_FOUR 0
#elif EMBACT_TIER >= EMBACT_TIER_THUMB2
#ifdef EMBACT_COMPACT
#define EMBACT_NN_PRELU_BY_FOUR 0
#else
#define EMBACT_NN_PRELU_BY_FOUR 1
#endif
#endif

#if EMBACT_TIER >= EMBACT_TIER_THUMB2

/** Return (sum >> 18) limited to int8. */
static inline int32_t embact_nn_prelu_code(int32_t sum) {
    int32_t code;
    __asm__("ssat %0, #8, %1, asr #18" : "=r"(code) : "r"(sum) : "cc");
    return code;
}

#if EMBACT_NN_PRELU_BY_FOUR

/* Next element: x = its value, with the flags of its sign. */
#define EMBACT_NN_PRELU_NEXT                                                                       \
    "ldrsb %[x], [%[input]], #1\n\t"                                                               \
    "adds %[x], %[x], %[input_offset]\n\t"

#define EMBACT_NN_PRELU_ABOVE                                                                      \
    "ldrb %[x], [%[table], %[x]]\n\t"                                                              \
    "strb %[x], [%[output]], #1\n\t"

/* (slope << left) * value, its sum with what rounds it, and the code. */
#if EMBACT_TIER >= EMBACT_TIER_DSP
#if EMBACT_NN_PRELU_TWICE
#define EMBACT_NN_PRELU_SUM                                                                        \
    "and %[f], %[unit], %[x], asr #31\n\t"                                                         \
    "sub %[f], %[base], %[f], lsr #1\n\t"                                                          \
    "smmla %[x], %[x], %[multiplier], %[f]\n\t"
#else
#define EMBACT_NN_PRELU_SUM "smmla %[x], %[x], %[multiplier], %[base]\n\t"
#endif
#elif EMBACT_NN_PRELU_TWICE
#define EMBACT_NN_PRELU_SUM                                                                        \
    "smull %[f], %[x], %[x], %[multiplier]\n\t"                                                    \
    "and %[f], %[unit], %[x], asr #31\n\t"                                                         \
    "sub %[x], %[x], %[f], lsr #1\n\t"                                                             \
    "add %[x], %[x], %[base]\n\t"
#else
#define EMBACT_NN_PRELU_SUM                                                                        \
    "smull %[f], %[x], %[x], %[multiplier]\n\t"                                                    \
    "add %[x], %[x], %[base]\n\t"
#endif

#define EMBACT_NN_PRELU_BELOW(channel)                                                             \
    "ldrsb %[f], [%[alpha], #" channel "]\n\t"                                                     \
    "mla %[f], %[f], %[unit], %[alpha_offset]\n\t"                                                 \
    "mul %[x], %[x], %[f]\n\t" EMBACT_NN_PRELU_SUM "ssat %[x], #8, %[x], asr #18\n\t"              \
    "strb %[x], [%[output]], #1\n\t"

#endif

static inline void embact_nn_prelu_row(const int8_t *input, const int8_t *alpha, int8_t *output,
                                       const embact_nn_prelu *how, int32_t channels) {
    /* right is at most what leaves 0, left + right - 1 is 18, and no product leaves int32 */
    const int32_t right = how->shift < -17 ? 17 : -how->shift; /* 4..17 */
    const int32_t unit = (int32_t)1 << (19 - right);           /* 2**2..2**15 */
    const int32_t alpha_offset = how->alpha_offset * unit;
    const int32_t e = EMBACT_NN_PRELU_TWICE * (unit >> 2); /* 0..2**13 */
    const int32_t base = how->output_offset * ((int32_t)1 << 18) + ((int32_t)1 << 17) + e;
    int32_t rest = channels;
#if EMBACT_NN_PRELU_BY_FOUR
    int32_t count = channels & -4;
    rest &= 3;
    if (count > 0) {
        int32_t x, f;
        __asm__ volatile(
            "1:\n\t" EMBACT_NN_PRELU_NEXT "bpl 5f\n\t" EMBACT_NN_PRELU_BELOW("0") /**/
            EMBACT_NN_PRELU_NEXT "bpl 6f\n"
            "2:\n\t" EMBACT_NN_PRELU_BELOW("1") EMBACT_NN_PRELU_NEXT "bpl 7f\n"
            "3:\n\t" EMBACT_NN_PRELU_BELOW("2") EMBACT_NN_PRELU_NEXT "bpl 8f\n"
            "4:\n\t" EMBACT_NN_PRELU_BELOW("3") /**/
            "add %[alpha], %[alpha], #4\n\t"
            "subs %[count], %[count], #4\n\t"
            "bne 1b\n\t"
            "b 9f\n"
            "5:\n\t" EMBACT_NN_PRELU_ABOVE EMBACT_NN_PRELU_NEXT "bmi 2b\n"
            "6:\n\t" EMBACT_NN_PRELU_ABOVE EMBACT_NN_PRELU_NEXT "bmi 3b\n"
            "7:\n\t" EMBACT_NN_PRELU_ABOVE EMBACT_NN_PRELU_NEXT "bmi 4b\n"
            "8:\n\t" EMBACT_NN_PRELU_ABOVE /**/
            "add %[alpha], %[alpha], #4\n\t"
            "subs %[count], %[count], #4\n\t"
            "bne 1b\n"
            "9:"
            : [input] "+&r"(input), [alpha] "+&r"(alpha), [output] "+&r"(output),
              [count] "+&r"(count), [x] "=&r"(x), [f] "=&r"(f)
            : [table] "r"(how->table), [input_offset] "r"(how->input_offset),
              [alpha_offset] "r"(alpha_offset), [unit] "r"(unit), [base] "r"(base),
              [multiplier] "r"(how->multiplier)
            : "cc", "memory");
    }
#endif
    for (int32_t c = 0; c < rest; ++c) {
        const int32_t value = input[c] + how->input_offset; /* -255..255 */
        if (value >= 0) {
            output[c] = how->table[value];
        } else {
            const int32_t product = value * (alpha[c] * unit + alpha_offset); /* fits int32 */
            const int32_t upper = (int32_t)(((int64_t)product * how->multiplier) >> 32);
            const int32_t sum = upper + base - ((product >> 31) & (2 * e));
            output[c] = (int8_t)embact_nn_prelu_code(sum);
        }
    }
}

#elif EMBACT_TIER == EMBACT_TIER_THUMB1

/* Alone it has all registers. */
static __attribute__((noinline)) void embact_nn_prelu_row(const int8_t *input, const int8_t *alpha,
                                                          int8_t *output,
                                                          const embact_nn_prelu *how,
                                                          int32_t channels) {
    const int32_t right = how->shift < -17 ? 17 : -how->shift; /* 0..17 */
    const int32_t e = right > 0 ? EMBACT_NN_PRELU_TWICE : 0;
    const int32_t base = how->output_offset * ((int32_t)2 << right) + ((int32_t)1 << right) + e;
    const int32_t input_offset = how->input_offset;
    const int32_t alpha_offset = how->alpha_offset;
    const int32_t multiplier = how->multiplier;
    const int8_t *const table = how->table;
    for (int32_t c = 0; c < channels; ++c) {
        const int32_t value = input[c] + input_offset; /* -255..255 */
        if (value >= 0) {
            output[c] = table[value];
        } else {
            const int32_t product = value * (alpha[c] + alpha_offset); /* -65025..65025 */
            const int32_t kept = embact_nn_product_16(product, multiplier) >> 14;
            const int32_t code = (kept + (product < 0 ? base - 2 * e : base)) >> (right + 1);
            output[c] = (int8_t)(code == (int8_t)code ? code : (code >> 31) ^ 127);
        }
    }
}

#endif

#endif /* EMBACT_NN_PRELU_S8_H */
