"""A ledger in which a test's fakes record each effect, so that ``explore`` can see whether one happened twice."""

from __future__ import annotations

import sys

import attrs

from durable_async._engine.calling import current
from durable_async.step_context import StepContext


@attrs.frozen
class Effect:
    """
    :ivar what: for example ``"charge 42"``
    :ivar step: the name of the step in whose body it happened; None: outside of one
    :ivar operation_id: of that step
    :ivar attempt: of that step
    :ivar where: ``file:line``
    """

    what: str
    step: str | None
    operation_id: str | None
    attempt: int | None
    where: str


@attrs.define
class Ledger:
    """The effects of a run, in their order.

    A fake payment service, for example, calls ``ledger.record(f"charge {cents}", key=idempotency_key)``.
    """

    effects: list[Effect] = attrs.field(factory=list[Effect])
    _keys: set[str] = attrs.field(factory=set[str])

    def record(self, what: str, *, key: str | None = None) -> bool:
        """Record an effect.

        :param key: the idempotency key of the request. As in a real service, a second effect with the same key is not
            carried out, and so not recorded
        :return: True if it was carried out; False if the key was used before
        """
        if key is not None and key in self._keys:
            return False
        if key is not None:
            self._keys.add(key)
        here = current()
        step = here if isinstance(here, StepContext) else None
        caller = sys._getframe(1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no public way
        where = f"{caller.f_code.co_filename}:{caller.f_lineno}"
        if step is None:
            self.effects.append(Effect(what, None, None, None, where))
        else:
            self.effects.append(Effect(what, step.name or "", step.operation_id, step.attempt, where))
        return True

    def clear(self) -> None:
        """Forget all effects and keys."""
        self.effects.clear()
        self._keys.clear()
