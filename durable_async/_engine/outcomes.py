"""How an invocation can end."""

from __future__ import annotations

from typing import Any


class Returned:
    """The workflow's coroutine returned."""

    __slots__ = __match_args__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value: Any = value


class _Caused:
    __slots__ = __match_args__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException = error


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
