#include "embact_loop_lut_s8.h"
#include "embact_softmax_codes.h"

/** Write the output of each code that has an exponential to the space; the others are -128. */
static void tabulate(const uint32_t *table, int32_t differences, int32_t largest, uint32_t scale,
                     int32_t exponent, embact_softmax_space *space) {
    embact_softmax_fill(space, 64, 0x80808080u);
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    uint32_t code = (uint8_t)largest; /* goes down to 0, and on from 255 */
    for (int32_t d = 0; d < differences; d += 4) {
        const mve_pred16_t rest = vctp32q((uint32_t)(differences - d));
        const int32x4_t entries = vldrwq_z_s32((const int32_t *)(const void *)(table + d), rest);
        const int32x4_t products = vqrdmulhq_n_s32(entries, (int32_t)scale);
        const int32x4_t shares = vrshlq_n_s32(products, -exponent); /* 0..256 */
        const int32x4_t codes = vaddq_n_s32(vminq_s32(shares, vdupq_n_s32(255)), INT8_MIN);
        vstrbq_scatter_offset_p_s32(space->narrow, vdwdupq_wb_u32(&code, 256, 1), codes, rest);
    }
#else
    for (int32_t d = 0; d < differences; ++d) {
        if (table[d] >> (exponent - 1) != 0) { /* else the share is below 1/2 */
            const uint32_t share = embact_softmax_share(table[d], scale, exponent); /* 0..256 */
            space->narrow[(uint8_t)(largest - d)] =
                (int8_t)(share > 255 ? INT8_MAX : (int32_t)share + INT8_MIN);
        }
    }
#endif
}

/** Write the outputs of a row. */
static void finish(const int8_t *row, int32_t size, const uint32_t *table, int32_t table_size,
                   int32_t largest, uint32_t scale, int32_t exponent, int8_t *output) {
#if EMBACT_TIER == EMBACT_TIER_HELIUM
    __asm__ volatile("dlstp.32 lr, %[size]\n"
                     "1:\n\t"
                     "vldrb.s32 q0, [%[row]], #4\n\t"
                     "vsub.i32 q0, %q[largest], q0\n\t" /* differences, 0..255 */
                     "vpt.u32 hi, %q[table_size], q0\n\t"
                     "vldrwt.u32 q1, [%[table], q0, uxtw #2]\n\t" /* and 0 elsewhere */
                     "vqrdmulh.s32 q0, q1, %[scale]\n\t"
                     "vrshl.s32 q0, %[left]\n\t" /* shares, 0..256 */
                     "vmin.s32 q0, q0, %q[most]\n\t"
                     "vsub.i32 q0, q0, %q[half]\n\t"
                     "vstrb.32 q0, [%[output]], #4\n\t"
                     "letp lr, 1b"
                     : [row] "+&l"(row), [output] "+&l"(output)
                     : [size] "r"(size), [largest] "w"(vdupq_n_s32(largest)), [table] "r"(table),
                       [table_size] "w"(vdupq_n_s32(table_size)), [scale] "r"(scale),
                       [left] "r"(-exponent),
                       [most] "w"(vdupq_n_s32(255)), [half] "w"(vdupq_n_s32(128))
                     : "q0", "q1", "lr", "cc", "memory");
#else
    for (int32_t i = 0; i < size; ++i) {
        const uint32_t entry = embact_softmax_entry(table, table_size, largest - row[i]);
        int32_t code = INT8_MIN;
        if (entry >> (exponent - 1) != 0) { /* else the share is below 1/2 */
            const uint32_t share = embact_softmax_share(entry, scale, exponent); /* 0..256 */
            code = share > 255 ? INT8_MAX : (int32_t)share + INT8_MIN;
        }
        output[i] = (int8_t)code;
    }
#endif
}

int32_t embact_softmax_s8(const int8_t *input, int32_t num_rows, int32_t row_size,
                          const uint32_t *table, int32_t table_size, int8_t *output) {
    if (!embact_softmax_are_rows(input, num_rows, row_size, output) ||
        !embact_softmax_is_table(table, table_size) || table[0] != INT32_MAX) {
        return EMBACT_ARG_ERROR;
    }
    embact_softmax_space space;
    for (int32_t row = 0; row < num_rows; ++row) {
        const int32_t largest = embact_softmax_largest(input, row_size, &space); /* -128..127 */
        const embact_softmax_reciprocal inverse = embact_softmax_invert(
            embact_softmax_sum(input, row_size, largest, table, table_size, &space));
        /* 23..32: beyond 32 nothing but -128 comes out, as does at 32, where sums are smaller */
        const int32_t exponent = inverse.bits > 9 ? 32 : inverse.bits + 23;
        if (row_size >= EMBACT_SOFTMAX_LONG_ROW) {
            const int32_t differences = embact_softmax_differences(largest, table_size);
            tabulate(table, differences, largest, inverse.scale, exponent, &space);
            embact_loop_lut_s8(input, space.narrow, output, row_size);
        } else {
            finish(input, row_size, table, table_size, largest, inverse.scale, exponent, output);
        }
        input += row_size;
        output += row_size;
    }
    return EMBACT_SUCCESS;
}
