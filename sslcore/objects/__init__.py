"""Python objects in place of names: adapters that make parts of them, in a registry of one call."""
