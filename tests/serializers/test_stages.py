"""Compression, encryption and offloading: what goes in comes out, from where it was put and only from there."""

import asyncio
import base64
import json
import os
import subprocess
import sys
import tracemalloc
import zlib
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from durable_async import DurableContext, RetryStrategy, StepConfig, durable_execution
from durable_async import serializers as public
from durable_async.errors import SerializationError, StorageUnavailableError
from durable_async.serializers import (
    NO_TYPE,
    AesGcm,
    Cipher,
    Compressed,
    Encrypted,
    FileStorage,
    JsonSerializer,
    Offloaded,
    S3Storage,
    Serializer,
    SerializerContext,
    Storage,
    storage_folder,
)
from durable_async.serializers._json.serializer import deserialize, serialize
from tests.world import World

KEY = bytes(range(32))
AES = AesGcm({"k1": KEY}, current="k1")
SECRET = "the patient's name"
OPENING = '{"$durable_async":"'


def at(operation: str = "1ced8f", execution: str = "arn:a", kind: Any = NO_TYPE) -> SerializerContext:
    return SerializerContext(execution, operation, "charge", kind)


HERE = at()


@attrs.frozen
class Shelf:
    """A storage in memory."""

    held: dict[str, bytes] = attrs.field(factory=dict)

    async def put(self, key, data):
        self.held[key] = data
        return f"shelf:{key}"

    async def get(self, reference):
        return self.held[reference.removeprefix("shelf:")]


class Compact:
    """An inner serializer of somebody's own, whose JSON may begin like an envelope, and is not ASCII."""

    def serialize(self, value, context):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    async def deserialize(self, text, context):
        return json.loads(text)


class Verbatim:
    """Takes any str for the text it is."""

    def serialize(self, value, context):
        return value

    def deserialize(self, text, context):
        return text


def all_stages(inner: Serializer) -> list[Serializer]:
    return [Compressed(inner, 0), Encrypted(inner, AES), Offloaded(inner, Shelf(), 0)]


def kind(stage: object) -> str:
    return type(stage).__name__


# --- round trips ---

