#include "embact_nn.h"
#include "embact_loop_lut_s8.h"

int32_t embact_lut_s8(const int8_t *input, const int8_t *table, int8_t *output, int32_t size) {
    if (input == NULL || table == NULL || output == NULL || size <= 0) {
        return EMBACT_ARG_ERROR;
    }
    embact_loop_lut_s8(input, table, output, size);
    return EMBACT_SUCCESS;
}
