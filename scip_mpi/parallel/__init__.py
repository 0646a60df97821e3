"""Ranks, messages and reductions: the only folder that imports mpi4py, and it does so late."""
