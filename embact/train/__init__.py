"""From trained networks to quantised models, by TensorFlow's converter."""
