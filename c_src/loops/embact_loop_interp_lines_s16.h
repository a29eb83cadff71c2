/*
 * Lines of evenly spaced cells, int16 to int16: a cell has a base, which is a code, and a slope.
 *
 *     y = (base * 2**16 + slope * (f * 2**m + 1)) >> 16
 *
 * with k the upper bits' distance in the code x, f = x mod 2**k, and the cell x >> k, limited to
 * the signed integers of index_bits. Base and slope stand in one word, base * 2**16 + slope, so
 * that one load fetches both and the word itself is what the product is added to.
 */
#ifndef EMBACT_LOOP_INTERP_LINES_S16_H
#define EMBACT_LOOP_INTERP_LINES_S16_H

#include <stdint.h>

#include "embact_tiers.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM

#ifdef EMBACT_NO_ASSEMBLY
#include <arm_mve.h>

static inline void embact_loop_interp_lines_s16(const int16_t *input, const int16_t *table,
                                                int16_t *output, int32_t size, int32_t k, int32_t m,
                                                int32_t index_bits)
{
    const int16_t *const slopes = table + ((int32_t)1 << index_bits);
    const int32_t spare = 16 - k - index_bits;                           /* 0..14 */
    const int16_t parts = (int16_t)((((int32_t)1 << k) - 1) << m);       /* 0..32767 */
    for (; size > 0; size -= 8) {
        const mve_pred16_t lanes = vctp16q((uint32_t)size);
        const int16x8_t x = vldrhq_z_s16(input, lanes);
        const uint16x8_t cell =
            vshlq_r_u16(vreinterpretq_u16_s16(vqshlq_r_s16(x, spare)), -k - spare);
        const int16x8_t base = vldrhq_gather_shifted_offset_z_s16(table, cell, lanes);
        const int16x8_t slope = vldrhq_gather_shifted_offset_z_s16(slopes, cell, lanes);
        const int16x8_t part = vandq_s16(vshlq_r_s16(x, m), vdupq_n_s16(parts));
        const int16x8_t rise = vmulhq_s16(slope, vaddq_n_s16(part, 1));
        vstrhq_p_s16(output, vaddq_s16(base, rise), lanes);
        input += 8;
        output += 8;
    }
}

#else

