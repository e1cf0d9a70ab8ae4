"""``durable-async serve``: the command. What it starts is in :mod:`server <durable_async.cli.server>`."""

from __future__ import annotations

from pathlib import Path

import click

from durable_async.cli import options
from durable_async.cli.options import Command


@click.command(
    cls=Command,
    examples=(
        "serve --function fulfil=orders:fulfil --store orders.db",
        "serve --remote fulfil=http://127.0.0.1:9000 --store orders.db",
        "serve --functions orders --in-process",
        "serve --function fulfil=orders.py:fulfil --store orders.db --execution-timeout 86400",
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Any but a loopback address needs a token.")
@click.option("--port", default=8700, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@options.token(help="Callers must present it, as bearer or access key id.")
@options.repeatable(
    "--functions",
    "MODULE[:MAPPING]",
    options.mapping,
    help="Serve every entry of a mapping. MAPPING defaults to HANDLERS.",
)
@options.repeatable("--function", "NAME=MODULE:ATTRIBUTE", options.function, help="Serve one function.")
@options.repeatable(
    "--remote", "NAME=URL", options.remote, help="Serve a durable function of another server, such as a container."
)
@options.repeatable("--remote-plain", "NAME=URL", options.remote, help="Serve an ordinary function of another server.")
@click.option(
    "--remote-concurrency",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Invocations of each other server at once. Lambda's emulator takes no more than one.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes at most.  [default: 8]")
@click.option("--max-invocations", type=click.IntRange(1), help="Replace a worker after so many.  [default: never]")
@click.option(
    "--max-memory",
    type=click.IntRange(1),
    metavar="MIB",
    help="Replace a worker that has taken more memory than this.  [default: never]",
)
@click.option(
    "--in-process",
    is_flag=True,
    help="Run functions of modules in the server's own process: quicker, and what breaks them breaks it.",
)
@click.option("--max-concurrency", type=click.IntRange(1), help="Invocations at once, of all functions.")
@options.repeatable(
    "--execution-timeout",
    "[NAME=]SECONDS",
    options.timeout,
    help="Of the executions of one function, or of all.  [default: 366 days with --store, else 300]",
)
@click.option(
    "--on-mismatch",
    type=click.Choice(["park", "fail"]),
    help="Executions whose record does not fit the code: pause them, or let them fail.  [default: park with --store, "
    "else fail]",
)
@click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep executions in this SQLite file. Without it, they end with the server.",
)
@click.option(
    "--durability",
    type=click.Choice(["full", "normal"]),
    default="full",
    show_default=True,
    help="What the file survives: 'full' the loss of power too, 'normal' the death of the server.",
)
@click.option(
    "--wait-for-lock",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="While another process has the store's file, wait so long for its end.",
)
@click.option(
    "--log-json",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append what workers print and log, one JSON object a line. Without it, it goes to standard error.",
)
@click.option(
    "--grace",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="After a signal, wait so long for what runs. A second signal ends it at once.",
)
def serve(**values: object) -> None:
    """Serve functions over Lambda's API.

    Modules are imported from the current directory and the import path, in processes that are not the server's. Point
    an AWS client at the URL that is printed: AWS_ENDPOINT_URL_LAMBDA=http://127.0.0.1:8700.
    """
    from durable_async.cli.server import Settings, run

    if not any(values[kind] for kind in ("functions", "function", "remote", "remote_plain")):
        raise click.UsageError("there is nothing to serve: give --function NAME=MODULE:ATTRIBUTE, or see --help")
    settings = Settings(**values)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    of_workers = (settings.workers, settings.log_json, settings.max_invocations, settings.max_memory)
    if settings.in_process and any(value is not None for value in of_workers):
        raise click.UsageError(
            "--workers, --log-json, --max-invocations and --max-memory are about workers, and with --in-process there "
            "are none"
        )
    run(settings)
