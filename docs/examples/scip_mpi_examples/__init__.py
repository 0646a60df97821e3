"""Examples of what a package may add to scip_mpi."""
