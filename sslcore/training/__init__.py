"""The training loop: steps, gradients, the state of training; start, stop and resume."""
