#ifndef EMBACT_LOOP_COUNT_S8_H
#define EMBACT_LOOP_COUNT_S8_H

#include <stdint.h>

#include "embact_tiers.h"

/**
 * Add to counts[i], i = 0..255, how many of size codes are (int8_t)i; size <= 65535 in all.
 *
 * Four instructions for each code where indices are scaled, five on ARMv6-M: compilers do that.
 */
static inline void embact_loop_count_s8(const int8_t *input, uint16_t *counts, int32_t size) {
#if !defined(EMBACT_COMPACT)
    for (; size >= 8; size -= 8) {
        ++counts[(uint8_t)input[0]];
        ++counts[(uint8_t)input[1]];
        ++counts[(uint8_t)input[2]];
        ++counts[(uint8_t)input[3]];
        ++counts[(uint8_t)input[4]];
        ++counts[(uint8_t)input[5]];
        ++counts[(uint8_t)input[6]];
        ++counts[(uint8_t)input[7]];
        input += 8;
    }
#endif
    for (; size > 0; --size) {
        ++counts[(uint8_t)*input++];
    }
}

#endif /* EMBACT_LOOP_COUNT_S8_H */
