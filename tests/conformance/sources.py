"""Where the behaviour cases come from: this repository holds none of them.

They are those of the project *AWS Durable Execution Conformance Tests* (Apache-2.0), from the packages that it publishes
and from a folder beside this project, ``../shared/conformance``, as far as these are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import attrs

PACKAGES = ("aws_durable_execution_conformance_tests", "aws_durable_execution_conformance_tests_otel")
BESIDE = Path(__file__).parents[3] / "shared" / "conformance"

NONE_THERE = (
    "there are no behaviour cases: install aws-durable-execution-conformance-tests and "
    "aws-durable-execution-conformance-tests-otel (Python 3.14), or lay them into ../shared/conformance"
)


@attrs.frozen
class Source:
    """
    :ivar folder: of suites; None: it is not there
    """

    name: str
    folder: Path | None

    def __str__(self) -> str:
        if self.folder is None:
            return f"none from {self.name}, which is not there"
        return f"{len([*self.folder.glob('*/*.yaml')])} from {self.name}"


def sources() -> Sequence[Source]:
    """The packages, then the folder: of a case that is in several of them the first counts."""
    beside = Source("../shared/conformance", BESIDE if BESIDE.is_dir() else None)
    return [*(Source(name.replace("_", "-"), _resources(name)) for name in PACKAGES), beside]


def folders() -> Sequence[Path]:
    return [source.folder for source in sources() if source.folder is not None]


def _resources(package: str) -> Path | None:
    """Found without importing the package, whose code needs a newer Python than its cases do."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "test_requirements"
    return folder if folder.is_dir() else None
