"""The C++ of the glue that does not depend on the model. Each part is a ``string.Template``.

All of it is in an unnamed namespace inside the model's own, so several models can be linked into
one program. Nothing has a constructor or allocates from the heap, and errors are statuses. This
module must not know routines.
"""

from __future__ import annotations

from string import Template

COMMON = Template("""\
struct Quantisation {
  uint32_t input_scale;  // the bits of the float32, so that equal means equal
  uint32_t output_scale;
  int16_t input_zero_point;
  int16_t output_zero_point;
};

// A function of embact_ops.h, and where it is right.
struct Routine {
  void (*run)(const void* input, void* output, int32_t size);
  const Quantisation* quantisations;
  uint16_t quantisation_count;
  uint8_t input_type;  // TfLiteType
  uint8_t output_type;
  int32_t row;                // length of the output's last axis; 0: any
  int32_t inputs_per_output;  // elements
${more_fields}};

enum class Fit { kYes, kTypes, kQuantisation, kSizes };

uint32_t BitsOf(float value) {
  uint32_t bits = 0;
  static_assert(sizeof(bits) == sizeof(value), "float is not 32 bits wide");
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

size_t ElementsOf(const TfLiteTensor& tensor) {
  return tensor.type == kTfLiteInt16 ? tensor.bytes / 2 : tensor.bytes;
}

int32_t LastAxis(const TfLiteIntArray& dims) {
  return dims.size > 0 ? dims.data[dims.size - 1] : 1;
}

Fit FitOf(const Routine& routine, const TfLiteTensor& input, const TfLiteTensor& output) {
  if (input.type != routine.input_type || output.type != routine.output_type) {
    return Fit::kTypes;
  }
  const Quantisation* one = routine.quantisations;
  const Quantisation* const end = one + routine.quantisation_count;
  while (one != end && (one->input_scale != BitsOf(input.params.scale) ||
                        one->output_scale != BitsOf(output.params.scale) ||
                        one->input_zero_point != input.params.zero_point ||
                        one->output_zero_point != output.params.zero_point)) {
    ++one;
  }
  if (one == end) {
    return Fit::kQuantisation;
  }
  const size_t size = ElementsOf(output);
  if (size > INT32_MAX ||
      ElementsOf(input) != size * static_cast<size_t>(routine.inputs_per_output)) {
    return Fit::kSizes;
  }
  if (routine.row != 0 && (LastAxis(*output.dims) != routine.row ||
                           LastAxis(*input.dims) != routine.row * routine.inputs_per_output)) {
    return Fit::kSizes;
  }
  return Fit::kYes;
}

TfLiteStatus Run(TfLiteContext* context, TfLiteNode* node,
                 void (*run)(const void* input, void* output, int32_t size)) {
  const TfLiteEvalTensor* const input = tflite::micro::GetEvalInput(context, node, 0);
  TfLiteEvalTensor* const output = tflite::micro::GetEvalOutput(context, node, 0);
  int32_t size = 1;  // Prepare has seen that it is below 2^31
  for (int i = 0; i < output->dims->size; ++i) {
    size *= output->dims->data[i];
  }
  run(tflite::micro::GetTensorData<uint8_t>(input), tflite::micro::GetTensorData<uint8_t>(output),
      size);
  return kTfLiteOk;
}
""")

CUSTOM = """\

void Explain(Fit fit, const char* name, const TfLiteTensor& input, const TfLiteTensor& output) {
#ifndef TF_LITE_STRIP_ERROR_STRINGS
  if (fit == Fit::kTypes) {
    MicroPrintf("%s: its tensors are %s and %s, for which it was not made.", name,
                TfLiteTypeGetName(input.type), TfLiteTypeGetName(output.type));
  } else if (fit == Fit::kQuantisation) {
    MicroPrintf("%s: it was not made for this quantisation: scales with the bits 0x%x and 0x%x,",
                name, static_cast<unsigned int>(BitsOf(input.params.scale)),
                static_cast<unsigned int>(BitsOf(output.params.scale)));
    MicroPrintf("zero points %d and %d.", static_cast<int>(input.params.zero_point),
                static_cast<int>(output.params.zero_point));
  } else {
    MicroPrintf("%s: it was not made for %d inputs and %d outputs in such rows.", name,
                static_cast<int>(ElementsOf(input)), static_cast<int>(ElementsOf(output)));
  }
  MicroPrintf("Use the model with the files that embact wrote beside it, all of one conversion.");
#else
  (void)fit;
  (void)name;
  (void)input;
  (void)output;
#endif
}

TfLiteStatus PrepareCustom(TfLiteContext* context, TfLiteNode* node, const Routine& routine,
                           const char* name) {
  tflite::MicroContext* const micro = tflite::GetMicroContext(context);
  TfLiteTensor* const input = micro->AllocateTempInputTensor(node, 0);
  TfLiteTensor* const output = micro->AllocateTempOutputTensor(node, 0);
  TfLiteStatus status = kTfLiteError;
  if (input == nullptr || output == nullptr) {
    MicroPrintf("%s: it has no input or no output, or the arena is too small.", name);
  } else {
    const Fit fit = FitOf(routine, *input, *output);
    if (fit == Fit::kYes) {
      status = kTfLiteOk;
    } else {
      Explain(fit, name, *input, *output);
    }
  }
  if (output != nullptr) {
    micro->DeallocateTempTfLiteTensor(output);
  }
  if (input != nullptr) {
    micro->DeallocateTempTfLiteTensor(input);
  }
  return status;
}

TFLMRegistration Registration(TfLiteStatus (*prepare)(TfLiteContext*, TfLiteNode*),
                              TfLiteStatus (*invoke)(TfLiteContext*, TfLiteNode*)) {
  TFLMRegistration made = {};
  made.prepare = prepare;
  made.invoke = invoke;
  return made;
}
"""

ONE_CUSTOM = Template("""\

TfLiteStatus Prepare_$function(TfLiteContext* context, TfLiteNode* node) {
  return PrepareCustom(context, node, kRoutine_$function, "$function");
}

TfLiteStatus Eval_$function(TfLiteContext* context, TfLiteNode* node) {
  return Run(context, node, kRoutine_$function.run);
}
""")

REGISTER_CUSTOM = Template("""\

TFLMRegistration Register_$function() {
  return Registration(Prepare_$function, Eval_$function);
}
""")
