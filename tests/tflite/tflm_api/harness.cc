// An interpreter of a few nodes for the glue's tests. It reads words from standard input:
//   tensor TYPE SCALE_BITS ZERO_POINT ARENA|CONST RANK DIM... BYTES...    (one for each byte)
//   node OPERATOR OPTION_BITS INPUTS INDEX... OUTPUTS INDEX...
//   memory N      how many persistent allocations succeed
// and then does what TFLM does: Init of all nodes, Prepare of all, Invoke, Reset, Invoke, Free.
// It prints what was called, what the glue logged, and the tensors at the end.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "embact_tflm.h"

#ifdef EMBACT_TESTS_MORE
static TfLiteStatus AddMore(embact::OpResolver& resolver) {
  const TFLMRegistration empty = {};
  return resolver.AddCustom(EMBACT_TESTS_MORE, &empty);
}
#endif

namespace {

struct Tensor {
  TfLiteType type;
  float scale;
  int zero_point;
  bool constant;
  TfLiteIntArray dims;
  std::vector<char> data;
};

std::vector<Tensor> tensors;
std::vector<TfLiteEvalTensor> eval_tensors;
int persistent_left = 1000;
int temporary = 0;

TfLiteTensor* Temporary(const TfLiteIntArray* indices, int index) {
  if (index >= indices->size) {
    return nullptr;
  }
  Tensor& one = tensors[static_cast<size_t>(indices->data[index])];
  TfLiteTensor* const made = new TfLiteTensor();
  made->type = one.type;
  made->data.raw = one.constant ? one.data.data() : nullptr;  // as in TFLM: planned later
  made->dims = &one.dims;
  made->params.scale = one.scale;
  made->params.zero_point = one.zero_point;
  made->allocation_type = one.constant ? kTfLiteMmapRo : kTfLiteArenaRw;
  made->bytes = one.data.size();
  ++temporary;
  return made;
}

std::string Word() {
  char word[4096];
  return scanf("%4095s", word) == 1 ? word : "";
}

int Number() { return static_cast<int>(strtol(Word().c_str(), nullptr, 0)); }

float Real() {
  const uint32_t bits = static_cast<uint32_t>(strtoul(Word().c_str(), nullptr, 0));
  float value = 0;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

TfLiteIntArray Numbers() {
  TfLiteIntArray made = {};
  made.size = Number();
  for (int i = 0; i < made.size; ++i) {
    made.data[i] = Number();
  }
  return made;
}

TfLiteType TypeOf(const std::string& name) {
  return name == "int8" ? kTfLiteInt8 : name == "int16" ? kTfLiteInt16 : kTfLiteFloat32;
}

}  // namespace

const char* TfLiteTypeGetName(TfLiteType type) {
  return type == kTfLiteInt8 ? "INT8" : type == kTfLiteInt16 ? "INT16" : "FLOAT32";
}

#ifndef TF_LITE_STRIP_ERROR_STRINGS
void MicroPrintf(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("log ");
  vprintf(format, arguments);
  printf("\n");
  va_end(arguments);
}
#endif

namespace tflite {

void* MicroContext::AllocatePersistentBuffer(size_t bytes) {
  return persistent_left-- > 0 ? calloc(1, bytes) : nullptr;
}

TfLiteTensor* MicroContext::AllocateTempInputTensor(const TfLiteNode* node, int index) {
  return Temporary(node->inputs, index);
}

TfLiteTensor* MicroContext::AllocateTempOutputTensor(const TfLiteNode* node, int index) {
  return Temporary(node->outputs, index);
}

void MicroContext::DeallocateTempTfLiteTensor(TfLiteTensor* tensor) {
  delete tensor;
  --temporary;
}

namespace micro {

const TfLiteEvalTensor* GetEvalInput(const TfLiteContext*, const TfLiteNode* node, int index) {
  return &eval_tensors[static_cast<size_t>(node->inputs->data[index])];
}

TfLiteEvalTensor* GetEvalOutput(const TfLiteContext*, const TfLiteNode* node, int index) {
  return &eval_tensors[static_cast<size_t>(node->outputs->data[index])];
}

}  // namespace micro

// Stock kernels: each keeps state of its own, and its results are the inputs plus 100,
// for types of one byte.
struct State {
  const char* op;
  const char* buffer;
};

static std::vector<const State*> states;

static bool IsState(const void* buffer, const char* op) {
  for (const State* const one : states) {
    if (one == buffer) {
      return strcmp(one->op, op) == 0;
    }
  }
  return false;
}

void* StockInit(TfLiteContext* context, const char* buffer, const char* op) {
  printf("stock %s init\n", op);
  State* const made =
      static_cast<State*>(GetMicroContext(context)->AllocatePersistentBuffer(sizeof(State)));
  made->op = op;
  made->buffer = buffer;
  states.push_back(made);
  return made;
}

TfLiteStatus StockCall(const TfLiteNode* node, const char* op, const char* what) {
  const State* const state = static_cast<const State*>(node->user_data);
  if (!IsState(state, op) || state->buffer != node->builtin_data) {
    printf("stock %s %s: not its own state\n", op, what);
    return kTfLiteError;
  }
  printf("stock %s %s\n", op, what);
  return kTfLiteOk;
}

void StockEnd(void* buffer, const char* op, const char* what) {
  printf("stock %s %s%s\n", op, what, IsState(buffer, op) ? "" : ": not its own state");
}

void StockCompute(TfLiteContext* context, const TfLiteNode* node) {
  const TfLiteEvalTensor* const input = micro::GetEvalInput(context, node, 0);
  TfLiteEvalTensor* const output = micro::GetEvalOutput(context, node, 0);
  const size_t bytes = tensors[static_cast<size_t>(node->outputs->data[0])].data.size();
  for (size_t i = 0; i < bytes; ++i) {
    output->data.raw[i] = static_cast<char>(input->data.raw[i] + 100);
  }
}

// EXP stands for kernels that have no state and nothing to prepare.
TfLiteStatus BareEval(TfLiteContext* context, TfLiteNode* node) {
  StockCompute(context, node);
  printf("stock EXP eval\n");
  return node->user_data == nullptr ? kTfLiteOk : kTfLiteError;
}

#define TFLM_API_DEFINE(op, method)                                                     \
  static void* Init_##op(TfLiteContext* context, const char* buffer, size_t) {          \
    return StockInit(context, buffer, #op);                                             \
  }                                                                                     \
  static TfLiteStatus Prepare_##op(TfLiteContext*, TfLiteNode* node) {                  \
    return StockCall(node, #op, "prepare");                                             \
  }                                                                                     \
  static TfLiteStatus Eval_##op(TfLiteContext* context, TfLiteNode* node) {             \
    StockCompute(context, node);                                                        \
    return StockCall(node, #op, "eval");                                                \
  }                                                                                     \
  static void Free_##op(TfLiteContext*, void* buffer) { StockEnd(buffer, #op, "free"); } \
  static void Reset_##op(TfLiteContext*, void* buffer) {                                \
    StockEnd(buffer, #op, "reset");                                                     \
  }                                                                                     \
  TFLMRegistration Register_##op() {                                                    \
    if (strcmp(#op, "EXP") == 0) {                                                      \
      return {nullptr, nullptr, nullptr, BareEval, nullptr, 0, nullptr};                \
    }                                                                                   \
    return {Init_##op, Free_##op, Prepare_##op, Eval_##op, Reset_##op, 0, nullptr};     \
  }
TFLM_API_OPERATORS(TFLM_API_DEFINE)

}  // namespace tflite

namespace {

struct Node {
  TfLiteNode node;
  TfLiteIntArray inputs;
  TfLiteIntArray outputs;
  float option;
  const TFLMRegistration* kernel;
};

bool RunAll(TfLiteContext* context, std::vector<Node*>& nodes) {
  for (Node* const one : nodes) {
    if (one->kernel->init != nullptr) {
      one->node.user_data =
          one->kernel->init(context, static_cast<const char*>(one->node.builtin_data), 0);
    }
  }
  for (Node* const one : nodes) {
    const TfLiteStatus status = one->kernel->prepare(context, &one->node);
    printf("prepare %d, temporary %d\n", status, temporary);
    if (status != kTfLiteOk) {
      return false;
    }
  }
  for (int pass = 0; pass < 2; ++pass) {
    for (Node* const one : nodes) {
      printf("invoke %d\n", one->kernel->invoke(context, &one->node));
    }
    for (Node* const one : nodes) {
      if (pass == 0 && one->kernel->reset != nullptr) {
        one->kernel->reset(context, one->node.user_data);
      }
    }
  }
  return true;
}

}  // namespace

int main() {
  static embact::OpResolver resolver;
#ifdef EMBACT_TESTS_MORE
  const TfLiteStatus status = embact::RegisterAll(resolver, AddMore);
#else
  const TfLiteStatus status = embact::RegisterAll(resolver);
#endif
  printf("register %d, %u of %u:", status, resolver.GetRegistrationLength(), embact::kOperators);
  for (unsigned int i = 0; i < resolver.GetRegistrationLength(); ++i) {
    printf(" %s", resolver.At(i).name);
  }
  printf("\n");
  std::vector<Node*> nodes;
  for (std::string word = Word(); !word.empty(); word = Word()) {
    if (word == "memory") {
      persistent_left = Number();
    } else if (word == "tensor") {
      Tensor made = {};
      made.type = TypeOf(Word());
      made.scale = Real();
      made.zero_point = Number();
      made.constant = Word() == "CONST";
      made.dims = Numbers();
      size_t bytes = made.type == kTfLiteInt8 ? 1 : made.type == kTfLiteInt16 ? 2 : 4;
      for (int i = 0; i < made.dims.size; ++i) {
        bytes *= static_cast<size_t>(made.dims.data[i]);
      }
      for (size_t i = 0; i < bytes; ++i) {
        made.data.push_back(static_cast<char>(Number()));
      }
      tensors.push_back(made);
    } else {
      Node* const made = new Node();
      const std::string op = Word();
      made->option = Real();
      made->inputs = Numbers();
      made->outputs = Numbers();
      made->node.inputs = &made->inputs;
      made->node.outputs = &made->outputs;
      made->node.builtin_data = &made->option;
      for (unsigned int i = 0; i < resolver.GetRegistrationLength(); ++i) {
        if (op == resolver.At(i).name) {
          made->kernel = &resolver.At(i).registration;
        }
      }
      if (made->kernel == nullptr) {
        printf("no operator %s\n", op.c_str());
        return 1;
      }
      nodes.push_back(made);
    }
  }
  for (Tensor& one : tensors) {
    TfLiteEvalTensor made = {};
    made.data.raw = one.data.data();
    made.dims = &one.dims;
    made.type = one.type;
    eval_tensors.push_back(made);
  }
  tflite::MicroContext micro;
  TfLiteContext context = {};
  context.impl_ = &micro;
  const bool ran = RunAll(&context, nodes);
  for (Node* const one : nodes) {
    if (one->kernel->free != nullptr) {
      one->kernel->free(&context, one->node.user_data);
    }
  }
  for (size_t i = 0; ran && i < tensors.size(); ++i) {
    printf("tensor %zu:", i);
    for (const char byte : tensors[i].data) {
      printf(" %d", byte);
    }
    printf("\n");
  }
  return 0;
}
