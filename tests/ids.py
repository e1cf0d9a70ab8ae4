"""Names of parameters that are the same in every process, so that several processes can share out the tests."""

import re


def stable(value):
    """``str(value)`` without the addresses of objects, and with sets in order."""
    if isinstance(value, set | frozenset):
        value = sorted(map(repr, value))
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))[:50]
