"""The networks, one file for each architecture, and the files of trained models."""
