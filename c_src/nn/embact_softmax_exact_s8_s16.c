#include "embact_loop_lut_s8_s16.h"
#include "embact_softmax_codes.h"

/** Return the sum of a row's exponentials in Q12.51: 2**51..2**63. */
static uint64_t sum_of(const int8_t *row, int32_t size, int32_t largest, const uint64_t *table,
                       int32_t table_size, const embact_softmax_space *space) {
    uint64_t sum = 0;
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    uint32_t upper = 0; /* the sum of the upper words, at most 2**31 */
    (void)space;
    __asm__ volatile("dlstp.32 lr, %[size]\n"
                     "1:\n\t"
                     "vldrb.s32 q0, [%[row]], #4\n\t"
                     "vsub.i32 q0, %q[largest], q0\n\t" /* differences, 0..255 */
                     "vshl.i32 q1, q0, #1\n\t" /* in words */
                     "vptt.u32 hi, %q[table_size], q0\n\t"
                     "vldrwt.u32 q2, [%[low], q1, uxtw #2]\n\t" /* and 0 elsewhere */
                     "vldrwt.u32 q3, [%[high], q1, uxtw #2]\n\t"
                     "vaddlva.u32 %Q[sum], %R[sum], q2\n\t"
                     "vaddva.u32 %[upper], q3\n\t"
                     "letp lr, 1b"
                     : [row] "+&l"(row), [sum] "+&r"(sum) /* an even register and the next */,
                       [upper] "+Te"(upper)
                     : [size] "r"(size), [largest] "w"(vdupq_n_s32(largest)), [low] "r"(table),
                       [high] "r"((const uint32_t *)(const void *)table + 1),
                       [table_size] "w"(vdupq_n_s32(table_size))
                     : "q0", "q1", "q2", "q3", "lr", "cc", "memory");
    sum += (uint64_t)upper << 32;
#else
    if (embact_softmax_is_counted(size)) {
        const int32_t differences = embact_softmax_differences(largest, table_size);
        uint32_t low = 0; /* counts, 4096 in all, times parts of entries: below 2**28, */
        uint32_t middle = 0;
        uint32_t high = 0; /* and 2**31 at most */
        for (int32_t d = 0; d < differences; ++d) {
            const uint32_t count = space->counts[(uint8_t)(largest - d)];
            low += count * (uint32_t)(table[d] & 0xFFFFu);
            middle += count * ((uint32_t)table[d] >> 16);
            high += count * (uint32_t)(table[d] >> 32);
        }
        sum = ((uint64_t)high << 32) + ((uint64_t)middle << 16) + low;
    } else {
        for (int32_t i = 0; i < size; ++i) {
            const int32_t difference = largest - row[i]; /* 0..255 */
            sum += difference < table_size ? table[difference] : 0;
        }
    }
#endif
    return sum;
}

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#else
/** Return the share of an exponential as a code; bits: 0..12. */
static inline int16_t quotient(uint64_t wide, uint32_t factor, int32_t bits) {
    const uint32_t entry = (uint32_t)((wide + ((uint32_t)1 << 19)) >> 20); /* 0..2**31 */
    const uint32_t product = embact_softmax_exact_product(entry, factor);
    const uint32_t share = (product + ((uint32_t)1 << (14 + bits))) >> (15 + bits); /* 0..65536 */
    return (int16_t)(share > 65535 ? INT16_MAX : (int32_t)share + INT16_MIN);
}
#endif

