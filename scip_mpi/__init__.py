"""From millions of multichannel cell images to one table of per-cell features, with MPI."""

__version__ = "0.1.0"
