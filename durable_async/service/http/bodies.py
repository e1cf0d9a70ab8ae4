"""Reading bodies: each within a size and a time, and all that are under way within a sum."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import attrs

from durable_async.service.http.answer import BusyError, RequestTimeoutError
from durable_async.service.model.errors import InvalidParameterValueError, RequestTooLargeError

_SMALL_BYTES = 64 * 1024  # of each body, which do not count: whoever sends little is never refused


@attrs.define
class Bodies:
    """
    :ivar most_bytes: of all bodies that are being read at the same time
    :ivar seconds: for one body, from its first byte to its last
    """

    most_bytes: int = 128 * 1024 * 1024
    seconds: float = 60.0
    _held: int = attrs.field(default=0, init=False)

    async def read(self, chunks: AsyncIterator[bytes], announced: str | None, most: int) -> bytes:
        """
        :param announced: the value of ``Content-Length``
        :param most: bytes that this body may have
        :raises ApiError: RequestTooLarge, as soon as it is known; RequestTimeout; TooManyRequests, if the bodies that
            are being read take too much memory together; InvalidParameterValue, if the body ended early
        """
        if announced is not None and announced.isdecimal() and (len(announced) > 15 or int(announced) > most):
            raise _too_large(most)
        body, counted = bytearray(), 0
        try:
            async with asyncio.timeout(self.seconds):
                async for chunk in chunks:
                    body += chunk
                    if len(body) > most:
                        raise _too_large(most)
                    counted += self._count(max(0, len(body) - _SMALL_BYTES) - counted)
        except TimeoutError:
            raise RequestTimeoutError(f"The request body did not arrive within {self.seconds:g} seconds.") from None
        except OSError:
            raise InvalidParameterValueError("The request body could not be read.") from None
        finally:
            self._held -= counted
        return bytes(body)

    def _count(self, more: int) -> int:
        if self._held + more > self.most_bytes:
            raise BusyError("The service is reading too many large bodies; send the request again.")
        self._held += more
        return more


def _too_large(most: int) -> RequestTooLargeError:
    return RequestTooLargeError(f"The body of this request may have at most {most} bytes.")
