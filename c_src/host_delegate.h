/*
 * A TFLite delegate that hands chosen nodes of a graph to embact kernels, for interpreters on the
 * host.
 *
 * Above: the part of TFLite's C interface that it needs, in our own words. The runtimes promise to
 * append to these structures and never to reorder them, so one set of declarations serves all; the
 * self-test in embact/tflite/host/probe.py notices if that ever fails. Fields that are not read are
 * named only to give the others their place. Below: what Python calls.
 */
#ifndef EMBACT_HOST_DELEGATE_H
#define EMBACT_HOST_DELEGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Status of every callback. */
enum { TFL_OK = 0, TFL_ERROR = 1 };

/* How a tensor got its memory: this one is sized only while the graph runs. */
enum { TFL_DYNAMIC = 4 };

/* Delegate flag: apply before the sizes of all tensors are known, and before custom operators are
 * looked up. Without it a graph with custom operators is refused. */
enum { TFL_ALLOW_DYNAMIC_TENSORS = 1 };

typedef struct {
    int size;
    int data[];
} tfl_ints;

typedef struct {
    int type;
    void *data;
    tfl_ints *dims;
    struct {
        float scale;
        int32_t zero_point;
    } params;
    int allocation_type;
    size_t bytes;
    const void *allocation;
    const char *name;
    void *delegate;
    int buffer_handle;
    bool data_is_stale;
    bool is_variable;
    struct {
        int type;
        void *params; /* its layout differs between runtimes: never read */
    } quantization;
    void *sparsity;
    const tfl_ints *dims_signature;
} tfl_tensor; /* whole, because the context holds an array of them */

typedef struct {
    tfl_ints *inputs;
    tfl_ints *outputs;
    tfl_ints *intermediates;
    tfl_ints *temporaries;
    void *user_data;
    /* more follow */
} tfl_node;

typedef struct tfl_context tfl_context;
typedef struct tfl_delegate tfl_delegate;

typedef struct {
    void *(*init)(tfl_context *context, const char *buffer, size_t length);
    void (*free)(tfl_context *context, void *user_data);
    int (*prepare)(tfl_context *context, tfl_node *node);
    int (*invoke)(tfl_context *context, tfl_node *node);
    const char *(*profiling_string)(const tfl_context *context, const tfl_node *node);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *external;
    void *async_kernel;
    uint64_t inplace_operator;
} tfl_registration; /* whole, because it is passed by value */

struct tfl_context {
    size_t tensors_size;
    int (*get_execution_plan)(tfl_context *context, tfl_ints **plan);
    tfl_tensor *tensors;
    void *implementation;
    int (*resize_tensor)(tfl_context *context, tfl_tensor *tensor, tfl_ints *size);
    void (*report_error)(tfl_context *context, const char *format, ...);
    int (*add_tensors)(tfl_context *context, int count, int *first);
    int (*get_node)(tfl_context *context, int index, tfl_node **node, void **registration);
    int (*replace_node_subsets)(tfl_context *context, tfl_registration registration,
                                const tfl_ints *nodes, tfl_delegate *delegate);
    /* more follow */
};

struct tfl_delegate {
    void *data;
    int (*prepare)(tfl_context *context, tfl_delegate *delegate);
    int (*copy_from_buffer_handle)(tfl_context *context, tfl_delegate *delegate, int handle,
                                   tfl_tensor *tensor);
    int (*copy_to_buffer_handle)(tfl_context *context, tfl_delegate *delegate, int handle,
                                 tfl_tensor *tensor);
    void (*free_buffer_handle)(tfl_context *context, tfl_delegate *delegate, int *handle);
    int64_t flags;
    void *opaque_builder;
};

typedef struct {
    tfl_delegate *delegate;
    tfl_ints *nodes_to_replace;
    tfl_ints *input_tensors;
    tfl_ints *output_tensors;
} tfl_delegate_params;

/* Python reads the declarations between the next two lines. */
/* cdef begin */

typedef struct {
    const int32_t *nodes; /* the operators that the kernel replaces, in the order they run */
    int32_t node_count;   /* > 0 */
    int32_t input;        /* tensor index */
    int32_t output;       /* tensor index */
    int32_t input_type;   /* TFLite's tensor type: 9 int8, 7 int16 */
    int32_t output_type;  /* likewise */
    int32_t input_bytes;  /* size of the whole tensor */
    int32_t output_bytes; /* likewise */
    int32_t elements;     /* of the output; passed to run as its size */
    void (*run)(const void *input, void *output, int32_t size);
    int64_t runs; /* how often run was called, written by the delegate */
} embact_claim;

void *embact_delegate_create(embact_claim *claims, int32_t count);
void embact_delegate_destroy(void *delegate);
int32_t embact_delegate_replaced(const void *delegate);
void embact_delegate_probe(const void *input, void *output, int32_t size);

/* cdef end */

#endif