members = st.text() | st.sampled_from(
    ["$durable_async", "data", "reference", "sha256", "zlib", "encrypted", "offloaded"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | members,
    lambda children: st.lists(children) | st.dictionaries(members, children),
    max_leaves=20,
)
thresholds = st.integers(0, 100)


def wrapped(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.builds(Compressed, inner, thresholds, st.integers(1, 9))
        | st.builds(Encrypted, inner, st.just(AES))
        | st.builds(Offloaded, inner, st.builds(Shelf), thresholds)
    )


compositions = st.recursive(st.builds(JsonSerializer) | st.builds(Compact), wrapped, max_leaves=16)


@given(compositions, json_values)
async def test_any_composition_gives_back_what_it_was_given(serializer, value):
    text = await serialize(serializer, value, HERE)
    assert await deserialize(serializer, text, HERE) == value
    if "Encrypted" not in repr(serializer):
        assert await serialize(serializer, value, HERE) == text


@given(st.text())
@example("\ud800")
async def test_whatever_text_the_inner_serializer_writes(text):
    for stage in all_stages(Verbatim()):
        assert await deserialize(stage, await serialize(stage, text, HERE), HERE) == text


async def test_types_come_back_through_the_stages():
    here = at(kind=dict[str, timedelta])
    stage = Offloaded(Encrypted(Compressed(), AES), Shelf(), 10)
    text = await stage.serialize({"stay": timedelta(days=2)}, here)
    assert await stage.deserialize(text, here) == {"stay": timedelta(days=2)}


# --- what a stage takes for its own ---


@pytest.mark.parametrize("inner", [JsonSerializer(), Compact()], ids=kind)
async def test_a_value_that_looks_like_an_envelope_is_a_value(inner):
    for stage in all_stages(inner):
        forged = json.loads(await serialize(stage, "x" * 1000, HERE))
        assert "$durable_async" in forged
        for value in (forged, {"$durable_async": forged["$durable_async"], "data": 1}):
            for large in (stage, attrs.evolve(stage, **({} if kind(stage) == "Encrypted" else {"threshold": 9999}))):
                assert await deserialize(large, await serialize(large, value, HERE), HERE) == value


@given(json_values)
def test_the_json_serializer_never_begins_like_an_envelope(value):
    for text in (JsonSerializer().serialize(each, HERE) for each in (value, {"$durable_async": value})):
        assert not text.startswith('{"$durable_async":"')


async def test_stages_can_be_added_to_a_running_execution():
    shelf = Shelf()
    compressed = Compressed(threshold=0)
    encrypted = Encrypted(compressed, AES, accept_plain=True)
    offloaded = Offloaded(encrypted, shelf, 0)
    value = {"name": "x" * 500}
    for before in (JsonSerializer(), compressed, encrypted, Offloaded(JsonSerializer(), shelf, 0), offloaded):
        text = await serialize(before, value, HERE)
        assert await offloaded.deserialize(text, HERE) == value


async def test_plain_text_in_place_of_ciphertext_is_refused():
    strict = Encrypted(JsonSerializer(), AES)
    with pytest.raises(SerializationError, match=r"not encrypted.*accept_plain=True"):
        await strict.deserialize('"forged"', HERE)
    assert await strict.deserialize(await strict.serialize(1, HERE), HERE) == 1


# --- thresholds and texts ---


@pytest.mark.parametrize(
    ("value", "threshold", "changed"),
    [("é" * 200, 402, False), ("é" * 200, 401, True), ("e" * 400, 402, False), ("e" * 400, 401, True)],
)
async def test_a_threshold_counts_bytes_and_is_the_most_that_is_left(value, threshold, changed):
    for stage in (Compressed(Compact(), threshold), Offloaded(Compact(), Shelf(), threshold)):
        assert (await stage.serialize(value, HERE)).startswith(OPENING) is changed


async def test_what_does_not_get_shorter_is_not_compressed():
    noise = base64.b64encode(os.urandom(3000)).decode()
    assert await Compressed(threshold=0).serialize(noise, HERE) == json.dumps(noise)


async def test_the_recorded_texts():
    shelf = Shelf()
    assert set(json.loads(await Compressed().serialize("a" * 2000, HERE))) == {"$durable_async", "data"}
    compressed = '{"$durable_async":"zlib","data":"eJxTSqQZUAIAPskiXw=="}'  # other builds of zlib may write other bytes
    assert await Compressed().deserialize(compressed, HERE) == "a" * 90
    text = await Offloaded(JsonSerializer(), shelf, 0).serialize(1, HERE)
    [key] = shelf.held
    assert text == json.dumps(
        {
            "$durable_async": "offloaded",
            "reference": f"shelf:{key}",
            "sha256": "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
        },
        separators=(",", ":"),
    )
    assert key.startswith(f"{storage_folder('arn:a')}/")


# --- what is damaged ---


def changed(text: str, **members: object) -> str:
    return json.dumps(json.loads(text) | members, separators=(",", ":"))


@pytest.mark.parametrize("stage", all_stages(JsonSerializer()), ids=kind)
async def test_an_envelope_that_is_none_is_refused(stage):
    text = await stage.serialize([SECRET] * 99, HERE)
    for damaged in (text[:-2], text + "}", changed(text, extra="x")):
        with pytest.raises(SerializationError, match=r"charge: the recorded \w+ envelope is damaged"):
            await stage.deserialize(damaged, HERE)
    envelope = json.loads(text)
    for member in envelope.keys() - {"$durable_async"}:
        with pytest.raises(SerializationError, match="a member is not a string"):
            await stage.deserialize(changed(text, **{member: 1}), HERE)
    with pytest.raises(SerializationError, match="its members are not"):
        await stage.deserialize(f'{{"$durable_async":"{envelope["$durable_async"]}","x":"y"}}', HERE)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("?", "not base64"),
        ("ü", "not base64"),
        ("AAAA", "Error -3"),
        ("eJxTSqQQKAE=", "Error -5"),
        ("eJz7DwABAAD/", ""),
    ],
)
async def test_compressed_data_that_are_damaged_are_refused(data, reason):
    with pytest.raises(SerializationError, match=f"charge: the recorded zlib envelope is damaged: .*{reason}"):
        await Compressed().deserialize(f'{{"$durable_async":"zlib","data":"{data}"}}', HERE)


