"""The logger of workflows and steps: standard library logging that is silent during a replay.

Records carry ``executionArn``, and where they apply ``parentId``, ``operationId``, ``operationName`` and ``attempt``:
the names that the official SDKs write and the Lambda console filters on.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from durable_async.errors import ExecutionCancelledError

LOGGER_NAME = "durable_async.workflow"

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class DurableLogger(_Adapter):
    """An adapter of the logger ``durable_async.workflow``.

    :param fields: returns what to add to each record; the caller's ``extra`` has priority
    :param is_silent: called before each record; True to drop it
    """

    log_while_replaying = False
    """Set it to True to log during a replay too."""

    def __init__(self, fields: Callable[[], Mapping[str, object]], is_silent: Callable[[], bool]) -> None:
        super().__init__(logging.getLogger(LOGGER_NAME), {})
        self._fields = fields
        self._is_silent = is_silent

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        return super().isEnabledFor(level) and (self.log_while_replaying or not self._is_silent())

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**self._fields(), **(kwargs.get("extra") or {})}
        return msg, kwargs


class JsonFormatter(logging.Formatter):
    """Writes records in Lambda's JSON log format: one object a line, each extra a top-level member of it."""

    _OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, object] = {name: value for name, value in vars(record).items() if name not in self._OWN}
        members |= {
            "timestamp": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "level": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info and (error := record.exc_info[1]) is not None:
            from durable_async._raised import message_of, trace_of  # most programs log no error here

            members |= {
                "errorType": type(error).__name__,
                "errorMessage": message_of(error),
                "stackTrace": trace_of(error),
            }
        return json.dumps(members, default=str, skipkeys=True)


class _JsonOfTheWorkflow(logging.Formatter):
    """Writes the records of the workflow's logger as JSON, and leaves all others to another formatter."""

    def __init__(self, others: logging.Formatter) -> None:
        super().__init__()
        self._others = others
        self._json = JsonFormatter()

    def format(self, record: logging.LogRecord) -> str:
        if record.name != LOGGER_NAME:
            return self._others.format(record)
        return self._json.format(record) + "\n"


def log_failure(execution_arn: str, error: BaseException) -> None:
    """Log why an execution failed; or, at INFO and without a trace, that it was cancelled, which somebody asked for.

    Where the record is written as text, the trace in it is the one that is recorded: without frames of this package,
    and with those of the step that failed, also if it failed in an earlier invocation.
    """
    logger = logging.getLogger("durable_async")
    if isinstance(error, ExecutionCancelledError):
        logger.info("%s was cancelled", execution_arn)
        return
    if not logger.isEnabledFor(logging.ERROR):
        return
    from durable_async._raised import report_of

    file, line, function, _ = logger.findCaller()
    raised = (type(error), error, error.__traceback__)
    record = logger.makeRecord(logger.name, logging.ERROR, file, line, "%s failed", (execution_arn,), raised, function)
    record.exc_text = report_of(error)  # what logging.Formatter writes in place of Python's own trace
    logger.handle(record)


def log_on_lambda(environment: Mapping[str, str]) -> None:
    """Let ``ctx.logger`` print at INFO and as JSON on Lambda, as far as the function's ``LoggingConfig`` says nothing.

    Only the handler that Lambda's runtime has put on the root logger is changed, and only for these records.
    """
    logger = logging.getLogger(LOGGER_NAME)
    if logger.level == logging.NOTSET and "AWS_LAMBDA_LOG_LEVEL" not in environment:
        logger.setLevel(logging.INFO)
    if environment.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        return  # by the runtime, which writes each extra of a record too
    for handler in logging.getLogger().handlers:
        formatter = handler.formatter
        is_lambdas = type(handler).__module__.startswith("awslambdaric")
        if is_lambdas and formatter is not None and not isinstance(formatter, _JsonOfTheWorkflow):
            handler.setFormatter(_JsonOfTheWorkflow(formatter))
