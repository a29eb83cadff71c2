/*
 * Two factors on int16 codes in lanes of Helium, by embact_nn_scale.h: one for values from 0 on and
 * one below. Private: include embact_nn.h instead.
 */
#ifndef EMBACT_NN_LANES_S16_H
#define EMBACT_NN_LANES_S16_H

#include "embact_nn_scale.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM

#include <arm_mve.h>

/** What all elements share; above and below: of values of 16 bits, and of products. */
typedef struct {
    int32_t input_offset;
    int32_t output_offset;
    const embact_nn_scale *above;
    const embact_nn_scale *below;
    int32_t low;
    int32_t high;
} embact_nn_lanes;

/** Apply the factors to values. */
static inline void embact_nn_lanes_s16(const int16_t *input, int16_t *output,
                                       const embact_nn_lanes *how, int32_t size) {
    /* a value from 0 on has no negative product, and shifts by vectors leave their operand alone */
    const int32x4_t above = vdupq_n_s32(how->above->multiplier);
    const int32x4_t below = vdupq_n_s32(how->below->multiplier);
    const int32x4_t upper = vdupq_n_s32(how->above->upper);
    const int32x4_t low = vdupq_n_s32(how->low);
    const int32x4_t high = vdupq_n_s32(how->high);
    __asm__ volatile("dlstp.32 lr, %[size]\n"
                     "1:\n\t"
                     "vldrh.s32 q0, [%[input]], #8\n\t"
                     "vadd.i32 q0, q0, %[input_offset]\n\t"
                     "vshl.i32 q0, q0, #15\n\t"
                     "vmulh.s32 q1, q0, %q[above]\n\t"
                     "vadd.i32 q1, q1, %q[upper]\n\t"
                     "vshl.s32 q1, %[above_left]\n\t"
                     "vpttt.s32 lt, q0, zr\n\t"
                     "vmulht.s32 q1, q0, %q[below]\n\t"
                     "vaddt.i32 q1, q1, %[lower]\n\t"
                     "vshlt.s32 q1, %[below_left]\n\t"
                     "vadd.i32 q1, q1, %[output_offset]\n\t"
                     "vmax.s32 q1, q1, %q[low]\n\t"
                     "vmin.s32 q1, q1, %q[high]\n\t"
                     "vstrh.32 q1, [%[output]], #8\n\t"
                     "letp lr, 1b"
                     : [input] "+&l"(input), [output] "+&l"(output)
                     : [size] "r"(size), [input_offset] "r"(how->input_offset),
                       [upper] "w"(upper), [above_left] "r"(-how->above->right),
                       [lower] "r"(how->below->lower), [below_left] "r"(-how->below->right),
                       [output_offset] "r"(how->output_offset), [above] "w"(above),
                       [below] "w"(below), [low] "w"(low), [high] "w"(high)
                     : "cc", "memory", "lr", "q0", "q1");
}

/** Apply the factors to values from 0 on, and to products with as many slopes below. */
static inline void embact_nn_lanes_sloped_s16(const int16_t *input, const int8_t *alpha,
                                              int32_t alpha_offset, int16_t *output,
                                              const embact_nn_lanes *how, int32_t size) {
    const int32x4_t above = vdupq_n_s32(how->above->multiplier);
    const int32x4_t below = vdupq_n_s32(how->below->multiplier);
    const int32x4_t above_left = vdupq_n_s32(-how->above->right);
    const int32x4_t below_left = vdupq_n_s32(-how->below->right);
    const int32x4_t above_upper = vdupq_n_s32(how->above->upper);
    const int32x4_t below_upper = vdupq_n_s32(how->below->upper);
    /* by their address: there are not registers enough for all without optimisation */
    const int32_t given[3] = {size, how->below->lower - how->below->upper, alpha_offset};
    const int32_t *numbers = given;
    int32_t less;
    __asm__ volatile("ldr %[less], [%[numbers]]\n\t"
                     "dlstp.32 lr, %[less]\n\t"
                     "ldr %[less], [%[numbers], #4]\n\t"
                     "ldr %[numbers], [%[numbers], #8]\n"
                     "1:\n\t"
                     "vldrb.s32 q1, [%[alpha]], #4\n\t"
                     "vadd.i32 q1, q1, %[numbers]\n\t"
                     "vldrh.s32 q0, [%[input]], #8\n\t"
                     "vadd.i32 q0, q0, %[input_offset]\n\t"
                     "vmul.i32 q1, q1, q0\n\t"
                     "vshl.i32 q1, q1, #7\n\t"
                     "vmulh.s32 q1, q1, %q[below]\n\t"
                     "vpt.s32 lt, q1, zr\n\t" /* the sign of a product that is not lost */
                     "vaddt.i32 q1, q1, %[less]\n\t"
                     "vadd.i32 q1, q1, %q[below_upper]\n\t"
                     "vshl.s32 q1, q1, %q[below_left]\n\t"
                     "vshl.i32 q0, q0, #15\n\t"
                     "vpttt.s32 ge, q0, zr\n\t"
                     "vmulht.s32 q1, q0, %q[above]\n\t"
                     "vaddt.i32 q1, q1, %q[above_upper]\n\t"
                     "vshlt.s32 q1, q1, %q[above_left]\n\t"
                     "vadd.i32 q1, q1, %[output_offset]\n\t"
                     "vqmovnb.s32 q1, q1\n\t"
                     "vstrh.32 q1, [%[output]], #8\n\t"
                     "letp lr, 1b"
                     : [input] "+&l"(input), [alpha] "+&l"(alpha), [output] "+&l"(output),
                       [numbers] "+&r"(numbers), [less] "=&r"(less)
                     : [input_offset] "r"(how->input_offset),
                       [above_upper] "w"(above_upper), [below_upper] "w"(below_upper),
                       [output_offset] "r"(how->output_offset), [above] "w"(above),
                       [below] "w"(below), [above_left] "w"(above_left),
                       [below_left] "w"(below_left)
                     : "cc", "memory", "lr", "q0", "q1");
}

#endif

#endif /* EMBACT_NN_LANES_S16_H */
