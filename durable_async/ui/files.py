"""The page's files, which ``nox -s ui`` builds from the sources in ``web/``. They are read when this is imported."""

from __future__ import annotations

import gzip
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
    """:ivar compressed: ``content`` with gzip"""

    content: bytes
    compressed: bytes
    type: str
    tag: str

    def answer(self, known_tag: str | None, *, compressed: bool) -> Answer:
        """Return the file, or status 304 if the browser has it already.

        :param known_tag: the ETag of what the browser has; None: it has nothing
        :param compressed: True: the browser reads gzip. False: it may not
        """
        headers = {"ETag": self.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if known_tag == self.tag:
            return Answer(304, headers)
        headers["Content-Type"] = self.type
        if not compressed:
            return Answer(200, headers, self.content)
        return Answer(200, {**headers, "Content-Encoding": "gzip"}, self.compressed)


def _read(name: str) -> File:
    content = files("durable_async.ui").joinpath("static", name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    return File(content, gzip.compress(content, 9), _TYPES[name.rpartition(".")[2]], tag)


FILES: Final[Mapping[str, File]] = {
    "/": _read("index.html"),
    **{f"/{name}": _read(name) for name in ("app.js", "app.css", "icon.svg")},
}
