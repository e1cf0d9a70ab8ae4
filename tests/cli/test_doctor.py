"""``doctor`` on this machine and on services."""

import json

import pytest

from durable_async.cli import doctor
from durable_async.cli.exits import Exit

from .command import durable_async


def last(ended):
    return json.loads(ended.lines[-1])


def test_a_service_that_answers(service):
    ended = service("doctor")
    assert ended.code == 0
    assert [line.split()[0] for line in ended.lines] == ["ok"] * len(ended.lines)
    assert ended.lines[-1] == f"ok    service     {service.url} answers"


@pytest.mark.parametrize(
    ("arguments", "health", "found"),
    [
        ([], "warn", "no region and credentials"),
        (["--region", "eu-west-1"], "warn", "no credentials"),
        (["--endpoint", "http://127.0.0.1:9"], "fail", "Could not connect"),
        (["--endpoint", "https://192.0.2.1"], "fail", "none"),
        (["--profile", "no-such"], "fail", "no-such"),
    ],
)
def test_what_is_missing(arguments, health, found):
    ended = durable_async("doctor", "--json", *arguments)
    assert ended.code == (Exit.FAILED if health == "fail" else Exit.OK)
    assert last(ended)["health"] == health
    assert found in last(ended)["found"]
    assert last(ended)["advice"]


async def test_what_this_machine_lacks():
    needed = doctor.Requirements(python=(99, 0), sqlite=(99, 0), packages=("attrs", "no-such-package"))
    found = {finding.subject: finding for finding in doctor.check_machine(needed) if finding.health == "fail"}
    assert found.keys() == {"python", "sqlite", "packages"}
    assert found["packages"].found == "missing: no-such-package"
    assert all(finding.advice for finding in found.values())
