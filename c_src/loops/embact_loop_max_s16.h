#ifndef EMBACT_LOOP_MAX_S16_H
#define EMBACT_LOOP_MAX_S16_H

#include <stdint.h>

#include "embact_tiers.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#include <arm_mve.h>
#endif

#if EMBACT_TIER == EMBACT_TIER_DSP
/** Two int16 codes that need not be aligned to a word. */
typedef struct __attribute__((packed, may_alias)) {
    uint32_t codes;
} embact_loop_max_s16_word;

/** Return, in each halfword, the larger of two int16. */
static inline uint32_t embact_loop_max_of_s16(uint32_t a, uint32_t b) {
    uint32_t larger;
    __asm__("ssub16 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(larger) : "r"(a), "r"(b) : "cc");
    return larger;
}
#endif

/** Return the largest of size int16 codes; size > 0. */
static inline int32_t embact_loop_max_s16(const int16_t *input, int32_t size) {
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    int16x8_t lanes = vdupq_n_s16(INT16_MIN);
    for (; size >= 8; size -= 8) {
        lanes = vmaxq_s16(lanes, vldrhq_s16(input));
        input += 8;
    }
    const mve_pred16_t rest = vctp16q((uint32_t)size); /* the 0..7 codes left over */
    const int16x8_t last = vldrhq_z_s16(input, rest);
    return vmaxvq_s16(INT16_MIN, vmaxq_m_s16(lanes, lanes, last, rest));
#elif EMBACT_TIER == EMBACT_TIER_DSP
    const embact_loop_max_s16_word *words = (const embact_loop_max_s16_word *)(const void *)input;
    const int32_t largest = input[size - 1];                      /* it may be left over */
    uint32_t lanes = ((uint32_t)largest & 0xFFFFu) * 0x00010001u; /* of the words */
#if !defined(EMBACT_COMPACT)
    for (; size >= 8; size -= 8) {
        lanes = embact_loop_max_of_s16(lanes, words[0].codes);
        lanes = embact_loop_max_of_s16(lanes, words[1].codes);
        lanes = embact_loop_max_of_s16(lanes, words[2].codes);
        lanes = embact_loop_max_of_s16(lanes, words[3].codes);
        words += 4;
    }
#endif
    for (; size >= 2; size -= 2) {
        lanes = embact_loop_max_of_s16(lanes, words->codes);
        ++words;
    }
    lanes = embact_loop_max_of_s16(lanes, lanes >> 16 | lanes << 16);
    const int32_t found = (int16_t)(lanes & 0xFFFFu);
    return found > largest ? found : largest;
#else
    int32_t largest = input[0];
    for (int32_t i = 1; i < size; ++i) {
        largest = input[i] > largest ? input[i] : largest;
    }
    return largest;
#endif
}

#endif /* EMBACT_LOOP_MAX_S16_H */
