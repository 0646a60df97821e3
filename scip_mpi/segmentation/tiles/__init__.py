"""Fields in tiles: how they are cut, thresholds of all of them, and objects that cross seams.

Knows nothing of ranks, messages or files: arrays in, arrays out.
"""
