"""The peers' virtual environments: made once, from the package registry, and kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import attrs


@attrs.frozen
class Environment:
    """A virtual environment of the Python that runs the tests, with these distributions and what they require."""

    name: str
    requirements: tuple[str, ...]

    @property
    def path(self) -> Path:
        wanted = hashlib.sha256("\n".join([sys.version, *self.requirements]).encode()).hexdigest()[:12]
        return cache() / f"{self.name}-{wanted}"

    @property
    def python(self) -> str:
        return str(self.path / "bin" / "python")

    @property
    def packages(self) -> Path:
        return self.path / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    def script(self, name: str) -> str:
        return str(self.path / "bin" / name)

    def make(self) -> Environment:
        """Install what is not there yet. An environment that was left half made is made anew."""
        with _locked(self.path.with_suffix(".lock")):
            complete = self.path / "complete"
            if not complete.exists():
                shutil.rmtree(self.path, ignore_errors=True)
                _run(sys.executable, "-m", "venv", str(self.path))
                _run(self.python, *_PIP, "install", *self.requirements)
                complete.touch()
        return self

    def wheel(self, requirement: str) -> Path:
        """The wheel of a distribution, not installed."""
        directory = self.path / "wheels" / requirement
        with _locked(self.path.with_suffix(".lock")):
            if not list(directory.glob("*.whl")):
                _run(
                    self.python,
                    *_PIP,
                    "download",
                    "--no-deps",
                    "--only-binary=:all:",
                    "-d",
                    str(directory),
                    requirement,
                )
        [wheel] = directory.glob("*.whl")
        return wheel


OFFICIAL = Environment(
    "official",
    (
        "aws-durable-execution-sdk-python==3.0.0",
        "aws-durable-execution-sdk-python-testing==1.4.0",
        "boto3==1.44.8",
    ),
)
RUNTIME = Environment("runtime", ("awslambdaric==4.2.2",))
MINISTACK = Environment("ministack", ("ministack==1.5.33", "boto3==1.43.106"))

_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")
_RUNTIME_EMULATOR_IN = "aws-sam-cli==1.170.0"


def runtime_emulator() -> Path:
    """Lambda's runtime interface emulator, a binary inside the wheel of AWS's command line for SAM."""
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    binary = RUNTIME.make().path / "bin" / "aws-lambda-rie"
    if not binary.exists():
        with zipfile.ZipFile(RUNTIME.wheel(_RUNTIME_EMULATOR_IN)) as wheel:
            content = wheel.read(f"samcli/local/rapid/aws-lambda-rie-{machine}")
        binary.write_bytes(content)
        binary.chmod(0o755)
    return binary


def cache() -> Path:
    chosen = os.environ.get("DURABLE_ASYNC_INTEROP_VENVS")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "durable-async-interop"


@contextmanager
def _locked(path: Path) -> Generator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(*command: str) -> None:
    # Not our own environment: a PYTHONPATH would hide what is not installed there.
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    subprocess.run(command, env=environment, check=True, stdin=subprocess.DEVNULL)
