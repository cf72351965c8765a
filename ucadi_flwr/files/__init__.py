"""Files of any kind: written whole or not at all, locked, size-capped, read strictly."""
