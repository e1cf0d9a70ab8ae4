"""How results, inputs and states become the text that is recorded, and values again."""

from durable_async.serializers.annotations import parameter_type, return_type
from durable_async.serializers.base import NO_TYPE, Serializer, SerializerContext
from durable_async.serializers.default import JsonSerializer, deserialize, serialize, structure, unstructure

__all__ = [
    "NO_TYPE",
    "JsonSerializer",
    "Serializer",
    "SerializerContext",
    "deserialize",
    "parameter_type",
    "return_type",
    "serialize",
    "structure",
    "unstructure",
]
