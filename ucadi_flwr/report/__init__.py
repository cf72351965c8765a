"""The report of an experiment: one page, its figures, and tables as CSV files."""
