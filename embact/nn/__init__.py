"""The C library of kernels whose quantisation is passed at run time, and its numpy twins."""
