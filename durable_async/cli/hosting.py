"""The functions that a server hosts: functions of modules, in any process, and of other servers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeGuard

import attrs
import click

from durable_async.cli.options import Named
from durable_async.embedded.cache import ExecutionCache
from durable_async.embedded.local import in_process_handler
from durable_async.handler import AnyHandler, DurableHandler
from durable_async.service.functions.base import Function, in_process_function
from durable_async.service.functions.worker_process import LoadError, Target, find, functions_of, is_durable
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.runtime.registry import OnMismatch


class Modules(Protocol):
    """Runs the functions of modules: a ``WorkerPool`` or :class:`InProcess`."""

    async def functions_of(self, mapping: Target) -> Mapping[str, Function]:
        """Return the functions of a mapping, by name.

        :raises LoadError: there is no such mapping of functions
        """
        ...

    async def function(self, target: Target) -> Function:
        """Return the function at ``target``.

        :raises LoadError: there is no such function
        """
        ...


@attrs.frozen
class InProcess:
    """Runs the functions of modules on the event loop of this process."""

    api: LambdaApi
    cache: ExecutionCache

    async def functions_of(self, mapping: Target) -> dict[str, Function]:
        return {name: await self.function(attrs.evolve(mapping, key=name)) for name in functions_of(mapping)}

    async def function(self, target: Target) -> Function:
        durable, found = is_durable(target), find(target)
        if _is_handler(found):
            return in_process_handler(found, self.api, cache=self.cache)
        if durable:
            raise LoadError(
                "Runtime.HandlerNotFound", f"{target} is not a handler of this package, so it needs a worker"
            )
        return in_process_function(found)


def _is_handler(found: object) -> TypeGuard[AnyHandler]:
    return isinstance(found, DurableHandler)


class Hosted:
    """The functions of a server, by name."""

    def __init__(self) -> None:
        self._functions: dict[str, tuple[object, Function, int | None]] = {}

    def __len__(self) -> int:
        return len(self._functions)

    def add(self, name: str, place: object, function: Function, *, max_concurrency: int | None) -> None:
        """Add a function.

        :param place: where it is found, for messages
        :param max_concurrency: how many of its invocations may run at once; None: any number
        """
        if (found := self._functions.get(name)) is not None:
            raise click.ClickException(f"the name '{name}' is given twice: {found[0]} and {place}")
        self._functions[name] = (place, function, max_concurrency)

    async def load(
        self,
        modules: Modules,
        mappings: Iterable[Target],
        functions: Iterable[Named[Target]],
        *,
        max_concurrency: int | None = None,
    ) -> None:
        """Add functions of modules.

        :raises click.ClickException: one of them cannot be imported
        """
        try:
            for mapping in mappings:
                for name, function in (await modules.functions_of(mapping)).items():
                    self.add(name, attrs.evolve(mapping, key=name), function, max_concurrency=max_concurrency)
            for named in functions:
                self.add(named.name, named.place, await modules.function(named.place), max_concurrency=max_concurrency)
        except LoadError as error:
            raise click.ClickException(str(error)) from None

    def register(
        self,
        api: LambdaApi,
        timeouts: Mapping[str | None, int],
        on_mismatch: OnMismatch,
        cancel_before: Mapping[str | None, int],
    ) -> None:
        """Register all functions with ``api``.

        :param timeouts: the execution timeout of each function, in seconds; under None, that of all others
        :param on_mismatch: what happens to executions whose code does not fit their record
        :param cancel_before: how long before its timeout an execution is cancelled, in seconds, as ``timeouts``
        """
        for option, given in (("--execution-timeout", timeouts), ("--cancel-before", cancel_before)):
            if unknown := sorted(name for name in given if name is not None and name not in self._functions):
                raise click.ClickException(f"{option} is given for '{unknown[0]}', which is not a function")
        for key, (_, function, max_concurrency) in self._functions.items():
            name, colon, version = key.partition(":")
            if colon and not version.isdecimal():
                message = f"'{key}' is not the name of a function: a version is a number, as in {name}:2"
                raise click.ClickException(message)
            timeout = timeouts.get(key, timeouts[None])
            try:
                api.register(
                    name,
                    function,
                    version=int(version) if colon else None,
                    execution_timeout=timeout,
                    max_concurrency=max_concurrency,
                    on_mismatch=on_mismatch,
                    cancel_before=cancel_before.get(key, cancel_before.get(None)),
                )
            except ValueError as error:
                raise click.ClickException(str(error)) from None