static inline void embact_loop_interp_lines_s16(const int16_t *input, const int16_t *table,
                                                int16_t *output, int32_t size, int32_t k, int32_t m,
                                                int32_t index_bits)
{
    if (size <= 0) {
        return;
    }
    const int16_t *const slopes = table + ((int32_t)1 << index_bits);
    const int32_t spare = 16 - k - index_bits; /* 0..14 */
    /* shifts by vectors leave their operand alone, and need no constants as parameters */
    const int16_t by[4] = {(int16_t)spare, (int16_t)(-k - spare), (int16_t)m,
                           (int16_t)((((int32_t)1 << k) - 1) << m)};
    if (spare == 0) {
        __asm__ volatile("ldrsh lr, [%[by], #2]\n\t"
                         "vdup.16 q5, lr\n\t"
                         "ldrsh lr, [%[by], #4]\n\t"
                         "vdup.16 q6, lr\n\t"
                         "ldrsh lr, [%[by], #6]\n\t"
                         "vdup.16 q7, lr\n\t"
                         "dlstp.16 lr, %[size]\n"
                         "1:\n\t"
                         "vldrh.u16 q0, [%[input]], #16\n\t"
                         "vshl.u16 q1, q0, q5\n\t"
                         "vldrh.u16 q2, [%[slopes], q1, uxtw #1]\n\t"
                         "vshl.s16 q0, q0, q6\n\t"
                         "vand q0, q0, q7\n\t"
                         "vorr.i16 q0, #1\n\t"
                         "vldrh.u16 q3, [%[table], q1, uxtw #1]\n\t"
                         "vmulh.s16 q0, q0, q2\n\t"
                         "vadd.i16 q0, q0, q3\n\t"
                         "vstrh.16 q0, [%[output]], #16\n\t"
                         "letp lr, 1b"
                         : [input] "+&r"(input), [output] "+&r"(output)
                         : [table] "r"(table), [slopes] "r"(slopes), [size] "r"(size), [by] "r"(by)
                         : "lr", "cc", "memory", "q0", "q1", "q2", "q3", "q5", "q6", "q7");
    } else {
        __asm__ volatile("ldrsh lr, [%[by]]\n\t"
                         "vdup.16 q4, lr\n\t"
                         "ldrsh lr, [%[by], #2]\n\t"
                         "vdup.16 q5, lr\n\t"
                         "ldrsh lr, [%[by], #4]\n\t"
                         "vdup.16 q6, lr\n\t"
                         "ldrsh lr, [%[by], #6]\n\t"
                         "vdup.16 q7, lr\n\t"
                         "dlstp.16 lr, %[size]\n"
                         "1:\n\t"
                         "vldrh.u16 q0, [%[input]], #16\n\t"
                         "vqshl.s16 q1, q0, q4\n\t"
                         "vshl.u16 q1, q1, q5\n\t"
                         "vldrh.u16 q2, [%[slopes], q1, uxtw #1]\n\t"
                         "vshl.s16 q0, q0, q6\n\t"
                         "vand q0, q0, q7\n\t"
                         "vorr.i16 q0, #1\n\t"
                         "vldrh.u16 q3, [%[table], q1, uxtw #1]\n\t"
                         "vmulh.s16 q0, q0, q2\n\t"
                         "vadd.i16 q0, q0, q3\n\t"
                         "vstrh.16 q0, [%[output]], #16\n\t"
                         "letp lr, 1b"
                         : [input] "+&r"(input), [output] "+&r"(output)
                         : [table] "r"(table), [slopes] "r"(slopes), [size] "r"(size), [by] "r"(by)
                         : "lr", "cc", "memory", "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7");
    }
}

#endif

#elif EMBACT_TIER >= EMBACT_TIER_THUMB2

/* The word of the code x >> down; k and index_bits are constants wherever a compiler optimises. */
static inline __attribute__((always_inline)) int32_t
embact_loop_interp_lines_word_s16(int32_t x, const int32_t *middle, int32_t down,
                                  int32_t index_bits)
{
    int32_t cell;
#if defined(__OPTIMIZE__)
    __asm__("ssat %0, %1, %2, asr %3" : "=r"(cell) : "i"(index_bits), "r"(x), "i"(down));
#else
    const int32_t half = (int32_t)1 << (index_bits - 1);
    cell = x >> down;
    cell = cell < -half ? -half : cell > half - 1 ? half - 1 : cell;
#endif
    return middle[cell];
}

/* Two codes in a word, of which the lower one comes first; the two results likewise. */
static inline __attribute__((always_inline)) uint32_t
embact_loop_interp_lines_two_s16(uint32_t codes, const int32_t *origin, uint32_t parts, int32_t k,
                                 int32_t m, int32_t index_bits)
{
    int32_t low, high;
    if (index_bits + k == 16) {
        low = origin[(codes & 65535U) >> k];
        high = origin[codes >> (16 + k)];
    } else {
        low = embact_loop_interp_lines_word_s16((int16_t)codes, origin, k, index_bits);
        high = embact_loop_interp_lines_word_s16((int32_t)codes, origin, 16 + k, index_bits);
    }
#if EMBACT_TIER == EMBACT_TIER_DSP
    const uint32_t f = (codes << m) & parts; /* two of 0..32767 */
    __asm__("smlabb %0, %0, %1, %0" : "+&r"(low) : "r"(f));
    __asm__("smlabt %0, %0, %1, %0" : "+&r"(high) : "r"(f));
    __asm__("pkhtb %0, %0, %1, asr #16" : "+&r"(high) : "r"(low));
#else
    low += (int32_t)(int16_t)low * (int32_t)((codes << m) & parts);
    high += (int32_t)(int16_t)high * (int32_t)((codes >> (16 - m)) & parts);
    __asm__("bfi %0, %1, #0, #16" : "+&r"(high) : "r"(low >> 16));
#endif
    return (uint32_t)high;
}

