"""Finding the activations of a graph: by what its operators compute, with their constants read."""
