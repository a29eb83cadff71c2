#include "embact_nn.h"
#include "embact_nn_arithmetic.h"

int32_t embact_clamp_s8(const int8_t *input, int8_t *output, int32_t activation_min,
                        int32_t activation_max, int32_t size) {
    if (input == NULL || output == NULL || size <= 0 || activation_min < INT8_MIN ||
        activation_max > INT8_MAX || activation_min > activation_max) {
        return EMBACT_ARG_ERROR;
    }
    for (int32_t i = 0; i < size; ++i) {
        output[i] = (int8_t)embact_nn_clamp(input[i], activation_min, activation_max);
    }
    return EMBACT_SUCCESS;
}
