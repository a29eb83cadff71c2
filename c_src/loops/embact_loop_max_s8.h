#ifndef EMBACT_LOOP_MAX_S8_H
#define EMBACT_LOOP_MAX_S8_H

#include <stdint.h>

#include "embact_tiers.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#include <arm_mve.h>
#endif

#if EMBACT_TIER == EMBACT_TIER_DSP
/** Four int8 codes that need not be aligned to a word. */
typedef struct __attribute__((packed, may_alias)) {
    uint32_t codes;
} embact_loop_max_s8_word;

/** Return, in each byte, the larger of two int8. */
static inline uint32_t embact_loop_max_of_s8(uint32_t a, uint32_t b) {
    uint32_t larger;
    __asm__("ssub8 %0, %1, %2\n\tsel %0, %1, %2" : "=&r"(larger) : "r"(a), "r"(b) : "cc");
    return larger;
}
#endif

/** Return the largest of size int8 codes; size > 0. */
static inline int32_t embact_loop_max_s8(const int8_t *input, int32_t size) {
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    int8x16_t lanes = vdupq_n_s8(INT8_MIN);
    for (; size >= 16; size -= 16) {
        lanes = vmaxq_s8(lanes, vldrbq_s8(input));
        input += 16;
    }
    const mve_pred16_t rest = vctp8q((uint32_t)size); /* the 0..15 codes left over */
    const int8x16_t last = vldrbq_z_s8(input, rest);
    return vmaxvq_s8(INT8_MIN, vmaxq_m_s8(lanes, lanes, last, rest));
#elif EMBACT_TIER == EMBACT_TIER_DSP
    const embact_loop_max_s8_word *words = (const embact_loop_max_s8_word *)(const void *)input;
    int32_t largest = input[size - 1];                           /* of the 0..3 left over */
    uint32_t lanes = ((uint32_t)largest & 0xFFu) * 0x01010101u; /* of the words */
    for (int32_t i = size & 3; i > 1; --i) {
        const int32_t code = input[size - i];
        largest = code > largest ? code : largest;
    }
#if !defined(EMBACT_COMPACT)
    for (; size >= 16; size -= 16) {
        lanes = embact_loop_max_of_s8(lanes, words[0].codes);
        lanes = embact_loop_max_of_s8(lanes, words[1].codes);
        lanes = embact_loop_max_of_s8(lanes, words[2].codes);
        lanes = embact_loop_max_of_s8(lanes, words[3].codes);
        words += 4;
    }
#endif
    for (; size >= 4; size -= 4) {
        lanes = embact_loop_max_of_s8(lanes, words->codes);
        ++words;
    }
    lanes = embact_loop_max_of_s8(lanes, lanes >> 16 | lanes << 16);
    lanes = embact_loop_max_of_s8(lanes, lanes >> 8 | lanes << 24);
    const int32_t found = (int8_t)(lanes & 0xFFu);
    return found > largest ? found : largest;
#else
    int32_t largest = input[0];
    for (int32_t i = 1; i < size; ++i) {
        largest = input[i] > largest ? input[i] : largest;
    }
    return largest;
#endif
}

#endif /* EMBACT_LOOP_MAX_S8_H */
