"""The sub-commands of ``ucadi``, one a file.

Modules that import PyTorch are imported inside the functions that need them, so that ``--help``
and the commands of a federation's operators start fast and use little memory: ``ucadi site`` runs
for months.
"""
