/*
 * One pixel of PReLU, int8, in vectors of Helium. Private: include embact_nn.h instead.
 *
 * Below zero there are the magnitudes n = |value| and |slope|, bytes both, and with
 * q = n * |slope| * multiplier, R = -shift and h the half that rounds, by embact_nn_scale.h
 *
 *     result = (q + h) >> (31 + R), of a negative slope; -((q + h - 1) >> (31 + R)), of another.
 *
 * Products are multiplied by 2**(16 - R), so that the quotient is the upper half of a word. The 1
 * matters where q + h is a multiple of 2**(31 + R), and so q one of 2**30. A product of two bytes
 * that is no 0 has no more than 14 factors 2, but then it is 2**14: the multiplier has 16 of them.
 * Such multipliers are allowed where no two slopes have different signs. Less 1, a multiplier then
 * takes from q what is less than its steps, and at least 1: that is the 1 for slopes >= 0.
 */
#ifndef EMBACT_NN_PRELU_VECTOR_S8_H
#define EMBACT_NN_PRELU_VECTOR_S8_H

#include "embact_nn_prelu_s8.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM

#include <arm_mve.h>

/** What all vectors of a call share. */
typedef struct {
    uint8x16_t output_zero; /* output offset + 128 */
    int8x16_t input_zero;   /* -input_offset */
    int8x16_t alpha_zero;   /* -alpha_offset */
    uint16x8_t unit;        /* 2**(16 - R), 2..2**15 */
    int32x4_t multiplier;   /* 0..2**31 - 1 */
    int32_t output_code;    /* output offset + 128 */
    const int8_t *table;    /* results of codes 0..127, then -128..-1; of values < 0, anything */
    int32_t half;           /* h in units of 2**(15 + R) */
} embact_nn_prelu_vector;

/** Return 0 unless the vectors have the same bits as embact_nn_prelu_row. */
static inline int embact_nn_prelu_vector_prepare(const embact_nn_prelu *how, const int8_t *alpha,
                                                 int32_t channels, embact_nn_prelu_vector *vector) {
    if (how->shift > -1 || how->shift < -15) {
        return 0;
    }
    int32_t multiplier = how->multiplier;
    if (multiplier != 0 && (multiplier & 65535) == 0) {
        int32_t below = 0, above = 0; /* numbers of slopes */
        for (int32_t c = 0; c < channels; ++c) {
            below += alpha[c] + how->alpha_offset < 0;
            above += alpha[c] + how->alpha_offset > 0;
        }
        if (below > 0 && above > 0) {
            return 0;
        }
        multiplier -= above > 0;
    }
    const int32_t left = 16 + how->shift; /* 1..15 */
    vector->output_zero = vdupq_n_u8((uint8_t)(how->output_offset + 128));
    vector->input_zero = vdupq_n_s8((int8_t)-how->input_offset);
    vector->alpha_zero = vdupq_n_s8((int8_t)-how->alpha_offset);
    vector->unit = vdupq_n_u16((uint16_t)(1U << left));
    vector->multiplier = vdupq_n_s32(multiplier);
    vector->output_code = how->output_offset + 128;
    vector->table = how->table;
    vector->half = 32768 + (EMBACT_NN_PRELU_TWICE << (left - 1)); /* 2**15 + 0..2**14 */
    return 1;
}

