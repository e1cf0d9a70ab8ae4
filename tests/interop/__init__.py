"""Our service under the official SDK, and our SDK under the other services: both ways, each peer as it was published.

The peers live in virtual environments of their own, since no two of them want the same botocore, and run as processes.
``DURABLE_ASYNC_INTEROP=1`` asks for these tests; ``nox -s interop`` does.
"""
