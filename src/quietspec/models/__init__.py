"""Shipped model files (arrays only, no code), each with its card, and the example cube."""
