"""Experiments on one machine: grids of cells on the engine that Flower simulates with."""
