"""The logger of workflows and steps: standard library logging that is silent during a replay.

Records carry ``executionArn``, and where they apply ``parentId``, ``operationId``, ``operationName`` and ``attempt``:
the names that the official SDKs write and the Lambda console filters on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

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
