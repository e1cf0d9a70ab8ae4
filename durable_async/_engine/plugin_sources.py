"""Where plugins come from: what was named in ``plugins=[...]``, and which hooks of it there are to call."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs

from durable_async.plugins import DurablePlugin, PluginSource

logger: logging.Logger = logging.getLogger("durable_async")

_HOOKS = tuple(name for name in vars(DurablePlugin) if not name.startswith("_"))
_AWAITED = ("flush",)


@attrs.frozen
class Listener:
    """A hook that a plugin overrides.

    :ivar name: of the plugin and its hook
    """

    name: str
    call: Callable[[Any], Any]


def listeners(sources: Iterable[PluginSource]) -> dict[str, list[Listener]]:
    """Return the plugins' hooks to call, by name. A plugin that cannot be made is left out."""
    plugins = list(_made(sources))
    return {
        hook: [
            Listener(f"{type(plugin).__qualname__}.{hook}", getattr(plugin, hook))
            for plugin in plugins
            if getattr(type(plugin), hook) is not getattr(DurablePlugin, hook)
        ]
        for hook in _HOOKS
    }


def check_sources(sources: Iterable[object]) -> None:
    """Check what was given as ``plugins=[...]``.

    :raises TypeError: no plugin can come from one of them, or two are of a type of which a handler may have one
    """
    seen: set[type[object]] = set()
    for source in sources:
        _check_source(source)
        kind = type(source)
        if kind in seen and getattr(kind, "once_per_handler", False):
            raise TypeError(f"a handler may have one {kind.__qualname__} among its plugins, and this one has two")
        seen.add(kind)


def _check_source(source: object) -> None:
    if isinstance(source, type):
        _check_class(source)
    elif not callable(source):
        _checked(source)


def _made(sources: Iterable[PluginSource]) -> Iterator[DurablePlugin]:
    for source in sources:
        try:
            plugin = source if isinstance(source, DurablePlugin) else _checked(source())
        except Exception:
            logger.exception("skipping the plugin that %r could not make", source)
        else:
            yield plugin


def _checked(plugin: object) -> DurablePlugin:
    _check_class(type(plugin))
    assert isinstance(plugin, DurablePlugin)
    return plugin


def _check_class(kind: type[object]) -> None:
    if not issubclass(kind, DurablePlugin):
        raise TypeError(f"a plugin must be derived from DurablePlugin, and {kind.__qualname__} is not")
    for hook in _HOOKS:
        if inspect.iscoroutinefunction(getattr(kind, hook)) is not (hook in _AWAITED):
            must_be = "an async function" if hook in _AWAITED else "a plain function: nobody awaits this hook"
            raise TypeError(f"{kind.__qualname__}.{hook} must be {must_be}")
