"""ucadi-flwr: federated learning for chest imaging on Flower."""

__version__ = "0.1.0"
