"""How fast a durable step is, and whether it comes back right, against a floor and against the other Python SDKs.

``python -m benchmarks`` prints everything; ``python -m benchmarks --help`` says what else it can do.
"""
