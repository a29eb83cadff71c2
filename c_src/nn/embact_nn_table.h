/*
 * Functions of one int8 code by a table that each call makes. Private: include embact_nn.h instead.
 */
#ifndef EMBACT_NN_TABLE_H
#define EMBACT_NN_TABLE_H

#include <stdint.h>

#include "embact_loop_lut_s8.h"

/*
 * From this number of elements on a table of 256 results is made on the stack first. That takes as
 * long as 256 elements without it; every element by it is one lookup.
 */
#define EMBACT_NN_TABLE_SIZE 384

/** From this number of elements on PReLU makes a table of the results of values from 0 on. */
#define EMBACT_NN_ABOVE_SIZE 128

/** Return whether rows of elements are EMBACT_NN_TABLE_SIZE elements or more; both > 0. */
static inline int embact_nn_is_table_size(int32_t rows, int32_t row) {
    return rows >= EMBACT_NN_TABLE_SIZE || row >= EMBACT_NN_TABLE_SIZE ||
           rows * row >= EMBACT_NN_TABLE_SIZE;
}

/* Alone the loop has all registers. */
#ifdef __GNUC__
#define EMBACT_NN_ALONE __attribute__((noinline))
#else
#define EMBACT_NN_ALONE
#endif

/** Look up size elements: output = table[input as an unsigned number of 8 bits]. */
static EMBACT_NN_ALONE void embact_nn_look_up(const int8_t *input, const int8_t *table,
                                              int8_t *output, int32_t size) {
    embact_loop_lut_s8(input, table, output, size);
}

/** Fill a table with the codes that its entries are for: 0..127, then -128..-1. */
static inline void embact_nn_codes_s8(int8_t *table) {
    for (int32_t code = 0; code < 128; ++code) {
        table[code] = (int8_t)code;
        table[code + 128] = (int8_t)(code - 128);
    }
}

#endif /* EMBACT_NN_TABLE_H */
