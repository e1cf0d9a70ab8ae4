"""A stage that stores large text elsewhere and records a reference.

The key consists of the hashes of the execution, the operation and the content, in this order. Because the content is
part of the key, nothing that a record refers to is ever overwritten: not by another attempt that dies before it is
recorded, nor by a superseded invocation that still runs. The same content gets the same key.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Protocol, runtime_checkable

import attrs

from durable_async._wire.limits import CONTEXT_RESULT_BYTES
from durable_async._wire.text import utf8
from durable_async.errors import DurableError, SerializationError, StorageUnavailableError
from durable_async.serializers._envelope import Envelope, byte_count, follows
from durable_async.serializers._json.serializer import deserialize, serialize
from durable_async.serializers._json.tree import class_name, clipped
from durable_async.serializers.base import Serializer, SerializerContext

_ENVELOPE = Envelope("offloaded", ("reference", "sha256"))


@runtime_checkable
class Storage(Protocol):
    """A place that keeps bytes: a folder, a bucket, a database.

    Any error that is not named here counts as a :class:`StorageUnavailableError`.
    """

    async def put(self, key: str, data: bytes) -> str:
        """Store ``data`` durably, as a whole or not at all. Repeating a call is not an error.

        :param key: three segments of hexadecimal digits, separated by ``/``
        :return: the reference to record
        """
        ...

    async def get(self, reference: str) -> bytes:
        """Return the data at a reference.

        :raises LookupError: nothing is stored there
        :raises ValueError: not a reference of this storage
        """
        ...


@attrs.frozen
class Offloaded:
    """Stores large text that ``inner`` writes in a storage, and records a reference and a hash.

    Nothing is ever deleted. Keep what is stored until its execution has ended, and as long as anyone may read the
    record. :func:`storage_folder` returns the folder of an execution.

    Each result is read back after it was written, so it costs one ``put`` and one ``get``.

    :ivar threshold: text of at most this many bytes of UTF-8 is recorded itself. By default 256 KiB, above which the
        result of a child context is not recorded. The limit of the service is 1 MiB
    """

    inner: Serializer = attrs.field(validator=follows(Serializer))
    storage: Storage = attrs.field(validator=follows(Storage))
    threshold: int = attrs.field(default=CONTEXT_RESULT_BYTES, validator=byte_count)

    async def serialize(self, value: object, context: SerializerContext) -> str:
        """Return the text of the value, or a reference to it in the storage.

        :raises SerializationError: ``inner`` cannot write the value
        :raises StorageUnavailableError: the storage failed
        """
        text = await serialize(self.inner, value, context)
        data = utf8(text)
        if len(data) <= self.threshold and not _ENVELOPE.opens(text):
            return text
        content = sha256(data).hexdigest()
        key = f"{storage_folder(context.execution_arn)}/{_digest(context.operation_id)}/{content}"
        try:
            reference = await self.storage.put(key, data)
        except DurableError:
            raise
        except Exception as error:
            raise self._unavailable(error, context) from error
        return _ENVELOPE.write(reference=reference, sha256=content)

    async def deserialize(self, text: str, context: SerializerContext) -> Any:
        """Return the value of a text or of a reference.

        :raises SerializationError: the stored text is missing or was changed, or ``inner`` cannot read it
        :raises StorageUnavailableError: the storage failed
        """
        if _ENVELOPE.opens(text):
            text = await self._stored(_ENVELOPE.read(text, context), context)
        return await deserialize(self.inner, text, context)

    async def _stored(self, members: dict[str, str], context: SerializerContext) -> str:
        reference = members["reference"]
        shown = clipped(reference, 250)
        try:
            data = await self.storage.get(reference)
        except DurableError:
            raise
        except LookupError:
            raise SerializationError(context.operation, f"{shown} is not in the {class_name(self.storage)}") from None
        except ValueError:
            reason = f"{shown} is not a reference of a {class_name(self.storage)}"
            raise SerializationError(context.operation, reason) from None
        except Exception as error:
            raise self._unavailable(error, context) from error
        if sha256(data).hexdigest() != members["sha256"]:
            raise SerializationError(context.operation, f"{shown} is not what was stored: its hash differs")
        return _ENVELOPE.text_of(data, context)

    def _unavailable(self, error: Exception, context: SerializerContext) -> StorageUnavailableError:
        reason = f"{class_name(self.storage)} failed with {type(error).__name__}: {error}"
        return StorageUnavailableError(context.operation, reason)


def storage_folder(execution_arn: str) -> str:
    """Return the first segment of the keys under which the payloads of an execution are stored."""
    return _digest(execution_arn)


def _digest(text: str) -> str:
    return sha256(utf8(text)).hexdigest()
