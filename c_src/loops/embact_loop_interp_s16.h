/*
 * Interpolation between evenly spaced knots, int16 to int16:
 *
 *     y = clamp((T[i] * (2**k - f) + T[i + 1] * f + offset) >> shift)
 *
 * with p = x + 32768, i = p >> k and f = p mod 2**k. k is 0..16, shift 0..31; offset is such that
 * int32 holds the sums. output may be the same address as input.
 *
 * Up to k = 15, f is x mod 2**k too, and i is x >> k from the middle knot on.
 */
#ifndef EMBACT_LOOP_INTERP_S16_H
#define EMBACT_LOOP_INTERP_S16_H

#include <stdint.h>

#include "embact_tiers.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM

#include <arm_mve.h>

/* All that are a multiple of eight; k is 0..15. */
static inline void embact_loop_interp_eights_s16(const int16_t *input, const int16_t *table,
                                                 int16_t *output, int32_t size, int32_t k,
                                                 int32_t offset, int32_t shift)
{
    const uint16x8_t mask = vdupq_n_u16((uint16_t)(((uint32_t)1 << k) - 1U));
    const int16x8_t right = vdupq_n_s16((int16_t)-k);
#ifdef EMBACT_NO_ASSEMBLY
    for (; size >= 8; size -= 8) {
        const uint16x8_t p = vaddq_n_u16(vreinterpretq_u16_s16(vldrhq_s16(input)), 32768);
        const uint16x8_t i = vshlq_u16(p, right);
        const int16x8_t left = vldrhq_gather_shifted_offset_s16(table, i);
        const int16x8_t next = vldrhq_gather_shifted_offset_s16(table + 1, i);
        const int16x8_t f = vreinterpretq_s16_u16(vandq_u16(p, mask));    /* 0..2**k - 1 */
        const int16x8_t less = vreinterpretq_s16_u16(vornq_u16(p, mask)); /* f - 2**k, ..-1 */
        const int32x4_t even = vsubq_s32(vmullbq_int_s16(next, f), vmullbq_int_s16(left, less));
        const int32x4_t odd = vsubq_s32(vmulltq_int_s16(next, f), vmulltq_int_s16(left, less));
        int16x8_t y = vdupq_n_s16(0);
        y = vqmovnbq_s32(y, vshlq_r_s32(vaddq_n_s32(even, offset), -shift));
        y = vqmovntq_s32(y, vshlq_r_s32(vaddq_n_s32(odd, offset), -shift));
        vstrhq_s16(output, y);
        input += 8;
        output += 8;
    }
#else
    __asm__ volatile("dls lr, %[times]\n"
                     "1:\n\t"
                     "vldrh.u16 q0, [%[input]], #16\n\t"
                     "vadd.i16 q0, q0, %[bias]\n\t"
                     "vshl.u16 q1, q0, %q[right]\n\t"
                     "vldrh.u16 q2, [%[table], q1, uxtw #1]\n\t"
                     "vand q4, q0, %q[mask]\n\t"
                     "vldrh.u16 q3, [%[next], q1, uxtw #1]\n\t"
                     "vorn q5, q0, %q[mask]\n\t"
                     "vmullb.s16 q1, q3, q4\n\t"
                     "vmullt.s16 q3, q3, q4\n\t"
                     "vmullb.s16 q4, q2, q5\n\t"
                     "vmullt.s16 q2, q2, q5\n\t"
                     "vsub.i32 q1, q1, q4\n\t"
                     "vsub.i32 q3, q3, q2\n\t"
                     "vadd.i32 q1, q1, %[offset]\n\t"
                     "vadd.i32 q3, q3, %[offset]\n\t"
                     "vshl.s32 q1, %[down]\n\t"
                     "vshl.s32 q3, %[down]\n\t"
                     "vqmovnb.s32 q0, q1\n\t"
                     "vqmovnt.s32 q0, q3\n\t"
                     "vstrh.16 q0, [%[output]], #16\n\t"
                     "le lr, 1b"
                     : [input] "+&l"(input), [output] "+&l"(output)
                     : [times] "r"(size >> 3), [table] "r"(table), [next] "r"(table + 1),
                       [bias] "r"(32768), [offset] "r"(offset), [down] "r"(-shift),
                       [mask] "w"(mask), [right] "w"(right)
                     : "cc", "memory", "lr", "q0", "q1", "q2", "q3", "q4", "q5");
#endif
}

#elif EMBACT_TIER == EMBACT_TIER_THUMB1

