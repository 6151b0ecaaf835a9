"""The folder of a run: its recipe, metrics, checkpoints, encoder and evaluation."""