@given(st.data())
async def test_a_changed_ciphertext_is_refused(data):
    stage = Encrypted(JsonSerializer(), AES)
    encrypted = bytearray(base64.b64decode(json.loads(await stage.serialize(SECRET, HERE))["data"]))
    if data.draw(st.booleans()):
        encrypted[data.draw(st.integers(0, len(encrypted) - 1))] ^= data.draw(st.integers(1, 255))
    else:
        del encrypted[data.draw(st.integers(0, len(encrypted) - 1) | st.just(3)) :]
    text = f'{{"$durable_async":"encrypted","data":"{base64.b64encode(encrypted).decode()}"}}'
    with pytest.raises(SerializationError, match=r"cannot be decrypted: (the data was not|there is no key)") as refused:
        await stage.deserialize(text, HERE)
    assert SECRET not in str(refused.value)


# --- encryption ---


@pytest.mark.parametrize("there", [at(operation="2"), at(execution="arn:b"), at("a\n1ced8f", "arn:")], ids=str)
async def test_ciphertext_cannot_be_moved_to_another_operation(there):
    stage = Encrypted(JsonSerializer(), AES)
    with pytest.raises(SerializationError, match="or belongs to another operation"):
        await stage.deserialize(await stage.serialize(1, HERE), there)


async def test_nothing_of_the_payload_is_in_the_text():
    text = await Encrypted(JsonSerializer(), AES).serialize(SECRET, HERE)
    assert SECRET.encode() not in base64.b64decode(json.loads(text)["data"])


async def test_keys_can_be_rotated():
    new = bytes(16)
    both = AesGcm({"k1": KEY, "k2": new}, current="k2")
    old, rotated = Encrypted(JsonSerializer(), AES), Encrypted(JsonSerializer(), both)
    assert await rotated.deserialize(await old.serialize(1, HERE), HERE) == 1
    text = await rotated.serialize(2, HERE)
    assert await Encrypted(JsonSerializer(), AesGcm({"k2": new}, current="k2")).deserialize(text, HERE) == 2
    with pytest.raises(SerializationError, match="there is no key with the id 'k2'"):
        await old.deserialize(text, HERE)


async def test_a_wrong_key_is_refused():
    text = await Encrypted(JsonSerializer(), AES).serialize(SECRET, HERE)
    wrong = Encrypted(JsonSerializer(), AesGcm({"k1": bytes(32)}, current="k1"))
    with pytest.raises(SerializationError, match="the data was not encrypted with the key 'k1'"):
        await wrong.deserialize(text, HERE)


@pytest.mark.parametrize(
    ("keys", "current", "reason"),
    [
        ({"a": KEY}, "b", "the current key 'b' is not among the keys"),
        ({"a": KEY, "b": KEY[:15]}, "a", "the key 'b' must have 16, 24 or 32 bytes, not 15"),
        ({"": KEY}, "", "a key's id must be"),
        ({"é": KEY}, "é", "a key's id must be"),
        ({"a" * 256: KEY}, "a" * 256, "a key's id must be"),
    ],
)
def test_keys_are_checked_where_they_are_given(keys, current, reason):
    with pytest.raises(ValueError, match=reason):
        AesGcm(keys, current=current)


def test_keys_are_not_shown():
    assert repr(AES) == "AesGcm(current='k1')"


def test_without_cryptography_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ImportError, match=r"durable-async\[crypto\]"):
        AesGcm({"a": KEY}, current="a")


class Remote:
    """A cipher that awaits, as one on a key service would."""

    async def encrypt(self, data, associated):
        await asyncio.sleep(0)
        return AES.encrypt(data, associated)

    async def decrypt(self, data, associated):
        await asyncio.sleep(0)
        return AES.decrypt(data, associated)


class Leaking:
    def encrypt(self, data, associated):
        raise RuntimeError(data)

    def decrypt(self, data, associated):
        raise RuntimeError(SECRET)


class Mistyped:
    def encrypt(self, data, associated):
        return data.decode()

    def decrypt(self, data, associated):
        return None


class KeysLocked(StorageUnavailableError):
    pass


class Locked(Remote):
    async def decrypt(self, data, associated):
        raise KeysLocked("charge", "try later")


async def test_a_cipher_may_be_async():
    stage = Encrypted(JsonSerializer(), Remote())
    assert await stage.deserialize(await stage.serialize(SECRET, HERE), HERE) == SECRET


