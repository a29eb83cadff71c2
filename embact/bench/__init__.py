"""What kernels and loops cost on real cores: the rows, how they are measured, and their table."""
