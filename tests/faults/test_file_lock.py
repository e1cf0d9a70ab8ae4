"""One process writes a store, and what it acknowledged is in the file, whatever is done with the files meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from durable_async import durable_execution
from durable_async.embedded import DurableService
from durable_async.service import StoreError
from durable_async.service.store.sqlite import SqliteStore

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has locks that belong to one descriptor")

STEPS = """
import asyncio, os, shutil, sys
from datetime import timedelta
from durable_async import durable_execution
from durable_async.embedded import DurableService

@durable_execution
async def waits(number: int, ctx) -> int:
    await ctx.wait(timedelta(days=1))
    return number

async def start(service, first):
    for number in range(first, first + 20):
        await service.start(waits, number, name=f"n-{number}")
        print(number, flush=True)
"""
LOOKER = """
import sqlite3, sys
for _ in range(3):
    connection = sqlite3.connect(sys.argv[1])
    print(connection.execute("SELECT count(*) FROM executions").fetchone()[0])
    connection.close()
"""


@durable_execution
async def waits(number: int, ctx) -> int:
    await ctx.wait(timedelta(days=1))
    return number


@durable_execution
async def ends(number: int, ctx) -> int:
    return number


def run(program: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=check)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "service.db"


def files(path: Path) -> list[Path]:
    return [path, *(path.with_name(f"{path.name}{ending}") for ending in ("-wal", "-shm", "-lock"))]


async def refused(path: Path, sentence: str) -> None:
    with pytest.raises(StoreError, match=sentence):
        async with DurableService(path):
            pass


SECOND = """
import asyncio, sys
from durable_async.embedded import DurableService

async def main():
    async with DurableService(sys.argv[1]):
        pass

try:
    asyncio.run(main())
except Exception as error:
    print(error)
else:
    print("opened")
"""
DOCTOR = """
import sys
from durable_async.cli import main
sys.argv[1:] = ["doctor", "--store", sys.argv[1]]
main()
"""


# --- one writer ---


@LINUX
async def test_after_a_copy_of_the_folder_in_the_process_a_second_process_is_refused(path, tmp_path):
    async with DurableService(path):
        shutil.copytree(path.parent, tmp_path / "copy")
        assert "is in use by" in run(SECOND, path).stdout
    assert run(SECOND, path).stdout == "opened\n"


@LINUX
@pytest.mark.parametrize("deed", ["deleted", "replaced by a copy"])
async def test_a_second_process_is_refused_although_the_lock_file_was(path, deed):
    async with DurableService(path):
        lock = path.with_name("service.db-lock")
        content = lock.read_bytes()
        lock.unlink()
        if deed == "replaced by a copy":
            lock.write_bytes(content)
        assert "is in use by another process, and only one" in run(SECOND, path).stdout
        assert "writer      a process that the lock file does not name" in run(DOCTOR, path, check=False).stdout


@LINUX
async def test_a_hard_link_is_the_same_store(path, tmp_path):
    async with DurableService(path) as service:
        service.register(ends)
        other = tmp_path / "other.db"
        os.link(path, other)
        await refused(other, "is in use by another process")
        assert "is in use by another process" in run(SECOND, other).stdout
        assert await (await service.start(ends, 1)).result() == 1


@LINUX
def test_a_child_that_outlives_its_killed_parent_does_not_keep_the_lock(path):
    program = (
        STEPS
        + """
async def main():
    async with DurableService(sys.argv[1]) as service:
        if (child := os.fork()) == 0:
            os.close(1)
            os.read(0, 1)  # until the test is over
            os._exit(0)
        print(child, flush=True)
        os.kill(os.getpid(), 9)

asyncio.run(main())
"""
    )
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        child = int(parent.stdout.readline())
        parent.wait()
        try:
            assert Path(f"/proc/{child}").exists()
            assert run(SECOND, path).stdout == "opened\n"
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_that_uses_its_parents_service_is_refused(path):
    program = (
        STEPS
        + """
async def use(service):
    try:
        await service.start(waits, 7)
    except Exception as error:
        print(error, flush=True)

async def main():
    async with DurableService(sys.argv[1]) as service:
        service.register(waits)
        if (child := os.fork()) == 0:
            asyncio.run(use(service))
            os._exit(0)
        os.waitpid(child, 0)
        print(os.getpid())

