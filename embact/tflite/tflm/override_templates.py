"""The C++ of builtin operators whose nodes are looked up, as ``templates`` is for custom operators.

This module must not know routines.
"""

from __future__ import annotations

from string import Template

OVERRIDE = """\

using Stock = TFLMRegistration (*)();
using Same = bool (*)(tflite::MicroContext& micro, const TfLiteNode& node,
                      const Routine& routine);

// What a node carries: a routine, or the stock kernel's own state.
struct Node {
  const Routine* routine;
  void* stock;
  const char* buffer;  // what TFLM handed to Init, for the stock kernel's
  size_t length;
  bool is_stock;
};

void* InitOverride(TfLiteContext* context, const char* buffer, size_t length) {
  void* const memory =
      tflite::GetMicroContext(context)->AllocatePersistentBuffer(sizeof(Node));
  if (memory == nullptr) {
    return nullptr;
  }
  Node* const own = static_cast<Node*>(memory);
  own->routine = nullptr;
  own->stock = nullptr;
  own->buffer = buffer;
  own->length = length;
  own->is_stock = false;
  return own;
}

const Routine* Find(tflite::MicroContext& micro, TfLiteNode& node, const Routine* routines,
                    size_t count, Same same) {
  TfLiteTensor* const input = micro.AllocateTempInputTensor(&node, 0);
  TfLiteTensor* const output = micro.AllocateTempOutputTensor(&node, 0);
  const Routine* found = nullptr;
  if (input != nullptr && output != nullptr) {
    for (size_t i = 0; i < count && found == nullptr; ++i) {
      if (FitOf(routines[i], *input, *output) == Fit::kYes &&
          (same == nullptr || same(micro, node, routines[i]))) {
        found = &routines[i];
      }
    }
  }
  if (output != nullptr) {
    micro.DeallocateTempTfLiteTensor(output);
  }
  if (input != nullptr) {
    micro.DeallocateTempTfLiteTensor(input);
  }
  return found;
}

TfLiteStatus PrepareOverride(TfLiteContext* context, TfLiteNode* node, const Routine* routines,
                             size_t count, Same same, Stock stock) {
  Node* const own = static_cast<Node*>(node->user_data);
  if (own == nullptr) {
    MicroPrintf("embact: the arena is too small.");
    return kTfLiteError;
  }
  own->routine = Find(*tflite::GetMicroContext(context), *node, routines, count, same);
  if (own->routine != nullptr) {
    return kTfLiteOk;
  }
  const TFLMRegistration kernel = stock();
  if (!own->is_stock) {
    own->is_stock = true;
    if (kernel.init != nullptr) {
      own->stock = kernel.init(context, own->buffer, own->length);
    }
  }
  if (kernel.prepare == nullptr) {
    return kTfLiteOk;
  }
  node->user_data = own->stock;
  const TfLiteStatus status = kernel.prepare(context, node);
  own->stock = node->user_data;
  node->user_data = own;
  return status;
}

TfLiteStatus EvalOverride(TfLiteContext* context, TfLiteNode* node, Stock stock) {
  Node* const own = static_cast<Node*>(node->user_data);
  if (own->routine != nullptr) {
    return Run(context, node, own->routine->run);
  }
  node->user_data = own->stock;
  const TfLiteStatus status = stock().invoke(context, node);
  own->stock = node->user_data;
  node->user_data = own;
  return status;
}

void FreeOverride(TfLiteContext* context, void* buffer, Stock stock) {
  Node* const own = static_cast<Node*>(buffer);
  const TFLMRegistration kernel = stock();
  if (own != nullptr && own->is_stock && kernel.free != nullptr) {
    kernel.free(context, own->stock);
  }
}

void ResetOverride(TfLiteContext* context, void* buffer, Stock stock) {
  Node* const own = static_cast<Node*>(buffer);
  const TFLMRegistration kernel = stock();
  if (own != nullptr && own->is_stock && kernel.reset != nullptr) {
    kernel.reset(context, own->stock);
  }
}
"""

SAME_OPTION = Template("""\

bool $same(tflite::MicroContext&, const TfLiteNode& node, const Routine& routine) {
  const auto* const options = static_cast<const $options*>(node.builtin_data);
  return options != nullptr && BitsOf(options->$field) == routine.option;
}
""")
"""For operators with one float32 in their options, which the function depends on."""

SLOPES = """\

struct Slopes {
  uint32_t scale;  // the bits of the float32
  int32_t zero_point;
  size_t count;
  const int8_t* codes;
};
"""

SAME_SLOPES = """\

bool SameSlopes(tflite::MicroContext& micro, const TfLiteNode& node, const Routine& routine) {
  TfLiteTensor* const tensor = micro.AllocateTempInputTensor(&node, 1);
  if (tensor == nullptr) {
    return false;
  }
  const Slopes& known = *routine.slopes;
  const bool same =
      tensor->type == kTfLiteInt8 && tensor->allocation_type == kTfLiteMmapRo &&
      tensor->params.zero_point == known.zero_point &&
      BitsOf(tensor->params.scale) == known.scale && tensor->bytes == known.count &&
      static_cast<size_t>(LastAxis(*tensor->dims)) == known.count &&
      memcmp(tensor->data.raw, known.codes, known.count) == 0;
  micro.DeallocateTempTfLiteTensor(tensor);
  return same;
}
"""

ONE_OVERRIDE = Template("""\

TfLiteStatus Prepare_$op(TfLiteContext* context, TfLiteNode* node) {
  return PrepareOverride(context, node, k$op, $count, $same, tflite::Register_$op);
}

TfLiteStatus Eval_$op(TfLiteContext* context, TfLiteNode* node) {
  return EvalOverride(context, node, tflite::Register_$op);
}

void Free_$op(TfLiteContext* context, void* buffer) {
  FreeOverride(context, buffer, tflite::Register_$op);
}

void Reset_$op(TfLiteContext* context, void* buffer) {
  ResetOverride(context, buffer, tflite::Register_$op);
}
""")

REGISTER_OVERRIDE = Template("""\

TFLMRegistration Register_$op() {
  TFLMRegistration made = {};
  made.init = InitOverride;
  made.free = Free_$op;
  made.prepare = Prepare_$op;
  made.invoke = Eval_$op;
  made.reset = Reset_$op;
  return made;
}
""")
