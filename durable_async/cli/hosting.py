"""The functions that a server hosts: of modules, wherever they run, and of other servers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeGuard

import attrs
import click

from durable_async.cli.options import Named
from durable_async.embedded.cache import ExecutionCache
from durable_async.embedded.local import in_process_handler
from durable_async.handler import DurableHandler
from durable_async.service.functions.base import Function, in_process_function
from durable_async.service.functions.worker_process import LoadError, Target, find, functions_of, is_durable
from durable_async.service.runtime.api import LambdaApi
from durable_async.service.runtime.registry import OnMismatch


class Modules(Protocol):
    """Where the functions of modules run: ``WorkerPool``, or :class:`InProcess`."""

    async def functions_of(self, mapping: Target) -> Mapping[str, Function]:
        """:raises LoadError: there is no such mapping of functions"""
        ...

    async def function(self, target: Target) -> Function:
        """:raises LoadError: there is no such function"""
        ...


@attrs.frozen
class InProcess:
    """Runs them on the event loop of this process."""

    api: LambdaApi
    cache: ExecutionCache

    async def functions_of(self, mapping: Target) -> dict[str, Function]:
        return {name: await self.function(attrs.evolve(mapping, key=name)) for name in functions_of(mapping)}

    async def function(self, target: Target) -> Function:
        durable, found = is_durable(target), find(target)
        if _is_handler(found):
            return in_process_handler(found, self.api, cache=self.cache)
        if durable:
            raise LoadError("Runtime.HandlerNotFound", f"{target} is no handler of this package, and needs a worker")
        return in_process_function(found)


def _is_handler(found: Any) -> TypeGuard[DurableHandler[Any, Any]]:
    return isinstance(found, DurableHandler)


class Hosted:
    """Functions by name."""

    def __init__(self) -> None:
        self._functions: dict[str, tuple[object, Function, int | None]] = {}

    def __len__(self) -> int:
        return len(self._functions)

    def add(self, name: str, place: object, function: Function, *, most: int | None) -> None:
        """
        :param place: where it is found, for people
        :param most: invocations of it that may run at once; None: any number
        """
        if (found := self._functions.get(name)) is not None:
            raise click.ClickException(f"the name '{name}' is given twice: {found[0]} and {place}")
        self._functions[name] = (place, function, most)

    async def load(
        self,
        modules: Modules,
        mappings: Iterable[Target],
        functions: Iterable[Named[Target]],
        *,
        most: int | None = None,
    ) -> None:
        """Add functions of modules. What cannot be imported ends the command."""
        try:
            for mapping in mappings:
                for name, function in (await modules.functions_of(mapping)).items():
                    self.add(name, attrs.evolve(mapping, key=name), function, most=most)
            for named in functions:
                self.add(named.name, named.place, await modules.function(named.place), most=most)
        except LoadError as error:
            raise click.ClickException(str(error)) from None

    def register(self, api: LambdaApi, timeouts: Mapping[str | None, int], on_mismatch: OnMismatch) -> None:
        """
        :param timeouts: in seconds, of the executions of each function; None: of all others
        :param on_mismatch: what becomes of executions whose code does not fit their record
        """
        if unknown := sorted(name for name in timeouts if name is not None and name not in self._functions):
            raise click.ClickException(f"--execution-timeout is given for '{unknown[0]}', which is no function")
        for name, (_, function, most) in self._functions.items():
            timeout = timeouts.get(name, timeouts[None])
            try:
                api.register(name, function, execution_timeout=timeout, max_concurrency=most, on_mismatch=on_mismatch)
            except ValueError as error:
                raise click.ClickException(str(error)) from None
