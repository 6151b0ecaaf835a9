"""What representations are worth: evaluators beside two baselines, and signs of collapse."""
