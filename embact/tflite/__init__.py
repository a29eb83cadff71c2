"""TFLite: read models, find their activations, run them with our kernels, convert, evaluate."""
