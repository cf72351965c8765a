"""A hospital's end of a federation: train, test, remember, personalise."""
