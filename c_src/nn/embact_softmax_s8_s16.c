#include "embact_softmax_arithmetic.h"

int32_t embact_softmax_s8_s16(const int8_t *input, int32_t num_rows, int32_t row_size,
                              const uint32_t *table, int32_t table_size, int16_t *output) {
    if (!embact_softmax_are_rows(input, num_rows, row_size, output) ||
        !embact_softmax_is_table(table, table_size) || table[0] != INT32_MAX) {
        return EMBACT_ARG_ERROR;
    }
    for (int32_t row = 0; row < num_rows; ++row) {
        const int32_t largest = embact_softmax_max_s8(input, row_size); /* -128..127 */
        const embact_softmax_reciprocal inverse = embact_softmax_invert(
            embact_softmax_sum_s8(input, row_size, largest, table, table_size));
        const int32_t exponent = inverse.bits + 15; /* 15..27 */
        for (int32_t i = 0; i < row_size; ++i) {
            const uint32_t entry = embact_softmax_entry(table, table_size, largest - input[i]);
            const uint32_t product = embact_softmax_product(entry, inverse.scale);
            const uint32_t share =
                (product + ((uint32_t)1 << (exponent - 1))) >> exponent; /* 0..65536 */
            output[i] = (int16_t)(share > 65535 ? INT16_MAX : (int32_t)share + INT16_MIN);
        }
        input += row_size;
        output += row_size;
    }
    return EMBACT_SUCCESS;
}
