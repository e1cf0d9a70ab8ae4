"""Who is measured, and the environment in which each one runs.

Each one is installed into a virtual environment of its own, made with this interpreter, so that nobody's pins decide
what somebody else is measured with. This project runs from its source tree, with what it depends on and nothing else:
what only its development needs is not imported.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tomllib
from pathlib import Path

import attrs


@attrs.frozen
class Contender:
    """
    :ivar distribution: whose version is printed
    :ivar package: what it is imported as
    :ivar requirement: what to install into its environment; None: it runs in this one
    :ivar environment: the name of its environment, which others may share; empty: its own name
    """

    name: str
    distribution: str
    package: str
    requirement: str | None = None
    environment: str = ""


_PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
_DEPENDENCIES = " ".join(_PROJECT["dependencies"])

OURS = Contender("ours", "durable-async", "durable_async", _DEPENDENCIES)
FLOOR = Contender("floor", "aiobotocore", "aiobotocore", _DEPENDENCIES, environment="ours")
PLAIN = Contender("plain", "aiobotocore", "aiobotocore", _DEPENDENCIES, environment="ours")
OFFICIAL = Contender(
    "official",
    "aws-durable-execution-sdk-python",
    "aws_durable_execution_sdk_python",
    "aws-durable-execution-sdk-python==3.0.0",
)
FORK = Contender("fork", "async-durable-execution", "async_durable_execution", "async-durable-execution[httpx]==2.5.0")
DBOS = Contender("dbos", "dbos", "dbos", "dbos==3.4.0")


def default_directory() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "durable-async-benchmarks"


def python_of(contender: Contender, directory: Path) -> str:
    """The interpreter that has ``contender`` installed; made on first use, under ``directory``.

    :raises subprocess.CalledProcessError: it cannot be installed; what pip said is on stderr
    """
    if contender.requirement is None:
        return sys.executable
    environment = directory / f"{contender.environment or contender.name}-{platform.python_version()}"
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    installed = environment / "installed.txt"
    if not installed.is_file() or installed.read_text() != contender.requirement:
        print(f"installing {contender.requirement} into {environment}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *contender.requirement.split()], check=True)
        installed.write_text(contender.requirement)
    return str(python)


def version_of(contender: Contender, python: str) -> str:
    code = (
        "import sys, importlib.metadata as m\ntry: print(m.version(sys.argv[1]))\n"
        "except m.PackageNotFoundError: print('(source tree)')"
    )
    command = [python, "-c", code, contender.distribution]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
