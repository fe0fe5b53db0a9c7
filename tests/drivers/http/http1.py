"""HTTP/1.1 by hand, for both sides: heads, bodies in pieces as they come, trailers. It trusts nobody to be right but itself."""

import asyncio
from collections.abc import AsyncIterator

Fields = list[tuple[str, str]]

PIECE = 256 * 1024


class Ended(Exception):
    """The other side closed or reset the connection in the middle of a message."""


async def read_head(reader: asyncio.StreamReader) -> tuple[str, Fields] | None:
    """First line and fields; None when the connection ended before one began."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise Ended(f"after {len(error.partial)} bytes of a head") from None
        return None
    except ConnectionError as error:
        raise Ended("reset in place of a head") from error
    first, *lines = head.decode("latin-1")[:-4].split("\r\n")
    return first, [parse_field(line) for line in lines]


def parse_field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip(" \t")


def field(fields: Fields, name: str) -> str | None:
    values = [value for key, value in fields if key == name]
    return ", ".join(values) if values else None


class Body:
    """What follows a head. `async for` gives its pieces; afterwards `trailers` has what came behind it."""

    def __init__(self, reader: asyncio.StreamReader, framing: str | int) -> None:
        self._reader = reader
        self.framing = framing  # "chunked", "close", or the length
        self.trailers: Fields = []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        try:
            if self.framing == "chunked":
                async for piece in self._chunks():
                    yield piece
            elif self.framing == "close":
                while piece := await self._reader.read(PIECE):
                    yield piece
            else:
                async for piece in self._exactly(int(self.framing)):
                    yield piece
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Ended("in the middle of a body") from error

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int((await self._line()).split(";")[0], 16):
            async for piece in self._exactly(size):
                yield piece
            if await self._line():
                raise Ended("a chunk is longer than it says")
        while line := await self._line():
            self.trailers.append(parse_field(line))

    async def _exactly(self, length: int) -> AsyncIterator[bytes]:
        while length:
            piece = await self._reader.read(min(length, PIECE))
            if not piece:
                raise Ended(f"{length} bytes too early")
            length -= len(piece)
            yield piece

    async def _line(self) -> str:
        return (await self._reader.readuntil(b"\r\n"))[:-2].decode("latin-1")


def request_framing(fields: Fields) -> str | int:
    if field(fields, "transfer-encoding"):
        return "chunked"
    return int(field(fields, "content-length") or 0)


def reply_framing(method: str, status: int, fields: Fields) -> str | int:
    if method == "HEAD" or status < 200 or status in (204, 304):
        return 0
    if field(fields, "transfer-encoding"):
        return "chunked"
    length = field(fields, "content-length")
    return "close" if length is None else int(length)


def head(first: str, fields: Fields) -> bytes:
    return "\r\n".join([first, *(f"{name}: {value}" for name, value in fields), "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def last_chunk(trailers: Fields) -> bytes:
    return head("0", trailers)
