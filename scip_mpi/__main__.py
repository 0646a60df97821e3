"""``python -m scip_mpi``."""

from scip_mpi.cli import main

if __name__ == "__main__":
    main()
