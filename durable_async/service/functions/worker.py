"""One worker process, as the server sees it: its start, its control channel and its end.

- the control channel is a socket pair; standard output and error belong to the functions
- lines that an invocation wrote reach the sink before the invocation completes
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import cast

from durable_async._wire.text import JsonObject
from durable_async.service.functions.output import LineSink, PipedOutput
from durable_async.service.functions.worker_process import FRAME_BYTES, HEADER_BYTES, LoadError, frame
from durable_async.service.parsing import loads, read

EXIT_SECONDS = 2.0


class WorkerExited(Exception):  # noqa: N818 - it becomes the failure of the invocation
    """A worker ended before it answered. Its text says how, as Lambda does.

    :ivar status: as ``subprocess`` gives it: the exit status, or minus the signal
    :ivar killed_after: how many seconds after it had closed the channel its process was killed; None: it ended by
        itself
    """

    def __init__(self, status: int, *, killed_after: float | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.killed_after = killed_after

    def __str__(self) -> str:
        if self.killed_after is not None:
            return (
                f"Runtime exited, but its process still ran after {self.killed_after:g} s and was killed. A thread "
                "that does not end and is not a daemon, or a function of atexit, keeps a process alive"
            )
        if self.status == 0:
            return "Runtime exited without providing a reason"
        if self.status > 0:
            return f"Runtime exited with error: exit status {self.status}"
        return f"Runtime exited with error: signal: {(signal.strsignal(-self.status) or '').lower()}"


class AnswerTooLarge(Exception):  # noqa: N818 - it becomes the failure of the invocation
    """A worker announced an answer over the limit. The answer was not read.

    :ivar size: in bytes
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Worker:
    """One worker process, its control channel and its output.

    :ivar asked: the number of messages that it has answered
    :ivar memory: its maximum resident memory up to its last answer, in bytes
    """

    def __init__(
        self, process: asyncio.subprocess.Process, channel: socket.socket, output: PipedOutput, exit_seconds: float
    ) -> None:
        self.loaded: set[str] = set()
        self.asked: int = 0
        self.memory: int = 0
        self._process = process
        self._channel = channel
        self._output = output
        self._exit_seconds = exit_seconds
        self._exit = asyncio.ensure_future(process.wait())
        # Processes that a function started end with the worker.
        self._exit.add_done_callback(lambda _: self._kill_group())
        self._answering = False

    @classmethod
    async def start(
        cls, environment: Mapping[str, str], sink: LineSink, *, exit_seconds: float = EXIT_SECONDS
    ) -> Worker:
        """Start a worker process.

        :param exit_seconds: how long the process may run after it has closed the channel, before it is killed
        :raises OSError: the process cannot be started
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003
        with theirs, ExitStack() as failed:
            failed.callback(ours.close)
            output = PipedOutput(sink)
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
        return cls(process, ours, output, exit_seconds)

    @property
    def idle(self) -> bool:
        return not self._answering and not self._exit.done()

    async def ask(self, message: object, function: str | None = None) -> JsonObject:
        """Send a message and return the answer.

        :param function: the function that writes the worker's lines from now on
        :raises WorkerExited: the worker ended instead
        :raises AnswerTooLarge: its answer is over the limit. Do not use the worker again
        :raises NotReadable: its answer is JSON that is refused. Do not use the worker again
        :raises LoadError: there is no such function. Do not use the worker again: it may have imported a part of the
            module, and would not see a correction
        """
        self._answering = True
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
        self._answering = False
        return answer

    async def _exited(self) -> WorkerExited:
        """Wait for the end of the process, which has closed the channel, and kill it if it goes on."""
        await asyncio.wait([self._exit], timeout=self._exit_seconds)
        if self._exit.done():
            return WorkerExited(self._exit.result())
        self._kill_group()
        return WorkerExited(await asyncio.shield(self._exit), killed_after=self._exit_seconds)

    async def _exchange(self, message: bytes) -> JsonObject | None:
        """Send a message, and return the answer; None: the other end was closed."""
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
