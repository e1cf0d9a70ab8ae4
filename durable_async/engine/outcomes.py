"""How an invocation can end."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen
class Returned:
    """The workflow's coroutine returned."""

    value: Any


@attrs.frozen
class Failed:
    """The execution fails with ``error``: the workflow raised it, or what it asks for can never succeed."""

    error: BaseException


@attrs.frozen
class Suspended:
    """Nothing can progress until the service invokes again."""


@attrs.frozen
class Superseded:
    """The invocation may not write any more; what it answers is ignored or means no more than "not finished"."""


@attrs.frozen
class Broken:
    """The service could not be reached or did not answer: the invocation has to be repeated."""

    error: BaseException


Outcome = Returned | Failed | Suspended | Superseded | Broken
Ending = Failed | Suspended | Superseded | Broken
