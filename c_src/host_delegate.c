#include "host_delegate.h"

#include <stdlib.h>

typedef struct {
    tfl_delegate base; /* first: the runtime holds a pointer to it */
    embact_claim *claims;
    int32_t count;
    int32_t replaced;
    const tfl_context *context; /* of the graph that was seen first, the one that runs */
} host_delegate;

static bool holds(const tfl_ints *list, int32_t value) {
    for (int i = 0; list != NULL && i < list->size; ++i) {
        if (list->data[i] == value) {
            return true;
        }
    }
    return false;
}

static int check_tensor(tfl_context *context, int32_t index, int32_t type, int32_t bytes) {
    if (index < 0 || (size_t)index >= context->tensors_size) {
        context->report_error(context, "embact: no tensor %d in this graph", (int)index);
        return TFL_ERROR;
    }
    const tfl_tensor *const tensor = &context->tensors[index];
    if (tensor->type != type) {
        context->report_error(context, "embact: tensor %d has type %d, the kernel was made for %d",
                              (int)index, tensor->type, (int)type);
        return TFL_ERROR;
    }
    if (tensor->allocation_type == TFL_DYNAMIC) {
        context->report_error(context, "embact: tensor %d has a size that changes while running",
                              (int)index);
        return TFL_ERROR;
    }
    if (tensor->bytes != (size_t)bytes) {
        context->report_error(context, "embact: tensor %d has %d bytes, the kernel was made for %d",
                              (int)index, (int)tensor->bytes, (int)bytes);
        return TFL_ERROR;
    }
    return TFL_OK;
}

static int check_tensors(tfl_context *context, const embact_claim *claim) {
    if (check_tensor(context, claim->input, claim->input_type, claim->input_bytes) != TFL_OK) {
        return TFL_ERROR;
    }
    return check_tensor(context, claim->output, claim->output_type, claim->output_bytes);
}

/* The node that replaces a claim gets it as its state; the operators tell which one it is. */
static void *kernel_init(tfl_context *context, const char *buffer, size_t length) {
    const tfl_delegate_params *const params = (const tfl_delegate_params *)(const void *)buffer;
    host_delegate *const self = (host_delegate *)(void *)params->delegate;
    (void)context;
    (void)length;
    for (int32_t i = 0; i < self->count; ++i) {
        embact_claim *const claim = &self->claims[i];
        bool same = params->nodes_to_replace->size == claim->node_count;
        for (int32_t n = 0; same && n < claim->node_count; ++n) {
            same = holds(params->nodes_to_replace, claim->nodes[n]);
        }
        if (same) {
            ++self->replaced;
            return claim;
        }
    }
    return NULL;
}

/* Nothing to free: the claims belong to Python and may be gone by now. */
static void kernel_free(tfl_context *context, void *user_data) {
    (void)context;
    (void)user_data;
}

static int kernel_prepare(tfl_context *context, tfl_node *node) {
    if (node->user_data == NULL) {
        context->report_error(context, "embact: the runtime split the operators of one activation");
        return TFL_ERROR;
    }
    return check_tensors(context, node->user_data);
}

static int kernel_invoke(tfl_context *context, tfl_node *node) {
    embact_claim *const claim = node->user_data;
    if (check_tensors(context, claim) != TFL_OK) { /* the sizes may have changed since */
        return TFL_ERROR;
    }
    claim->run(context->tensors[claim->input].data, context->tensors[claim->output].data,
               claim->elements);
    ++claim->runs;
    return TFL_OK;
}

static int claim_nodes(tfl_context *context, host_delegate *self, const embact_claim *claim) {
    bool reads = false;
    bool writes = false;
    for (int32_t n = 0; n < claim->node_count; ++n) {
        tfl_node *node = NULL;
        void *registration = NULL;
        if (context->get_node(context, claim->nodes[n], &node, &registration) != TFL_OK) {
            return TFL_ERROR;
        }
        reads = reads || holds(node->inputs, claim->input);
        writes = writes || holds(node->outputs, claim->output);
    }
    if (!reads || !writes) {
        context->report_error(context, "embact: operator %d does not read tensor %d and write %d",
                              (int)claim->nodes[0], (int)claim->input, (int)claim->output);
        return TFL_ERROR;
    }
    const size_t bytes = sizeof(tfl_ints) + (size_t)claim->node_count * sizeof(int);
    tfl_ints *const nodes = malloc(bytes);
    if (nodes == NULL) {
        return TFL_ERROR;
    }
    nodes->size = claim->node_count;
    for (int32_t n = 0; n < claim->node_count; ++n) {
        nodes->data[n] = claim->nodes[n];
    }
    tfl_registration kernel = {0};
    kernel.init = kernel_init;
    kernel.free = kernel_free;
    kernel.prepare = kernel_prepare;
    kernel.invoke = kernel_invoke;
    kernel.custom_name = "embact";
    kernel.version = 1;
    const int status = context->replace_node_subsets(context, kernel, nodes, &self->base);
    free(nodes);
    return status;
}

/* The runtime offers every graph of the model; node numbers mean the first one. */
static int delegate_prepare(tfl_context *context, tfl_delegate *delegate) {
    host_delegate *const self = (host_delegate *)(void *)delegate;
    if (self->context != NULL && self->context != context) {
        return TFL_OK;
    }
    self->context = context;
    self->replaced = 0;
    for (int32_t i = 0; i < self->count; ++i) {
        if (claim_nodes(context, self, &self->claims[i]) != TFL_OK) {
            return TFL_ERROR;
        }
    }
    return TFL_OK;
}

/**
 * Make a delegate for one interpreter.
 *
 * @param claims  count claims; they stay the caller's and must outlive the interpreter
 * @param count   >= 0
 * @return what the runtimes call TfLiteDelegate *, or NULL if there is no memory
 */
void *embact_delegate_create(embact_claim *claims, int32_t count) {
    host_delegate *const self = calloc(1, sizeof(host_delegate));
    if (self == NULL) {
        return NULL;
    }
    self->base.prepare = delegate_prepare;
    self->base.flags = TFL_ALLOW_DYNAMIC_TENSORS;
    self->claims = claims;
    self->count = count;
    return self;
}

/** Free a delegate whose interpreter is gone. */
void embact_delegate_destroy(void *delegate) { free(delegate); }

/** @return how many claims the runtime handed over: all of them, or something is wrong */
int32_t embact_delegate_replaced(const void *delegate) {
    const host_delegate *const self = delegate;
    return self->replaced;
}

/**
 * The kernel of the self-test: a permutation of the int8 codes that is no activation.
 *
 * @param input   size int8 codes
 * @param output  size int8 codes: (91 * (code + 128) + 17) mod 256 - 128
 * @param size    >= 0
 */
void embact_delegate_probe(const void *input, void *output, int32_t size) {
    const int8_t *const source = input;
    int8_t *const target = output;
    for (int32_t i = 0; i < size; ++i) {
        const int32_t code = source[i] + 128; /* 0..255 */
        target[i] = (int8_t)((91 * code + 17) % 256 - 128);
    }
}
