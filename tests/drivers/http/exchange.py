"""What an origin does with a request, whichever protocol it came by: chosen by the path, so that a test can ask for it.

/bytes/N        N bytes of the pattern, with their length        /stream/N    the same without a length
/echo           reads the body, answers what it was like          /mirror      sends each piece back as it comes, and the trailers
/trailers/N     N bytes without a length, and trailers behind     /status/N    that status and no body
/early/N        that status at once, the body read afterwards     /refuse/N    that status at once, and the body is never read
/reset/N        says 100,000 bytes, sends N, resets               /cut/N       the same, closed in order
/continue       says 100 before it reads a body                   /expectation 417, which refuses the body
/hints          103 before the answer                             /slow/MS     the answer only after a while
/drip/N         N single bytes, 20 ms apart                       /stuck       takes the request and never answers
"""

import asyncio
import json

from http1 import Ended, Fields, field
from pattern import PERIOD, Digest, pattern

CLAIMED = 100_000


class Exchange:
    """One request, and the way to answer it: a protocol's origin fills in the methods that raise."""

    method: str
    path: str
    fields: Fields
    trailers: Fields
    sent: Digest

    def pieces(self):
        """The body, as it comes."""
        raise NotImplementedError

    async def interim(self, status: int, fields: Fields) -> None:
        raise NotImplementedError

    async def start(self, status: int, fields: Fields, body: bool) -> None:
        """`body`: whether anything will follow."""
        raise NotImplementedError

    async def write(self, data: bytes) -> None:
        raise NotImplementedError

    async def finish(self, trailers: Fields) -> None:
        raise NotImplementedError

    async def abort(self, in_order: bool) -> None:
        """Ends it in the middle."""
        raise NotImplementedError

    async def answer(self) -> dict:
        """Does what the path asks for; what the request was like, and what was sent."""
        digest, self.sent = Digest(), Digest()
        ended = "complete"
        name, _, argument = self.path.split("?")[0].removeprefix("/").partition("/")
        try:
            await BEHAVIOURS.get(name, _bytes)(self, digest, int(argument or 0))
        except Ended as error:
            ended = str(error)
        return {
            "method": self.method,
            "path": self.path,
            "fields": self.fields,
            "body": digest.report(),
            "trailers": self.trailers,
            "ended": ended,
            "sent": self.sent.report(),
        }

    async def send(self, data: bytes) -> None:
        await self.write(data)
        self.sent.add(data)

    async def read_all(self, digest: Digest) -> None:
        async for piece in self.pieces():
            digest.add(piece)

    async def reply(self, status: int, body: bytes, fields: Fields = ()) -> None:
        await self.start(status, [*fields, ("content-length", str(len(body)))], bool(body) and self.method != "HEAD")
        if body and self.method != "HEAD":
            await self.send(body)
            await self.finish([])


async def _bytes(exchange: Exchange, digest: Digest, length: int) -> None:
    await exchange.read_all(digest)
    body = length > 0 and exchange.method != "HEAD"
    await exchange.start(200, [("content-length", str(length)), ("content-type", "application/octet-stream")], body)
    if body:
        await send_pattern(exchange, length)
        await exchange.finish([])


async def _stream(exchange: Exchange, digest: Digest, length: int, trailers: Fields = ()) -> None:
    await exchange.read_all(digest)
    await exchange.start(200, [("content-type", "application/octet-stream")], exchange.method != "HEAD")
    if exchange.method != "HEAD":
        await send_pattern(exchange, length)
        await exchange.finish(list(trailers))


async def _trailers(exchange: Exchange, digest: Digest, length: int) -> None:
    await _stream(exchange, digest, length, [("x-checksum", "abc"), ("grpc-status", "0")])


async def _echo(exchange: Exchange, digest: Digest, _: int) -> None:
    await exchange.read_all(digest)
    report = {"method": exchange.method, "path": exchange.path, "fields": exchange.fields, "trailers": exchange.trailers}
    await exchange.reply(200, json.dumps(report | digest.report()).encode(), [("content-type", "application/json")])


async def _mirror(exchange: Exchange, digest: Digest, _: int) -> None:
    await exchange.start(200, [], True)
    async for piece in exchange.pieces():
        digest.add(piece)
        await exchange.send(piece)
    await exchange.finish(exchange.trailers)


async def _status(exchange: Exchange, digest: Digest, status: int) -> None:
    await exchange.read_all(digest)
    fields = [] if status in (204, 304) else [("content-length", "0")]
    await exchange.start(status, [("etag", '"one"'), *fields], False)


async def _early(exchange: Exchange, digest: Digest, status: int) -> None:
    await exchange.reply(status, b"early\n")
    await exchange.read_all(digest)


async def _refuse(exchange: Exchange, digest: Digest, status: int) -> None:
    await exchange.reply(status, b"refused\n")


async def _reset(exchange: Exchange, digest: Digest, length: int, in_order: bool = False) -> None:
    await exchange.read_all(digest)
    await exchange.start(200, [("content-length", str(CLAIMED))], True)
    await send_pattern(exchange, length)
    await exchange.abort(in_order)


async def _cut(exchange: Exchange, digest: Digest, length: int) -> None:
    await _reset(exchange, digest, length, in_order=True)


async def _continue(exchange: Exchange, digest: Digest, _: int) -> None:
    if field(exchange.fields, "expect"):
        await exchange.interim(100, [])
    await _echo(exchange, digest, 0)


async def _expectation(exchange: Exchange, digest: Digest, _: int) -> None:
    await exchange.reply(417, b"no\n")


async def _hints(exchange: Exchange, digest: Digest, _: int) -> None:
    await exchange.interim(103, [("link", "</style.css>; rel=preload")])
    await _bytes(exchange, digest, 10)


async def _slow(exchange: Exchange, digest: Digest, milliseconds: int) -> None:
    await exchange.read_all(digest)
    await asyncio.sleep(milliseconds / 1000)
    await exchange.reply(200, b"at last\n")


async def _drip(exchange: Exchange, digest: Digest, length: int) -> None:
    await exchange.read_all(digest)
    await exchange.start(200, [("content-length", str(length))], True)
    for at in range(length):
        await asyncio.sleep(0.02)
        await exchange.send(pattern(at, 1))
    await exchange.finish([])


async def _stuck(exchange: Exchange, digest: Digest, _: int) -> None:
    await exchange.read_all(digest)
    await asyncio.Event().wait()


BEHAVIOURS = {
    "bytes": _bytes, "stream": _stream, "echo": _echo, "mirror": _mirror, "trailers": _trailers, "status": _status,
    "early": _early, "refuse": _refuse, "reset": _reset, "cut": _cut, "continue": _continue, "expectation": _expectation,
    "hints": _hints, "slow": _slow, "drip": _drip, "stuck": _stuck,
}  # fmt: skip


async def send_pattern(exchange: Exchange, length: int) -> None:
    for at in range(0, length, PERIOD):
        await exchange.send(pattern(at, min(PERIOD, length - at)))