/** Write the output of each code that has an exponential to the space; the others are -32768. */
static void tabulate(const uint64_t *table, int32_t differences, int32_t largest, uint32_t factor,
                     int32_t bits, embact_softmax_space *space) {
    embact_softmax_fill(space, 128, 0x80008000u);
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    const embact_softmax_scaling by = embact_softmax_scaling_of(factor, 15 + bits);
    const uint32_t *words = (const uint32_t *)(const void *)table;
    const uint32x4_t factors = vdupq_n_u32(by.factor);
    uint32_t code = (uint8_t)largest; /* goes down to 0, and on from 255 */
    uint32_t word = 0;
    for (int32_t d = 0; d < differences; d += 4) {
        const mve_pred16_t rest = vctp32q((uint32_t)(differences - d));
        const uint32x4_t places = vidupq_wb_u32(&word, 2);
        const uint32x4_t low = vldrwq_gather_shifted_offset_z_u32(words, places, rest);
        const uint32x4_t high = vldrwq_gather_shifted_offset_z_u32(words + 1, places, rest);
        const uint32x4_t entries = vaddq_u32(vshlq_n_u32(high, 12), vrshrq_n_u32(low, 20));
        const uint32x4_t shares = vrshlq_n_u32(vmulhq_u32(entries, factors), by.left);
        const uint32x4_t codes = vsubq_n_u32(vminq_u32(shares, vdupq_n_u32(65535)), 32768);
        vstrhq_scatter_shifted_offset_p_u32((uint16_t *)space->wide,
                                            vdwdupq_wb_u32(&code, 256, 1), codes, rest);
    }
#else
    for (int32_t d = 0; d < differences; ++d) {
        space->wide[(uint8_t)(largest - d)] = quotient(table[d], factor, bits);
    }
#endif
}

/** Write the outputs of a row. */
static void finish(const int8_t *row, int32_t size, const uint64_t *table, int32_t table_size,
                   int32_t largest, uint32_t factor, int32_t bits, int16_t *output) {
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    const embact_softmax_scaling by = embact_softmax_scaling_of(factor, 15 + bits);
    const uint32_t *words = (const uint32_t *)(const void *)table;
    for (int32_t i = 0; i < size; i += 4) {
        const mve_pred16_t rest = vctp32q((uint32_t)(size - i));
        const uint32x4_t below = vreinterpretq_u32_s32(
            vsubq_s32(vdupq_n_s32(largest), vldrbq_z_s32(row + i, rest))); /* 0..255 */
        const mve_pred16_t some = vcmpltq_m_n_s32(vreinterpretq_s32_u32(below), table_size, rest);
        const uint32x4_t places = vshlq_n_u32(below, 1);
        const uint32x4_t low = vldrwq_gather_shifted_offset_z_u32(words, places, some);
        const uint32x4_t high = vldrwq_gather_shifted_offset_z_u32(words + 1, places, some);
        const uint32x4_t entries = vaddq_u32(vshlq_n_u32(high, 12), vrshrq_n_u32(low, 20));
        const uint32x4_t products = vmulhq_u32(entries, vdupq_n_u32(by.factor));
        const uint32x4_t shares = vrshlq_n_u32(products, by.left); /* 0..65536 */
        const uint32x4_t codes = vsubq_n_u32(vminq_u32(shares, vdupq_n_u32(65535)), 32768);
        vstrhq_p_s32(output + i, vreinterpretq_s32_u32(codes), rest);
    }
#else
    for (int32_t i = 0; i < size; ++i) {
        const int32_t difference = largest - row[i]; /* 0..255 */
        output[i] = quotient(difference < table_size ? table[difference] : 0, factor, bits);
    }
#endif
}

int32_t embact_softmax_exact_s8_s16(const int8_t *input, int32_t num_rows, int32_t row_size,
                                    const uint64_t *table, int32_t table_size, int16_t *output) {
    if (!embact_softmax_are_rows(input, num_rows, row_size, output) ||
        !embact_softmax_is_table(table, table_size) || table[0] != (uint64_t)1 << 51) {
        return EMBACT_ARG_ERROR;
    }
    embact_softmax_space space;
    for (int32_t row = 0; row < num_rows; ++row) {
        const int32_t largest = embact_softmax_largest(input, row_size, &space); /* -128..127 */
        const uint64_t sum = sum_of(input, row_size, largest, table, table_size, &space);
        const int32_t bits = 12 - embact_softmax_leading_zeros((uint32_t)(sum >> 32)); /* 0..12 */
        const uint32_t factor = embact_softmax_exact_factor((uint32_t)(sum >> (20 + bits)));
        if (row_size >= EMBACT_SOFTMAX_LONG_ROW) {
            const int32_t differences = embact_softmax_differences(largest, table_size);
            tabulate(table, differences, largest, factor, bits, &space);
            embact_loop_lut_s8_s16(input, space.wide, output, row_size);
        } else {
            finish(input, row_size, table, table_size, largest, factor, bits, output);
        }
        input += row_size;
        output += row_size;
    }
    return EMBACT_SUCCESS;
}
