"""Provisioning: who may join a federation, and the start-up kit that each party gets."""
