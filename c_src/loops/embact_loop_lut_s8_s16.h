#ifndef EMBACT_LOOP_LUT_S8_S16_H
#define EMBACT_LOOP_LUT_S8_S16_H

#include <stdint.h>

#include "embact_tiers.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#include <arm_mve.h>
#endif

/**
 * Look size int8 codes up in a table of int16: output[i] = table[(uint8_t)input[i]].
 *
 * table: 256 entries in byte order, the result of code (int8_t)i at index i. output does not
 * overlap input.
 */
static inline void embact_loop_lut_s8_s16(const int8_t *input, const int16_t *table,
                                          int16_t *output, int32_t size) {
    const uint8_t *codes = (const uint8_t *)input;
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    for (; size >= 8; size -= 8) {
        vstrhq_s16(output, vldrhq_gather_shifted_offset_s16(table, vldrbq_u16(codes)));
        codes += 8;
        output += 8;
    }
    const mve_pred16_t rest = vctp16q((uint32_t)size); /* the 0..7 codes left over */
    const uint16x8_t last = vldrbq_z_u16(codes, rest);
    vstrhq_p_s16(output, vldrhq_gather_shifted_offset_z_s16(table, last, rest), rest);
#else
#if !defined(EMBACT_COMPACT)
    for (; size >= 4; size -= 4) {
        output[0] = table[codes[0]];
        output[1] = table[codes[1]];
        output[2] = table[codes[2]];
        output[3] = table[codes[3]];
        codes += 4;
        output += 4;
    }
#endif
    for (; size > 0; --size) {
        *output++ = table[*codes++];
    }
#endif
}

#endif /* EMBACT_LOOP_LUT_S8_S16_H */
