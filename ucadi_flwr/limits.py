"""Upper limits for all data from outside, with their units.

A limit is checked before the bytes are read or the memory is allocated.
"""

KIB, MIB, GIB = 2**10, 2**20, 2**30

# Recipes
RECIPE_BYTES = 64 * KIB
"""A recipe has about 1,000 bytes."""
RECIPE_DEPTH = 16
"""Levels of nested sections."""
RECIPE_LAYERS = 64
"""Names of layers in one list."""

# Images
MANIFEST_BYTES = 64 * MIB
DICOM_FILE_BYTES = 64 * MIB
VOXELS = 2**30
"""Voxels of one volume, or pixels of one image."""

# Models
MODEL_FILE_BYTES = GIB
SEALED_HEADER_BYTES = 16 * MIB
"""Bytes that the header of safetensors may add to a sealed model."""

# Results
RESULTS_BYTES = 256 * MIB
"""Size of results.json and of analysis.json."""
PREDICTIONS_BYTES = 256 * MIB
READERS_BYTES = 16 * MIB
FEATURES_BYTES = 64 * MIB
SEALED_RUN_BYTES = 64 * GIB
CHECKPOINT_MANIFEST_BYTES = 64 * MIB

# Tables
TEXT_CHARACTERS = 1024
"""Characters of one value in a CSV file."""
HEADER_BYTES = 64 * KIB
"""Bytes of a CSV file that are read to decide whether it is a manifest."""

# Messages
MULTIPLIERS_CHARACTERS = 1_000_000
"""Characters of the JSON of range multipliers."""
SITE_TEXT_CHARACTERS = 500
"""Characters of a text that a site sends."""
REASON_CHARACTERS = 300
"""Characters of the reason for a failure in the journal."""
EXAMPLES = 2**31
"""Number of cases that one site may report."""

# Keys and kits
KEY_FILE_BYTES = MIB
KIT_FILE_BYTES = 64 * KIB

# Logs
LOG_BYTES = 16 * MIB
"""A longer log is renamed to ``.1`` when its program starts again."""
