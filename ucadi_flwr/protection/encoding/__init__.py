"""Numbers to slots and back: layout, ranges, packing."""