static inline __attribute__((always_inline)) void
embact_loop_interp_lines_s16(const int16_t *input, const int32_t *table, int16_t *output,
                             int32_t size, int32_t k, int32_t m, int32_t index_bits)
{
    const int32_t *origin = table; /* of the cell that has the index 0 */
    if (index_bits + k < 16) {
        origin += (int32_t)1 << (index_bits - 1);
    }
    uint32_t parts = (((uint32_t)1 << k) - 1U) << m, codes;
#if EMBACT_TIER == EMBACT_TIER_DSP
    parts |= parts << 16;
#endif
    /* kept in registers: as constants they would be added and masked with in two steps each time */
    __asm__("" : "+&r"(origin), "+&r"(parts));
#define EMBACT_TWO                                                                                 \
    __asm__ volatile("ldr %0, [%1], #4" : "=r"(codes), "+&r"(input) : : "memory");                 \
    codes = embact_loop_interp_lines_two_s16(codes, origin, parts, k, m, index_bits);              \
    __asm__ volatile("str %1, [%0], #4" : "+&r"(output) : "r"(codes) : "memory");
#if !defined(EMBACT_COMPACT)
    if (size >= 8) {
        int32_t times = size >> 3;
        do {
            EMBACT_TWO
            EMBACT_TWO
            EMBACT_TWO
            EMBACT_TWO
        } while (--times > 0);
        size &= 7;
    }
#endif
    for (; size >= 2; size -= 2) {
        EMBACT_TWO
    }
#undef EMBACT_TWO
    if (size > 0) {
        codes = (uint16_t)*input;
        *output = (int16_t)embact_loop_interp_lines_two_s16(codes, origin, parts, k, m, index_bits);
    }
}

#elif EMBACT_TIER == EMBACT_TIER_THUMB1

static inline __attribute__((always_inline)) int16_t
embact_loop_interp_lines_one_s16(uint32_t x, const int32_t *table, int32_t k, int32_t m,
                                 int32_t index_bits)
{
    uint32_t cell;
    if (index_bits + k == 16) {
        cell = x >> k;
    } else {
        const uint32_t last = ((uint32_t)1 << index_bits) - 1U;
        cell = ((x << 16) + ((uint32_t)1 << (15 + k + index_bits))) >> (16 + k);
        cell = cell <= last ? cell : x >> 15 ? 0U : last;
    }
    const int32_t line = table[cell];
    const int32_t part = (int32_t)((x << (32 - k)) >> (32 - k - m)); /* 0..32767 */
    return (int16_t)((line + (int16_t)line * part) >> 16);
}

/*
 * An element whose cell may be beyond the ends, where lines are flat: most are on coarse scales.
 * Operands have numbers because C limits strings to 4095 characters: input, output, x, cell, slope,
 * table, origin, lowest, highest, end, and the four shifts.
 */
#define EMBACT_LIMITED(i)                                                                          \
    "ldrh %2, [%0, #" #i "]\n\t"                                                                   \
    "lsls %2, %2, #16\n\t"                                                                         \
    "adds %3, %2, %6\n\t"                                                                          \
    "lsrs %4, %3, %11\n\t"                                                                         \
    "beq 2f\n\t"                                                                                   \
    "cmp %2, #0\n\t"                                                                               \
    "mov %3, %7\n\t"                                                                               \
    "blt 3f\n\t"                                                                                   \
    "mov %3, %8\n\t"                                                                               \
    "b 3f\n"                                                                                       \
    "2:\n\t"                                                                                       \
    "lsrs %3, %3, %10\n\t"                                                                         \
    "lsls %3, %3, #2\n\t"                                                                          \
    "ldr %3, [%5, %3]\n\t"                                                                         \
    "lsls %2, %2, %12\n\t"                                                                         \
    "lsrs %2, %2, %13\n\t"                                                                         \
    "sxth %4, %3\n\t"                                                                              \
    "muls %2, %4, %2\n\t"                                                                          \
    "adds %3, %3, %2\n\t"                                                                          \
    "asrs %3, %3, #16\n"                                                                           \
    "3:\n\t"                                                                                       \
    "strh %3, [%1, #" #i "]\n\t"

