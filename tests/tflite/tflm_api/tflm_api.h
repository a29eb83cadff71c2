// What embact's glue uses of TensorFlow Lite Micro, declared in our own words: enough to compile
// the glue, and to run it in the interpreter of harness.cc. Names and the order of parameters are
// TFLM's; everything else is made for the tests.
#ifndef EMBACT_TESTS_TFLM_API_H
#define EMBACT_TESTS_TFLM_API_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
enum TfLiteType { kTfLiteNoType = 0, kTfLiteFloat32 = 1, kTfLiteInt16 = 7, kTfLiteInt8 = 9 };
enum TfLiteAllocationType { kTfLiteMmapRo = 1, kTfLiteArenaRw = 2 };

struct TfLiteIntArray {
  int size;
  int data[8];
};

struct TfLiteQuantizationParams {
  float scale;
  int32_t zero_point;
};

union TfLitePtrUnion {
  char* raw;
  void* data;
};

struct TfLiteTensor {
  TfLiteType type;
  TfLitePtrUnion data;
  TfLiteIntArray* dims;
  TfLiteQuantizationParams params;
  TfLiteAllocationType allocation_type;
  size_t bytes;
};

struct TfLiteEvalTensor {
  TfLitePtrUnion data;
  TfLiteIntArray* dims;
  TfLiteType type;
};

struct TfLiteNode {
  TfLiteIntArray* inputs;
  TfLiteIntArray* outputs;
  void* user_data;
  void* builtin_data;
};

struct TfLiteContext {
  void* impl_;
};

struct TfLiteLeakyReluParams {
  float alpha;
};

struct TfLiteSoftmaxParams {
  float beta;
};

struct TFLMRegistration {
  void* (*init)(TfLiteContext* context, const char* buffer, size_t length);
  void (*free)(TfLiteContext* context, void* buffer);
  TfLiteStatus (*prepare)(TfLiteContext* context, TfLiteNode* node);
  TfLiteStatus (*invoke)(TfLiteContext* context, TfLiteNode* node);
  void (*reset)(TfLiteContext* context, void* buffer);
  int32_t builtin_code;
  const char* custom_name;
};

const char* TfLiteTypeGetName(TfLiteType type);

#ifndef TF_LITE_STRIP_ERROR_STRINGS
void MicroPrintf(const char* format, ...);
#else
#define MicroPrintf(...) tflite::Unused(__VA_ARGS__)
#endif

namespace tflite {

template <typename... Arguments>
void Unused(Arguments&&...) {}

class MicroContext {
 public:
  void* AllocatePersistentBuffer(size_t bytes);
  TfLiteTensor* AllocateTempInputTensor(const TfLiteNode* node, int index);
  TfLiteTensor* AllocateTempOutputTensor(const TfLiteNode* node, int index);
  void DeallocateTempTfLiteTensor(TfLiteTensor* tensor);
};

inline MicroContext* GetMicroContext(const TfLiteContext* context) {
  return static_cast<MicroContext*>(context->impl_);
}

namespace micro {

const TfLiteEvalTensor* GetEvalInput(const TfLiteContext* context, const TfLiteNode* node,
                                     int index);
TfLiteEvalTensor* GetEvalOutput(const TfLiteContext* context, const TfLiteNode* node, int index);

template <typename T>
T* GetTensorData(TfLiteEvalTensor* tensor) {
  return static_cast<T*>(tensor->data.data);
}

template <typename T>
const T* GetTensorData(const TfLiteEvalTensor* tensor) {
  return static_cast<const T*>(tensor->data.data);
}

}  // namespace micro

// Operators by name in the schema and resolver's method: all that can be overridden, and what else
// the tests' models have. The schema's numbers of operators do not matter here.
#define TFLM_API_OPERATORS(of)           \
  of(ABS, AddAbs)                        \
  of(ADD, AddAdd)                        \
  of(CAST, AddCast)                      \
  of(CEIL, AddCeil)                      \
  of(CONV_2D, AddConv2D)                 \
  of(COS, AddCos)                        \
  of(ELU, AddElu)                        \
  of(EXP, AddExp)                        \
  of(FLOOR, AddFloor)                    \
  of(FULLY_CONNECTED, AddFullyConnected) \
  of(GATHER, AddGather)                  \
  of(HARD_SWISH, AddHardSwish)           \
  of(LEAKY_RELU, AddLeakyRelu)           \
  of(LOG, AddLog)                        \
  of(LOGISTIC, AddLogistic)              \
  of(LOG_SOFTMAX, AddLogSoftmax)         \
  of(MUL, AddMul)                        \
  of(NEG, AddNeg)                        \
  of(PRELU, AddPrelu)                    \
  of(RELU, AddRelu)                      \
  of(RELU6, AddRelu6)                    \
  of(RESHAPE, AddReshape)                \
  of(ROUND, AddRound)                    \
  of(RSQRT, AddRsqrt)                    \
  of(SIN, AddSin)                        \
  of(SOFTMAX, AddSoftmax)                \
  of(SQRT, AddSqrt)                      \
  of(SQUARE, AddSquare)                  \
  of(TANH, AddTanh)

#define TFLM_API_DECLARE(op, method) TFLMRegistration Register_##op();
TFLM_API_OPERATORS(TFLM_API_DECLARE)
#undef TFLM_API_DECLARE

// One operator of a resolver: its name, and its registration.
struct Added {
  const char* name;
  TFLMRegistration registration;
};

template <unsigned int N>
class MicroMutableOpResolver {
 public:
#define TFLM_API_METHOD(op, method)                                             \
  TfLiteStatus method(const TFLMRegistration& registration = Register_##op()) { \
    return Add(#op, registration);                                              \
  }
  TFLM_API_OPERATORS(TFLM_API_METHOD)
#undef TFLM_API_METHOD

  TfLiteStatus AddResizeNearestNeighbor() { return Add("RESIZE_NEAREST_NEIGHBOR", {}); }
  TfLiteStatus AddRfft() { return Add("SignalRfft", {}); }

  TfLiteStatus AddCustom(const char* name, const TFLMRegistration* registration) {
    return Add(name, *registration);
  }

  unsigned int GetRegistrationLength() const { return length_; }
  const Added& At(unsigned int index) const { return added_[index]; }

 private:
  TfLiteStatus Add(const char* name, const TFLMRegistration& registration) {
    for (unsigned int i = 0; i < length_; ++i) {
      if (strcmp(added_[i].name, name) == 0) {
        return kTfLiteError;
      }
    }
    if (length_ >= N) {
      return kTfLiteError;
    }
    added_[length_++] = Added{name, registration};
    return kTfLiteOk;
  }

  Added added_[N] = {};
  unsigned int length_ = 0;
};

}  // namespace tflite

#endif  // EMBACT_TESTS_TFLM_API_H