/* Sixteen elements. first, t: what predicates accesses to memory, if anything; step: pointers' */
#define EMBACT_NN_PRELU_SIXTEEN(first, t, step)                                                    \
    first "vldrb" t ".u8 q0, [%[input]]\n\t"                                                       \
    first "vldrb" t ".u8 q1, [%[alpha]]\n\t"                                                       \
    "vabd.s8 q0, q0, %q[input_zero]\n\t"                                                           \
    "vabd.s8 q1, q1, %q[alpha_zero]\n\t"                                                           \
    "vmullb.u8 q2, q0, q1\n\t"                                                                     \
    "vmullt.u8 q1, q0, q1\n\t"                                                                     \
    "vmullb.u16 q0, q2, %q[unit]\n\t"                                                              \
    "vmullt.u16 q2, q2, %q[unit]\n\t"                                                              \
    "vqdmlash.s32 q0, %q[multiplier], %[half]\n\t"                                                 \
    "vqdmlash.s32 q2, %q[multiplier], %[half]\n\t"                                                 \
    "vshrnb.i32 q2, q0, #16\n\t"                                                                   \
    "vmullb.u16 q0, q1, %q[unit]\n\t"                                                              \
    "vmullt.u16 q1, q1, %q[unit]\n\t"                                                              \
    "vqdmlash.s32 q0, %q[multiplier], %[half]\n\t"                                                 \
    "vqdmlash.s32 q1, %q[multiplier], %[half]\n\t"                                                 \
    "vshrnb.i32 q1, q0, #16\n\t"                                                                   \
    "vqmovnb.u16 q2, q2\n\t"                                                                       \
    "vqmovnt.u16 q2, q1\n\t"                                                                       \
    first "vldrb" t ".u8 q0, [%[alpha]]" step "\n\t"                                               \
    "vqsub.u8 q1, %q[output_zero], q2\n\t"                                                         \
    "vpt.s8 gt, %q[alpha_zero], q0\n\t"                                                            \
    "vqaddt.u8 q1, q2, %[output_code]\n\t"                                                         \
    first "vldrb" t ".u8 q2, [%[input]]" step "\n\t"                                               \
    "vldrb.u8 q0, [%[table], q2]\n\t"                                                              \
    "vpt.s8 gt, %q[input_zero], q2\n\t"                                                            \
    "vaddt.i8 q0, q1, %[top]\n\t"                                                                  \
    first "vstrb" t ".8 q0, [%[output]]" step "\n\t"

#define EMBACT_NN_PRELU_CONSTANTS                                                                  \
    [table] "r"(table), [half] "r"(half), [output_code] "r"(output_code), [top] "r"(128),          \
        [output_zero] "w"(output_zero), [input_zero] "w"(input_zero),                              \
        [alpha_zero] "w"(alpha_zero), [unit] "w"(unit), [multiplier] "w"(multiplier)

/** Apply PReLU to pixels with a slope for each channel. */
static inline void embact_nn_prelu_rows(const int8_t *input, const int8_t *alpha, int8_t *output,
                                        const embact_nn_prelu_vector *vector, int32_t pixels,
                                        int32_t channels) {
    const uint8x16_t output_zero = vector->output_zero;
    const int8x16_t input_zero = vector->input_zero;
    const int8x16_t alpha_zero = vector->alpha_zero;
    const uint16x8_t unit = vector->unit;
    const int32x4_t multiplier = vector->multiplier;
    const int8_t *const table = vector->table;
    const int32_t half = vector->half;
    const int32_t output_code = vector->output_code;
    const int32_t blocks = channels >> 4;
    const int32_t rest = channels & 15;
    for (; pixels > 0; --pixels) {
        const int8_t *slopes = alpha;
        if (blocks > 0) {
            __asm__ volatile("dls lr, %[blocks]\n"
                             "1:\n\t" EMBACT_NN_PRELU_SIXTEEN("", "", ", #16") "le lr, 1b"
                             : [input] "+&r"(input), [alpha] "+&r"(slopes), [output] "+&r"(output)
                             : [blocks] "r"(blocks), EMBACT_NN_PRELU_CONSTANTS
                             : "cc", "memory", "lr", "q0", "q1", "q2");
        }
        if (rest > 0) {
            __asm__ volatile(EMBACT_NN_PRELU_SIXTEEN("vctp.8 %[rest]\n\tvpst\n\t", "t", "")
                             : [input] "+&r"(input), [alpha] "+&r"(slopes), [output] "+&r"(output)
                             : [rest] "r"(rest), EMBACT_NN_PRELU_CONSTANTS
                             : "cc", "memory", "q0", "q1", "q2");
        }
        input += rest;
        output += rest;
    }
}

#endif

#endif /* EMBACT_NN_PRELU_VECTOR_S8_H */
