"""A workflow's file is loaded as that file, whatever it and its neighbours are called; also by a server's workers."""

import json
import subprocess
import sys

import pytest

from tests.cli.command import environment, serve

# Without the current directory before everything else, as where the command is installed.
COMMAND = [sys.executable, "-P", "-m", "durable_async.cli"]

WORKFLOW = """
from __future__ import annotations

import dataclasses
import pickle

from durable_async import DurableContext, durable_execution
from sibling import seven


@dataclasses.dataclass
class Order:
    item: str


async def pack(order: Order) -> Order:
    return pickle.loads(pickle.dumps(order))


@durable_execution
async def main(event: Order, ctx: DurableContext) -> Order:
    packed = await ctx.step(pack, event)
    return Order(f"{packed.item} {seven}")
"""

NAMES = ["orders.py", "queue.py", "types.py", "calendar.py", "click.py", "my-orders.py", "durable_async.py"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sibling.py").write_text("seven = 7\n")
    for name in NAMES:
        (tmp_path / name).write_text(WORKFLOW)
    return tmp_path


def durable_async(*arguments, cwd, **variables):
    ended = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_loaded_as_that_file_among_neighbours_with_names_of_modules(name, folder):
    code, out, err = durable_async("run", f"{name}:main", "--input", '{"item": "lamp"}', cwd=folder)
    assert code == 0, err
    assert json.loads(out) == {"item": "lamp 7"}


def test_a_module_of_the_directory_hides_no_module_of_the_standard_library(folder):
    code, out, err = durable_async("run", "orders:main", "--input", '{"item": "lamp"}', cwd=folder)
    assert (code, json.loads(out)) == (0, {"item": "lamp 7"}), err


def test_two_files_of_one_name_are_two_modules(folder):
    (folder / "more").mkdir()
    (folder / "more" / "orders.py").write_text(WORKFLOW.replace("packed.item", "packed.item.upper()"))
    with serve(
        "--in-process",
        "--function",
        "a=orders.py:main",
        "--function",
        "b=more/orders.py:main",
        cwd=folder,
        command=COMMAND,
    ) as url:
        assert started(url, "a", folder) == {"item": "lamp 7"}
        assert started(url, "b", folder) == {"item": "LAMP 7"}


def test_a_server_and_its_workers_load_files_too(folder):
    with serve("--function", "f=queue.py:main", "--function", "g=orders:main", cwd=folder, command=COMMAND) as url:
        assert started(url, "f", folder) == {"item": "lamp 7"}
        assert started(url, "g", folder) == {"item": "lamp 7"}


def test_replay_loads_files_too(folder):
    store = folder / "orders.db"
    arguments = ("--input", '{"item": "lamp"}', "--store", store, "--name", "one")
    assert durable_async("run", "types.py:main", *arguments, cwd=folder)[0] == 0
    code, out, err = durable_async("replay", "types.py:main", "--execution", "main/one", "--store", store, cwd=folder)
    assert code == 0, out + err


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("orders.main", "there is no module orders.main; did you mean orders:main?"),
        ("nothing.py:main", "there is no file nothing.py"),
        ("nothing:main", "there is no module nothing, here or on the import path; a file is given by its path"),
    ],
)
def test_a_place_that_is_none_is_refused_with_what_to_write(place, message, folder):
    code, out, err = durable_async("run", place, cwd=folder)
    assert (code, out) == (2, "")
    assert message in err


def started(url, function, cwd):
    arguments = ("--input", '{"item": "lamp"}', "--wait", "--endpoint", url)
    code, out, err = durable_async("start", function, *arguments, cwd=cwd)
    assert code == 0, err
    return json.loads(out)
