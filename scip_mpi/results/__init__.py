"""The files in OUT: the table, its export, the tables beside it, and the folder itself."""
