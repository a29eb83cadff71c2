#include "embact_softmax_arithmetic.h"

int32_t embact_softmax_exact_s8_s16(const int8_t *input, int32_t num_rows, int32_t row_size,
                                    const uint64_t *table, int32_t table_size, int16_t *output) {
    if (!embact_softmax_are_rows(input, num_rows, row_size, output) ||
        !embact_softmax_is_table(table, table_size) || table[0] != (uint64_t)1 << 51) {
        return EMBACT_ARG_ERROR;
    }
    for (int32_t row = 0; row < num_rows; ++row) {
        const int32_t largest = embact_softmax_max_s8(input, row_size); /* -128..127 */
        uint64_t sum = 0;                                               /* Q12.51, at most 2**63 */
        for (int32_t i = 0; i < row_size; ++i) {
            const int32_t difference = largest - input[i]; /* 0..255 */
            sum += difference < table_size ? table[difference] : 0;
        }
        const int32_t bits = 12 - embact_softmax_leading_zeros((uint32_t)(sum >> 32)); /* 0..12 */
        const uint32_t factor = embact_softmax_exact_factor((uint32_t)(sum >> (20 + bits)));
        for (int32_t i = 0; i < row_size; ++i) {
            const int32_t difference = largest - input[i]; /* 0..255 */
            const uint64_t wide = difference < table_size ? table[difference] : 0;
            const uint32_t entry = (uint32_t)((wide + ((uint32_t)1 << 19)) >> 20); /* 0..2**31 */
            const uint32_t product = embact_softmax_exact_product(entry, factor);
            const uint32_t share =
                (product + ((uint32_t)1 << (14 + bits))) >> (15 + bits); /* 0..65536 */
            output[i] = (int16_t)(share > 65535 ? INT16_MAX : (int32_t)share + INT16_MIN);
        }
        input += row_size;
        output += row_size;
    }
    return EMBACT_SUCCESS;
}
