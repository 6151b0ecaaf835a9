"""Trained encoders and classifiers in the formats of other programs."""
