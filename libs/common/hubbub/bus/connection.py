"""nats-py's client with two faster ways through it, and without its ways of giving up.

nats-py makes a message object, parses headers into a dict, and passes every message through a
queue to a task. Calls need none of that: a *door* is a plain function that gets the bytes in the
turn in which they arrive. Sending likewise only appends to the buffer; everything sent in one
turn of the loop leaves in one write. Everything else (handshake, reconnecting, resubscribing,
pings, JetStream) is nats-py's own.

This reaches into nats-py below its public surface, in this file and in `parser` only; tests
compare both ways.
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from nats import errors
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.aio.transport import TcpTransport, Transport

from hubbub.bus.keys import public_key, read_seed, sign
from hubbub.bus.parser import Door, Parser
from hubbub.errors import Unavailable

_PERMISSIONS = "permissions violation"


class Connection(Client):
    """A connection to NATS that never closes on its own."""

    def __init__(self) -> None:
        super().__init__()
        self._doors: dict[int, Door] = {}  # subscription id → door
        self._ps = Parser(self, self._doors)  # type: ignore[assignment]  # same methods
        self._kicked = False
        self.on_lost: Callable[[], None] = _nothing
        """Called in the turn in which the connection turns out to be lost."""
        self.key_file: Path | None = None
        """The seed that this connection signs in with, read anew at each connect."""

    async def open_door(self, subject: str, door: Door, *, queue: str = "") -> Subscription:
        """Subscribe `door` to `subject`: called for each message, in order, without waiting.

        There is no queue in between and hence no limit: a door hands on or drops, at once.
        """
        self._doors[self._sid + 1] = door  # the id that `subscribe` is about to take
        return await self.subscribe(subject, queue=queue)

    def send(self, subject: bytes, reply: bytes, headers: bytes | None, payload: bytes) -> None:
        """Publish, without waiting: the message leaves at the end of this turn of the loop.

        `headers` is a whole block (`headers.header_block`). Subject and reply are trusted.

        Raises: Unavailable: as much is waiting as may wait; nothing was kept.
        """
        if headers is None:
            command = b"PUB %b %b %d\r\n%b\r\n" % (subject, reply, len(payload), payload)
        else:
            length = len(headers)
            command = b"HPUB %b %b %d %d\r\n%b%b\r\n" % (
                subject,
                reply,
                length,
                length + len(payload),
                headers,
                payload,
            )
        size = self._pending_data_size + len(command)
        if size > self._max_pending_size:
            raise Unavailable(f"{self._pending_data_size} bytes wait to be sent to NATS")
        self._pending.append(command)
        self._pending_data_size = size
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += len(payload)
        if not self._kicked:
            self._kicked = True
            asyncio.get_running_loop().call_soon(self._kick)

    def _kick(self) -> None:
        """Write what this turn of the loop has sent."""
        self._kicked = False
        if not self._pending or not self.is_connected:
            return  # nats-py writes the buffer once it is connected again
        transport = self._plain_transport()
        if transport is not None and transport.get_write_buffer_size() == 0:
            # uvloop keeps a write until its next look at the network; the socket takes it now.
            # A third of the time of a lone call went into that wait.
            data = b"".join(self._pending)
            try:
                written = os.write(transport.get_extra_info("socket").fileno(), data)
            except BlockingIOError:
                written = 0
            except OSError:
                return  # the reader is about to notice; what is left is sent when reconnected
            self._pending = [data[written:]] if written < len(data) else []
            self._pending_data_size = len(data) - written
        if self._pending and self._flush_queue is not None and self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    def _plain_transport(self) -> asyncio.WriteTransport | None:
        """The TCP transport, if it stands and is not encrypted."""
        if not isinstance(self._transport, TcpTransport):
            return None
        writer = self._transport._io_writer  # noqa: SLF001  # no other way to it
        if writer is None or writer.is_closing():
            return None
        if writer.get_extra_info("sslcontext") is not None:
            return None
        return writer.transport

    async def close(self) -> None:
        """Disconnect for good. What was sent before leaves if the connection stands."""
        if self.is_connected:
            transport = self._plain_transport()
            if transport is not None and self._pending:
                transport.writelines(self._pending)  # which flushes it before it closes
                self._forget_pending()
        else:
            # nats-py would try to write it to the broken connection, and stop halfway.
            self._forget_pending()
        await super().close()

    def _forget_pending(self) -> None:
        self._pending = []
        self._pending_data_size = 0

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        super()._remove_sub(sid, max_msgs)
        self._doors.pop(sid, None)

    async def _process_op_err(self, e: Exception) -> None:
        if self.is_connected:
            self.on_lost()
        await super()._process_op_err(e)

    async def force_reconnect(self) -> None:
        """Leave this server for another one."""
        if self.is_connected:
            self.on_lost()
        await super().force_reconnect()

    async def _select_next_server(self) -> None:
        """Any other server first: the one that was left ends, or stands still, and to try it
        would take as long as a try may."""
        left = self._current_server
        if left in self._server_pool:
            self._server_pool.remove(left)
            self._server_pool.append(left)
        await super()._select_next_server()

    async def part(self, timeout: int) -> Transport | None:
        """Leave this server for another one, and let the old connection stand.

        Everything that had arrived over it was handed out when this returns, and nothing more
        will arrive.

        Returns: the old connection, for whoever closes it; None: it was lost meanwhile.
        Raises: nats.errors.Error: the server does not answer; nothing was left.
        """
        transport = self._transport
        if transport is None or not self.is_connected:
            return None
        for sid in self._subs:  # which are asked for anew at the next server
            transport.write(b"UNSUB %d\r\n" % sid)
        await self.flush(timeout)
        if transport is not self._transport or not self.is_connected:
            return None
        # From here on there is no await: whoever answers does so over one of them or the other.
        transport.writelines(self._pending)
        self._forget_pending()
        self._transport = None  # which nats-py would close
        await self.force_reconnect()
        return transport

    def _connect_command(self) -> bytes:
        if self.key_file is not None and "nonce" in self._server_info:
            seed = _seed(self.key_file)
            self._auth_configured = True
            self._public_nkey = public_key(seed)
            self._signature_cb = lambda nonce: b64encode(sign(seed, nonce))
        return super()._connect_command()

    async def _process_err(self, err_msg: str) -> None:
        """The server complains. nats-py closes for good on most complaints; a service has to
        live on, so only the connection is made anew."""
        error = errors.Error(f"nats: {err_msg.strip(chr(39))}")
        self._err = error
        await self._error_cb(error)
        if _PERMISSIONS not in err_msg:
            await self._process_op_err(error)


def _seed(file: Path) -> bytes:
    """Raises: nats.errors.Error: it cannot be read now; the next try may find it."""
    try:
        return read_seed(file)
    except OSError as error:
        raise errors.Error(f"nats: the key {file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise errors.Error(f"nats: {error}") from None


def _nothing() -> None:
    return None
