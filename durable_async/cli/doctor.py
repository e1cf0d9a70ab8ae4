"""``durable-async doctor``: checks this machine, a service or a store, and says what to do."""

from __future__ import annotations

import asyncio
import platform
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Final

import attrs
import click
from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

from durable_async._excerpts import first_few
from durable_async.cli import options
from durable_async.cli.connect import Target, connected, open_session, target_options
from durable_async.cli.exits import Exit, Unreachable
from durable_async.cli.options import Command
from durable_async.cli.running import run
from durable_async.cli.tables import console, is_terminal
from durable_async.cli.text import dump_json, one_line
from durable_async.errors import ServiceCallError
from durable_async.service.model.errors import StoreError
from durable_async.service.store.sqlite.damage import fault, is_damage
from durable_async.service.store.sqlite.files import locate, open_for_reading
from durable_async.service.store.sqlite.lock import holder, is_held
from durable_async.service.store.sqlite.reading import damaged_executions


class Health(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


STYLES: Final[Mapping[str, str]] = MappingProxyType({Health.OK: "green", Health.WARN: "yellow", Health.FAIL: "red"})


@attrs.frozen
class Finding:
    """:ivar advice: what to do; empty if nothing is wrong"""

    health: Health
    subject: str
    found: str
    advice: str = ""


def well(subject: str, found: str) -> Finding:
    return Finding(Health.OK, subject, found)


def doubtful(subject: str, found: str, advice: str) -> Finding:
    return Finding(Health.WARN, subject, found, advice)


def broken(subject: str, found: str, advice: str) -> Finding:
    return Finding(Health.FAIL, subject, found, advice)


_OPTIONAL = {"cryptography": "for encrypted payloads", "uvloop": "a faster event loop"}


@attrs.frozen
class Requirements:
    """What the package needs on a machine."""

    python: tuple[int, int] = (3, 11)
    sqlite: tuple[int, int] = (3, 34)
    packages: tuple[str, ...] = ("aiobotocore", "botocore", "aiohttp", "anyio", "attrs", "cattrs", "click", "rich")


def check_machine(needed: Requirements = Requirements()) -> Iterator[Finding]:
    yield _python(needed.python)
    yield _sqlite(needed.sqlite)
    yield from _packages(needed.packages)
    yield _event_loop()


def _python(needed: tuple[int, int]) -> Finding:
    found = f"{platform.python_implementation()} {platform.python_version()}"
    if sys.version_info < needed:
        return broken("python", found, f"use Python {needed[0]}.{needed[1]} or later")
    return well("python", found)


def _sqlite(needed: tuple[int, int]) -> Finding:
    found = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < needed:
        return broken("sqlite", found, f"use a Python that is built with SQLite {needed[0]}.{needed[1]} or later")
    with TemporaryDirectory() as directory, closing(sqlite3.connect(Path(directory) / "probe.db")) as probe:
        mode = probe.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        return doubtful(
            "sqlite", f"{found}, no write-ahead log in the temporary directory", "keep stores on a local disk"
        )
    return well("sqlite", f"{found}, with write-ahead log")


def _packages(required: tuple[str, ...]) -> Iterator[Finding]:
    installed = {name: _version(name) for name in (*required, *_OPTIONAL)}
    there = ", ".join(f"{name} {found}" for name, found in installed.items() if found is not None)
    yield well("packages", there)
    if missing := [name for name in required if installed[name] is None]:
        yield broken("packages", f"missing: {', '.join(missing)}", "pip install 'durable-async[cli]'")
    if absent := [f"{name} ({use})" for name, use in _OPTIONAL.items() if installed[name] is None]:
        yield well("packages", f"not installed, and not needed: {', '.join(absent)}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _event_loop() -> Finding:
    loop = asyncio.get_running_loop()
    name = f"{type(loop).__module__.partition('.')[0]}.{type(loop).__qualname__}"
    if loop.get_debug():
        return doubtful("event loop", f"{name}, in debug mode", "unset PYTHONASYNCIODEBUG if speed matters")
    return well("event loop", name)


_SECONDS = 5.0  # for an answer
_PROBE = "durable-async-doctor"  # the name of a function that does not exist


async def check_service(target: Target) -> AsyncIterator[Finding]:
    """Check the endpoint; without one, AWS, if there are a region and credentials."""
    try:
        session = open_session(target.service)
        region, credentials = target.service.region_of(session), await session.get_credentials()
    except (BotoCoreError, Unreachable) as error:
        yield broken("credentials", str(error), "fix the AWS configuration, or choose another --profile")
        return
    if target.endpoint is None and not (region and credentials):
        missing = " and ".join(what for what, there in (("region", region), ("credentials", credentials)) if not there)
        advice = "set AWS_REGION and AWS_PROFILE if you use Lambda; otherwise give --endpoint or --store"
        yield doubtful("aws", f"no {missing}", advice)
        return
    yield well("region", str(region))
    if not credentials:
        yield broken("credentials", "none", "set AWS_PROFILE; or DURABLE_ASYNC_TOKEN, if the service requires a token")
        return
    yield well("credentials", f"found ({credentials.method})")
    yield await _answer(target)


async def _answer(target: Target) -> Finding:
    place = str(target)
    try:
        async with asyncio.timeout(_SECONDS), connected(target) as client:
            await client.call("ListDurableExecutionsByFunction", FunctionName=_PROBE, MaxItems=1)
    except TimeoutError:
        return broken("service", f"{place} gives no answer in {_SECONDS:g} s", "check its address, and the network")
    except ServiceCallError as error:
        if error.code == "ResourceNotFoundException":
            return well("service", f"{place} answers")
        if error.status is None:
            return broken("service", error.message, "check its address, and that it runs")
        advice = (
            "check DURABLE_ASYNC_TOKEN, or credentials and their rights" if error.status < 500 else "look at its log"
        )
        return broken("service", f"{place} refuses: {error.message} ({error.code})", advice)
    return well("service", f"{place} answers")


_QUARANTINED = """
    SELECT function_name || '/' || name FROM executions
    WHERE status = 'PAUSED' AND CAST(pause_reason AS TEXT) LIKE 'Quarantined:%' ORDER BY position
"""
_OPEN = """
    SELECT function_name, count(*) FROM executions WHERE ended_ms IS NULL GROUP BY function_name ORDER BY function_name
"""


def check_store(file: Path) -> Iterator[Finding]:
    try:
        path = locate(file)
        writer = _writer(path)
        with closing(open_for_reading(path)) as connection:
            yield from _of(connection, path, writer)
    except StoreError as error:
        sentence, _, advice = error.message.partition(". ")
        yield broken("store", sentence, advice)
    except sqlite3.Error as error:
        sentence, _, advice = fault(error, str(file)).message.partition(". ")
        yield broken("store", sentence, advice)


def _writer(path: Path) -> str:
    pid = holder(path)
    if pid is not None:
        return f"process {pid}"
    return "a process that the lock file does not name" if path.exists() and is_held(path) else "none"


def _of(connection: sqlite3.Connection, path: Path, writer: str) -> Iterator[Finding]:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    yield well("store", f"{path}, version {version}")
    found = _integrity(connection)
    if found != ["ok"]:
        yield broken("integrity", "; ".join(found), "stop its service, and restore a backup")
        yield from _damaged(connection)
        return
    yield well("integrity", "ok")
    yield from _damaged(connection)
    yield well("writer", writer)
    counts = connection.execute("SELECT status, count(*) FROM executions GROUP BY status ORDER BY status").fetchall()
    yield well("executions", ", ".join(f"{count} {status}" for status, count in counts) or "none")
    if still_open := connection.execute(_OPEN).fetchall():
        functions = ", ".join(f"{name} ({count})" for name, count in still_open)
        yield well("open", f"{functions}: they continue where these functions are registered")
    if quarantined := [name for (name,) in connection.execute(_QUARANTINED)]:
        advice = "their handlers kept crashing: fix them, then durable-async resume"
        yield doubtful("quarantine", first_few(quarantined), advice)


def _integrity(connection: sqlite3.Connection) -> list[str]:
    try:
        return [line for (line,) in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return ["a page of the file cannot be read"]


def _damaged(connection: sqlite3.Connection) -> Iterator[Finding]:
    for damaged in damaged_executions(connection):
        found = f"{damaged.name}: {damaged.what}"
        if damaged.repairable:
            yield doubtful("damaged", found, "start its service, which repairs it when it is used")
        else:
            yield broken("damaged", found, "the others continue; to get this one back, restore a backup of the store")


@click.command(
    cls=Command,
    examples=("doctor", "doctor --store orders.db", "doctor --endpoint http://127.0.0.1:8700 --token-file token.txt"),
)
@options.as_json
@target_options
def doctor(target: Target, *, as_json: bool) -> None:
    """Check this machine, and a service or a store, and say what to do.

    Each line is ok, warn or fail. Nothing is changed, and a store may be in use.
    """
    run(_doctor(target, as_json=as_json))


async def _doctor(target: Target, *, as_json: bool) -> Exit:
    failed = False
    async for finding in _findings(target):
        failed |= finding.health is Health.FAIL
        if as_json:
            click.echo(dump_json(attrs.asdict(finding)))
        else:
            _print(finding)
    return Exit.FAILED if failed else Exit.OK


async def _findings(target: Target) -> AsyncIterator[Finding]:
    for finding in check_machine():
        yield finding
    if target.store is not None:
        for finding in check_store(target.store):
            yield finding
    else:
        async for finding in check_service(target):
            yield finding


def _print(finding: Finding) -> None:
    advice = f": {finding.advice}" if finding.advice else ""
    said = one_line(f"{finding.subject:<12}{finding.found}{advice}")
    if is_terminal(sys.stdout):
        from rich.text import Text

        console(sys.stdout).print(Text.assemble((f"{finding.health:<6}", STYLES[finding.health]), said))
    else:
        click.echo(f"{finding.health:<6}{said}")
