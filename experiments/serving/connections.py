"""Connections of the server: a time limit for a request's headers, and a limit on their number."""

import asyncio
import collections
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_TIMEOUT = 10.0  # seconds for the headers of a request to arrive, from the connection or the previous response


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol with limits on connections that send nothing.

    A connection without a request in progress is idle. The oldest idle connection is closed when there are more than
    `max_connections`, so that silent clients do not keep others out.
    """

    max_connections: ClassVar[int] = 512
    _idle: ClassVar["collections.OrderedDict[LimitedProtocol, asyncio.TimerHandle]"] = collections.OrderedDict()
    _connections: ClassVar[int] = 0

    def connection_made(self, transport: Any) -> None:
        """Starts the time limit; closes the oldest idle connection if there are too many."""
        super().connection_made(transport)
        LimitedProtocol._connections += 1
        if LimitedProtocol._connections > self.max_connections and self._idle:
            next(iter(self._idle)).transport.abort()
        self._update_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        super().connection_lost(exc)
        LimitedProtocol._connections -= 1
        self._set_busy()

    def data_received(self, data: bytes) -> None:
        """Reads data; stops the time limit once the headers are complete."""
        super().data_received(data)
        self._update_idle()

    def on_response_complete(self) -> None:
        """Restarts the time limit for the next request of the connection."""
        super().on_response_complete()
        self._update_idle()

    def _update_idle(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._set_busy()
        elif self not in self._idle and not self.transport.is_closing():
            self._idle[self] = self.loop.call_later(HEADER_TIMEOUT, self._close_if_idle)

    def _set_busy(self) -> None:
        if timer := self._idle.pop(self, None):
            timer.cancel()

    def _close_if_idle(self) -> None:
        self._idle.pop(self, None)
        self.transport.abort()
