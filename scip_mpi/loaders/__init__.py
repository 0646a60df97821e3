"""Loaders, one module per input format; `scip_mpi.loaders.contract` says what each gives."""
