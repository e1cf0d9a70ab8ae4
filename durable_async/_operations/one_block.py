"""The objects of the context that serve one ``async with`` block each, such as a deadline."""

from __future__ import annotations

import attrs

from durable_async.errors import ContextMisuseError


@attrs.define(eq=False)
class OneBlock:
    """Whether the block of such an object has begun and ended.

    :param maker: the call that returns the object, as it is written
    :param name: of this object, for messages; None: it has none
    """

    _maker: str
    _name: str | None = None
    _was_entered: bool = attrs.field(default=False, init=False)
    _was_left: bool = attrs.field(default=False, init=False)

    def enter(self) -> None:
        """Note that the block begins.

        :raises ContextMisuseError: it began before
        """
        if self._was_entered:
            what = f"an object of {self._maker}" if self._name is None else f"{self._maker} {self._name!r}"
            raise ContextMisuseError(
                f"{what} was entered twice. It serves one 'async with' block: call {self._maker} for each"
            )
        self._was_entered = True

    def leave(self) -> None:
        self._was_left = True

    def check_inside(self, method: str, purpose: str) -> None:
        """Refuse a call of ``method`` outside of the block.

        :param purpose: what the block does for the call
        :raises ContextMisuseError: the block has not begun, or has ended
        """
        if self._was_left or not self._was_entered:
            when = "after" if self._was_left else "before"
            raise ContextMisuseError(
                f"{method}() of {self._maker} was called {when} its block, {purpose}: call it inside of 'async with "
                f"{self._maker} as ...:'"
            )
