#include "embact_loop_lut_s8.h"
#include "embact_softmax_codes.h"

#if EMBACT_TIER == EMBACT_TIER_HELIUM
#else
/** Return the share of an entry as a code; bits: 0..9. */
static inline int8_t quotient(uint32_t entry, uint32_t factor, int32_t bits) {
    if (entry >> (22 + bits) == 0) { /* the share is below 1/2 */
        return INT8_MIN;
    }
    const uint32_t product = embact_softmax_exact_product(entry, factor); /* 0..2**31 */
    const uint32_t half = (uint32_t)1 << (21 + bits);
    const uint32_t share = ((product >> 1) + half) >> (22 + bits); /* 0..256 */
    return (int8_t)(share > 255 ? INT8_MAX : (int32_t)share + INT8_MIN);
}
#endif

/** Write the output of each code that has an exponential to the space; the others are -128. */
static void tabulate(const uint32_t *table, int32_t differences, int32_t largest, uint32_t factor,
                     int32_t bits, embact_softmax_space *space) {
    embact_softmax_fill(space, 64, 0x80808080u);
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    const embact_softmax_scaling by = embact_softmax_scaling_of(factor, 23 + bits);
    const uint32x4_t factors = vdupq_n_u32(by.factor);
    uint32_t code = (uint8_t)largest; /* goes down to 0, and on from 255 */
    for (int32_t d = 0; d < differences; d += 4) {
        const mve_pred16_t rest = vctp32q((uint32_t)(differences - d));
        const uint32x4_t products = vmulhq_u32(vldrwq_z_u32(table + d, rest), factors);
        const uint32x4_t shares = vrshlq_n_u32(products, by.left); /* 0..256 */
        const uint32x4_t codes = vsubq_n_u32(vminq_u32(shares, vdupq_n_u32(255)), 128);
        vstrbq_scatter_offset_p_u32((uint8_t *)space->narrow, vdwdupq_wb_u32(&code, 256, 1), codes,
                                    rest);
    }
#else
    for (int32_t d = 0; d < differences; ++d) {
        space->narrow[(uint8_t)(largest - d)] = quotient(table[d], factor, bits);
    }
#endif
}

/** Write the outputs of a row. */
static void finish(const int8_t *row, int32_t size, const uint32_t *table, int32_t table_size,
                   int32_t largest, uint32_t factor, int32_t bits, int8_t *output) {
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    const embact_softmax_scaling by = embact_softmax_scaling_of(factor, 23 + bits);
    __asm__ volatile("dlstp.32 lr, %[size]\n"
                     "1:\n\t"
                     "vldrb.s32 q0, [%[row]], #4\n\t"
                     "vsub.i32 q0, %q[largest], q0\n\t" /* differences, 0..255 */
                     "vpt.u32 hi, %q[table_size], q0\n\t"
                     "vldrwt.u32 q1, [%[table], q0, uxtw #2]\n\t" /* and 0 elsewhere */
                     "vmulh.u32 q0, q1, %q[factor]\n\t"
                     "vrshl.u32 q0, %[left]\n\t" /* shares, 0..256 */
                     "vmin.u32 q0, q0, %q[most]\n\t"
                     "vsub.i32 q0, q0, %q[half]\n\t"
                     "vstrb.32 q0, [%[output]], #4\n\t"
                     "letp lr, 1b"
                     : [row] "+&l"(row), [output] "+&l"(output)
                     : [size] "r"(size), [largest] "w"(vdupq_n_s32(largest)), [table] "r"(table),
                       [table_size] "w"(vdupq_n_s32(table_size)),
                       [factor] "w"(vdupq_n_u32(by.factor)), [left] "r"(by.left),
                       [most] "w"(vdupq_n_s32(255)), [half] "w"(vdupq_n_s32(128))
                     : "q0", "q1", "lr", "cc", "memory");
#else
    for (int32_t i = 0; i < size; ++i) {
        const uint32_t entry = embact_softmax_entry(table, table_size, largest - row[i]);
        output[i] = quotient(entry, factor, bits);
    }
#endif
}

int32_t embact_softmax_exact_s8(const int8_t *input, int32_t num_rows, int32_t row_size,
                                const uint32_t *table, int32_t table_size, int8_t *output) {
    if (!embact_softmax_are_rows(input, num_rows, row_size, output) ||
        !embact_softmax_is_table(table, table_size) || table[0] != 0x80000000u) {
        return EMBACT_ARG_ERROR;
    }
    embact_softmax_space space;
    for (int32_t row = 0; row < num_rows; ++row) {
        const int32_t largest = embact_softmax_largest(input, row_size, &space); /* -128..127 */
        const uint64_t sum =
            embact_softmax_exact_sum(input, row_size, largest, table, table_size, &space);
        const int32_t above = 31 - embact_softmax_leading_zeros((uint32_t)(sum >> 31)); /* 0..12 */
        const uint32_t upper = (uint32_t)(sum >> above); /* 2**31..2**32 - 1 */
        /* from a sum of 1024 on every quotient is below 1/2 */
        const uint32_t factor = above > 9 ? 0 : embact_softmax_exact_factor(upper);
        const int32_t bits = above > 9 ? 9 : above; /* 0..9 */
        if (row_size >= EMBACT_SOFTMAX_LONG_ROW) {
            const int32_t differences = embact_softmax_differences(largest, table_size);
            tabulate(table, differences, largest, factor, bits, &space);
            embact_loop_lut_s8(input, space.narrow, output, row_size);
        } else {
            finish(input, row_size, table, table_size, largest, factor, bits, output);
        }
        input += row_size;
        output += row_size;
    }
    return EMBACT_SUCCESS;
}
