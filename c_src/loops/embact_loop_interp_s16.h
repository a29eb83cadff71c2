/*
 * Interpolation between evenly spaced knots, int16 to int16:
 *
 *     y = clamp((T[i] * (2**k - f) + T[i + 1] * f + offset) >> shift)
 *
 * with p = x + 32768, i = p >> k and f = p mod 2**k. k is 0..16, shift 0..31; offset is such that
 * int32 holds the sums. output may be the same address as input.
 */
#ifndef EMBACT_LOOP_INTERP_S16_H
#define EMBACT_LOOP_INTERP_S16_H

#include <stdint.h>

#include "embact_tiers.h"

#if EMBACT_TIER >= EMBACT_TIER_THUMB2

static inline void embact_loop_interp_s16(const int16_t *input, const int16_t *table,
                                          int16_t *output, int32_t size, int32_t k, int32_t offset,
                                          int32_t shift)
{
    const int32_t spacing = (int32_t)1 << k; /* 1..65536 */
#if EMBACT_TIER >= EMBACT_TIER_DSP
    if (k <= 14) {                   /* else the spacing is no signed halfword */
        const int32_t ones = 65535;
        for (; size > 0; --size) {
            const int32_t position = *input++ + 32768;     /* 0..65535 */
            const int32_t part = position & (spacing - 1); /* 0..spacing - 1 */
            const int16_t *const knot = table + (position >> k);
            int32_t pair, weights, y;
            /* both knots are in a word, and so are both weights */
            __asm__("ldr %0, [%1]" : "=r"(pair) : "r"(knot), "m"(knot[0]), "m"(knot[1]));
            __asm__("mla %0, %1, %2, %3" : "=r"(weights) : "r"(part), "r"(ones), "r"(spacing));
            __asm__("smlad %0, %1, %2, %3" : "=r"(y) : "r"(pair), "r"(weights), "r"(offset));
            y >>= shift;
            __asm__("ssat %0, #16, %0" : "+r"(y) : : "cc");
            *output++ = (int16_t)y;
        }
    }
#endif
    for (; size > 0; --size) {
        const int32_t position = *input++ + 32768;     /* 0..65535 */
        const int32_t part = position & (spacing - 1); /* 0..spacing - 1 */
        const int16_t *const knot = table + (position >> k);
        int32_t y = (knot[0] * (spacing - part) + knot[1] * part + offset) >> shift;
        __asm__("ssat %0, #16, %0" : "+r"(y) : : "cc");
        *output++ = (int16_t)y;
    }
}

#else

static inline void embact_loop_interp_s16(const int16_t *input, const int16_t *table,
                                          int16_t *output, int32_t size, int32_t k, int32_t offset,
                                          int32_t shift)
{
    const int32_t spacing = (int32_t)1 << k; /* 1..65536 */
    for (; size > 0; --size) {
        const int32_t position = *input++ + 32768;     /* 0..65535 */
        const int32_t part = position & (spacing - 1); /* 0..spacing - 1 */
        const int16_t *const knot = table + (position >> k);
        const int32_t line = knot[0] * (spacing - part) + knot[1] * part;
        const int32_t y = (line + offset) >> shift;
        *output++ = (int16_t)(y < -32768 ? -32768 : y > 32767 ? 32767 : y);
    }
}

#endif

#endif /* EMBACT_LOOP_INTERP_S16_H */
