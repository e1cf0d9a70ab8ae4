"""The default serializer, and the functions through which the engine uses any."""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any

from durable_async.errors import DurableError, SerializationError
from durable_async.serializers.base import NO_TYPE, Serializer, SerializerContext
from durable_async.serializers.json_tree import SCALARS, class_name, decode, encode, flaw, is_plain, kind_of, type_name

if TYPE_CHECKING:
    from cattrs import Converter


class JsonSerializer:
    """JSON that other languages read, and types that come back.

    With a type (the function's return annotation, or ``returns=``), what comes back is of that type: attrs classes,
    dataclasses, TypedDicts, named tuples, pydantic models, enums, dates and times, ``timedelta``, ``Decimal``,
    ``UUID``, ``bytes``, paths, tuples, sets, dicts with any such keys, and unions of these. Without a type, or as
    ``Any``, such values are written in the same way but come back as the plain JSON they are: a tuple as a list.

    What could not come back is refused with :class:`~durable_async.SerializationError`, which names its place: NaN
    and infinite floats, keys that would turn into text, a subclass where its base is declared, objects of unknown
    types.
    """

    def serialize(self, value: Any, context: SerializerContext) -> str:
        """:raises SerializationError: the value cannot be written"""
        tree = unstructure(value, context)
        try:
            return encode(tree)
        except (TypeError, ValueError, RecursionError) as error:
            raise SerializationError(context.operation, _unwritable(tree, error)) from error

    def deserialize(self, text: str, context: SerializerContext) -> Any:
        """:raises SerializationError: the text is no JSON, or not what the type is read from"""
        try:
            tree = decode(text)
        except (ValueError, RecursionError) as error:
            raise SerializationError(context.operation, f"not JSON: {error}") from error
        return structure(tree, context)


JSON = JsonSerializer()


async def serialize(serializer: Serializer | None, value: Any, context: SerializerContext) -> str:
    """The text for the record.

    :param serializer: None for JSON
    :raises SerializationError: the value cannot be written, or a serializer failed otherwise
    """
    if serializer is None:
        return JSON.serialize(value, context)
    try:
        text: Any = serializer.serialize(value, context)
        if inspect.isawaitable(text):
            text = await text
    except DurableError:
        raise
    except Exception as error:
        raise _failed(serializer, error, context) from error
    if isinstance(text, str):
        return text
    reason = f"{class_name(serializer)}.serialize must return a str, not a {class_name(text)}"
    raise SerializationError(context.operation, reason)


async def deserialize(serializer: Serializer | None, text: str, context: SerializerContext) -> Any:
    """The value of a recorded text.

    :param serializer: None for JSON
    :raises SerializationError: the text cannot be read as the type asked for, or a serializer failed otherwise
    """
    if serializer is None:
        return JSON.deserialize(text, context)
    try:
        value: Any = serializer.deserialize(text, context)
        return await value if inspect.isawaitable(value) else value
    except DurableError:
        raise
    except Exception as error:
        raise _failed(serializer, error, context) from error


def structure(tree: Any, context: SerializerContext) -> Any:
    """A value of ``context.type`` from plain JSON values; they themselves without a type.

    :raises SerializationError: they are not what the type is read from
    """
    declared = context.type
    if declared is NO_TYPE or (declared is kind_of(tree) and declared in _PLAIN):
        return tree
    try:
        return _converter().structure(tree, declared)
    except Exception as error:  # noqa: BLE001 - whatever a converter or a class of the user's raises
        from durable_async.serializers.reasons import reason

        # Without the cause: its text may hold the value, and whoever logs this error would log that.
        raise SerializationError(
            context.operation, f"cannot be read as {type_name(declared)}: {reason(error)}"
        ) from None


def unstructure(value: Any, context: SerializerContext) -> Any:
    """Plain JSON values from a value of ``context.type``, or of any type without one.

    :raises SerializationError: the value cannot be written so that it comes back
    """
    declared = context.type
    try:
        if declared in _PLAIN and is_plain(value):
            return value
        tree = _converter().unstructure(value, None if declared is NO_TYPE else declared)
        found = None if is_plain(tree) else flaw(tree)
    except RecursionError as error:
        raise SerializationError(context.operation, _ENDLESS) from error
    except Exception as error:
        reason = f"$: a {class_name(value)} cannot be written: {type(error).__name__}: {error}"
        raise SerializationError(context.operation, reason) from error
    if found is not None:
        raise SerializationError(context.operation, found)
    return tree


_PLAIN: frozenset[Any] = frozenset((*SCALARS, list, dict, None, NO_TYPE))  # written as they are
_ENDLESS = "$: the value contains itself, or is nested too deeply"


@cache
def _converter() -> Converter:
    from durable_async.serializers.converter import make_converter

    return make_converter()


def _unwritable(tree: Any, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return _ENDLESS
    return flaw(tree) or f"$: {error}"


def _failed(serializer: Serializer, error: Exception, context: SerializerContext) -> SerializationError:
    reason = f"{class_name(serializer)} failed with {type(error).__name__}: {error}"
    return SerializationError(context.operation, reason)
