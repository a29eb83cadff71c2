"""What firmware needs: registration with TensorFlow Lite Micro, the model as C, CMake, README."""
