"""K Gaussian features, one of them the core: the paper's law with several shortcuts."""
