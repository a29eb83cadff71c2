"""What a model does today: its cost on a core, its error on every input, whether TFLM runs it."""
