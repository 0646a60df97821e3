"""Feature families, one module each: the names and the kernel side by side."""