asyncio.run(main())
"""
    )
    sentence, parent = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, path], stdout=subprocess.PIPE, text=True, check=True, timeout=30
    ).stdout.splitlines()
    assert f"runs in process {parent}, and process" in sentence
    assert "Use the service in the process that entered it" in sentence


# --- what was acknowledged ---


@LINUX
def test_what_is_acknowledged_after_a_copy_and_a_look_from_outside_survives_a_kill(path, tmp_path):
    """The copy ends SQLite's own locks; who looks into the store then must not delete its journal when it leaves."""
    program = (
        STEPS
        + """
async def main():
    async with DurableService(sys.argv[1]) as service:
        service.register(waits)
        await start(service, 0)
        shutil.copytree(os.path.dirname(sys.argv[1]), sys.argv[2])
        print("copied", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await start(service, 100)
        os.kill(os.getpid(), 9)

asyncio.run(main())
"""
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, path, tmp_path / "copy"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        while process.stdout.readline() != "copied\n":
            pass
        assert run(LOOKER, path).stdout == "20\n" * 3
        process.stdin.write("\n")
        process.stdin.flush()
        assert len(process.stdout.read().split()) == 20
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM executions").fetchone()[0] == 40
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


async def test_who_looks_from_outside_leaves_the_journal_of_a_running_service(path):
    async with DurableService(path) as service:
        service.register(ends)
        await (await service.start(ends, 1)).result()
        run(LOOKER, path)
        await (await service.start(ends, 2)).result()
        assert path.with_name("service.db-wal").exists()
    assert not path.with_name("service.db-wal").exists()


@pytest.mark.parametrize("deed", ["deleted", "moved away", "replaced"])
async def test_nothing_is_acknowledged_when_the_file_is_no_longer_at_its_path(path, tmp_path, deed):
    async with DurableService(path, max_cached_executions=0) as service:
        service.register(waits)
        await service.start(waits, 1, name="before")
        await service.api.idle()
        aside = tmp_path / "aside.db"
        os.link(path, aside)
        path.unlink()
        if deed == "replaced":
            shutil.copy(aside, path)
        happened = "was replaced by another file" if deed == "replaced" else "was deleted or moved away"
        for _ in range(2):
            with pytest.raises(StoreError, match=f"service.db {happened} while it was in use.*Put the original"):
                await service.start(waits, 2, name="meanwhile")
        with pytest.raises(StoreError, match=happened):
            await service.find(waits, "before")
        if deed == "moved away":
            aside.rename(path)
            await service.start(waits, 3, name="afterwards")
    if deed == "moved away":
        with closing(sqlite3.connect(path)) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM executions ORDER BY position")]
        assert names[0] == "before"
        assert names[-1] == "afterwards"


async def test_a_journal_that_belongs_to_the_file_put_there_meanwhile_is_left_alone(path, tmp_path):
    async with DurableService(path) as service:
        service.register(waits)
        path.unlink()
        path.with_name("service.db-wal").unlink()
        path.write_bytes(b"another file")
        path.with_name("service.db-wal").write_bytes(b"its journal")
        with pytest.raises(StoreError, match="was replaced by another file"):
            await service.start(waits, 1)
    if sys.platform == "linux":
        assert path.with_name("service.db-wal").read_bytes() == b"its journal"


def test_what_only_a_deleted_journal_held_is_saved_into_the_file(path):
    program = (
        STEPS
        + """
async def main():
    async with DurableService(sys.argv[1]) as service:
        service.register(waits)
        await start(service, 0)
        os.unlink(sys.argv[1] + "-wal")
        try:
            await start(service, 100)
        except Exception as error:
            print(error, flush=True)
        os.kill(os.getpid(), 9)

asyncio.run(main())
"""
    )
    *numbers, refusal = run(program, path, check=False).stdout.splitlines()
    assert "service.db-wal was deleted or moved away while it was in use" in refusal
    with closing(sqlite3.connect(path)) as connection:
        kept = [name for (name,) in connection.execute("SELECT name FROM executions ORDER BY position")]
    assert kept[:20] == [f"n-{number}" for number in numbers]


# --- what is no file, and who may read ---


@pytest.mark.parametrize("memory", [":memory:", Path(":memory:")], ids=["text", "path"])
async def test_memory_is_memory(tmp_path, monkeypatch, memory):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        async with DurableService(memory) as service:
            service.register(ends)
            assert await service.find(ends, "a") is None
            assert await (await service.start(ends, 1, name="a")).result() == 1
    assert list(tmp_path.iterdir()) == []


def test_a_uri_is_refused():
    with pytest.raises(ValueError, match=r"file:a\.db\?mode=memory is a URI. Give the plain path"):
        DurableService("file:a.db?mode=memory")


@pytest.mark.parametrize("name", [":memory:", "file:a.db?mode=memory"])
async def test_a_store_that_needs_a_file_refuses_what_is_none(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"is not the path of a file\. Give a plain path"):
        await SqliteStore(name).open()
    assert list(tmp_path.iterdir()) == []


async def test_new_files_are_readable_by_their_owner_alone(path):
    umask = os.umask(0o022)
    try:
        async with DurableService(path) as service:
            service.register(ends)
            await (await service.start(ends, 1)).result()
            assert {oct(stat.S_IMODE(each.stat().st_mode)) for each in files(path)} == {"0o600"}
    finally:
        os.umask(umask)


async def test_the_rights_of_an_existing_file_are_kept(path):
    async with DurableService(path):
        pass
    path.chmod(0o640)
    async with DurableService(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
