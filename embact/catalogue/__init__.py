"""The activations that embact knows, a file for each kind; and what others call them."""
