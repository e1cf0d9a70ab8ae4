"""Runs functions in worker processes, so that a crash of a function does not end the server.

A worker runs one invocation at a time. It is used again unless it died, ran too long or was abandoned.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import attrs

from durable_async._wire.text import JsonObject
from durable_async.service.functions.base import InvocationFailed, InvocationRequest, failure, within_deadline
from durable_async.service.functions.output import LineSink, to_stderr
from durable_async.service.functions.worker import EXIT_SECONDS, AnswerTooLarge, Worker, WorkerExited
from durable_async.service.functions.worker_process import LoadError, Target, too_large
from durable_async.service.parsing import NotReadable


def worker_environment(
    url: str, environment: Mapping[str, str], *, region: str = "us-east-1", token: str | None = None
) -> dict[str, str]:
    """Return ``environment`` with changes that make AWS clients in functions call the service at ``url``.

    :param token: the service's token, which becomes the access key id. None: without credentials in ``environment``, a
        placeholder is set
    """
    host = url.split("//", 1)[1].rsplit(":", 1)[0].strip("[]")
    unproxied = ",".join(filter(None, [environment.get("no_proxy", environment.get("NO_PROXY")), host]))
    child = {
        **environment,
        "AWS_ENDPOINT_URL_LAMBDA": url,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "no_proxy": unproxied,
        "NO_PROXY": unproxied,
    }
    for misleading in ("AWS_LAMBDA_FUNCTION_NAME", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"):
        child.pop(misleading, None)
    if token is not None:
        child.pop("AWS_SESSION_TOKEN", None)
        child |= {"AWS_ACCESS_KEY_ID": token, "AWS_SECRET_ACCESS_KEY": "unused"}
    elif not environment.keys() & {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"}:
        child |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "unused"}
    return child


class WorkerPool:
    """Worker processes, started when they are needed. POSIX only.

    :param environment: the environment variables of the workers
    :param sink: takes the lines that they print; None: they go to the server's standard error
    :param max_invocations: a worker is replaced after this number of invocations; None: never
    :param max_memory: in bytes. A worker that has had more resident memory at any time is replaced after the
        invocation; None: never
    :param exit_seconds: how long a worker that has ended its invocation by exiting may take to end, before it is killed
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        max_workers: int = 8,
        sink: LineSink | None = None,
        max_invocations: int | None = None,
        max_memory: int | None = None,
        exit_seconds: float = EXIT_SECONDS,
    ) -> None:
        self.max_workers = max_workers
        self._max_invocations = max_invocations or sys.maxsize
        self._max_memory = max_memory or sys.maxsize
        self._environment = environment
        self._exit_seconds = exit_seconds
        self._sink = sink or to_stderr
        self._slots = asyncio.Semaphore(max_workers)
        self._idle: list[Worker] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the idle workers. Cancel the calls of :meth:`invoke` first: that ends the workers that run something."""
        while self._idle:
            await self._idle.pop().kill()

    async def functions_of(self, mapping: Target) -> dict[str, WorkerFunction]:
        """Return the functions of a mapping, by their names in it.

        :raises LoadError: there is no such mapping of functions
        """
        durable: dict[str, bool] = (await self._load(mapping, {"functions of": attrs.asdict(mapping)}))["durable"]
        return {
            name: WorkerFunction(self, attrs.evolve(mapping, key=name), durable=flag) for name, flag in durable.items()
        }

    async def function(self, target: Target) -> WorkerFunction:
        """Return the function at ``target``.

        :raises LoadError: there is no such function
        """
        answer = await self._load(target, {"is durable": attrs.asdict(target)})
        return WorkerFunction(self, target, durable=answer["durable"])

    async def _load(self, target: Target, question: object) -> JsonObject:
        async with self._worker(target.module) as worker:
            try:
                return await worker.ask(question)
            except WorkerExited as exited:
                message = f"loading {target} ended the worker process: {exited}"
                raise LoadError("Runtime.ExitError", message) from None

    async def invoke(self, target: Target, event: object, request: InvocationRequest) -> object:
        """Run a function once, in the first worker that is free.

        Cancelling this ends the worker. The deadline includes the time spent waiting for a free worker.

        :raises InvocationFailed: the function failed; ``Runtime.ExitError``: the worker died; ``Sandbox.Timedout``: the
            deadline passed
        """
        question = {"invoke": attrs.asdict(target), "event": event, "request": attrs.asdict(request)}
        try:
            async with within_deadline(request), self._worker(target.module) as worker:
                reply = await worker.ask(question, request.function_name)
        except LoadError as refused:
            error_type, reason = refused.args
            raise InvocationFailed({"ErrorType": error_type, "ErrorMessage": reason}) from None
        except WorkerExited as exited:
            raise failure("Runtime.ExitError", request, str(exited)) from None
        except AnswerTooLarge as answered:
            raise InvocationFailed(too_large(answered.size)) from None
        except NotReadable as reason:
            message = f"Unable to marshal response: {reason}"
            raise InvocationFailed({"ErrorType": "Runtime.MarshalError", "ErrorMessage": message}) from None
        except OSError as error:  # a problem of this machine, which does not count as a crash of the function
            raise failure("ServiceException", request, f"The runtime could not be started: {error}") from error
        if "error" in reply:
            raise InvocationFailed(reply["error"])
        return reply["result"]

    @asynccontextmanager
    async def _worker(self, module: str) -> AsyncGenerator[Worker]:
        async with self._slots:
            worker = await self._take(module) or await Worker.start(
                self._environment, self._sink, exit_seconds=self._exit_seconds
            )
            try:
                yield worker
                worker.loaded.add(module)
            finally:
                if worker.idle and not self._used_up(worker):
                    self._idle.append(worker)
                else:
                    await worker.kill()

    def _used_up(self, worker: Worker) -> bool:
        return worker.asked >= self._max_invocations or worker.memory > self._max_memory

    async def _take(self, module: str) -> Worker | None:
        """Return an idle worker, preferably one that has loaded the module already."""
        for worker in [worker for worker in self._idle if not worker.idle]:  # it died since its last use
            self._idle.remove(worker)
            await worker.kill()
        if not self._idle:
            return None
        best = max(self._idle, key=lambda worker: module in worker.loaded)
        self._idle.remove(best)
        return best


@attrs.frozen
class WorkerFunction:
    """A function that runs in a worker of ``pool``."""

    pool: WorkerPool
    target: Target
    durable: bool
    memory: None = None  # each invocation may run in another worker

    async def invoke(self, event: object, request: InvocationRequest) -> object:
        return await self.pool.invoke(self.target, event, request)
