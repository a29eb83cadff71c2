#include "embact_board.h"

/*
 * Every row: compare what it computes with what the definition gives, then time it.
 */

#ifndef EMBACT_BOARD_NAME
#define EMBACT_BOARD_NAME "unnamed board"
#endif
#ifndef EMBACT_BOARD_CORE
#define EMBACT_BOARD_CORE "unknown"
#endif
#ifndef EMBACT_BOARD_OPTIMISE
#define EMBACT_BOARD_OPTIMISE ""
#endif
#ifdef __clang__
#define EMBACT_BOARD_COMPILER __VERSION__ " " EMBACT_BOARD_OPTIMISE
#else
#define EMBACT_BOARD_COMPILER "gcc " __VERSION__ " " EMBACT_BOARD_OPTIMISE
#endif

#define EMBACT_BOARD_FILL 0xA5u

static void embact_board_nothing(const void *input, void *output, int32_t size) {
    (void)input;
    (void)output;
    (void)size;
}

static uint32_t embact_board_seen(uint32_t crc, uint32_t bytes) {
    return embact_board_crc(crc, (const uint8_t *)embact_board_output, bytes);
}

/* The codes first, first + 1 ... of a chunk, of 8 or 16 bits. */
static void embact_board_count_up(uint32_t width, uint32_t first) {
    for (uint32_t i = 0; i < EMBACT_BOARD_CHUNK; ++i) {
        if (width == 1) {
            ((uint8_t *)embact_board_input)[i] = (uint8_t)((first + i) & 0xFFu);
        } else {
            ((uint16_t *)embact_board_input)[i] = (uint16_t)((first + i) & 0xFFFFu);
        }
    }
}

/* Whether a function of one code is right on every input. */
static int embact_board_right_everywhere(const embact_board_row *row) {
    uint32_t crc = 0;
    for (uint32_t first = 0; first < row->domain; first += EMBACT_BOARD_CHUNK) {
        embact_board_count_up(row->width_in, first - row->domain / 2);
        row->run(embact_board_input, embact_board_output, EMBACT_BOARD_CHUNK);
        crc = embact_board_seen(crc, EMBACT_BOARD_CHUNK * row->width_out);
    }
    return row->domain == 0 || crc == row->domain_crc;
}

/* Whether outputs on the inputs that are timed are right, and nothing is written behind them. */
static int embact_board_right(const embact_board_row *row) {
    for (uint32_t i = 0; i < row->input_bytes; ++i) {
        ((uint8_t *)embact_board_input)[i] = ((const uint8_t *)row->inputs)[i];
    }
    for (int one = 0; one < 2; ++one) {
        for (uint32_t i = 0; i < embact_board_output_bytes; ++i) {
            ((uint8_t *)embact_board_output)[i] = EMBACT_BOARD_FILL;
        }
        row->run(embact_board_input, embact_board_output, row->sizes[one]);
        if (embact_board_seen(0, embact_board_output_bytes) != row->output_crc[one]) {
            return 0;
        }
    }
    return 1;
}

typedef struct {
    uint32_t least;
    uint32_t median;
} embact_board_times;

/* Calls of one size, in order of their cycles; the first, which warms caches, is not counted. */
static embact_board_times
embact_board_time(embact_board_counter kind,
                  void (*run)(const void *input, void *output, int32_t size), int32_t size) {
    uint32_t sorted[EMBACT_BOARD_RUNS];
    (void)embact_board_cycles(kind, run, size);
    for (int i = 0; i < EMBACT_BOARD_RUNS; ++i) {
        const uint32_t cycles = embact_board_cycles(kind, run, size);
        int place = i; /* 0..i */
        for (; place > 0 && sorted[place - 1] > cycles; --place) {
            sorted[place] = sorted[place - 1];
        }
        sorted[place] = cycles;
    }
    const embact_board_times times = {sorted[0], sorted[EMBACT_BOARD_RUNS / 2]};
    return times;
}

static uint32_t embact_board_less(uint32_t cycles, uint32_t overhead) {
    return cycles > overhead ? cycles - overhead : 0;
}

/* embact-row, name, status, elements and cycles (least, median) of both sizes, for an element */
static void embact_board_report(const embact_board_row *row, const char *status,
                                const embact_board_times times[2], uint32_t overhead) {
    uint32_t least[2];
    embact_board_word("embact-row");
    embact_board_quoted(row->name);
    embact_board_word(status);
    for (int i = 0; i < 2; ++i) {
        least[i] = embact_board_less(times[i].least, overhead);
        embact_board_number((uint32_t)row->sizes[i] * row->step);
        embact_board_number(least[i]);
        embact_board_number(embact_board_less(times[i].median, overhead));
    }
    embact_board_ratio(least[1] > least[0] ? least[1] - least[0] : 0,
                       (uint32_t)(row->sizes[1] - row->sizes[0]) * row->step);
    embact_board_line();
}

static int32_t embact_board_try(const embact_board_row *row, embact_board_counter kind,
                                uint32_t overhead) {
    embact_board_times times[2] = {{0, 0}, {0, 0}};
    const char *status = "ok";
    if (!embact_board_right_everywhere(row) || !embact_board_right(row)) {
        embact_board_report(row, "wrong", times, 0);
        return 1;
    }
    for (int i = 0; i < 2 && kind != EMBACT_BOARD_NONE; ++i) {
        times[i] = embact_board_time(kind, row->run, row->sizes[i]);
    }
    if (times[0].median == EMBACT_BOARD_TOO_LONG || times[1].median == EMBACT_BOARD_TOO_LONG) {
        const embact_board_times none[2] = {{0, 0}, {0, 0}};
        embact_board_report(row, "too-long", none, 0);
        return 0;
    }
    if (kind == EMBACT_BOARD_NONE) {
        status = "uncounted";
    } else if (times[1].least <= times[0].least) {
        status = "unsteady";
    }
    embact_board_report(row, status, times, overhead);
    return 0;
}

int32_t embact_board_run(void) {
    static const char *const counters[] = {"none", "DWT_CYCCNT", "SysTick"};
    static const char *const caches[] = {"off", "instructions", "data", "on"};
    int32_t wrong = 0;
    const embact_board_found counter = embact_board_counter_start();
    uint32_t overhead = 0;
    if (counter.kind != EMBACT_BOARD_NONE) {
        overhead = embact_board_time(counter.kind, embact_board_nothing, 0).least;
    }

    /* embact-board, version of this form, board, core, compiler, counter, reason, caches, ... */
    embact_board_word("embact-board");
    embact_board_number(1);
    embact_board_quoted(EMBACT_BOARD_NAME);
    embact_board_word(EMBACT_BOARD_CORE);
    embact_board_quoted(EMBACT_BOARD_COMPILER);
    embact_board_word(counters[counter.kind]);
    embact_board_quoted(counter.reason);
    embact_board_word(caches[embact_board_caches()]);
    embact_board_number(overhead);
    embact_board_number(EMBACT_BOARD_RUNS);
    embact_board_line();

    for (uint32_t i = 0; i < embact_board_row_count; ++i) {
        wrong += embact_board_try(&embact_board_rows[i], counter.kind, overhead);
    }

    embact_board_word("embact-end");
    embact_board_number(embact_board_row_count);
    embact_board_number((uint32_t)wrong);
    embact_board_line();
    return wrong == 0 ? 0 : 1;
}
