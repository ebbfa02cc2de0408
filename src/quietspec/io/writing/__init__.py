"""From results to files that appear whole or not at all, with their provenance."""
