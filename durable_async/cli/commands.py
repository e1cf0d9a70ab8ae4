"""The list of all commands. Each is in its own module, which is imported when the command is used."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import MappingProxyType
from typing import Final

import attrs
import click

from durable_async.cli.exits import MEANINGS, Exit
from durable_async.cli.text import drop_output


@attrs.frozen
class Place:
    """Where a command is, and its line in ``--help``, which does not import the module."""

    module: str
    attribute: str
    summary: str


_SECTIONS: Final[Mapping[str, Mapping[str, Place]]] = MappingProxyType(
    {
        "Run": {
            "run": Place("run", "run_workflow", "Run a workflow in this process and watch it."),
            "start": Place("start", "start", "Start an execution of a function and print its ARN."),
            "serve": Place("serve", "serve", "Serve functions over Lambda's API."),
        },
        "Look": {
            "list": Place("listing", "list_executions", "List the functions, or the executions of one."),
            "show": Place("show", "show", "Show one execution: its state, input, result and operations."),
            "history": Place("history", "history", "Show what happened to an execution."),
            "ui": Place("ui", "ui", "Serve a page that shows executions, for the browser."),
            "replay": Place("replay", "replay_history", "Run today's code against a recorded history."),
        },
        "Steer": {
            "stop": Place("control", "stop", "Stop an execution for good."),
            "cancel": Place("control", "cancel", "Ask a workflow to end; its compensations run."),
            "pause": Place("control", "pause", "Pause an execution."),
            "resume": Place("control", "resume", "Let a paused execution continue."),
            "redrive": Place("control", "redrive", "Let a failed execution continue from what succeeded."),
            "fork": Place("fork", "fork", "Start an execution with the record of another up to an operation."),
            "callback": Place("callback", "callback", "Answer a callback that an execution waits for."),
            "delete": Place("control", "delete", "Delete a closed execution, so that its name can be used again."),
        },
        "Check": {
            "explore": Place("explore", "explore_workflow", "Run a workflow with a crash at each of its boundaries."),
            "doctor": Place("doctor", "doctor", "Check this machine, a service or a store, and say what to do."),
        },
    }
)


class Commands(click.Group):
    """A group that imports only the command that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click calls it
        return [name for places in _SECTIONS.values() for name in places]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        for places in _SECTIONS.values():
            if (place := places.get(cmd_name)) is not None:
                command: click.Command = getattr(import_module(f"durable_async.cli.{place.module}"), place.attribute)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for title, places in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, place.summary) for name, place in places.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), meaning) for code, meaning in MEANINGS.items()])

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: object
    ) -> click.Context:
        with _ended_from_outside():  # it prints the help
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        with _ended_from_outside():
            return super().invoke(ctx)


@contextmanager
def _ended_from_outside() -> Generator[None]:
    """Exit with the code of a program that is ended by the same signal."""
    try:
        yield
    except KeyboardInterrupt:
        raise click.exceptions.Exit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        drop_output()
        raise click.exceptions.Exit(Exit.PIPE_CLOSED) from None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="durable-async")
def durable_async() -> None:
    """Run, inspect and control durable executions.

    Most commands call a service over Lambda's API. --endpoint is the URL of a running service, --store the file of a
    service that is not running. Without both, the service is AWS Lambda.
    """
