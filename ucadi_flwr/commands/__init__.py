"""The sub-commands of ``ucadi``, one a file."""
