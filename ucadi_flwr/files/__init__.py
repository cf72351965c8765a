"""Files of any kind: atomic writing, locks, size limits, and a strict reader of CSV."""
