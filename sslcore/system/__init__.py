"""Files, locks, terminals and text. Nothing here imports torch."""
