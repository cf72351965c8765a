"""The predictions that an experiment keeps → measures, intervals, differences and warnings."""