#if defined(__OPTIMIZE__) && !defined(EMBACT_COMPACT) && !defined(EMBACT_NO_ASSEMBLY)
/* One element, at an address that is i bytes on: T[i] * 2**k + (T[i + 1] - T[i]) * f. */
#define EMBACT_INTERP(i)                                                                           \
    "ldrh %[x], [%[input], #" i "]\n\t"                                                            \
    "sxth %[next], %[x]\n\t"                                                                       \
    "asrs %[next], %[k]\n\t"                                                                       \
    "lsls %[next], #1\n\t"                                                                         \
    "mov %[left], %[mask]\n\t"                                                                     \
    "ands %[x], %[left]\n\t"                                                                       \
    "ldrsh %[left], [%[middle], %[next]]\n\t"                                                      \
    "adds %[next], #2\n\t"                                                                         \
    "ldrsh %[next], [%[middle], %[next]]\n\t"                                                      \
    "subs %[next], %[next], %[left]\n\t"                                                           \
    "muls %[x], %[next], %[x]\n\t"                                                                 \
    "lsls %[left], %[k]\n\t"                                                                       \
    "adds %[x], %[x], %[left]\n\t"                                                                 \
    "add %[x], %[offset]\n\t"                                                                      \
    "mov %[next], %[shift]\n\t"                                                                    \
    "asrs %[x], %[next]\n\t"                                                                       \
    "sxth %[next], %[x]\n\t"                                                                       \
    "cmp %[next], %[x]\n\t"                                                                        \
    "beq 2f\n\t" /* else the end on its side */                                                    \
    "asrs %[x], %[x], #31\n\t"                                                                     \
    "movs %[next], #128\n\t"                                                                       \
    "lsls %[next], #8\n\t"                                                                         \
    "subs %[next], #1\n\t"                                                                         \
    "eors %[x], %[next]\n"                                                                         \
    "2:\n\t"                                                                                       \
    "strh %[x], [%[output], #" i "]\n\t"

/* All that are a multiple of four, at least four; k is 0..15. */
static inline void embact_loop_interp_fours_s16(const int16_t *input, const int16_t *middle,
                                                int16_t *output, int32_t size, int32_t k,
                                                int32_t offset, int32_t shift)
{
    const int32_t mask = ((int32_t)1 << k) - 1;    /* 0..32767 */
    const int16_t *const end = input + (size & ~3);
    int32_t x, left, next;
    /* clang-format off */
    __asm__ volatile(".syntax unified\n"
                     "1:\n\t"
                     EMBACT_INTERP("0") EMBACT_INTERP("2") EMBACT_INTERP("4") EMBACT_INTERP("6")
                     "adds %[input], #8\n\t"
                     "adds %[output], #8\n\t"
                     "cmp %[input], %[end]\n\t"
                     "bne 1b"
                     : [input] "+&l"(input), [output] "+&l"(output), [x] "=&l"(x),
                       [left] "=&l"(left), [next] "=&l"(next)
                     : [middle] "l"(middle), [k] "l"(k), [mask] "h"(mask), [offset] "h"(offset),
                       [shift] "h"(shift), [end] "h"(end)
                     : "cc", "memory");
    /* clang-format on */
}
#undef EMBACT_INTERP
#define EMBACT_INTERP_FOURS
#endif

#endif

static inline void embact_loop_interp_s16(const int16_t *input, const int16_t *table,
                                          int16_t *output, int32_t size, int32_t k, int32_t offset,
                                          int32_t shift)
{
    const int32_t spacing = (int32_t)1 << k; /* 1..65536 */
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    if (k <= 15 && size >= 8) {
        const int32_t done = size & ~7;
        embact_loop_interp_eights_s16(input, table, output, size, k, offset, shift);
        input += done;
        output += done;
        size -= done;
    }
#elif EMBACT_TIER >= EMBACT_TIER_THUMB2
    if (k <= 15) {
        const int16_t *const middle = table + (32768 >> k);
        const int32_t mask = spacing - 1; /* 0..32767 */
#if EMBACT_TIER >= EMBACT_TIER_DSP
        const int32_t ones = 65535;
        if (k <= 14) { /* else the spacing is no signed halfword */
            for (; size > 0; --size) {
                const int32_t x = *input++, part = x & mask; /* 0..spacing - 1 */
                const int16_t *const knot = middle + (x >> k);
                int32_t pair, weights, y;
                /* both knots are in a word, and so are both weights */
                __asm__("ldr %0, [%1]" : "=r"(pair) : "r"(knot), "m"(knot[0]), "m"(knot[1]));
                __asm__("mla %0, %1, %2, %3" : "=r"(weights) : "r"(part), "r"(ones), "r"(spacing));
                __asm__("smlad %0, %1, %2, %3" : "=r"(y) : "r"(pair), "r"(weights), "r"(offset));
                y >>= shift;
                __asm__("ssat %0, #16, %0" : "+&r"(y) : : "cc");
                *output++ = (int16_t)y;
            }
        }
#endif
        for (; size > 0; --size) {
            const int32_t x = *input++, part = x & mask; /* 0..spacing - 1 */
            const int16_t *const knot = middle + (x >> k);
            int32_t y = (knot[0] * (spacing - part) + knot[1] * part + offset) >> shift;
            __asm__("ssat %0, #16, %0" : "+&r"(y) : : "cc");
            *output++ = (int16_t)y;
        }
    }
#elif EMBACT_TIER == EMBACT_TIER_THUMB1
#ifdef EMBACT_INTERP_FOURS
    if (k <= 15 && size >= 4) {
        const int32_t done = size & ~3;
        embact_loop_interp_fours_s16(input, table + (32768 >> k), output, size, k, offset, shift);
        input += done;
        output += done;
        size -= done;
    }
#endif
#endif
    for (int32_t i = 0; i < size; ++i) {
        const int32_t position = input[i] + 32768;     /* 0..65535 */
        const int32_t part = position & (spacing - 1); /* 0..spacing - 1 */
        const int16_t *const knot = table + (position >> k);
        const int32_t line = knot[0] * (spacing - part) + knot[1] * part;
        const int32_t y = (line + offset) >> shift;
        output[i] = (int16_t)(y < -32768 ? -32768 : y > 32767 ? 32767 : y);
    }
}

#endif /* EMBACT_LOOP_INTERP_S16_H */
