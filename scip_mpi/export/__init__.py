"""A finished table in the forms that other programs take."""
