"""AES-GCM with named keys. Needs ``cryptography``: the extra ``crypto``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from durable_async._lazy import LazyModule

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import aead
else:
    aead = LazyModule("cryptography.hazmat.primitives.ciphers.aead")

_NONCE = 12  # bytes: what GCM is made for


def _copied(keys: Mapping[str, bytes]) -> dict[str, bytes]:
    return dict(keys)


@attrs.frozen(eq=False)
class AesGcm:
    """A :class:`Cipher`: AES-GCM under a random nonce.

    The data is ``length of the key's id (1 byte), key's id, nonce (12 bytes), ciphertext and tag (16 bytes)``. To
    rotate keys, add the new key everywhere, then make it ``current``, and remove the old key when no execution that
    used it is left.

    With random nonces, one key must not encrypt more than about four billion (2**32) payloads.

    :ivar keys: of 16, 24 or 32 secret random bytes each, by their ids: ASCII, 1 to 255 characters, not secret
    :ivar current: the id of the key that encrypts
    :raises ValueError: a key or an id has a wrong length, or ``current`` is not among the keys
    :raises ImportError: ``cryptography`` is not installed
    """

    keys: Mapping[str, bytes] = attrs.field(converter=_copied, repr=False)
    current: str = attrs.field(kw_only=True)
    _ciphers: dict[str, aead.AESGCM] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.current not in self.keys:
            raise ValueError(f"the current key {self.current!r:.60} is not among the keys")
        ciphers = {key_id: _cipher(key_id, key) for key_id, key in self.keys.items()}
        object.__setattr__(self, "_ciphers", ciphers)  # as attrs advises for what is derived in a frozen class

    def encrypt(self, data: bytes, associated: bytes) -> bytes:
        key_id = self.current.encode("ascii")
        header = bytes([len(key_id)]) + key_id
        nonce = os.urandom(_NONCE)
        return header + nonce + self._ciphers[self.current].encrypt(nonce, data, header + associated)

    def decrypt(self, data: bytes, associated: bytes) -> bytes:
        """Return the decrypted data.

        :raises ValueError: the key is unknown, or the data or ``associated`` was changed
        """
        from cryptography.exceptions import InvalidTag

        end = 1 + data[0] if data else 0
        header, nonce, ciphertext = data[:end], data[end : end + _NONCE], data[end + _NONCE :]
        key_id = header[1:].decode("ascii", "replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise ValueError(f"there is no key with the id {key_id!r:.60}")
        try:
            return cipher.decrypt(nonce, ciphertext, header + associated)
        except (InvalidTag, ValueError):  # ValueError: not even a nonce is left
            raise ValueError(
                f"the data was not encrypted with the key {key_id!r}, or was changed, or belongs to another operation"
            ) from None


def _cipher(key_id: str, key: bytes) -> aead.AESGCM:
    try:
        cipher = aead.AESGCM
    except ModuleNotFoundError as error:
        raise ImportError("AesGcm needs cryptography: install durable-async[crypto]") from error

    if not (key_id.isascii() and 1 <= len(key_id) <= 255):
        raise ValueError(f"a key's id must be 1 to 255 ASCII characters, not {key_id!r:.60}")
    if len(key) not in (16, 24, 32):
        raise ValueError(f"the key {key_id!r} must have 16, 24 or 32 bytes, not {len(key)}")
    return cipher(key)
