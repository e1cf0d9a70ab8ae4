"""Is this machine fit: Python, SQLite, packages, event loop."""

from __future__ import annotations

import asyncio
import platform
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

from durable_async.cli.findings import Finding, broken, doubtful, well

_PYTHON = (3, 11)
_SQLITE = (3, 34)
_REQUIRED = ("aiobotocore", "botocore", "aiohttp", "anyio", "attrs", "cattrs", "click", "rich")
_OPTIONAL = {"cryptography": "for encrypted payloads", "uvloop": "a faster event loop"}


def check_machine() -> Iterator[Finding]:
    yield _python()
    yield _sqlite()
    yield from _packages()
    yield _event_loop()


def _python() -> Finding:
    found = f"{platform.python_implementation()} {platform.python_version()}"
    if sys.version_info < _PYTHON:
        return broken("python", found, "use Python 3.11 or later")
    return well("python", found)


def _sqlite() -> Finding:
    found = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < _SQLITE:
        return broken("sqlite", found, "use a Python that is built with SQLite 3.34 or later")
    with TemporaryDirectory() as directory, closing(sqlite3.connect(Path(directory) / "probe.db")) as probe:
        mode = probe.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        return doubtful(
            "sqlite", f"{found}, no write-ahead log in the temporary directory", "keep stores on a local disk"
        )
    return well("sqlite", f"{found}, with write-ahead log")


def _packages() -> Iterator[Finding]:
    installed = {name: _version(name) for name in (*_REQUIRED, *_OPTIONAL)}
    there = ", ".join(f"{name} {found}" for name, found in installed.items() if found is not None)
    yield well("packages", there)
    if missing := [name for name in _REQUIRED if installed[name] is None]:
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
        return doubtful("event loop", f"{name}, in debug mode", "unset PYTHONASYNCIODEBUG where speed matters")
    return well("event loop", name)
