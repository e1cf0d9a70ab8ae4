"""The commands, put together."""

from __future__ import annotations

import click

from durable_async.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="durable-async")
def durable_async() -> None:
    """Durable executions on this machine, over Lambda's own API."""


durable_async.add_command(serve)
