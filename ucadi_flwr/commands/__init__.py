"""The sub-commands of ``ucadi``, one a file.

What brings PyTorch with it is imported where it is used, so that ``--help`` and the commands of a
federation's operators start at once and stay small: ``ucadi site`` runs for months.
"""