@pytest.mark.parametrize(
    ("cipher", "reason"),
    [
        (Leaking(), r"^charge: Leaking.{} failed with RuntimeError$"),
        (Mistyped(), r"Mistyped.{} returned a \w+ instead"),
    ],
    ids=kind,
)
async def test_what_a_cipher_raises_is_not_shown(cipher, reason):
    stage = Encrypted(JsonSerializer(), cipher)
    with pytest.raises(SerializationError, match=reason.format("encrypt")):
        await stage.serialize(SECRET, HERE)
    with pytest.raises(SerializationError, match=reason.format("decrypt")):
        await stage.deserialize('{"$durable_async":"encrypted","data":""}', HERE)


async def test_a_cipher_may_raise_an_error_of_the_package():
    stage = Encrypted(JsonSerializer(), Locked())
    with pytest.raises(KeysLocked):
        await stage.deserialize(await stage.serialize(1, HERE), HERE)


# --- offloading ---


async def test_the_same_result_goes_to_the_same_place_and_another_never_does():
    shelf = Shelf()
    stage = Offloaded(JsonSerializer(), shelf, 0)
    first = await stage.serialize("first attempt", HERE)
    assert await stage.serialize("first attempt", HERE) == first
    assert len(shelf.held) == 1
    await stage.serialize("a later attempt, not recorded", HERE)
    await stage.serialize("first attempt", at("another operation"))
    await stage.serialize("first attempt", at(execution="arn:b"))
    assert len(shelf.held) == 4
    assert await stage.deserialize(first, HERE) == "first attempt"


async def test_what_is_missing_or_changed_is_refused(tmp_path):
    stage = Offloaded(JsonSerializer(), FileStorage(tmp_path), 0)
    text = await stage.serialize(SECRET, HERE)
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    file.write_bytes(b'"forged"')
    with pytest.raises(SerializationError, match="its hash differs"):
        await stage.deserialize(text, HERE)
    file.unlink()
    with pytest.raises(SerializationError, match=rf"charge: '{storage_folder('arn:a')}/.*' is not in the FileStorage"):
        await stage.deserialize(text, HERE)
    with pytest.raises(SerializationError, match=r"'\.\./secrets' is not a reference of a FileStorage"):
        await stage.deserialize(changed(text, reference="../secrets"), HERE)


async def test_a_storage_that_fails_may_work_later(tmp_path):
    (tmp_path / "occupied").write_text("")
    stage = Offloaded(JsonSerializer(), FileStorage(tmp_path / "occupied"), 0)
    with pytest.raises(
        StorageUnavailableError, match=r"^charge: FileStorage failed with (FileExists|NotADirectory)Error"
    ):
        await stage.serialize(SECRET, HERE)
    (tmp_path / "occupied").unlink()
    text = await stage.serialize(SECRET, HERE)
    (tmp_path / "occupied").rename(tmp_path / "moved")
    (tmp_path / "occupied").write_text("")
    with pytest.raises(StorageUnavailableError, match="NotADirectoryError"):
        await stage.deserialize(text, HERE)
    assert await attrs.evolve(stage, storage=FileStorage(tmp_path / "moved")).deserialize(text, HERE) == SECRET


# --- files ---


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../a", "a/../b", "a/..", ".", "..", ".a", "a/.b", "a//b", "a/", "a\\b", "a b", "C:a", "a\n", "a\0"]
)  # fmt: skip
async def test_a_key_cannot_leave_the_folder(tmp_path, key):
    storage = FileStorage(tmp_path / "in")
    (tmp_path / "a").write_text("outside")
    with pytest.raises(ValueError, match="is not a key of a file"):
        await storage.put(key, b"")
    with pytest.raises(ValueError, match="is not a key of a file"):
        await storage.get(key)
    assert not (tmp_path / "in").exists()


DIE = """
import os, sys
from pathlib import Path
from durable_async.serializers.file_storage import _write
Path.replace = lambda *_: os._exit(9)
_write(Path(sys.argv[1]), b"half")
"""


def dies_while_it_writes(path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DIE, str(path)], cwd=Path(__file__).parents[1], check=False)
    assert died.returncode == 9


