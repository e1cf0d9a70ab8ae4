"""How an invocation can end."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen(eq=False, repr=False)
class Returned:
    """The workflow's coroutine returned."""

    value: Any


@attrs.frozen(eq=False, repr=False)
class _Caused:
    error: BaseException


class Failed(_Caused):
    """The execution fails with ``error``: the workflow raised it, or what it asks for can never succeed."""

    __slots__ = ()


class Broken(_Caused):
    """The service could not be reached or did not answer: the invocation has to be repeated."""

    __slots__ = ()


class Exited(_Caused):
    """The workflow's code asked for the end of the program, with SystemExit or KeyboardInterrupt."""

    __slots__ = ()


class Suspended:
    """Nothing can continue until the service invokes again."""

    __slots__ = ()


class Superseded:
    """The invocation must not write any more. What it answers is ignored, or means only "not finished"."""

    __slots__ = ()


Outcome = Returned | Failed | Suspended | Superseded | Broken | Exited
Ending = Failed | Suspended | Superseded | Broken | Exited
