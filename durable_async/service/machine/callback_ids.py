"""Callback ids: each says itself whose callback it is, so nothing has to be looked up, and cannot be guessed."""

from __future__ import annotations

import base64


def make_callback_id(execution_id: str, sequence: int, secret: str) -> str:
    """
    :param sequence: of the CALLBACK operation
    :param secret: what makes the id more than an ARN and a number. No part contains a dot
    """
    return base64.b64encode(f"{execution_id}.{sequence}.{secret}".encode()).decode()


def callback_place(callback_id: str) -> tuple[str, int] | None:
    """The execution's id and the operation's sequence; None if ``callback_id`` was not made here."""
    try:
        execution_id, sequence, _ = base64.b64decode(callback_id, validate=True).decode().split(".")
        return execution_id, int(sequence)
    except ValueError:
        return None
