"""A recipe becomes modules, and signals flow through them: from images to the loss."""
