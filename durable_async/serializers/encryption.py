"""A stage that encrypts, with any cipher."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from typing import Any, Protocol, runtime_checkable

import attrs

from durable_async._wire.text import utf8
from durable_async.errors import DurableError, SerializationError
from durable_async.serializers._envelope import Envelope, base64, follows
from durable_async.serializers._json.serializer import deserialize, serialize
from durable_async.serializers._json.tree import class_name
from durable_async.serializers.base import Serializer, SerializerContext

_ENVELOPE = Envelope("encrypted", ("data",))


@runtime_checkable
class Cipher(Protocol):
    """Authenticated encryption. Both methods may be coroutine functions.

    ``associated`` is not part of the result, but ``decrypt`` must refuse data that was encrypted with another value.
    """

    def encrypt(self, data: bytes, associated: bytes) -> bytes | Awaitable[bytes]: ...

    def decrypt(self, data: bytes, associated: bytes) -> bytes | Awaitable[bytes]:
        """Return the decrypted data.

        :raises ValueError: the data cannot be decrypted. The message is shown, so it must not contain secrets
        """
        ...


@attrs.frozen
class Encrypted:
    """Encrypts whatever ``inner`` writes.

    The ciphertext is bound to its execution and operation: copied into another record, it cannot be decrypted. A cipher
    with a random nonce, such as :class:`AesGcm`, gives another text each time, so this stage is not deterministic.

    :ivar accept_plain: True: also read text that is not encrypted, which was recorded before this stage was added.
        Anyone who can write to the record can then put plain text in it, so set it back to False when the executions
        from before have ended. False: refuse such text
    """

    inner: Serializer = attrs.field(validator=follows(Serializer))
    cipher: Cipher = attrs.field(validator=follows(Cipher))
    accept_plain: bool = attrs.field(default=False, kw_only=True, validator=attrs.validators.instance_of(bool))

    async def serialize(self, value: object, context: SerializerContext) -> str:
        """Return the encrypted text of the value.

        :raises SerializationError: ``inner`` cannot write the value, or the cipher failed
        """
        text = await serialize(self.inner, value, context)
        try:
            data: object = self.cipher.encrypt(utf8(text), associated(context))
            if inspect.isawaitable(data):
                data = await data
        except DurableError:
            raise
        except Exception as error:  # noqa: BLE001 - any cipher; its message may contain the plain text
            raise self._failed("encrypt", f"failed with {type(error).__name__}", context) from None
        return _ENVELOPE.write(data=base64(self._checked(data, "encrypt", context)))

    async def deserialize(self, text: str, context: SerializerContext) -> Any:
        """Decrypt a text, and return its value.

        :raises SerializationError: the text cannot be decrypted, is not encrypted, or ``inner`` cannot read it
        """
        if _ENVELOPE.opens(text):
            data = _ENVELOPE.bytes_of(_ENVELOPE.read(text, context)["data"], context)
            text = _ENVELOPE.text_of(await self._decrypted(data, context), context)
        elif not self.accept_plain:
            raise SerializationError(
                context.operation,
                "the recorded text is not encrypted. If it was recorded before Encrypted was added, use "
                "Encrypted(..., accept_plain=True) until the executions from before have ended",
            )
        return await deserialize(self.inner, text, context)

    async def _decrypted(self, encrypted: bytes, context: SerializerContext) -> bytes:
        try:
            data: object = self.cipher.decrypt(encrypted, associated(context))
            if inspect.isawaitable(data):
                data = await data
        except DurableError:
            raise
        except ValueError as error:
            raise SerializationError(context.operation, f"cannot be decrypted: {error}") from None
        except Exception as error:  # noqa: BLE001 - as above
            raise self._failed("decrypt", f"failed with {type(error).__name__}", context) from None
        return self._checked(data, "decrypt", context)

    def _checked(self, data: object, method: str, context: SerializerContext) -> bytes:
        if isinstance(data, bytes):
            return data
        raise self._failed(method, f"returned a {class_name(data)} instead of bytes", context)

    def _failed(self, method: str, what: str, context: SerializerContext) -> SerializationError:
        return SerializationError(context.operation, f"{class_name(self.cipher)}.{method} {what}")


def associated(context: SerializerContext) -> bytes:
    """Return what the ciphertext is bound to: the execution's ARN and the operation's id, on one line each."""
    return utf8(f"{context.execution_arn}\n{context.operation_id}")
