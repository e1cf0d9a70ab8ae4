"""The page's files, which ``nox -s ui`` builds from the sources in ``web/``. They are read when this is imported."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

import attrs

from durable_async.service.http.answer import Answer

_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


@attrs.frozen
class File:
    content: bytes
    type: str
    tag: str

    def answer(self, known_tag: str | None) -> Answer:
        """:param known_tag: the ETag of what the browser has; None: it has nothing"""
        headers = {"ETag": self.tag, "Cache-Control": "no-cache"}
        if known_tag == self.tag:
            return Answer(304, headers)
        return Answer(200, {**headers, "Content-Type": self.type}, self.content)


def _read(name: str) -> File:
    content = files("durable_async.ui").joinpath("static", name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    return File(content, _TYPES[name.rpartition(".")[2]], tag)


FILES: Final[Mapping[str, File]] = {
    "/": _read("index.html"),
    **{f"/{name}": _read(name) for name in ("app.js", "app.css", "icon.svg")},
}
