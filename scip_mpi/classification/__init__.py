"""Gradient boosting on the table: what kind of cell each row is."""
