#include "embact_nn.h"
#include "embact_nn_arithmetic.h"

int32_t embact_lut_s8(const int8_t *input, const int8_t *table, int8_t *output, int32_t size) {
    if (input == NULL || table == NULL || output == NULL || size <= 0) {
        return EMBACT_ARG_ERROR;
    }
    for (int32_t i = 0; i < size; ++i) {
        output[i] = table[input[i] - INT8_MIN];
    }
    return EMBACT_SUCCESS;
}
