"""Runs in a peer's environment, where this project is not installed: nothing here may import it."""