static inline __attribute__((always_inline)) void
embact_loop_interp_lines_s16(const int16_t *input, const int32_t *table, int16_t *output,
                             int32_t size, int32_t k, int32_t m, int32_t index_bits)
{
#define EMBACT_ONE(i)                                                                              \
    output[i] = embact_loop_interp_lines_one_s16((uint16_t)input[i], table, k, m, index_bits);
#if !defined(EMBACT_COMPACT)
    if (size >= 8 && index_bits + k == 16) {
        int32_t times = size >> 3;
        do {
            EMBACT_ONE(0)
            EMBACT_ONE(1)
            EMBACT_ONE(2)
            EMBACT_ONE(3)
            EMBACT_ONE(4)
            EMBACT_ONE(5)
            EMBACT_ONE(6)
            EMBACT_ONE(7)
            input += 8;
            output += 8;
        } while (--times > 0);
        size &= 7;
    }
#if defined(__OPTIMIZE__) && !defined(EMBACT_NO_ASSEMBLY)
    if (size >= 12 && index_bits + k < 16) {
        const int32_t cells = (int32_t)1 << index_bits;
        const int16_t *const end = input + size - size % 12;
        uint32_t x, cell, slope;
        /* clang-format off */
        __asm__ volatile(".syntax unified\n"
                         "1:\n\t"
                         EMBACT_LIMITED(0) EMBACT_LIMITED(2) EMBACT_LIMITED(4)
                         EMBACT_LIMITED(6) EMBACT_LIMITED(8) EMBACT_LIMITED(10)
                         EMBACT_LIMITED(12) EMBACT_LIMITED(14) EMBACT_LIMITED(16)
                         EMBACT_LIMITED(18) EMBACT_LIMITED(20) EMBACT_LIMITED(22)
                         "adds %[input], %[input], #24\n\t"
                         "adds %[output], %[output], #24\n\t"
                         "cmp %[input], %[end]\n\t"
                         "beq 4f\n\t"
                         "b 1b\n"
                         "4:"
                         : [input] "+&l"(input), [output] "+&l"(output), [x] "=&l"(x),
                           [cell] "=&l"(cell), [slope] "=&l"(slope)
                         : [table] "l"(table), [origin] "l"((uint32_t)cells << (15 + k)),
                           [lowest] "h"(table[0] >> 16), [highest] "h"(table[cells - 1] >> 16),
                           [end] "h"(end), [upper] "i"(16 + k), [beyond] "i"(16 + k + index_bits),
                           [left] "i"(16 - k), [right] "i"(32 - k - m)
                         : "cc", "memory");
        /* clang-format on */
        size %= 12;
    }
#endif
#endif
    for (; size > 0; --size) {
        EMBACT_ONE(0)
        ++input;
        ++output;
    }
#undef EMBACT_ONE
}
#undef EMBACT_LIMITED

#else

static inline void embact_loop_interp_lines_s16(const int16_t *input, const int32_t *table,
                                                int16_t *output, int32_t size, int32_t k, int32_t m,
                                                int32_t index_bits)
{
    const int32_t half = (int32_t)1 << (index_bits - 1);
    for (int32_t i = 0; i < size; ++i) {
        const int32_t x = input[i];
        int32_t cell;
        if (index_bits + k == 16) {
            cell = (x & 65535) >> k;
        } else {
            cell = x >> k;
            cell = (cell < -half ? -half : cell > half - 1 ? half - 1 : cell) + half;
        }
        const int32_t line = table[cell];
        const int32_t slope = ((line + 32768) & 65535) - 32768;
        const int32_t part = (x & (((int32_t)1 << k) - 1)) << m; /* 0..32767 */
        output[i] = (int16_t)((line + slope * part) >> 16);
    }
}

#endif

#endif /* EMBACT_LOOP_INTERP_LINES_S16_H */
