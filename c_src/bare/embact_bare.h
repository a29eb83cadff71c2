/*
 * What a program on an emulated core has besides itself: a way to the host and marks for counting.
 * Start-up, vectors and fault handlers are in embact_bare.c; `int main(void)` is the program's, and
 * its result, 0..199, the status that the host sees.
 */
#ifndef EMBACT_BARE_H
#define EMBACT_BARE_H

#include <stdint.h>

/**
 * Sends bytes to the host, which gets everything in the order of the calls.
 *
 * @param bytes  the first byte
 * @param size   number of bytes; nothing is sent if it is 0
 */
void embact_bare_write(const void *bytes, uint32_t size);

/** Begins a counted stretch: it starts with the instruction after this call. */
void embact_bare_begin(void);

/** Ends it: the last counted instruction is the one before the branch to this function. */
void embact_bare_end(void);

#endif /* EMBACT_BARE_H */
