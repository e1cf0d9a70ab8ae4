"""The registered functions, and the names by which callers may call them.

There is one version of each function here, ``$LATEST``; every alias and version number names it. Source:
protocol.md, "Names and ARNs" and "Chained invokes".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import attrs

from durable_async._wire.operations import ErrorObject
from durable_async.service.functions.base import Function
from durable_async.service.machine import Target
from durable_async.service.model import arns
from durable_async.service.model.errors import ApiError, InvalidParameterValueError, ResourceNotFoundError

OnMismatch: TypeAlias = Literal["park", "fail"]

FUNCTION_TIMEOUT = 900  # seconds: Lambda's longest


@attrs.frozen
class Registered:
    """A function and its configuration. ``arn`` is qualified; timeouts are seconds.

    :ivar max_concurrency: the maximum number of its invocations at once; None: no limit
    :ivar on_mismatch: what happens to an execution whose code does not fit its record: it is parked, or it fails
    """

    name: str
    arn: str
    function: Function
    execution_timeout: int
    function_timeout: int
    max_concurrency: int | None = None
    on_mismatch: OnMismatch = "fail"


@attrs.define
class Registry:
    """Functions by name. Implements ``machine.Targets``."""

    region: str
    account: str
    _functions: dict[str, Registered] = attrs.field(init=False, factory=dict[str, Registered])

    def add(
        self,
        name: str,
        function: Function,
        *,
        execution_timeout: int,
        function_timeout: int,
        max_concurrency: int | None = None,
        on_mismatch: OnMismatch = "fail",
    ) -> Registered:
        if not arns.is_function_name(name):
            raise ValueError(
                f"{name!r} is not a function name, which has 1 to 140 letters, digits, hyphens and underscores"
            )
        if name in self._functions:
            raise ValueError(f"a function {name!r} is already registered")
        arn = arns.function_arn(self.region, self.account, name, arns.LATEST)
        if on_mismatch not in get_args(OnMismatch):
            raise ValueError(f"on_mismatch must be 'park' or 'fail', not {on_mismatch!r}")
        registered = Registered(name, arn, function, execution_timeout, function_timeout, max_concurrency, on_mismatch)
        self._functions[name] = registered
        return registered

    def arn(self, name: str) -> str:
        """Return the unqualified ARN of the function ``name``, which need not be registered."""
        return arns.function_arn(self.region, self.account, name)

    def all(self) -> Sequence[Registered]:
        return [*self._functions.values()]

    def __getitem__(self, name: str) -> Registered:
        return self._functions[name]

    def get(self, name: str) -> Registered | None:
        return self._functions.get(name)

    def named(self, reference: str, qualifier: str | None = None) -> Registered:
        """Return the function that ``reference`` names, with any qualifier.

        :raises ApiError: InvalidParameterValue, ResourceNotFound
        """
        parsed = arns.parse_function(reference)
        if parsed is None:
            raise InvalidParameterValueError(f"Invalid function ARN '{reference}'")
        if None not in (parsed.qualifier, qualifier) and parsed.qualifier != qualifier:
            raise InvalidParameterValueError(
                "The derived qualifier from the function name does not match the specified qualifier."
            )
        registered = self._functions.get(parsed.name)
        here = parsed.account in (None, self.account) and parsed.region in (None, self.region)
        if registered is None or not here:
            arn = arns.function_arn(parsed.region or self.region, parsed.account or self.account, parsed.name)
            raise ResourceNotFoundError(f"Function not found: {arn}")
        return registered

    def invocable(self, reference: str, qualifier: str | None = None) -> Registered:
        """Like ``named``, for an Invoke: a durable function must be named with a qualifier, as on Lambda."""
        registered = self.named(reference, qualifier)
        parsed = arns.parse_function(reference)
        if registered.function.durable and qualifier is None and (parsed is None or parsed.qualifier is None):
            raise InvalidParameterValueError(
                "You cannot invoke a durable function using an unqualified ARN. Name a version, an alias or $LATEST: "
                f"{registered.name}:$LATEST"
            )
        return registered

    def find(self, reference: str) -> Target | ErrorObject:
        """Return the target of a chained invoke, or the error with which invoking it fails."""
        parsed = arns.parse_function(reference)
        if parsed is None:
            raise InvalidParameterValueError(f"Invalid function ARN '{reference}'")
        if parsed.account not in (None, self.account):
            raise InvalidParameterValueError("Cannot start a CHAINED_INVOKE on a function in another account.")
        if parsed.region not in (None, self.region):
            raise InvalidParameterValueError("Cannot start a CHAINED_INVOKE on a function in another region.")
        try:
            registered = self.invocable(reference)
        except ApiError as refused:
            return {"ErrorType": refused.code, "ErrorMessage": refused.message}
        return Target(registered.arn, registered.name, arns.LATEST, registered.function.durable)
