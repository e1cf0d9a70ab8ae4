"""The floor's calls, on aiobotocore as it comes."""

from __future__ import annotations

from benchmarks.adapters.floor import measure


def plain_client():
    from aiobotocore.session import get_session

    return get_session().create_client("lambda")


if __name__ == "__main__":
    measure(plain_client)
