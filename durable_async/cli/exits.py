"""The exit codes of every command, and the two failures that have one of their own."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import ClassVar, Final

import click


class Exit(IntEnum):
    """The exit codes of every command. 2 is click's own."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    INTERRUPTED = 130
    PIPE_CLOSED = 141


MEANINGS: Final[Mapping[Exit, str]] = MappingProxyType(
    {
        Exit.OK: "Done.",
        Exit.FAILED: "The execution did not succeed, or a check failed.",
        Exit.USAGE: "The command line is wrong.",
        Exit.REFUSED: "The service refused: no such execution, not in this state, not for this caller.",
        Exit.UNREACHABLE: "The service cannot be reached or failed, or its file cannot be opened.",
        Exit.INTERRUPTED: "Ctrl-C.",
        Exit.PIPE_CLOSED: "The reader of the output ended first, such as head.",
    }
)


class Refused(click.ClickException):
    exit_code: ClassVar[int] = Exit.REFUSED


class Unreachable(click.ClickException):
    exit_code: ClassVar[int] = Exit.UNREACHABLE
