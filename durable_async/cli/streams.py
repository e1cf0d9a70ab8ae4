"""Standard output and input as they may be: of another encoding than UTF-8, or closed by who reads them."""

from __future__ import annotations

import codecs
import os
import sys
from io import TextIOWrapper

_ESCAPED = "durable_async.escaped"


def any_text_can_be_written() -> None:
    r"""Write what the terminal's encoding lacks as ``\u00e9``, which in JSON means the same."""
    codecs.register_error(_ESCAPED, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_ESCAPED)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    codes = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{code}" for code in codes), error.end


def drop_output() -> None:
    """Let nothing be written any more, so that the interpreter's last flush does not complain of a closed pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def utf8(text: str) -> bytes:
    """The bytes of an argument. Where the locale is not UTF-8, Python keeps them as halves of surrogate pairs."""
    return text.encode("utf-8", "surrogateescape")
