"""The default serializer, and the functions through which the engine uses any."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from durable_async.errors import DurableError, SerializationError
from durable_async.serializers._json.tree import (
    SCALARS,
    class_name,
    decode,
    decode_exact,
    decode_finite,
    encode,
    flaw,
    is_plain,
    kind_of,
    type_name,
)
from durable_async.serializers.base import NO_TYPE, Serializer, SerializerContext

if TYPE_CHECKING:
    from cattrs import Converter


class JsonSerializer:
    """JSON that other languages read, and types that come back.

    With a type (the function's return annotation, or ``returns=``), what comes back equals what was written, or it is
    not written: attrs classes, dataclasses, TypedDicts, named tuples, pydantic models, enums, dates and times,
    ``timedelta``, ``Decimal``, ``UUID``, ``bytes``, paths, tuples, sets, dicts with any such keys, and unions of
    these. An ``Any`` inside such a type holds plain JSON only. Where no type is declared at all, values are written in
    the same way and come back as the plain JSON they are: a tuple as a list.

    What would not come back is refused with :class:`~durable_async.SerializationError`, which names its place. Each
    value is read again to find out, unless its type alone decides it: plain JSON values are not.
    """

    _decode: Callable[[str], Any] = staticmethod(decode)

    def serialize(self, value: Any, context: SerializerContext) -> str:
        """:raises SerializationError: the value cannot be written so that it comes back"""
        tree = _tree(value, context)
        text = _encoded(tree, context)
        if _is_to_be_read(value, tree, context.type):
            _checked(value, tree, tree, context)
        return text

    def deserialize(self, text: str, context: SerializerContext) -> Any:
        """:raises SerializationError: the text is not JSON, or not what the type is read from"""
        declared = context.type
        as_it_is = declared is NO_TYPE or (isinstance(declared, type) and declared in _PLAIN_BUT_FLOAT)
        decoder = self._decode if as_it_is else _decoder(declared, self._decode)
        try:
            tree = decoder(text)
        except (ValueError, RecursionError) as error:
            raise SerializationError(context.operation, f"not JSON: {error}") from error
        return structure(tree, context)

    def round_trip(self, value: Any, context: SerializerContext) -> tuple[str, Any]:
        """The text, and the value that every later reading of it returns, for the price of one reading.

        :raises SerializationError: as :meth:`serialize`
        """
        tree = _tree(value, context)
        text = _encoded(tree, context)
        try:
            recorded = decode(text)
        except RecursionError as error:  # at a depth that could just be written
            raise SerializationError(context.operation, _ENDLESS) from error
        if not _is_to_be_read(value, tree, context.type):
            return text, recorded
        return text, _checked(value, tree, recorded, context)


class ForeignJson(JsonSerializer):
    """Reads what other programs wrote, whose numbers may be more than a float can hold: none becomes infinite."""

    _decode = staticmethod(decode_finite)


JSON = JsonSerializer()
FOREIGN_JSON = ForeignJson()


async def round_trip(serializer: Serializer | None, value: Any, context: SerializerContext) -> tuple[str, Any]:
    """The text for the record, and the value that every replay will read from it.

    :param serializer: None for JSON
    :raises SerializationError: the value cannot be written, or its text not read
    """
    if serializer is None:
        return JSON.round_trip(value, context)
    text = await serialize(serializer, value, context)
    return text, await deserialize(serializer, text, context)


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
    if declared is NO_TYPE or (declared is type(tree) and declared in _PLAIN):
        return tree
    try:
        return _converter().structure(tree, declared)
    except Exception as error:  # noqa: BLE001 - whatever a converter or a class of the user's raises
        from durable_async.serializers._json.reasons import reason

        # Without the cause: its text may hold the value, and whoever logs this error would log that.
        raise SerializationError(
            context.operation, f"cannot be read as {type_name(declared)}: {reason(error)}"
        ) from None


def unstructure(value: Any, context: SerializerContext) -> Any:
    """Plain JSON values from a value of ``context.type``, or of any type without one.

    :raises SerializationError: the value cannot be written so that it comes back
    """
    tree = _tree(value, context)
    if (found := flaw(tree)) is not None:
        raise SerializationError(context.operation, found)
    if _is_to_be_read(value, tree, context.type):
        _checked(value, tree, tree, context)
    return tree


_PLAIN: frozenset[Any] = frozenset((*SCALARS, list, dict))  # read as they are, and written so
_PLAIN_BUT_FLOAT: frozenset[Any] = _PLAIN - {float}
_ENDLESS = "$: the value contains itself, or is nested too deeply"


def _is_untyped(declared: Any) -> bool:
    return declared is NO_TYPE or declared is Any or declared is object


def _is_to_be_read(value: Any, tree: Any, declared: Any) -> bool:
    """Whether reading may give something else than the value, or nothing. A value of exactly its type is itself."""
    return tree is not value or (declared is not NO_TYPE and declared is not type(value))


def _stays_plain(value: Any, declared: Any) -> bool:
    """Whether a value that is plain JSON is written and read as it is, by its type."""
    if declared is NO_TYPE or (declared is type(value) and declared in _PLAIN):
        return True
    from durable_async.serializers._json.kinds import comes_back_plain  # imports what many programs do without

    return comes_back_plain(declared)


def _decoder(declared: Any, otherwise: Callable[[str], Any]) -> Callable[[str], Any]:
    if declared is float:
        return decode_finite
    from durable_async.serializers._json.kinds import may_hold_decimal

    return decode_exact if may_hold_decimal(declared) else otherwise


def _tree(value: Any, context: SerializerContext) -> Any:
    """What is written of a value, plain JSON values. Whether it comes back is not known yet.

    :return: the value itself, if its type says that it does
    """
    declared = context.type
    try:
        if is_plain(value) and _stays_plain(value, declared):
            return value
        tree = _converter().unstructure(value, None if _is_untyped(declared) else declared)
        found = None if is_plain(tree) else flaw(tree)
    except RecursionError as error:
        raise SerializationError(context.operation, _ENDLESS) from error
    except Exception as error:
        reason = f"$: a {class_name(value)} cannot be written: {type(error).__name__}: {error}"
        raise SerializationError(context.operation, reason) from error
    if found is not None:
        raise SerializationError(context.operation, found)
    return tree


def _checked(value: Any, tree: Any, recorded: Any, context: SerializerContext) -> Any:
    """What is read from ``recorded``, which is ``tree`` as it comes from text.

    :raises SerializationError: it is not the value
    """
    declared = context.type
    from durable_async.serializers._json.equality import difference, object_difference

    try:
        if _is_untyped(declared):
            back, found = recorded, object_difference(value, _written_and_read)
        else:
            back = _converter().structure(recorded, declared)
            found = None if tree is value and _stays_plain(value, declared) else difference(value, back)
    except RecursionError as error:
        raise SerializationError(context.operation, _ENDLESS) from error
    except Exception as error:
        from durable_async.serializers._json.reasons import reason

        name = type_name(kind_of(value) if _is_untyped(declared) else declared)
        what = f"a {class_name(value)} would not come back as {name}: {reason(error)}"
        raise SerializationError(context.operation, what) from error
    if found is not None:
        raise SerializationError(context.operation, found)
    return back


def _written_and_read(value: object) -> Any:
    converter, kind = _converter(), kind_of(value)
    return converter.structure(converter.unstructure(value, kind), kind)


@cache
def _converter() -> Converter:
    from durable_async.serializers._json.converter import make_converter

    return make_converter()


def _encoded(tree: Any, context: SerializerContext) -> str:
    """:raises SerializationError: the tree is not JSON, or is not what its text would be read as"""
    try:
        text = encode(tree)
    except (TypeError, ValueError, RecursionError) as error:
        raise SerializationError(context.operation, _unwritable(tree, error)) from error
    if "\\ud" in text and decode(text) != tree:
        raise SerializationError(context.operation, _SURROGATES)
    return text


_SURROGATES = "$: a str holds two surrogates beside each other, which come back as one character: write that one"


def _unwritable(tree: Any, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return _ENDLESS
    return flaw(tree) or f"$: {error}"


def _failed(serializer: Serializer, error: Exception, context: SerializerContext) -> SerializationError:
    reason = f"{class_name(serializer)} failed with {type(error).__name__}: {error}"
    return SerializationError(context.operation, reason)
