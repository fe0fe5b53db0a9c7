"""An origin server that does what the path asks for (exchange.py) and tells what it got: origin.py http1|http2

Prints `{"port": N}` once it listens, and then one line of JSON for each request.
"""

import asyncio
import contextlib
import json
import socket
import struct
import sys

import http1
import http2
from exchange import Exchange
from h2.errors import ErrorCodes
from http1 import Ended, Fields


class Http1Exchange(Exchange):
    def __init__(self, first: str, fields: Fields, reader, writer) -> None:
        self.method, self.path, self.version = first.split(" ")
        self.fields = fields
        self._body = http1.Body(reader, http1.request_framing(fields))
        self.trailers = self._body.trailers
        self._writer = writer
        self._chunked = False

    def pieces(self):
        return aiter(self._body)

    async def interim(self, status: int, fields: Fields) -> None:
        await self._send(http1.head(f"HTTP/1.1 {status} Interim", fields))

    async def start(self, status: int, fields: Fields, body: bool) -> None:
        self._chunked = body and not http1.field(fields, "content-length")
        framing = [("transfer-encoding", "chunked")] if self._chunked else []
        await self._send(http1.head(f"HTTP/1.1 {status} Said", [*fields, *framing]))

    async def write(self, data: bytes) -> None:
        await self._send(http1.chunk(data) if self._chunked else data)

    async def finish(self, trailers: Fields) -> None:
        if self._chunked:
            await self._send(http1.last_chunk(trailers))

    async def abort(self, in_order: bool) -> None:
        await self._writer.drain()
        if not in_order:
            # A linger of nothing makes the kernel send a reset in place of an end.
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort() if not in_order else self._writer.close()
        raise Ended("aborted here")

    async def _send(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError as error:
            raise Ended("the client is gone") from error


class Http2Exchange(Exchange):
    def __init__(self, stream: http2.Stream) -> None:
        pseudo = dict(field for field in stream.fields if field[0].startswith(":"))
        self.method, self.path = pseudo[":method"], pseudo[":path"]
        self.fields = list(stream.fields)
        self.trailers = stream.trailers
        self._stream = stream

    def pieces(self):
        return self._stream.pieces()

    async def interim(self, status: int, fields: Fields) -> None:
        await self._stream.send_headers([(":status", str(status)), *fields], end=False)

    async def start(self, status: int, fields: Fields, body: bool) -> None:
        await self._stream.send_headers([(":status", str(status)), *fields], end=not body)

    async def write(self, data: bytes) -> None:
        await self._stream.send(data)

    async def finish(self, trailers: Fields) -> None:
        if trailers:
            await self._stream.send_headers(trailers, end=True)
        else:
            await self._stream.send(b"", end=True)

    async def abort(self, in_order: bool) -> None:
        await self._stream.reset(ErrorCodes.NO_ERROR if in_order else ErrorCodes.INTERNAL_ERROR)
        raise Ended("aborted here")


async def serve_http1(reader, writer) -> None:
    try:
        while head := await http1.read_head(reader):
            exchange = Http1Exchange(*head, reader, writer)
            report = await exchange.answer()
            tell(report)
            if report["ended"] != "complete":
                break
            if exchange.path.startswith("/refuse"):
                await linger(reader, writer)
                break
    except (Ended, ConnectionError):
        pass
    writer.close()


async def linger(reader, writer) -> None:
    """Closes so that the answer arrives: RFC 9112 section 9.6, read on for a while what was on its way."""
    writer.write_eof()

    async def read_on() -> None:
        while await reader.read(http1.PIECE):
            pass

    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(read_on(), 1)


async def serve_http2(reader, writer) -> None:
    async def on_request(stream: http2.Stream) -> None:
        exchange = Http2Exchange(stream)
        report = await exchange.answer()
        if exchange.path.startswith("/refuse") and report["ended"] == "complete":
            # RFC 9113 section 8.1: an answer that needs no more of the request.
            await stream.reset(ErrorCodes.NO_ERROR)
        tell(report)

    connection = http2.Connection(reader, writer, client=False, on_request=on_request)
    await connection.open()
    await connection.run()


def tell(what: dict) -> None:
    print(json.dumps(what), flush=True)


async def main(version: str) -> None:
    serve = {"http1": serve_http1, "http2": serve_http2}[version]
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20, backlog=1024)
    tell({"port": server.sockets[0].getsockname()[1]})
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
