"""The default serializer, and the functions with which the engine calls any serializer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from durable_async.errors import DurableError, SerializationError
from durable_async.serializers._json.plain import comes_back_plain, fits
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
    """Writes values as JSON that other languages can read, and reads them back by type.

    With a type (the function's return annotation, or ``returns=``), the value that is read equals the one that was
    written. This holds for attrs classes, dataclasses, TypedDicts, named tuples, pydantic models, enums, dates and
    times, ``timedelta``, ``Decimal``, ``UUID``, ``bytes``, paths, tuples, sets, dicts with such keys, and unions of
    these. An ``Any`` inside such a type may hold plain JSON only. Without a type, values are written in the same way
    and read as plain JSON: a tuple comes back as a list.

    A value that would not come back equal is refused with :class:`~durable_async.SerializationError`, which names the
    place in the value. To find out, each value is read again, unless its type alone decides this, as for plain JSON
    values.
    """

    _decode: Callable[[str], object] = staticmethod(decode)

    def serialize(self, value: object, context: SerializerContext) -> str:
        """Return the value as text.

        :raises SerializationError: the value would not come back equal
        """
        tree = _tree(value, context)
        text = _encoded(tree, context)
        if _is_to_be_read(value, tree, context.type):
            _checked(value, tree, tree, context)
        return text

    def deserialize(self, text: str, context: SerializerContext) -> Any:
        """Return the value of a text.

        :raises SerializationError: the text is not JSON, or does not fit the type
        """
        declared = context.type
        as_it_is = declared is NO_TYPE or (isinstance(declared, type) and declared in _PLAIN_BUT_FLOAT)
        decoder = self._decode if as_it_is else _decoder(declared, self._decode)
        try:
            tree = decoder(text)
        except (ValueError, RecursionError) as error:
            raise SerializationError(context.operation, f"not JSON: {error}") from error
        return structure(tree, context)

    def round_trip(self, value: object, context: SerializerContext) -> tuple[str, object]:
        """Return the text, and the value that every later reading of the text returns.

        :raises SerializationError: as :meth:`serialize`
        """
        tree = _tree(value, context)
        text = _encoded(tree, context)
        try:
            recorded = decode(text)
        except RecursionError as error:  # nested so deeply that it could only just be written
            raise SerializationError(context.operation, _ENDLESS) from error
        if not _is_to_be_read(value, tree, context.type):
            return text, recorded
        return text, _checked(value, tree, recorded, context)


class ForeignJson(JsonSerializer):
    """Reads JSON of other programs, in which numbers may be too large for a float. They do not become infinite."""

    _decode = staticmethod(decode_finite)


JSON = JsonSerializer()
FOREIGN_JSON = ForeignJson()


async def round_trip(serializer: Serializer, value: object, context: SerializerContext) -> tuple[str, object]:
    """Return the text for the record, and the value that every replay will read from it.

    :raises SerializationError: the value cannot be written, or its text not read
    """
    text = await serialize(serializer, value, context)
    return text, await deserialize(serializer, text, context)


async def serialize(serializer: Serializer | None, value: object, context: SerializerContext) -> str:
    """Return the text for the record.

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
    """Return the value of a recorded text.

    :param serializer: None for JSON
    :raises SerializationError: the text cannot be read as the requested type, or a serializer failed otherwise
    """
    if serializer is None:
        return JSON.deserialize(text, context)
    try:
        value: object = serializer.deserialize(text, context)
        return await value if inspect.isawaitable(value) else value
    except DurableError:
        raise
    except Exception as error:
        raise _failed(serializer, error, context) from error


def structure(tree: object, context: SerializerContext) -> Any:
    """Return a value of ``context.type`` from plain JSON values; without a type, return them unchanged.

    :raises SerializationError: they do not fit the type
    """
    declared = context.type
    if declared is NO_TYPE or (declared is type(tree) and declared in _PLAIN) or _is_read_unchanged(tree, declared):
        return tree
    try:
        return _converter().structure(tree, declared)
    except Exception as error:  # noqa: BLE001 - whatever a converter or a class of the user's raises
        from durable_async.serializers._json.reasons import reason

        # Without the cause, because its text may contain the value, and logging this error would log it.
        raise SerializationError(
            context.operation, f"cannot be read as {type_name(declared)}: {reason(error)}"
        ) from None


def unstructure(value: object, context: SerializerContext) -> object:
    """Return the plain JSON values of a value of ``context.type``, or of any value without a type.

    :raises SerializationError: the value would not come back equal
    """
    tree = _tree(value, context)
    if (found := flaw(tree)) is not None:
        raise SerializationError(context.operation, found)
    if _is_to_be_read(value, tree, context.type):
        _checked(value, tree, tree, context)
    return tree


_PLAIN: frozenset[object] = frozenset((*SCALARS, list, dict))  # they are read unchanged, so they are written unchanged
_PLAIN_BUT_FLOAT: frozenset[object] = _PLAIN - {float}
_ENDLESS = "$: the value contains itself, or is nested too deeply"


def _is_untyped(declared: object) -> bool:
    return declared is NO_TYPE or declared is Any or declared is object


def _is_to_be_read(value: object, tree: object, declared: object) -> bool:
    """Return whether reading may fail or return another value. Exact instances of simple types always come back."""
    if tree is not value:
        return True
    return not (declared is NO_TYPE or declared is type(value) or _is_read_unchanged(tree, declared))


def _is_read_unchanged(tree: object, declared: object) -> bool:
    return comes_back_plain(declared) and fits(tree, declared)


def _stays_plain(value: object, declared: object) -> bool:
    """Return whether the type guarantees that a plain JSON value is written and read unchanged."""
    return declared is NO_TYPE or (declared is type(value) and declared in _PLAIN) or comes_back_plain(declared)


def _decoder(declared: object, otherwise: Callable[[str], object]) -> Callable[[str], object]:
    if declared is float:
        return decode_finite
    if comes_back_plain(declared):
        return otherwise
    from durable_async.serializers._json.kinds import may_hold_decimal  # imports modules that many programs do not need

    return decode_exact if may_hold_decimal(declared) else otherwise


def _tree(value: object, context: SerializerContext) -> object:
    """Return the plain JSON values to write for a value. It is not known yet whether they come back equal.

    :return: the value itself, if its type guarantees that it comes back
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


def _checked(value: object, tree: object, recorded: object, context: SerializerContext) -> object:
    """Return the value that is read from ``recorded``, which is ``tree`` after writing it as text and reading it.

    :raises SerializationError: it differs from the value
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


def _written_and_read(value: object) -> object:
    converter, kind = _converter(), kind_of(value)
    return converter.structure(converter.unstructure(value, kind), kind)


@cache
def _converter() -> Converter:
    from durable_async.serializers._json.converter import make_converter

    return make_converter()


def _encoded(tree: object, context: SerializerContext) -> str:
    """Return the text of a tree.

    :raises SerializationError: the tree is not JSON, or its text would be read as another tree
    """
    try:
        text = encode(tree)
    except (TypeError, ValueError, RecursionError) as error:
        raise SerializationError(context.operation, _unwritable(tree, error)) from error
    if "\\ud" in text and decode(text) != tree:
        raise SerializationError(context.operation, _SURROGATES)
    return text


_SURROGATES = "$: a str holds a pair of surrogates, which comes back as one character. Use that character"


def _unwritable(tree: object, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return _ENDLESS
    return flaw(tree) or f"$: {error}"


def _failed(serializer: Serializer, error: Exception, context: SerializerContext) -> SerializationError:
    reason = f"{class_name(serializer)} failed with {type(error).__name__}: {error}"
    return SerializationError(context.operation, reason)
