/*
 * Clamp of codes: output = min(max(input, low), high), with low <= high. output may be the same
 * address as input.
 */
#ifndef EMBACT_LOOP_CLAMP_S8_H
#define EMBACT_LOOP_CLAMP_S8_H

#include <stdint.h>

#include "embact_tiers.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#ifdef EMBACT_NO_ASSEMBLY
#include <arm_mve.h>

static inline void embact_loop_clamp_s8(const int8_t *input, int8_t *output, int32_t low,
                                        int32_t high, int32_t size)
{
    const int8x16_t least = vdupq_n_s8((int8_t)low), most = vdupq_n_s8((int8_t)high);
    for (; size >= 16; size -= 16) {
        vst1q_s8(output, vminq_s8(vmaxq_s8(vld1q_s8(input), least), most));
        input += 16;
        output += 16;
    }
    if (size > 0) {
        const mve_pred16_t lanes = vctp8q((uint32_t)size);
        const int8x16_t above = vmaxq_s8(vld1q_z_s8(input, lanes), least);
        vst1q_p_s8(output, vminq_s8(above, most), lanes);
    }
}

#else

static inline void embact_loop_clamp_s8(const int8_t *input, int8_t *output, int32_t low,
                                        int32_t high, int32_t size)
{
    if (size <= 0) {
        return;
    }
    if (high == INT8_MAX) {
        __asm__ volatile("vdup.8 q1, %[low]\n\t"
                         "dlstp.8 lr, %[size]\n"
                         "1:\n\t"
                         "vldrb.8 q0, [%[input]], #16\n\t"
                         "vmax.s8 q0, q0, q1\n\t"
                         "vstrb.8 q0, [%[output]], #16\n\t"
                         "letp lr, 1b"
                         : [input] "+&r"(input), [output] "+&r"(output)
                         : [low] "r"(low), [size] "r"(size)
                         : "q0", "q1", "lr", "cc", "memory");
    } else {
        __asm__ volatile("vdup.8 q1, %[low]\n\t"
                         "vdup.8 q2, %[high]\n\t"
                         "dlstp.8 lr, %[size]\n"
                         "1:\n\t"
                         "vldrb.8 q0, [%[input]], #16\n\t"
                         "vmax.s8 q0, q0, q1\n\t"
                         "vmin.s8 q0, q0, q2\n\t"
                         "vstrb.8 q0, [%[output]], #16\n\t"
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
#define EMBACT_CLAMP_WORDS_S8
/* One word: the lanes of w where w - low or high - w is not below 0, elsewhere the bound. */
#define EMBACT_MAX_S8(w) "ssub8 %[t], " w ", %[low]\n\tsel " w ", " w ", %[low]\n\t"
#define EMBACT_MIN_S8(w) "ssub8 %[t], %[high], " w "\n\tsel " w ", " w ", %[high]\n\t"
#define EMBACT_CLAMP_S8(w) EMBACT_MAX_S8(w) EMBACT_MIN_S8(w)

/* Six words, both pointers on word boundaries. */
#define EMBACT_6_WORDS_S8(each)                                                                    \
    "ldmia %[input]!, {r4, r5, r6, r8, r12, lr}\n\t" each("r4") each("r5") each("r6") each("r8")   \
        each("r12") each("lr") "stmia %[output]!, {r4, r5, r6, r8, r12, lr}\n\t"
#endif
#elif EMBACT_TIER == EMBACT_TIER_THUMB2
#if !defined(EMBACT_NO_ASSEMBLY) && !defined(EMBACT_COMPACT)
#define EMBACT_CLAMP_BITS_S8
/*
 * Four lanes in a word without carries between them: v are the lower 7 bits of each lane, and t is
 * such that its upper bit tells whether the lane is beyond the bound, and the others by how much.
 * n has the upper bit of lanes to be changed, then their lower 7: n - (n >> 7).
 */
#define EMBACT_LANES_S8 "and %[n], %[n], #0x80808080\n\tsub %[n], %[n], %[n], lsr #7\n\t"

/* Not below a negative bound: t = low + 256 - v; 7 operations with v, which the next one reads. */
#define EMBACT_ABOVE_S8(w)                                                                         \
    "and %[v], " w ", #0x7f7f7f7f\n\tsub %[t], %[low], %[v]\n\tand %[n], %[t], " w                 \
    "\n\t" EMBACT_LANES_S8 "and %[t], %[t], %[n]\n\tadd " w ", " w ", %[t]\n\t"

/* Not above a bound of at least 0: t = v + 128 - high; 6 operations. */
#define EMBACT_BELOW_S8(w)                                                                         \
    "add %[t], %[v], %[high]\n\tbic %[n], %[t], " w                                                \
    "\n\t" EMBACT_LANES_S8 "and %[t], %[t], %[n]\n\tsub " w ", " w ", %[t]\n\t"

/* Not below 0: lanes with the upper bit lose all bits; 4 operations. */
#define EMBACT_RELU_S8(w)                                                                          \
    "and %[n], " w ", #0x80808080\n\tsub %[t], %[n], %[n], lsr #7\n\tbic " w ", " w                \
    ", %[n]\n\tbic " w ", " w ", %[t]\n\t"

/* Not below a bound of at least 0: t = v + 128 - low, which is w - low in lanes that stay; 7. */
#define EMBACT_FROM_S8(w)                                                                          \
    "orr %[t], " w ", #0x80808080\n\tsub %[t], %[t], %[low]\n\tbic %[n], %[t], " w                 \
    "\n\t" EMBACT_LANES_S8 "and " w ", %[t], %[n]\n\tadd " w ", " w ", %[low]\n\t"

/* Of lanes of at least 0, not above such a bound; 5 operations. */
#define EMBACT_UPTO_S8(w)                                                                          \
    "add %[t], " w ", %[high]\n\tand %[n], %[t], #0x80808080\n\tsub %[n], %[n], %[n], lsr #7\n\t"  \
    "and %[t], %[t], %[n]\n\tsub " w ", " w ", %[t]\n\t"

#define EMBACT_BOTH_S8(w) EMBACT_ABOVE_S8(w) EMBACT_BELOW_S8(w)
#define EMBACT_FROM_TO_S8(w) EMBACT_FROM_S8(w) EMBACT_UPTO_S8(w)

/* The loop over four words, both pointers on word boundaries; size is ahead by one pass. */
#define EMBACT_CLAMP_LOOP_S8(each)                                                                 \
    __asm__ volatile("1:\n\tldmia %[input]!, {r4, r5, r6, r8}\n\t"                                 \
                     each("r4") each("r5") each("r6") each("r8")                                   \
                     "stmia %[output]!, {r4, r5, r6, r8}\n\t"                                      \
                     "subs %[size], #16\n\t"                                                       \
                     "bpl 1b"                                                                      \
                     : [input] "+&r"(input), [output] "+&r"(output), [size] "+&r"(size),           \
                       [v] "=&r"(v), [t] "=&r"(t), [n] "=&r"(n)                                    \
                     : [low] "r"(lows), [high] "r"(highs)                                          \
                     : "r4", "r5", "r6", "r8", "cc", "memory")
#endif
#elif EMBACT_TIER == EMBACT_TIER_THUMB1
#if !defined(EMBACT_NO_ASSEMBLY) && !defined(EMBACT_COMPACT)
#define EMBACT_CLAMP_BITS_S8
/*
 * Four lanes in a word. A difference of words tells in the upper bit of each lane which of two
 * codes of one sign is less; where it borrows from the next lane it is off by one, and then calls
 * equal codes unequal, which changes nothing. d has the upper bit of lanes to be changed, m their
 * lower 7.
 */
#define EMBACT_LANES_S8(change)                                                                    \
    "ands %[d], %[h]\n\tlsrs %[m], %[d], #7\n\tsubs %[m], %[d], %[m]\n\t" change                   \
    "ands %[m], %[c]\n\t"

/* Not below a negative bound c: 8 operations. */
#define EMBACT_ABOVE_S8(w)                                                                         \
    "subs %[d], " w ", %[c]\n\tands %[d], " w "\n\t" EMBACT_LANES_S8("bics " w ", %[m]\n\t")       \
    "orrs " w ", %[m]\n\t"

/* Not above a bound c of at least 0: 8 operations. */
#define EMBACT_BELOW_S8(w)                                                                         \
    "subs %[d], %[c], " w "\n\tbics %[d], " w "\n\t" EMBACT_LANES_S8("bics " w ", %[m]\n\t")       \
    "orrs " w ", %[m]\n\t"

/* Not below a bound c of at least 0: 9 operations. */
#define EMBACT_FROM_S8(w)                                                                          \
    "subs %[d], " w ", %[c]\n\torrs %[d], " w "\n\t" EMBACT_LANES_S8(                              \
        "bics " w ", %[m]\n\tbics " w ", %[h]\n\t") "orrs " w ", %[m]\n\t"

/* Not below 0: lanes with the upper bit lose all bits, h has the lowest; 5 operations. */
#define EMBACT_RELU_S8(w)                                                                          \
    "lsrs %[d], " w ", #7\n\tands %[d], %[h]\n\tlsls %[m], %[d], #8\n\t"                           \
    "subs %[m], %[m], %[d]\n\tbics " w ", %[m]\n\t"

/* Two words, and of them one bound, or both. */
#define EMBACT_ONE_S8(each) each("r4") each("r5")
#define EMBACT_TWO_S8(first, second)                                                               \
    "mov %[c], %[low]\n\t" first("r4") first("r5") "mov %[c], %[high]\n\t" second("r4") second("r5")

#define EMBACT_PASS_S8(all)                                                                        \
    "ldmia %[input]!, {r4, r5}\n\t" all "mov %[d], %[output]\n\t"                                  \
    "stmia %[d]!, {r4, r5}\n\tmov %[output], %[d]\n\t"

/* The loop over four words, both pointers on word boundaries. */
#define EMBACT_CLAMP_LOOP_S8(all)                                                                  \
    __asm__ volatile(".syntax unified\n\tmov %[c], %[low]\n1:\n\t" EMBACT_PASS_S8(all)             \
                     EMBACT_PASS_S8(all) "cmp %[input], %[end]\n\tbne 1b"                          \
                     : [input] "+&l"(input), [output] "+&h"(output), [c] "=&l"(c), [d] "=&l"(d),   \
                       [m] "=&l"(m)                                                                \
                     : [h] "l"(h), [low] "h"(lows), [high] "h"(highs), [end] "h"(end)              \
                     : "r4", "r5", "cc", "memory")
#endif
#endif

static inline void embact_loop_clamp_s8(const int8_t *input, int8_t *output, int32_t low,
                                        int32_t high, int32_t size)
{
#ifdef EMBACT_CLAMP_WORDS_S8
    const uint32_t lows = (uint32_t)(uint8_t)low * 0x01010101u;
    const uint32_t highs = (uint32_t)(uint8_t)high * 0x01010101u;
    uint32_t t;
#ifndef EMBACT_COMPACT
    if (size >= 51 && (((uintptr_t)input ^ (uintptr_t)output) & 3u) == 0u) {
        for (; ((uintptr_t)input & 3u) != 0u; --size) {
            const int32_t x = *input++;
            const int32_t above = x < low ? low : x; /* low..127 */
            *output++ = (int8_t)(above > high ? high : above);
        }
        size -= 48;
        if (high == INT8_MAX) {
            __asm__ volatile("1:\n\t"
                             EMBACT_6_WORDS_S8(EMBACT_MAX_S8)
                             EMBACT_6_WORDS_S8(EMBACT_MAX_S8)
                             "subs %[size], #48\n\t"
                             "bpl 1b"
                             : [input] "+&r"(input), [output] "+&r"(output), [size] "+&r"(size),
                               [t] "=&r"(t)
                             : [low] "r"(lows)
                             : "r4", "r5", "r6", "r8", "r12", "lr", "cc", "memory");
        } else {
            __asm__ volatile("1:\n\t"
                             EMBACT_6_WORDS_S8(EMBACT_CLAMP_S8)
                             EMBACT_6_WORDS_S8(EMBACT_CLAMP_S8)
                             "subs %[size], #48\n\t"
                             "bpl 1b"
                             : [input] "+&r"(input), [output] "+&r"(output), [size] "+&r"(size),
                               [t] "=&r"(t)
                             : [low] "r"(lows), [high] "r"(highs)
                             : "r4", "r5", "r6", "r8", "r12", "lr", "cc", "memory");
        }
        size += 48;
    }
#endif
    for (; size >= 4; size -= 4) {
        uint32_t w;
        __asm__ volatile("ldr %[w], [%[input]], #4\n\t" EMBACT_CLAMP_S8("%[w]")
                         "str %[w], [%[output]], #4"
                         : [input] "+&r"(input), [output] "+&r"(output), [w] "=&r"(w), [t] "=&r"(t)
                         : [low] "r"(lows), [high] "r"(highs)
                         : "cc", "memory");
    }
#endif
#if EMBACT_TIER == EMBACT_TIER_THUMB1
#ifdef EMBACT_CLAMP_BITS_S8
    if (high >= 0 && size >= 19 && (((uintptr_t)input ^ (uintptr_t)output) & 3u) == 0u) {
        const uint32_t lows = (uint32_t)(uint8_t)low * 0x01010101u;
        const uint32_t highs = (uint32_t)high * 0x01010101u;
        for (; ((uintptr_t)input & 3u) != 0u; --size) {
            const int32_t x = *input++;
            const int32_t above = x < low ? low : x; /* low..127 */
            *output++ = (int8_t)(above > high ? high : above);
        }
        const int8_t *const end = input + (size & ~(int32_t)15);
        const uint32_t h = low == 0 && high == INT8_MAX ? 0x01010101u : 0x80808080u;
        uint32_t c, d, m;
        if (low < 0) {
            if (high == INT8_MAX) {
                EMBACT_CLAMP_LOOP_S8(EMBACT_ONE_S8(EMBACT_ABOVE_S8));
            } else {
                EMBACT_CLAMP_LOOP_S8(EMBACT_TWO_S8(EMBACT_ABOVE_S8, EMBACT_BELOW_S8));
            }
        } else if (high < INT8_MAX) {
            EMBACT_CLAMP_LOOP_S8(EMBACT_TWO_S8(EMBACT_FROM_S8, EMBACT_BELOW_S8));
        } else if (low > 0) {
            EMBACT_CLAMP_LOOP_S8(EMBACT_ONE_S8(EMBACT_FROM_S8));
        } else {
            EMBACT_CLAMP_LOOP_S8(EMBACT_ONE_S8(EMBACT_RELU_S8));
        }
        size &= 15;
    }
#endif
#elif EMBACT_TIER == EMBACT_TIER_THUMB2
#ifdef EMBACT_CLAMP_BITS_S8
    if (high >= 0 && size >= 19 && (((uintptr_t)input ^ (uintptr_t)output) & 3u) == 0u) {
        const uint32_t below = low < 0 ? (uint32_t)(low + 256) : (uint32_t)low; /* 0..255 */
        const uint32_t lows = below * 0x01010101u, highs = (uint32_t)(128 - high) * 0x01010101u;
        uint32_t v, t, n;
        for (; ((uintptr_t)input & 3u) != 0u; --size) {
            const int32_t x = *input++;
            const int32_t above = x < low ? low : x; /* low..127 */
            *output++ = (int8_t)(above > high ? high : above);
        }
        size -= 16;
        if (low < 0) {
            if (high == INT8_MAX) {
                EMBACT_CLAMP_LOOP_S8(EMBACT_ABOVE_S8);
            } else {
                EMBACT_CLAMP_LOOP_S8(EMBACT_BOTH_S8);
            }
        } else if (high < INT8_MAX) {
            EMBACT_CLAMP_LOOP_S8(EMBACT_FROM_TO_S8);
        } else if (low > 0) {
            EMBACT_CLAMP_LOOP_S8(EMBACT_FROM_S8);
        } else {
            EMBACT_CLAMP_LOOP_S8(EMBACT_RELU_S8);
        }
        size += 16;
    }
#endif
#endif
    for (; size > 0; --size) {
        const int32_t x = *input++;
        const int32_t above = x < low ? low : x; /* low..127 */
        *output++ = (int8_t)(above > high ? high : above);
    }
}

#endif

#endif /* EMBACT_LOOP_CLAMP_S8_H */
