#include "embact_nn.h"
#include "embact_loop_clamp_s16.h"

int32_t embact_clamp_s16(const int16_t *input, int16_t *output, int32_t activation_min,
                         int32_t activation_max, int32_t size) {
    if (input == NULL || output == NULL || size <= 0 || activation_min < INT16_MIN ||
        activation_max > INT16_MAX || activation_min > activation_max) {
        return EMBACT_ARG_ERROR;
    }
    embact_loop_clamp_s16(input, output, activation_min, activation_max, size);
    return EMBACT_SUCCESS;
}
