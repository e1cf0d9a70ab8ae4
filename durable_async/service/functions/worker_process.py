"""The worker process: runs functions, one invocation at a time, in its main thread.

``python -m durable_async.service.functions.worker_process FD`` serves the socket ``FD`` until its other end is closed.
A message is four bytes of length, most significant first, and then JSON of that length. Standard output and error
belong to the functions; the protocol does not use them.

- what an invocation wrote to them leaves this process before its answer
- when the server ends, this process ends too, even in the middle of a handler
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import resource
import select
import socket
import sys
import threading
import traceback
from collections.abc import Awaitable, Generator, Mapping
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from operator import attrgetter
from typing import Any, cast

import attrs

from durable_async._wire.operations import ErrorObject
from durable_async._wire.text import JsonMembers, JsonObject
from durable_async.logs import JsonFormatter
from durable_async.service.functions.base import InvocationRequest, LambdaContext, error_object
from durable_async.service.functions.modules import load_module

HEADER_BYTES = 4
ANSWER_BYTES = 6 * 1024 * 1024 + 100  # the maximum size of a function's answer, as on Lambda
FRAME_BYTES = ANSWER_BYTES + 1024
"""The maximum size of a reply. The server ends a worker that announces a larger one, and does not read it."""

_TRACE_HEADER = "_X_AMZN_TRACE_ID"  # where Lambda's runtimes put it, and where AWS's libraries look for it
_TALKATIVE = ("botocore", "aiobotocore")  # otherwise each process would log where it found its credentials and endpoint


@attrs.frozen
class Target:
    """The place of a function: an attribute of a module, or the entry ``key`` of a mapping that is an attribute.

    :ivar module: the module's name, or the path of a file that ends in ``.py``
    """

    module: str
    attribute: str
    key: str | None = None

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}" + ("" if self.key is None else f"[{self.key!r}]")


class LoadError(Exception):
    """A target is not a function. Arguments: Lambda's type of this error, and a sentence."""

    def __str__(self) -> str:
        return str(self.args[1])


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(HEADER_BYTES, "big") + body


class LineStream(TextIOWrapper):
    """Writes whole lines. ``print`` writes a line and its end separately, and another thread could write in between."""

    def __init__(self, fd: int) -> None:
        super().__init__(open(fd, "wb", closefd=False), "utf-8", "backslashreplace", line_buffering=True)  # noqa: SIM115
        self._begun = threading.local()

    def write(self, text: str, /) -> int:
        whole, end, begun = text.rpartition("\n")
        if end:
            super().write(self._take_begun() + whole + end)
        self._begun.text = self._take_begun() + begun
        return len(text)

    def flush(self) -> None:
        if begun := self._take_begun():
            super().write(begun)
        super().flush()

    def _take_begun(self) -> str:
        begun: str = getattr(self._begun, "text", "")
        self._begun.text = ""
        return begun


def find(target: Target) -> Any:
    """Return the object at ``target``: a function, or a mapping of functions if the target has no key.

    :raises LoadError: the module cannot be imported, or does not have this attribute or key
    """
    try:
        module = load_module(target.module)
    except Exception as error:
        if not (isinstance(error, ModuleNotFoundError) and error.name == target.module):
            traceback.print_exc()  # the error is inside the module: show where
        reason = f"{type(error).__name__}: {error}"
        raise LoadError("Runtime.ImportModuleError", f"Unable to import module '{target.module}': {reason}") from error
    try:
        found = attrgetter(target.attribute)(module)
        return found if target.key is None else found[target.key]
    except (AttributeError, LookupError, TypeError):
        raise LoadError("Runtime.HandlerNotFound", f"There is no {target}") from None


def functions_of(mapping: Target) -> dict[str, bool]:
    """Return the names in a mapping of functions, each with whether the function is durable.

    :raises LoadError: as :func:`find`, or it is not such a mapping
    """
    found = find(mapping)
    if not isinstance(found, Mapping):
        raise LoadError("Runtime.HandlerNotFound", f"{mapping} is not a mapping of functions")
    entries = cast("JsonMembers", found)
    return {name: _is_durable(attrs.evolve(mapping, key=name), entry) for name, entry in entries.items()}


def is_durable(function: Target) -> bool:
    """Return whether the function at ``target`` is durable.

    :raises LoadError: as :func:`find`, or it is not a function
    """
    return _is_durable(function, find(function))


