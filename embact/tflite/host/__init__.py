"""Running models with kernels on this machine, in unmodified interpreters, and comparing."""
