"""The registered functions, and the names by which callers may call them.

A function is registered once, or once for each of its versions. Without versions there is one, ``$LATEST``, and every
alias and version number names it. With versions, a number names that one, and everything else the newest. Source:
protocol.md, "Names and ARNs" and "Chained invokes".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import attrs

from durable_async._counts import checked_count
from durable_async._excerpts import first_few
from durable_async._wire.operations import ErrorObject
from durable_async.service.functions.base import Function
from durable_async.service.machine import Target
from durable_async.service.model import arns
from durable_async.service.model.errors import ApiError, InvalidParameterValueError, ResourceNotFoundError

OnMismatch: TypeAlias = Literal["park", "fail"]

_HIGHEST_VERSION = 10**15 - 1
_NAMED = 10  # in one message
FUNCTION_TIMEOUT = 900  # seconds: Lambda's longest


@attrs.frozen
class Registered:
    """A function and its configuration. ``arn`` is qualified; timeouts are seconds.

    :ivar version: None: the function has no versions
    :ivar pinned: True: executions stay on the version on which they begin. False: they move to the newest
    :ivar max_concurrency: the maximum number of its invocations at once; None: no limit
    :ivar on_mismatch: what happens to an execution whose code does not fit its record: it is parked, or it fails
    :ivar cancel_before: how long before its timeout an execution is cancelled; None: it is not
    """

    name: str
    arn: str
    function: Function
    execution_timeout: int
    function_timeout: int
    max_concurrency: int | None = None
    on_mismatch: OnMismatch = "fail"
    cancel_before: int | None = None
    version: int | None = None
    pinned: bool = True

    @property
    def key(self) -> str:
        """The key that no other function or version has."""
        return self.name if self.version is None else f"{self.name}:{self.version}"

    @property
    def begins_on(self) -> str:
        """The version of the executions that begin on it."""
        return str(self.version) if self.version is not None and self.pinned else arns.LATEST


@attrs.define
class Registry:
    """Functions by name and version. Implements ``machine.Targets``."""

    region: str
    account: str
    _functions: dict[str, dict[int | None, Registered]] = attrs.field(
        init=False, factory=dict[str, dict[int | None, Registered]]
    )

    def add(self, registered: Registered) -> None:
        """Register a function, or a version of it.

        :raises ValueError: the name or the version is taken, or a value is not allowed
        """
        name, version = registered.name, registered.version
        if not arns.is_function_name(name):
            raise ValueError(
                f"{name!r} is not a function name, which has 1 to 140 letters, digits, hyphens and underscores"
            )
        if version is not None and not 1 <= version <= _HIGHEST_VERSION:
            raise ValueError(f"a version must be a number from 1 to {_HIGHEST_VERSION}, not {version}")
        versions = self._functions.get(name, {})
        if version in versions:
            raise ValueError(
                f"a function {registered.key!r} is already registered. Register the other one under another name or "
                "version; to replace it by changed code, leave the service and enter a new one"
            )
        if versions and (version is None or None in versions):
            raise ValueError(f"{name!r} is registered with a version and without one. Give each a version")
        if registered.max_concurrency is not None:
            checked_count("max_concurrency", registered.max_concurrency, 1)
        if registered.on_mismatch not in get_args(OnMismatch):
            raise ValueError(f"on_mismatch must be 'park' or 'fail', not {registered.on_mismatch!r}")
        timeout, cancel_before = registered.execution_timeout, registered.cancel_before
        if cancel_before is not None and not 1 <= cancel_before < timeout:
            raise ValueError(
                f"cancel_before must be at least a second and less than the execution timeout of {timeout} seconds, "
                f"not {cancel_before} seconds"
            )
        self._functions.setdefault(name, {})[version] = registered

    def serving(self, name: str, version: str | None) -> Registered | None:
        """Return the function that runs the executions of a version; None: it is not registered yet.

        :param version: the version of the execution: a number, or ``$LATEST`` for the newest; None: unknown
        """
        versions = self._functions.get(name)
        if not versions:
            return None
        if None in versions:
            return versions[None]
        if version is not None and version.isdecimal():
            return versions.get(int(version))
        return versions[max(filter(None, versions))]

    def is_versioned(self, name: str) -> bool:
        """Return False if the function is registered without versions; True: with versions, or not at all."""
        return None not in self._functions.get(name, {})

    def start_arn(self, registered: Registered) -> str:
        """Return the ARN of the function for the executions that begin on it."""
        return arns.function_arn(self.region, self.account, registered.name, registered.begins_on)

    def arn(self, name: str, version: str | None = None) -> str:
        """Return the ARN of the function ``name``, whether it is registered or not; unqualified without a version."""
        return arns.function_arn(self.region, self.account, name, version)

    def all(self) -> Sequence[Registered]:
        return [registered for versions in self._functions.values() for registered in versions.values()]

    def named(self, reference: str, qualifier: str | None = None) -> Registered:
        """Return the function that ``reference`` names.

        :raises ApiError: InvalidParameterValue, ResourceNotFound
        """
        parsed = arns.parse_function(reference)
        if parsed is None:
            raise InvalidParameterValueError(f"Invalid function ARN '{reference}'")
        if None not in (parsed.qualifier, qualifier) and parsed.qualifier != qualifier:
            raise InvalidParameterValueError(
                "The derived qualifier from the function name does not match the specified qualifier."
            )
        qualifier = qualifier or parsed.qualifier
        registered = self.serving(parsed.name, qualifier)
        here = parsed.account in (None, self.account) and parsed.region in (None, self.region)
        if registered is None or not here:
            arn = arns.function_arn(
                parsed.region or self.region,
                parsed.account or self.account,
                parsed.name,
                qualifier if parsed.name in self._functions else None,
            )
            raise ResourceNotFoundError(f"Function not found: {arn}. {self._what_there_is(parsed.name)}")
        return registered

    def _what_there_is(self, name: str) -> str:
        """Return which versions of ``name`` are registered, or which functions if there are none."""
        versions = self._functions.get(name)
        if versions is not None and None not in versions:
            return f"Versions that are registered: {', '.join(map(str, versions))}"
        return f"Functions that are registered: {first_few([*self._functions], _NAMED) or 'none'}"

    def invocable(self, reference: str, qualifier: str | None = None) -> Registered:
        """Return the function that an Invoke names. A durable one must be named with a qualifier, as on Lambda."""
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
        return Target(self.start_arn(registered), registered.name, registered.begins_on, registered.function.durable)