def _is_durable(target: Target, found: object) -> bool:
    if not callable(found):
        raise LoadError("Runtime.HandlerNotFound", f"{target} is not a function, it is {found!r:.60}")
    try:
        inspect.signature(found).bind(None, None)
    except TypeError:
        said = f"{target} cannot be called as function(event, context): give it these two parameters"
        hint = ", and make it durable with @durable_execution if it is a workflow"
        raise LoadError("Runtime.HandlerNotFound", said + hint) from None
    except ValueError:
        pass  # written in C, without a signature: an invocation will show whether it fits
    return getattr(found, "durable", False) is True


def invoke(target: Target, event: object, request: InvocationRequest) -> JsonObject:
    """Run a function once, and return what it returned or how it failed.

    :raises LoadError: as :func:`find`
    """
    function = find(target)
    if request.trace_header is None:
        os.environ.pop(_TRACE_HEADER, None)
    else:
        os.environ[_TRACE_HEADER] = request.trace_header
    try:
        result = function(event, LambdaContext.of(request))
        if inspect.isawaitable(result):
            result = asyncio.run(_wait_for(result))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this invocation's failure
        return {"error": error_object(error)}
    return {"result": result}


async def _wait_for(result: Awaitable[object]) -> object:
    return await result


def answer(message: JsonObject) -> JsonObject:
    """Return the reply to one message of the server."""
    try:
        match message:
            case {"functions of": mapping}:
                return {"durable": functions_of(Target(**mapping))}
            case {"is durable": function}:
                return {"durable": is_durable(Target(**function))}
            case {"invoke": target, "event": event, "request": request}:
                return invoke(Target(**target), event, InvocationRequest(**request))
            case _:
                raise ValueError(f"the server sent {sorted(message)}, which this worker does not understand")
    except LoadError as error:
        return {"refused": error.args}


def too_large(size: int) -> ErrorObject:
    return ErrorObject(
        ErrorType="Function.ResponseSizeTooLarge",
        ErrorMessage=f"Response payload size ({size} bytes) exceeded maximum allowed payload size "
        f"({ANSWER_BYTES} bytes).",
    )


def encode(reply: JsonObject) -> bytes:
    """Return ``reply`` as JSON in UTF-8. A result that is too large or not possible in JSON becomes an error."""
    try:
        encoded = _json(reply).encode()
    except (TypeError, ValueError, RecursionError) as error:
        if "error" in reply:  # its text has a lone surrogate
            encoded = _json(reply).encode(errors="replace")
        else:
            message = f"Unable to marshal response: {error}"
            failure = ErrorObject(ErrorType="Runtime.MarshalError", ErrorMessage=message)
            encoded = _json({"error": failure}).encode(errors="replace")
    if len(encoded) <= FRAME_BYTES:
        return encoded
    return _json({"error": too_large(len(encoded))}).encode()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def serve(channel: socket.socket) -> None:
    """Answer one message after another, until the server closes the channel or a function ends this process."""
    with _told_of_the_end(channel), channel.makefile("rb") as received:
        while header := received.read(HEADER_BYTES):
            reply = encode(answer(json.loads(received.read(int.from_bytes(header, "big")))) | {"memory": _memory()})
            sys.stdout.flush()
            sys.stderr.flush()
            channel.sendall(frame(reply))


@contextmanager
def _told_of_the_end(channel: socket.socket) -> Generator[None]:
    """Tell the server at the end that no answer follows, even if this process takes long to end. To close the channel
    would not be enough, because the thread that watches the server uses it too."""
    try:
        yield
    finally:
        with suppress(OSError):
            channel.shutdown(socket.SHUT_WR)


def _memory() -> int:
    """Return the maximum resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _end_with(channel: socket.socket) -> None:
    poll = select.poll()
    poll.register(channel, 0)  # the only event is that the other end was closed
    poll.poll()
    os._exit(1)


def main() -> None:
    fd = int(sys.argv[1])
    os.set_inheritable(fd, False)  # noqa: FBT003 - the functions' own children must not hold it open
    channel = socket.socket(fileno=fd)
    threading.Thread(target=_end_with, args=(channel,), daemon=True, name="durable-async-server-watch").start()
    sys.stdout, sys.stderr = LineStream(1), LineStream(2)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for talkative in _TALKATIVE:  # before the functions' modules, which may set other handlers
        logging.getLogger(talkative).setLevel(logging.WARNING)
    serve(channel)


if __name__ == "__main__":
    main()