async def test_a_process_that_dies_before_the_rename_leaves_nothing_visible(tmp_path):
    path = tmp_path / "run" / "result"
    dies_while_it_writes(path)
    [left] = path.parent.iterdir()
    assert left.name.startswith(".") and left.read_bytes() == b"half"
    storage = FileStorage(tmp_path)
    with pytest.raises(LookupError):
        await storage.get("run/result")
    with pytest.raises(ValueError):
        await storage.get(f"run/{left.name}")
    await storage.put("run/result", b"whole")
    assert await storage.get("run/result") == b"whole"


async def test_a_write_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(OSError):
        await FileStorage(tmp_path).put("a", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


async def test_many_may_write_one_file(tmp_path):
    storage = FileStorage(str(tmp_path))
    await asyncio.gather(*(storage.put("a/b", b"same" * 9999) for _ in range(20)))
    assert await storage.get("a/b") == b"same" * 9999
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


# --- S3 ---

NO_SUCH_KEY = "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
DENIED = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"


class Bucket:
    """The two calls of S3, path-style, over HTTP."""

    def __init__(self) -> None:
        self.url = ""
        self.objects: dict[str, bytes] = {}
        self.headers: list[dict[str, str]] = []
        self.denies = False
        self.cuts_short = False
        self.busy = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        body = await request.read()
        if self.busy:
            self.busy -= 1
            return web.Response(status=503, text="<Error><Code>SlowDown</Code></Error>")
        if self.denies:
            return web.Response(status=403, text=DENIED)
        if request.method == "PUT":
            self.objects[request.path] = body
            return web.Response()
        if request.path not in self.objects:
            return web.Response(status=404, text=NO_SUCH_KEY)
        found = self.objects[request.path]
        if self.cuts_short:
            answer = web.StreamResponse(headers={"Content-Length": str(len(found))})
            await answer.prepare(request)
            await answer.write(found[: len(found) // 2])
            request.transport.close()
            return answer
        return web.Response(body=found)

    @asynccontextmanager
    async def running(self):
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{everything:.*}", self.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()


@pytest.fixture
def credentials(monkeypatch):
    for name, value in {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
async def bucket(credentials):
    async with Bucket().running() as bucket:
        yield bucket


async def test_payloads_are_objects_of_a_bucket(bucket):
    async with S3Storage(
        "orders", prefix="/durable/", endpoint_url=bucket.url, put_options={"ServerSideEncryption": "AES256"}
    ) as storage:
        assert isinstance(storage, Storage)
        stage = Offloaded(Compressed(), storage, 10)
        value = os.urandom(200_000).hex()
        text = await stage.serialize(value, HERE)
        assert await stage.deserialize(text, HERE) == value
    [path] = bucket.objects
    assert path == f"/orders/durable/{json.loads(text)['reference']}"
    put, get = bucket.headers
    assert put["x-amz-server-side-encryption"] == "AES256"
    assert "/eu-west-1/s3/aws4_request" in put["authorization"]
    assert "x-amz-server-side-encryption" not in get


async def test_without_a_prefix_the_key_is_the_key(bucket):
    async with S3Storage("orders", endpoint_url=bucket.url) as storage:
        assert await storage.put("a/b", b"data") == "a/b"
    assert bucket.objects == {"/orders/a/b": b"data"}


async def test_an_object_that_is_missing_is_told_from_a_storage_that_fails(bucket):
    async with S3Storage("orders", endpoint_url=bucket.url) as storage:
        stage = Offloaded(JsonSerializer(), storage, 0)
        text = await stage.serialize(SECRET, HERE)
        bucket.cuts_short = True
        with pytest.raises(StorageUnavailableError):
            await stage.deserialize(text, HERE)
        bucket.cuts_short = False
        bucket.denies = True
        with pytest.raises(StorageUnavailableError, match=r"^charge: S3Storage failed with .*AccessDenied.* GetObject"):
            await stage.deserialize(text, HERE)
        with pytest.raises(StorageUnavailableError, match=r"^charge: S3Storage failed with .*AccessDenied.* PutObject"):
            await stage.serialize(SECRET, HERE)
        bucket.denies = False
        bucket.objects.clear()
        with pytest.raises(SerializationError, match="is not in the S3Storage"):
            await stage.deserialize(text, HERE)


async def test_a_busy_bucket_is_asked_again(bucket):
    bucket.busy = 1
    async with S3Storage("orders", endpoint_url=bucket.url) as storage:
        await storage.put("a", b"data")
    assert len(bucket.headers) == 2


async def test_the_first_calls_of_many_share_one_client(bucket):
    async with S3Storage("orders", endpoint_url=bucket.url) as storage:
        await asyncio.gather(*(storage.put(str(number), b"x") for number in range(10)))
        assert await storage._clients.get() is await storage._clients.get()
    assert len(bucket.objects) == 10


def test_each_loop_has_connections_of_its_own_and_closes_them(credentials):
    storage = None

    async def use() -> bytes:
        nonlocal storage
        async with Bucket().running() as bucket:
            storage = storage or S3Storage("orders")
            storage._endpoint_url = bucket.url
            return await storage.get(await storage.put("a", b"data"))

    assert asyncio.run(use()) == b"data"  # an open connection would be a ResourceWarning
    assert asyncio.run(use()) == b"data"
    assert len(storage._clients._clients) == 1


# --- in a workflow ---

TWO_MEGABYTES = 2 * 1024 * 1024


async def finished(world: World, workflow: Any) -> Any:
    ended = await world.run(workflow)
    assert ended.error is None, ended.error
    return json.loads(ended.result)


async def test_a_large_result_is_offloaded_and_replayed_after_a_wait(tmp_path, bucket):
    bodies = []

    def export(size: int) -> str:
        bodies.append(size)
        return os.urandom(size // 2).hex()

    async with S3Storage("orders", endpoint_url=bucket.url) as s3:
        for storage in (FileStorage(tmp_path), s3):
            config = StepConfig(serializer=Offloaded(Encrypted(Compressed(), AES), storage))

            @durable_execution
            async def workflow(event: dict, ctx: DurableContext) -> list[int]:
                exported = await ctx.step(export, TWO_MEGABYTES, config=config)
                first = len(exported)
                await ctx.wait(timedelta(days=1))
                return [first, len(exported)]

            bodies.clear()
            async with World() as world:
                assert await finished(world, workflow) == [TWO_MEGABYTES, TWO_MEGABYTES]
                assert world.invocations == 2
            assert bodies == [TWO_MEGABYTES]
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert file.stat().st_size > 1024 * 1024
    assert len(bucket.objects) == 1


async def test_without_offloading_it_is_refused():
    @durable_execution
    async def workflow(event: dict, ctx: DurableContext) -> None:
        await ctx.step(lambda: "x" * TWO_MEGABYTES, name="export")

    async with World() as world:
        ended = await world.run(workflow)
    assert ended.error["ErrorType"].endswith("PayloadTooLargeError") and "2097154 bytes" in ended.error["ErrorMessage"]


async def test_a_step_whose_result_could_not_be_stored_is_retried(tmp_path):
    folder = tmp_path / "mounted later"
    folder.write_text("")
    attempts = []

    async def export() -> str:
        attempts.append(1)
        if len(attempts) == 2:
            folder.unlink()
        return "x" * 1000

    config = StepConfig(
        serializer=Offloaded(JsonSerializer(), FileStorage(folder), 100),
        retry_strategy=RetryStrategy.fixed(delay=timedelta(minutes=1), max_attempts=3),
    )

    @durable_execution
    async def workflow(event: dict, ctx: DurableContext) -> int:
        return len(await ctx.step(export, config=config))

    async with World() as world:
        assert await finished(world, workflow) == 1000
    assert len(attempts) == 2


async def test_a_suspension_does_not_cut_an_upload_short(tmp_path):
    """A sibling waits, so nothing but the upload keeps the invocation going."""
    bodies = []

    class Slow(FileStorage):
        async def put(self, key, data):
            await asyncio.sleep(0.05)
            return await super().put(key, data)

    def export() -> str:
        bodies.append(1)
        return "x" * 1000

    config = StepConfig(serializer=Offloaded(JsonSerializer(), Slow(tmp_path), 100))

    @durable_execution
    async def workflow(event: dict, ctx: DurableContext) -> int:
        exported, _ = await asyncio.gather(ctx.step(export, config=config), ctx.wait(timedelta(hours=1)))
        return len(exported)

    async with World() as world:
        assert await finished(world, workflow) == 1000
    assert len(bodies) == 1


# --- the frame ---


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Compressed(JsonSerializer), TypeError),
        (lambda: Compressed("json"), TypeError),
        (lambda: Compressed(threshold=-1), ValueError),
        (lambda: Compressed(threshold=1.5), TypeError),
        (lambda: Compressed(level=0), ValueError),
        (lambda: Encrypted(JsonSerializer(), KEY), TypeError),
        (lambda: Offloaded(JsonSerializer(), "folder"), TypeError),
        (lambda: Offloaded(JsonSerializer(), Shelf), TypeError),
    ],
)
def test_stages_are_checked_where_they_are_made(make, error):
    with pytest.raises(error):
        make()


def test_the_parts_are_what_they_are_used_as():
    assert all(isinstance(stage, Serializer) for stage in all_stages(JsonSerializer()))
    assert isinstance(AES, Cipher) and isinstance(Shelf(), Storage) and isinstance(FileStorage("."), Storage)


def test_the_import_is_light():
    script = (
        "import sys\n"
        "from durable_async import serializers\n"
        "late = {'zlib', 'tempfile', 'cryptography', 'aiobotocore', 'anyio'}\n"
        "print(sorted({name for name in sys.modules if name.startswith('durable_async.serializers.')} "
        "& {f'durable_async.serializers.{module}' for module in serializers._LATER.values()}))\n"
        "serializers.Offloaded(serializers.Compressed(), serializers.S3Storage('b'))\n"
        "print(sorted({'cryptography', 'aiobotocore', 'botocore', 'anyio'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n[]\n"


def test_every_name_is_there_and_no_other():
    assert all(getattr(public, name) is not None for name in public.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Zipped'"):
        _ = public.Zipped


async def test_a_storage_that_is_out_while_a_result_is_read_ends_the_invocation_and_not_the_execution(tmp_path):
    bodies, outages = [], [1, 1]

    class Flaky(FileStorage):
        async def get(self, reference):
            if world.invocations > 1 and outages:
                outages.pop()
                raise OSError("out")
            return await super().get(reference)

    def export() -> str:
        bodies.append(1)
        return "x" * 1000

    config = StepConfig(serializer=Offloaded(JsonSerializer(), Flaky(tmp_path), 100))

    @durable_execution
    async def workflow(event: dict, ctx: DurableContext) -> int:
        try:
            exported = await ctx.step(export, config=config)
        except Exception:  # what ends an invocation is nothing that a workflow can catch
            return -1
        await ctx.wait(timedelta(hours=1))
        return len(exported)

    async with World() as world:
        assert await finished(world, workflow) == 1000
    assert len(bodies) == 1
    assert world.invocations == 4


# --- more than was asked for ---


async def test_a_short_text_does_not_take_all_memory():
    answer = _bomb(500 * 1024 * 1024)
    assert len(answer) < 849 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(SerializationError) as refused:
            await Offloaded(Encrypted(Compressed(), AES, accept_plain=True), Shelf()).deserialize(answer, HERE)
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
    finally:
        tracemalloc.stop()
    size = len(base64.b64decode(json.loads(answer)["data"]))
    assert f"charge: {size} bytes of compressed data hold more than the {16 * 1024 * 1024} bytes" in str(refused.value)


def _bomb(size: int) -> str:
    packed, chunk = zlib.compressobj(9), b"1" * (1024 * 1024)
    data = b"".join(packed.compress(chunk) for _ in range(size // len(chunk))) + packed.flush()
    return f'{{"$durable_async":"zlib","data":"{base64.b64encode(data).decode()}"}}'


async def test_what_would_not_be_read_is_refused_when_it_is_written():
    stage = Compressed(threshold=0, limit=1000)
    assert await stage.deserialize(await stage.serialize("x" * 998, HERE), HERE) == "x" * 998
    with pytest.raises(SerializationError, match=r"charge: 1001 bytes are more than the 1000 bytes .* limit=\.\.\."):
        await stage.serialize("x" * 999, HERE)
    text = await attrs.evolve(stage, limit=2000).serialize("x" * 999, HERE)
    with pytest.raises(SerializationError, match="hold more than the 1000 bytes"):
        await stage.deserialize(text, HERE)


@pytest.mark.parametrize("limit", [-1, "1", 1.5, True])
def test_a_limit_is_a_number_of_bytes(limit):
    with pytest.raises((TypeError, ValueError), match="limit must"):
        Compressed(limit=limit)


def test_accept_plain_is_a_bool():
    with pytest.raises(TypeError, match="accept_plain"):
        Encrypted(JsonSerializer(), AES, accept_plain="no")
