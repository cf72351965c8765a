"""All size caps for what comes from outside, with their units.

Every cap is checked before the bytes are read or the memory is allocated.
"""

KIB, MIB, GIB = 2**10, 2**20, 2**30

# Recipes
RECIPE_BYTES = 64 * KIB
"""A recipe has about 1,000 bytes."""
RECIPE_DEPTH = 16
"""Nested sections."""
RECIPE_LAYERS = 64
"""Names of layers in one list."""

# Images
MANIFEST_BYTES = 64 * MIB
DICOM_FILE_BYTES = 64 * MIB
VOXELS = 2**30
"""Of one volume."""

# Models
MODEL_FILE_BYTES = GIB
SEALED_HEADER_BYTES = 16 * MIB
"""What safetensors' own header may add to a sealed model."""

# Results
RESULTS_BYTES = 256 * MIB
"""results.json, analysis.json."""
PREDICTIONS_BYTES = 256 * MIB
READERS_BYTES = 16 * MIB
FEATURES_BYTES = 64 * MIB
SEALED_RUN_BYTES = 64 * GIB
CHECKPOINT_MANIFEST_BYTES = 64 * MIB

# Tables
TEXT_CHARACTERS = 1024
"""Of one value in a manifest or a table of readers."""
HEADER_BYTES = 64 * KIB
"""Read of a file to see whether it is a manifest."""

# Messages
MULTIPLIERS_CHARACTERS = 1_000_000
"""JSON of range multipliers."""
SITE_TEXT_CHARACTERS = 500
"""Of a text that a site sends."""
REASON_CHARACTERS = 300
"""Of the reason of a failure in the journal."""
EXAMPLES = 2**31
"""Cases that one site may declare."""

# Keys and kits
KEY_FILE_BYTES = MIB
KIT_FILE_BYTES = 64 * KIB

# Logs
LOG_BYTES = 16 * MIB
"""A longer log is renamed to ``.1`` when its program starts again."""
