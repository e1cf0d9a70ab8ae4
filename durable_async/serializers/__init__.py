"""Serializers turn results, inputs and states into the text that is recorded, and back.

``JsonSerializer`` is the default. The stages around it (``Compressed``, ``Encrypted``, ``Offloaded``) are imported at
their first use, since most workflows do not need them.
"""

from typing import TYPE_CHECKING

from durable_async._lazy import names_from
from durable_async.serializers._json.serializer import JsonSerializer
from durable_async.serializers.base import NO_TYPE, Serializer, SerializerContext

if TYPE_CHECKING:
    from durable_async.serializers.aes_gcm import AesGcm
    from durable_async.serializers.compression import Compressed
    from durable_async.serializers.encryption import Cipher, Encrypted
    from durable_async.serializers.file_storage import FileStorage
    from durable_async.serializers.offload import Offloaded, Storage, storage_folder
    from durable_async.serializers.s3_storage import S3Storage

__all__ = [
    "NO_TYPE",
    "AesGcm",
    "Cipher",
    "Compressed",
    "Encrypted",
    "FileStorage",
    "JsonSerializer",
    "Offloaded",
    "S3Storage",
    "Serializer",
    "SerializerContext",
    "Storage",
    "storage_folder",
]

_LATER = {
    "AesGcm": "aes_gcm",
    "Cipher": "encryption",
    "Compressed": "compression",
    "Encrypted": "encryption",
    "FileStorage": "file_storage",
    "Offloaded": "offload",
    "S3Storage": "s3_storage",
    "Storage": "offload",
    "storage_folder": "offload",
}

if not TYPE_CHECKING:  # which would take any name for one of this module's
    __getattr__, __dir__ = names_from(__name__, _LATER)
