"""Excerpts of long texts and lists, for messages."""

from __future__ import annotations

from collections.abc import Sequence


def cut(text: str, length: int) -> str:
    """Return at most ``length`` characters of a text. Three dots stand for what is left out."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def first_few(texts: Sequence[str], count: int = 5, *, separator: str = ", ") -> str:
    """Return the first ``count`` texts of a list, and how many more there are."""
    more = [f"and {len(texts) - count} more"] if len(texts) > count else []
    return separator.join([*texts[:count], *more])
