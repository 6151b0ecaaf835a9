"""What the author of a plugin may say: records, hooks, settings, the interface of a part."""
