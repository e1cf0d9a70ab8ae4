"""ARNs, the errors of the API, the history: pure data and pure functions."""
