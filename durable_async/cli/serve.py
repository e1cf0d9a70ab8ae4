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
@click.option("--host", default="127.0.0.1", show_default=True, help="An address other than loopback requires a token.")
@click.option("--port", default=8700, show_default=True, type=click.IntRange(0, 65535), help="0: any free port.")
@options.token(help="The token that callers must send, as bearer token or access key id.")
@click.option("--ui", is_flag=True, help="Serve the page that shows executions too, at /ui/.")
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
    help="Invocations of each other server at once. Lambda's emulator accepts only one.",
)
@click.option("--workers", type=click.IntRange(1), help="The maximum number of processes.  [default: 8]")
@click.option("--max-invocations", type=click.IntRange(1), help="Replace a worker after this many.  [default: never]")
@click.option(
    "--max-memory",
    type=click.IntRange(1),
    metavar="MIB",
    help="Replace a worker that uses more memory than this.  [default: never]",
)
@click.option(
    "--in-process",
    is_flag=True,
    help="Run functions of modules in the server's own process: faster, but a crash takes the server down.",
)
@click.option("--max-concurrency", type=click.IntRange(1), help="Invocations at once, of all functions.")
@options.repeatable(
    "--execution-timeout",
    "[NAME=]SECONDS",
    options.timeout,
    help="The timeout of the executions of one function, or of all.  [default: 366 days with --store, else 300]",
)
@options.repeatable(
    "--cancel-before",
    "[NAME=]SECONDS",
    options.timeout,
    help="Cancel the workflows of one function, or of all, this long before their timeout.  [default: never]",
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
    callback=options.plain_path,
    metavar="FILE",
    help="Keep executions in this SQLite file. Without it, they end with the server.",
)
@click.option(
    "--durability",
    type=click.Choice(["full", "normal"]),
    default="full",
    show_default=True,
    help="What an acknowledged write survives: 'full', power loss; 'normal', a crash of the server.",
)
@click.option(
    "--takeover",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="If another server uses the store's file, stand by, send it all requests, and take over when it ends. While "
    "there is none, a request waits up to SECONDS.  [default: end with an error]",
)
@click.option(
    "--log-json",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append the output and logs of workers to this file, one JSON object per line. Default: standard error.",
)
@click.option(
    "--grace",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long running steps may continue after a signal. A second signal ends them at once.",
)
def serve(**values: object) -> None:
    """Serve functions over Lambda's API.

    Modules are imported from the current directory and the import path, in other processes than the server. Point an
    AWS client at the printed URL: AWS_ENDPOINT_URL_LAMBDA=http://127.0.0.1:8700.
    """
    from durable_async.cli.server import Settings, run

    if not any(values[kind] for kind in ("functions", "function", "remote", "remote_plain")):
        raise click.UsageError("there is nothing to serve: give --function NAME=MODULE:ATTRIBUTE, or see --help")
    if values["takeover"] is not None and values["store"] is None:
        raise click.UsageError("--takeover needs --store, whose file another server can have")
    settings = Settings(**values)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    of_workers = (settings.workers, settings.log_json, settings.max_invocations, settings.max_memory)
    if settings.in_process and any(value is not None for value in of_workers):
        raise click.UsageError(
            "--workers, --log-json, --max-invocations and --max-memory configure workers, and --in-process uses none"
        )
    run(settings)
