"""What an execution is on paper: ARNs, errors, the history. Pure data and pure functions."""
