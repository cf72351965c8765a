"""Provisioning of a federation: who may join it, and the folder that each party is handed."""
