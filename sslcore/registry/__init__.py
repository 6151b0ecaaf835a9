"""Plugins: found, loaded, and resolved by name."""
