"""A request becomes a checked recipe. Signatures are read here; nothing is built."""
