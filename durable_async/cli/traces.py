"""Tracebacks that the library logs, held back while a table is shown."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

import click

_LOGGER = logging.getLogger("durable_async")


@contextmanager
def traces_at_the_end(stream: TextIO) -> Generator[None]:
    """Write records with a traceback when the block ends, and others as they come."""
    held = _Held(stream)
    _LOGGER.addHandler(held)
    propagated, _LOGGER.propagate = _LOGGER.propagate, False
    try:
        yield
    finally:
        _LOGGER.propagate = propagated
        _LOGGER.removeHandler(held)
        held.release_all()


class _Held(logging.StreamHandler[TextIO]):
    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.setLevel(logging.WARNING)
        self._records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._records.append(record)
        else:
            super().emit(record)

    def release_all(self) -> None:
        for record in self._records:
            click.echo(self.format(record), file=self.stream)
