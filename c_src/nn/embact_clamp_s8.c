#include "embact_nn.h"
#include "embact_loop_clamp_s8.h"

int32_t embact_clamp_s8(const int8_t *input, int8_t *output, int32_t activation_min,
                        int32_t activation_max, int32_t size) {
    if (input == NULL || output == NULL || size <= 0 || activation_min < INT8_MIN ||
        activation_max > INT8_MAX || activation_min > activation_max) {
        return EMBACT_ARG_ERROR;
    }
    embact_loop_clamp_s8(input, output, activation_min, activation_max, size);
    return EMBACT_SUCCESS;
}
