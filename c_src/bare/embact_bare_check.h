/*
 * Calls a kernel on a core in every awkward way, after c_src/bare/embact_bare.h.
 */
#ifndef EMBACT_BARE_CHECK_H
#define EMBACT_BARE_CHECK_H

#include <stdint.h>

typedef void (*embact_bare_run)(const void *input, void *output, int32_t size);

/**
 * Calls a function on all inputs at once and then in every awkward way, and sends the host a
 * verdict of 8 int32_t followed by the outputs for all inputs in ascending order.
 *
 * @param run           the function
 * @param input_bytes   of one element, 1 or 2
 * @param output_bytes  likewise
 */
void embact_bare_check(embact_bare_run run, int32_t input_bytes, int32_t output_bytes);

#endif /* EMBACT_BARE_CHECK_H */
