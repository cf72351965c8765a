"""From the predictions that an experiment keeps to figures, intervals, differences and tables."""
