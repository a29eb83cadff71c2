/*
 * Lookup of bytes: output = table[input as an unsigned number of 8 bits]. The table has the results
 * for the codes 0..127, then those for -128..-1. output may be the same address as input; it must
 * not overlap the table.
 *
 * An element takes three accesses to memory, except on Helium, where sixteen do. What is left are
 * pointers and the branch, which the unrolled loops spread over 16 elements.
 */
#ifndef EMBACT_LOOP_LUT_S8_H
#define EMBACT_LOOP_LUT_S8_H

#include <stdint.h>

#include "embact_tiers.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#ifdef EMBACT_NO_ASSEMBLY
#include <arm_mve.h>

static inline void embact_loop_lut_s8(const int8_t *input, const int8_t *table, int8_t *output,
                                      int32_t size)
{
    for (; size >= 16; size -= 16) {
        const uint8x16_t codes = vldrbq_u8((const uint8_t *)input);
        vstrbq_s8(output, vldrbq_gather_offset_s8(table, codes));
        input += 16;
        output += 16;
    }
    if (size > 0) {
        const mve_pred16_t lanes = vctp8q((uint32_t)size);
        const uint8x16_t codes = vldrbq_z_u8((const uint8_t *)input, lanes);
        vstrbq_p_s8(output, vldrbq_gather_offset_z_s8(table, codes, lanes), lanes);
    }
}

#else

static inline void embact_loop_lut_s8(const int8_t *input, const int8_t *table, int8_t *output,
                                      int32_t size)
{
    if (size > 0) {
        __asm__ volatile("dlstp.8 lr, %[size]\n"
                         "1:\n\t"
                         "vldrb.8 q0, [%[input]], #16\n\t"
                         "vldrb.u8 q1, [%[table], q0]\n\t"
                         "vstrb.8 q1, [%[output]], #16\n\t"
                         "letp lr, 1b"
                         : [input] "+&r"(input), [output] "+&r"(output)
                         : [table] "r"(table), [size] "r"(size)
                         : "q0", "q1", "lr", "cc", "memory");
    }
}

#endif

#else

#if EMBACT_TIER >= EMBACT_TIER_THUMB2
#if defined(__OPTIMIZE__) && !defined(EMBACT_COMPACT) && !defined(EMBACT_NO_ASSEMBLY)
/* Four elements from [input, #a] on: loads of one pointer follow one another. */
#define EMBACT_LUT_4(a, b, c, d, last)                                                             \
    "ldrb %[x0], [%[input], #" a "]\n\t"                                                           \
    "ldrb %[x1], [%[input], #" b "]\n\t"                                                           \
    "ldrb %[x2], [%[input], #" c "]\n\t"                                                           \
    "ldrb %[x3], [%[input], #" d "]" last "\n\t"                                                   \
    "ldrb %[x0], [%[table], %[x0]]\n\t"                                                            \
    "ldrb %[x1], [%[table], %[x1]]\n\t"                                                            \
    "ldrb %[x2], [%[table], %[x2]]\n\t"                                                            \
    "ldrb %[x3], [%[table], %[x3]]\n\t"                                                            \
    "strb %[x0], [%[output], #" a "]\n\t"                                                          \
    "strb %[x1], [%[output], #" b "]\n\t"                                                          \
    "strb %[x2], [%[output], #" c "]\n\t"                                                          \
    "strb %[x3], [%[output], #" d "]" last "\n\t"
#endif
#endif

static inline void embact_loop_lut_s8(const int8_t *input, const int8_t *table, int8_t *output,
                                      int32_t size)
{
#ifdef EMBACT_LUT_4
    if (size >= 16) {
        uint32_t x0, x1, x2, x3;
        /* the pointers stay one element behind, so that an access of the last may move them on */
        __asm__ volatile("subs %[input], #1\n\t"
                         "subs %[output], #1\n\t"
                         "subs %[size], #16\n"
                         "1:\n\t" /* four times four */
                         EMBACT_LUT_4("1", "2", "3", "4", "")
                         EMBACT_LUT_4("5", "6", "7", "8", "")
                         EMBACT_LUT_4("9", "10", "11", "12", "")
                         EMBACT_LUT_4("13", "14", "15", "16", "!")
                         "subs %[size], #16\n\t"
                         "bpl 1b\n\t"
                         "adds %[input], #1\n\t"
                         "adds %[output], #1\n\t"
                         "adds %[size], #16"
                         : [input] "+&l"(input), [output] "+&l"(output), [size] "+&l"(size),
                           [x0] "=&l"(x0), [x1] "=&r"(x1), [x2] "=&r"(x2), [x3] "=&r"(x3)
                         : [table] "l"(table)
                         : "cc", "memory");
    }
#else
#if EMBACT_TIER >= EMBACT_TIER_THUMB1
#ifndef EMBACT_COMPACT
    for (; size >= 16; size -= 16) {
        output[0] = table[(uint8_t)input[0]];
        output[1] = table[(uint8_t)input[1]];
        output[2] = table[(uint8_t)input[2]];
        output[3] = table[(uint8_t)input[3]];
        output[4] = table[(uint8_t)input[4]];
        output[5] = table[(uint8_t)input[5]];
        output[6] = table[(uint8_t)input[6]];
        output[7] = table[(uint8_t)input[7]];
        output[8] = table[(uint8_t)input[8]];
        output[9] = table[(uint8_t)input[9]];
        output[10] = table[(uint8_t)input[10]];
        output[11] = table[(uint8_t)input[11]];
        output[12] = table[(uint8_t)input[12]];
        output[13] = table[(uint8_t)input[13]];
        output[14] = table[(uint8_t)input[14]];
        output[15] = table[(uint8_t)input[15]];
        input += 16;
        output += 16;
    }
#endif
#endif
#endif
    for (; size > 0; --size) {
        *output++ = table[(uint8_t)*input++];
    }
}

#endif

#endif /* EMBACT_LOOP_LUT_S8_H */
