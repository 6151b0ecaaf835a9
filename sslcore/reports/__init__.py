"""What a person looks at: views before training, a report of each run, runs side by side."""
