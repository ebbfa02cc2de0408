"""Writers of outputs that appear whole or not at all, with their provenance."""
