"""Runs functions in worker processes, so that a crash of a function does not end the server.

- a worker runs one invocation at a time; it is used again unless it died, ran too long or was abandoned
- the control channel is a socket pair; standard output and error belong to the functions
- lines that an invocation wrote reach the sink before the invocation completes
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import cache
from types import TracebackType
from typing import Any, Self, TextIO, cast

import attrs

from durable_async._wire.text import JsonObject
from durable_async.service.functions.base import InvocationFailed, InvocationRequest, failure, within_deadline
from durable_async.service.functions.worker_process import (
    FRAME_BYTES,
    HEADER_BYTES,
    LoadError,
    Target,
    frame,
    too_large,
)
from durable_async.service.parsing import NotReadable, loads, read

_BUFFER_CHARACTERS = 1024 * 1024
_CLOSE_SECONDS = 1.0
_EXIT_SECONDS = 2.0  # between the last word of a worker and the end of its process


class BoundedOutput:
    """Takes texts from any thread without waiting, and keeps their order.

    :param stream: the target. One daemon thread, which starts with the first text, writes to it and flushes it
    :param max_characters: the maximum number of characters that wait to be written
    """

    def __init__(self, stream: TextIO, *, max_characters: int = _BUFFER_CHARACTERS) -> None:
        self._stream = stream
        self._max_characters = max_characters
        self._texts: deque[str] = deque()
        self._waiting = 0  # characters
        self._dropped = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def write(self, text: str, /) -> int:
        """Return the length of ``text``, as a stream does, even if the text is dropped."""
        with self._changed:
            if self._waiting + len(text) > self._max_characters:
                self._dropped += 1
            else:
                self._note_dropped()
                self._append(text)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="durable-async-output", daemon=True)
                self._thread.start()
        return len(text)

    def flush(self) -> None:
        """Return at once. What waits is written when the reader of the stream is ready."""

    def close(self, *, seconds: float = _CLOSE_SECONDS) -> None:
        """Wait until everything is written, but not longer than ``seconds``. The stream stays open."""
        with self._changed:
            self._closed = True
            self._note_dropped()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(seconds)

    def _note_dropped(self) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._append(f"[{dropped} lines were dropped here, because the output was not read fast enough]\n")

    def _append(self, text: str) -> None:
        self._texts.append(text)
        self._waiting += len(text)
        self._changed.notify_all()

    def _write_all(self) -> None:
        while (text := self._next()) is not None:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):  # the reader has gone, or the stream is closed: the error cannot be reported
                pass
            with self._changed:
                self._waiting -= len(text)

    def _next(self) -> str | None:
        with self._changed:
            while not self._texts:
                if self._closed:
                    return None
                self._changed.wait()
            return self._texts.popleft()


@cache
def bounded(stream: TextIO) -> BoundedOutput:
    """Return the writer of ``stream``. There is one for each stream, so texts from all threads keep their order."""
    return BoundedOutput(stream)


__all__ = ["LineSink", "LoadError", "Target", "WorkerFunction", "WorkerPool", "json_lines", "worker_environment"]

LineSink = Callable[[str | None, str], None]
"""A function that takes a line without its end, and the name of the function that wrote it; None: no function ran."""

_PIPE_BYTES = 1024 * 1024  # the maximum that a pipe holds on Linux, unless an administrator allows more


def to_stderr(_function: str | None, line: str) -> None:
    """Write a line to standard error without waiting, see :class:`BoundedOutput`."""
    bounded(sys.stderr).write(f"{line}\n")


def json_lines(file: TextIO, clock: Callable[[], float] = time.time) -> LineSink:
    """Return a sink that appends each line of a function to ``file`` as ``{"timestamp": milliseconds, "function": ...,
    "message": ...}``.

    Lines that no function wrote, such as those of a module during its import, go to standard error. If ``file`` is not
    a regular file, such as a pipe, lines are dropped when it is not read fast enough.
    """
    regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode) if _has_descriptor(file) else True
    output = file if regular else bounded(file)

    def write(function: str | None, line: str) -> None:
        if function is None:
            to_stderr(function, line)
            return
        entry = {"timestamp": int(clock() * 1000), "function": function, "message": line}
        output.write(json.dumps(entry) + "\n")
        output.flush()  # takes microseconds, and a reader waits for these lines

    return write


def _has_descriptor(file: TextIO) -> bool:
    try:
        file.fileno()
    except OSError:
        return False
    return True


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
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        max_workers: int = 8,
        sink: LineSink | None = None,
        max_invocations: int | None = None,
        max_memory: int | None = None,
    ) -> None:
        self.max_workers = max_workers
        self._max_invocations = max_invocations or sys.maxsize
        self._max_memory = max_memory or sys.maxsize
        self._environment = environment
        self._sink = sink or to_stderr
        self._slots = asyncio.Semaphore(max_workers)
        self._idle: list[_Worker] = []

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
        durable = await self._load(mapping, {"functions of": attrs.asdict(mapping)})
        return {
            name: WorkerFunction(self, attrs.evolve(mapping, key=name), durable=flag) for name, flag in durable.items()
        }

    async def function(self, target: Target) -> WorkerFunction:
        """Return the function at ``target``.

        :raises LoadError: there is no such function
        """
        durable = await self._load(target, {"is durable": attrs.asdict(target)})
        return WorkerFunction(self, target, durable=durable)

    async def _load(self, target: Target, question: object) -> Any:
        async with self._worker(target.module) as worker:
            try:
                return (await worker.ask(question))["durable"]
            except WorkerExited as exited:
                message = f"loading {target} ended the worker process: {exited}"
                raise LoadError("Runtime.ExitError", message) from None

    async def invoke(self, target: Target, event: object, request: InvocationRequest) -> object:
        """Run a function once, in the first worker that is free.

        Cancelling this ends the worker. The deadline includes the time spent waiting for a free worker.

        :raises InvocationFailed: the function failed; ``Runtime.ExitError``: the worker died; ``Sandbox.Timedout``: the
            deadline passed
        """
        message = {"invoke": attrs.asdict(target), "event": event, "request": attrs.asdict(request)}
        try:
            async with within_deadline(request), self._worker(target.module) as worker:
                reply = await worker.ask(message, request.function_name)
        except LoadError as refused:
            error_type, reason = refused.args
            raise InvocationFailed({"ErrorType": error_type, "ErrorMessage": reason}) from None
        except WorkerExited as exited:
            raise failure("Runtime.ExitError", request, str(exited)) from None
        except AnswerTooLarge as answered:
            raise InvocationFailed(too_large(answered.size)) from None
        except NotReadable as reason:
            told = f"Unable to marshal response: {reason}"
            raise InvocationFailed({"ErrorType": "Runtime.MarshalError", "ErrorMessage": told}) from None
        except OSError as error:  # a problem of this machine, which does not count as a crash of the function
            raise failure("ServiceException", request, f"The runtime could not be started: {error}") from error
        if "error" in reply:
            raise InvocationFailed(reply["error"])
        return reply["result"]

    @asynccontextmanager
    async def _worker(self, module: str) -> AsyncGenerator[_Worker]:
        async with self._slots:
            worker = await self._take(module) or await _Worker.start(self._environment, self._sink)
            try:
                yield worker
                worker.loaded.add(module)
            finally:
                if worker.idle and not self._used_up(worker):
                    self._idle.append(worker)
                else:
                    await worker.kill()

    def _used_up(self, worker: _Worker) -> bool:
        return worker.asked >= self._max_invocations or worker.memory > self._max_memory

    async def _take(self, module: str) -> _Worker | None:
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


class WorkerExited(Exception):  # noqa: N818 - what happened to it; it is told as the invocation's failure
    """A worker ended before it answered. Says how, in Lambda's words.

    :ivar status: as of ``subprocess``: the exit status, or minus the signal
    :ivar lingered: whether it had to be killed after it ended the conversation
    """

    def __init__(self, status: int, *, lingered: bool = False) -> None:
        super().__init__(status)
        self.status = status
        self.lingered = lingered

    def __str__(self) -> str:
        if self.lingered:
            return (
                f"Runtime exited, but its process still ran after {_EXIT_SECONDS:g} s and was killed. A thread that is "
                "no daemon and goes on, or a hook of atexit, keeps a process alive"
            )
        if self.status == 0:
            return "Runtime exited without providing a reason"
        if self.status > 0:
            return f"Runtime exited with error: exit status {self.status}"
        return f"Runtime exited with error: signal: {(signal.strsignal(-self.status) or '').lower()}"


class AnswerTooLarge(Exception):  # noqa: N818 - what happened; it is told as the invocation's failure
    """A worker announced an answer over the limit. The answer was not read.

    :ivar size: in bytes
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class _Worker:
    """One worker process, its control channel and its output.

    :ivar asked: the number of messages that it has answered
    :ivar memory: its maximum resident memory up to its last answer, in bytes
    """

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket, output: _Output) -> None:
        self.loaded: set[str] = set()
        self.asked = 0
        self.memory = 0
        self._process = process
        self._channel = channel
        self._output = output
        self._exit = asyncio.ensure_future(process.wait())
        self._exit.add_done_callback(
            lambda _: self._kill_group()
        )  # processes that a function started end with the worker
        self._asked = False

    @classmethod
    async def start(cls, environment: Mapping[str, str], sink: LineSink) -> _Worker:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003
        with theirs, ExitStack() as failed:
            failed.callback(ours.close)
            output = _Output(sink)
            failed.callback(output.close)
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # a file in the current directory must not replace a module of the standard library
                    "-m",
                    "durable_async.service.functions.worker_process",
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output.write_end,
                    stderr=output.write_end,
                    pass_fds=[theirs.fileno()],
                    env=environment,
                    start_new_session=True,  # a terminal's ^C is for the server, which then ends the workers
                )
            finally:
                os.close(output.write_end)
            failed.pop_all()
        return cls(process, ours, output)

    @property
    def idle(self) -> bool:
        return not self._asked and not self._exit.done()

    async def ask(self, message: object, function: str | None = None) -> JsonObject:
        """Send a message and return the answer.

        :param function: the function that writes the worker's lines from now on
        :raises WorkerExited: the worker ended instead
        :raises AnswerTooLarge: its answer is over the limit. Do not use the worker again
        :raises NotReadable: its answer is JSON that is refused. Do not use the worker again
        :raises LoadError: there is no such function. Do not use the worker again: it may have imported a part of the
            module, and would not see a correction
        """
        self._asked = True
        self._output.function = function
        answer = await self._exchange(frame(json.dumps(message).encode()))
        if answer is None:
            exited = await self._exited()
            self._output.finish()
            raise exited
        self._output.finish()
        self.asked += 1
        self.memory = answer.get("memory", 0)
        if "refused" in answer:
            raise LoadError(*answer["refused"])
        self._asked = False
        return answer

    async def _exited(self) -> WorkerExited:
        """Wait for the end of the process, which does not converse any more, or kill it if it goes on."""
        await asyncio.wait([self._exit], timeout=_EXIT_SECONDS)
        lingered = not self._exit.done()
        if lingered:
            self._kill_group()
        return WorkerExited(await asyncio.shield(self._exit), lingered=lingered)

    async def _exchange(self, message: bytes) -> JsonObject | None:
        """Send a message, and return the answer as bytes; None: the other end was closed."""
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(self._channel, message)
            size = int.from_bytes(await self._receive(HEADER_BYTES), "big")
            if size > FRAME_BYTES:
                raise AnswerTooLarge(size)
            return cast("JsonObject", await read(loads, bytes(await self._receive(size))))
        except (ConnectionError, EOFError):
            return None

    async def _receive(self, size: int) -> bytearray:
        data = bytearray(size)
        missing = memoryview(data)
        while missing:
            count = await asyncio.get_running_loop().sock_recv_into(self._channel, missing)
            if count == 0:
                raise EOFError
            missing = missing[count:]
        return data

    async def kill(self) -> None:
        """Kill the worker and the processes that it started."""
        if not self._exit.done():
            self._kill_group()
        try:
            await asyncio.shield(self._exit)
        finally:
            self._output.finish()
            self._output.close()
            self._channel.close()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # all its processes have ended
            os.killpg(self._process.pid, signal.SIGKILL)


class _Output:
    """Reads what a worker prints, line by line. Both streams are one pipe, so their lines stay in order."""

    def __init__(self, sink: LineSink) -> None:
        self.function: str | None = None
        self._sink = sink
        self._read_end, self.write_end = os.pipe()
        self._rest = b""
        os.set_blocking(self._read_end, False)
        asyncio.get_running_loop().add_reader(self._read_end, self._read)

    def _read(self) -> None:
        """Pass on what has arrived. One read takes everything that a pipe can hold."""
        try:
            data = os.read(self._read_end, _PIPE_BYTES)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._read_end)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._sink(self.function, line.decode(errors="replace"))

    def finish(self) -> None:
        """Pass on what has arrived, including a last line without its end."""
        self._read()
        if self._rest:
            self._sink(self.function, self._rest.decode(errors="replace"))
            self._rest = b""

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._read_end)
        os.close(self._read_end)
