/*
 * Clamp of codes: output = min(max(input, low), high), with low <= high. output may be the same
 * address as input.
 */
#ifndef EMBACT_LOOP_CLAMP_S16_H
#define EMBACT_LOOP_CLAMP_S16_H

#include <stdint.h>

#include "embact_tiers.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#ifdef EMBACT_NO_ASSEMBLY
#include <arm_mve.h>

static inline void embact_loop_clamp_s16(const int16_t *input, int16_t *output, int32_t low,
                                        int32_t high, int32_t size)
{
    const int16x8_t least = vdupq_n_s16((int16_t)low), most = vdupq_n_s16((int16_t)high);
    for (; size >= 8; size -= 8) {
        vst1q_s16(output, vminq_s16(vmaxq_s16(vld1q_s16(input), least), most));
        input += 8;
        output += 8;
    }
    if (size > 0) {
        const mve_pred16_t lanes = vctp16q((uint32_t)size);
        const int16x8_t above = vmaxq_s16(vld1q_z_s16(input, lanes), least);
        vst1q_p_s16(output, vminq_s16(above, most), lanes);
    }
}

#else

static inline void embact_loop_clamp_s16(const int16_t *input, int16_t *output, int32_t low,
                                        int32_t high, int32_t size)
{
    if (size <= 0) {
        return;
    }
    if (high == INT16_MAX) {
        __asm__ volatile("vdup.16 q1, %[low]\n\t"
                         "dlstp.16 lr, %[size]\n"
                         "1:\n\t"
                         "vldrh.16 q0, [%[input]], #16\n\t"
                         "vmax.s16 q0, q0, q1\n\t"
                         "vstrh.16 q0, [%[output]], #16\n\t"
                         "letp lr, 1b"
                         : [input] "+&r"(input), [output] "+&r"(output)
                         : [low] "r"(low), [size] "r"(size)
                         : "q0", "q1", "lr", "cc", "memory");
    } else {
        __asm__ volatile("vdup.16 q1, %[low]\n\t"
                         "vdup.16 q2, %[high]\n\t"
                         "dlstp.16 lr, %[size]\n"
                         "1:\n\t"
                         "vldrh.16 q0, [%[input]], #16\n\t"
                         "vmax.s16 q0, q0, q1\n\t"
                         "vmin.s16 q0, q0, q2\n\t"
                         "vstrh.16 q0, [%[output]], #16\n\t"
                         "letp lr, 1b"
                         : [input] "+&r"(input), [output] "+&r"(output)
                         : [low] "r"(low), [high] "r"(high), [size] "r"(size)
                         : "q0", "q1", "q2", "lr", "cc", "memory");
    }
}

#endif

#else

#if EMBACT_TIER >= EMBACT_TIER_DSP
#ifndef EMBACT_NO_ASSEMBLY
#define EMBACT_CLAMP_WORDS_S16
/* One word: the lanes of w where w - low or high - w is not below 0, elsewhere the bound. */
#define EMBACT_MAX_S16(w) "ssub16 %[t], " w ", %[low]\n\tsel " w ", " w ", %[low]\n\t"
#define EMBACT_MIN_S16(w) "ssub16 %[t], %[high], " w "\n\tsel " w ", " w ", %[high]\n\t"
#define EMBACT_CLAMP_S16(w) EMBACT_MAX_S16(w) EMBACT_MIN_S16(w)

/* Six words, both pointers on word boundaries. */
#define EMBACT_6_WORDS_S16(each)                                                                   \
    "ldmia %[input]!, {r4, r5, r6, r8, r12, lr}\n\t" each("r4") each("r5") each("r6") each("r8")   \
        each("r12") each("lr") "stmia %[output]!, {r4, r5, r6, r8, r12, lr}\n\t"
#endif
#endif

static inline void embact_loop_clamp_s16(const int16_t *input, int16_t *output, int32_t low,
                                        int32_t high, int32_t size)
{
#ifdef EMBACT_CLAMP_WORDS_S16
    const uint32_t lows = (uint32_t)(uint16_t)low * 0x00010001u;
    const uint32_t highs = (uint32_t)(uint16_t)high * 0x00010001u;
    uint32_t t;
#ifndef EMBACT_COMPACT
    if (size >= 25 && (((uintptr_t)input ^ (uintptr_t)output) & 3u) == 0u) {
        for (; ((uintptr_t)input & 3u) != 0u; --size) {
            const int32_t x = *input++;
            const int32_t above = x < low ? low : x; /* low..32767 */
            *output++ = (int16_t)(above > high ? high : above);
        }
        size -= 24;
        if (high == INT16_MAX) {
            __asm__ volatile("1:\n\t"
                             EMBACT_6_WORDS_S16(EMBACT_MAX_S16)
                             EMBACT_6_WORDS_S16(EMBACT_MAX_S16)
                             "subs %[size], #24\n\t"
                             "bpl 1b"
                             : [input] "+&r"(input), [output] "+&r"(output), [size] "+&r"(size),
                               [t] "=&r"(t)
                             : [low] "r"(lows)
                             : "r4", "r5", "r6", "r8", "r12", "lr", "cc", "memory");
        } else {
            __asm__ volatile("1:\n\t"
                             EMBACT_6_WORDS_S16(EMBACT_CLAMP_S16)
                             EMBACT_6_WORDS_S16(EMBACT_CLAMP_S16)
                             "subs %[size], #24\n\t"
                             "bpl 1b"
                             : [input] "+&r"(input), [output] "+&r"(output), [size] "+&r"(size),
                               [t] "=&r"(t)
                             : [low] "r"(lows), [high] "r"(highs)
                             : "r4", "r5", "r6", "r8", "r12", "lr", "cc", "memory");
        }
        size += 24;
    }
#endif
    for (; size >= 2; size -= 2) {
        uint32_t w;
        __asm__ volatile("ldr %[w], [%[input]], #4\n\t" EMBACT_CLAMP_S16("%[w]")
                         "str %[w], [%[output]], #4"
                         : [input] "+&r"(input), [output] "+&r"(output), [w] "=&r"(w), [t] "=&r"(t)
                         : [low] "r"(lows), [high] "r"(highs)
                         : "cc", "memory");
    }
#endif
    for (; size > 0; --size) {
        const int32_t x = *input++;
        const int32_t above = x < low ? low : x; /* low..32767 */
        *output++ = (int16_t)(above > high ? high : above);
    }
}

#endif

#endif /* EMBACT_LOOP_CLAMP_S16_H */
