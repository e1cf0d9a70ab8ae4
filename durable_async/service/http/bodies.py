"""Reads the bodies of requests. Each has a maximum size and time, and all together have a maximum size."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import attrs

from durable_async.service.http.answer import BusyError, RequestTimeoutError
from durable_async.service.model.errors import InvalidParameterValueError, RequestTooLargeError

_SMALL_BYTES = 64 * 1024  # the first bytes of each body do not count, so small requests are never refused


@attrs.define
class Bodies:
    """Reads bodies.

    :ivar max_total_bytes: the maximum size of all bodies that are being read at the same time
    :ivar seconds: the maximum time for one body, from its first byte to its last
    """

    max_total_bytes: int = 128 * 1024 * 1024
    seconds: float = 60.0
    _held: int = attrs.field(default=0, init=False)

    async def read(self, chunks: AsyncIterator[bytes], announced: str | None, max_bytes: int) -> bytes:
        """Read one body.

        :param announced: the value of ``Content-Length``
        :param max_bytes: the maximum size of this body
        :raises ApiError: RequestTooLarge, as soon as the size is known; RequestTimeout; TooManyRequests, if all bodies
            together are too large; InvalidParameterValue, if the body ended early
        """
        if announced is not None and announced.isdecimal() and (len(announced) > 15 or int(announced) > max_bytes):
            raise _too_large(max_bytes)
        body, counted = bytearray(), 0
        try:
            async with asyncio.timeout(self.seconds):
                async for chunk in chunks:
                    body += chunk
                    if len(body) > max_bytes:
                        raise _too_large(max_bytes)
                    if len(body) > _SMALL_BYTES:
                        counted += self._count(len(body) - _SMALL_BYTES - counted)
        except TimeoutError:
            raise RequestTimeoutError(f"The request body did not arrive within {self.seconds:g} seconds.") from None
        except OSError:
            raise InvalidParameterValueError("The request body could not be read.") from None
        finally:
            self._held -= counted
        return bytes(body)

    def _count(self, more: int) -> int:
        if self._held + more > self.max_total_bytes:
            raise BusyError("The service is reading too many large bodies. Send the request again later.")
        self._held += more
        return more


def _too_large(max_bytes: int) -> RequestTooLargeError:
    return RequestTooLargeError(f"The body of this request may have at most {max_bytes} bytes.")
