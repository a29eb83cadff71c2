/*
 * The benchmark of embact on a board: what its files share, and what a board may bring of its own.
 *
 * Results are lines of CSV. By default they leave over semihosting, which needs a debugger. A board
 * that has its own way defines embact_board_putchar in a file of its own, named BOARD to make.
 */
#ifndef EMBACT_BOARD_H
#define EMBACT_BOARD_H

#include <stdint.h>

/** Calls that are timed for each size of each row; 3..99. */
#ifndef EMBACT_BOARD_RUNS
#define EMBACT_BOARD_RUNS 11
#endif

/** Bytes behind the outputs that must survive. */
#define EMBACT_BOARD_GUARD 16

/** Codes at a time when a function of one code is checked on all of them. */
#define EMBACT_BOARD_CHUNK 256

/**
 * One row of the benchmark.
 *
 * name: as in the results. run: the loop on size units. width_in, width_out: bytes of an element.
 * step: outputs of a unit. sizes: the two numbers of units that are timed. inputs, input_bytes: the
 * codes for the larger; the smaller takes the first of them. output_crc: of the outputs for each,
 * with the untouched bytes up to the end of the buffer. domain: how many inputs a function of one
 * code has (256 or 65536), each of which is checked; 0 for a loop over rows or channels.
 * domain_crc: of the outputs for them, in ascending order of codes.
 */
typedef struct {
    const char *name;
    void (*run)(const void *input, void *output, int32_t size);
    uint32_t width_in;
    uint32_t width_out;
    uint32_t step;
    int32_t sizes[2];
    const void *inputs;
    uint32_t input_bytes;
    uint32_t output_crc[2];
    uint32_t domain;
    uint32_t domain_crc;
} embact_board_row;

/* What embact_board_rows.c holds. The buffers take any row; output has its guard behind it. */
extern const embact_board_row embact_board_rows[];
extern const uint32_t embact_board_row_count;
extern const uint32_t embact_board_output_bytes; /* with the guard */
extern uint32_t embact_board_input[];
extern uint32_t embact_board_output[];

/* What a board may define; each has a default. */

/** Called before anything is printed: clocks, flash wait states, a UART. Default: nothing. */
void embact_board_start(void);
/** Send one character. Default: semihosting, or nothing if the board's file does not define it. */
void embact_board_putchar(char c);
/** Called last; status 0 if every row was right. Default: semihosting's exit, then for ever. */
void embact_board_end(int32_t status);

/* The counter of cycles. */

typedef enum {
    EMBACT_BOARD_NONE,
    EMBACT_BOARD_DWT,    /* 32 bits */
    EMBACT_BOARD_SYSTICK /* 24 bits */
} embact_board_counter;

/** What counts here, and in words why nothing does. */
typedef struct {
    embact_board_counter kind;
    const char *reason;
} embact_board_found;

/** Start the core's counter and return which one it is; NONE if it does not count cycles. */
embact_board_found embact_board_counter_start(void);

/** Returned where a call took more cycles than the counter can tell. */
#define EMBACT_BOARD_TOO_LONG UINT32_MAX

/** Return the cycles of one call, with those of reading the counter; 0 if there is no counter. */
uint32_t embact_board_cycles(embact_board_counter kind,
                             void (*run)(const void *input, void *output, int32_t size),
                             int32_t size);

/** Return whether each cache is on: bit 0 instructions, bit 1 data. */
uint32_t embact_board_caches(void);
/** Switch on the caches of a core that has them; see CACHES in the Makefile. */
void embact_board_caches_on(void);

/* A line of CSV. Its last field is the CRC-32 of what stands before it, with the comma. */

void embact_board_word(const char *text);   /* as it is */
void embact_board_quoted(const char *text); /* in quotes */
void embact_board_number(uint32_t number);
void embact_board_ratio(uint32_t number, uint32_t by); /* three decimals, rounded down; by > 0 */
void embact_board_line(void);

/** Continue a CRC-32 (that of zlib, PNG and Ethernet); begin with 0. */
uint32_t embact_board_crc(uint32_t crc, const uint8_t *bytes, uint32_t size);

/** Check and time every row, and print the results; returns 0 if every row was right. */
int32_t embact_board_run(void);

#endif /* EMBACT_BOARD_H */
