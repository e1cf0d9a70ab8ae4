"""Outcomes that a test gives to a step, a child context or an invoked function instead of calling its function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import attrs


class _NotGiven:
    def __repr__(self) -> str:
        return "<not given>"


NOT_GIVEN: Final = _NotGiven()


@attrs.define
class Outcomes:
    """The outcomes of one name, in the order in which they are used. The last one is used again and again.

    :ivar calls: called with the arguments of the replaced function; None: the outcomes are in ``sequence``
    :ivar sequence: an exception is raised, and anything else is returned
    :ivar optional: True: a test may end without using them; False: it fails then
    :ivar times: how many outcomes were used
    """

    calls: Callable[..., object] | None = None
    sequence: Sequence[object] = ()
    optional: bool = False
    times: int = 0

    @classmethod
    def of(
        cls,
        *,
        returns: object,
        raises: BaseException | None,
        calls: Callable[..., object] | None,
        outcomes: Sequence[object],
        optional: bool,
    ) -> Outcomes:
        """Read the arguments of ``replace``.

        :raises TypeError: none of them is given, or more than one
        """
        given = (returns is not NOT_GIVEN) + (raises is not None) + (calls is not None) + (len(outcomes) > 0)
        if given != 1:
            raise TypeError(
                "say with one of these what happens instead: returns=value, raises=error, calls=function, or "
                "outcomes=[error, error, value], in which exceptions are raised and other values are returned"
            )
        if calls is not None and not callable(calls):
            raise TypeError(f"calls= must be a function, not {calls!r}; for a value write returns=")
        return cls(calls, outcomes or (raises if raises is not None else returns,), optional)

    def is_unused(self) -> bool:
        """Return whether nothing was replaced, although something had to be."""
        return not (self.optional or self.times)

    async def next(self, body: Callable[..., object], *args: object) -> object:
        """Return or raise the next outcome.

        :param body: what is replaced; the arguments that it is bound to are given to ``calls``
        """
        place, self.times = self.times, self.times + 1
        if self.calls is not None:
            bound = body.args if isinstance(body, partial) else ()
            value = self.calls(*bound, *args)
            return await value if inspect.isawaitable(value) else value
        outcome = self.sequence[min(place, len(self.sequence) - 1)]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome
