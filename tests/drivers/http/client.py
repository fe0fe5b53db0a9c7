"""A client that does what it is told: a line of JSON in, a line of JSON out.

{"version": "http1"|"http2", "address": "HOST:PORT", "method": .., "path": .., "fields": [[name, value], ..],
 "body": N bytes of the pattern, or "data": these very bytes (Latin-1), "length": whether their number is said, "trailers": [[name, value], ..],
 "expect": wait for 100, "cut": reset after so many bytes, when the reply has begun, "over": name of a connection to keep,
 "authority": .., "pause": seconds before each piece after the first}

The answer has the interim replies, status, fields, framing (HTTP/1), length and SHA-256 of the body and the body itself when it is
a short text, trailers, how it ended, and what was sent.
"""

import asyncio
import json
import socket
import struct
import sys

import http1
import http2
from h2.errors import ErrorCodes
from http1 import Ended
from pattern import PERIOD, Digest, pattern

PATIENCE = 60
SHORT = 4096


class Answer(dict):
    def __init__(self) -> None:
        super().__init__(interims=[], status=0, fields=[], trailers=[], framing=None, ended="complete")
        self.digest, self.sent = Digest(), Digest()
        self.text = b""

    def add(self, data: bytes) -> None:
        self.digest.add(data)
        self.text += data[: SHORT - len(self.text)]

    def told(self) -> dict:
        text = self.text.decode("latin-1") if self.digest.length < SHORT else None
        return self | {"body": self.digest.report(), "text": text, "sent": self.sent.report()}


class Http1Connection:
    async def open(self, address: str) -> "Http1Connection":
        host, port = address.rsplit(":", 1)
        self.reader, self.writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
        return self

    async def ask(self, order: dict, answer: Answer) -> None:
        body = length_of(order)
        fields = [("host", order.get("authority", order["address"])), *map(tuple, order.get("fields", []))]
        chunked = body is not None and not order.get("length", True)
        if chunked:
            fields.append(("transfer-encoding", "chunked"))
        elif body is not None:
            fields.append(("content-length", str(body)))
        if order.get("expect"):
            fields.append(("expect", "100-continue"))
        self.writer.write(http1.head(f"{order['method']} {order['path']} HTTP/1.1", fields))
        self.may_send, self.head_came = asyncio.Event(), asyncio.Event()
        if not order.get("expect"):
            self.may_send.set()
        sending = asyncio.ensure_future(self._send(order, chunked, answer.sent))
        try:
            await self._receive(order["method"], answer)
        finally:
            # A reply that came early ends the sending; what was not sent is why the connection can't be used again.
            if not sending.done():
                await asyncio.wait([sending], timeout=order.get("linger", 5))
            answer["sent_all"] = sending.done() and not sending.cancelled() and sending.exception() is None
            sending.cancel()

    async def _send(self, order: dict, chunked: bool, sent: Digest) -> None:
        await self.may_send.wait()
        if length_of(order) is None:
            return
        async for piece in pieces(order):
            self.writer.write(http1.chunk(piece) if chunked else piece)
            await self.writer.drain()
            sent.add(piece)
        if "cut" in order:
            await self.head_came.wait()
            # A linger of nothing makes the kernel send a reset in place of an end.
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
            return
        if chunked:
            self.writer.write(http1.last_chunk([tuple(field) for field in order.get("trailers", [])]))
            await self.writer.drain()

    async def _receive(self, method: str, answer: Answer) -> None:
        while True:
            head = await http1.read_head(self.reader)
            if head is None:
                raise Ended("closed without a reply")
            first, fields = head
            status = int(first.split(" ")[1])
            if status >= 200 or status == 101:
                break
            answer["interims"].append([status, fields])
            self.may_send.set()
        answer |= {"status": status, "fields": fields}
        self.head_came.set()
        body = http1.Body(self.reader, http1.reply_framing(method, status, fields))
        answer["framing"] = body.framing if isinstance(body.framing, str) else "length"
        async for piece in body:
            answer.add(piece)
        answer["trailers"] = body.trailers

    async def close(self) -> None:
        self.writer.close()


class Http2Connection:
    async def open(self, address: str) -> "Http2Connection":
        host, port = address.rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        self.connection = http2.Connection(reader, writer, client=True)
        await self.connection.open()
        self.running = asyncio.ensure_future(self.connection.run())
        return self

    async def ask(self, order: dict, answer: Answer) -> None:
        stream = self.connection.stream()
        body, trailers = length_of(order), [tuple(field) for field in order.get("trailers", [])]
        fields = [
            (":method", order["method"]), (":scheme", "http"), (":authority", order.get("authority", order["address"])),
            (":path", order["path"]), *map(tuple, order.get("fields", [])),
        ]  # fmt: skip
        if body is not None and order.get("length", True):
            fields.append(("content-length", str(body)))
        if order.get("expect"):
            fields.append(("expect", "100-continue"))
        await stream.send_headers(fields, end=body is None and not trailers)
        sending = asyncio.ensure_future(self._send(stream, order, trailers, answer.sent))
        try:
            await stream.headers_came.wait()
            if stream.fields:
                answer |= {"status": int(stream.fields[0][1]), "fields": stream.fields[1:]}
            async for piece in stream.pieces():
                answer.add(piece)
        finally:
            if not sending.done():
                await asyncio.wait([sending], timeout=order.get("linger", 5))
            answer["sent_all"] = sending.done() and not sending.cancelled() and sending.exception() is None
            sending.cancel()
            answer |= {"interims": stream.interims, "trailers": stream.trailers, "goaway": self.connection.goaway}

    async def _send(self, stream: http2.Stream, order: dict, trailers, sent: Digest) -> None:
        if order.get("expect"):
            while not stream.interims and not stream.headers_came.is_set():
                await asyncio.sleep(0.005)
            if not stream.interims:
                return
        if length_of(order) is not None:
            last = not trailers and "cut" not in order
            async for piece in pieces(order):
                await stream.send(piece)
                sent.add(piece)
            if "cut" in order:
                await stream.headers_came.wait()
                await stream.reset(ErrorCodes.CANCEL)
                stream.come(None, Ended("reset here"))
                return
            if last:
                await stream.send(b"", end=True)
        if trailers:
            await stream.send_headers(trailers, end=True)

    async def close(self) -> None:
        self.running.cancel()
        self.connection._writer.close()


def length_of(order: dict) -> int | None:
    return len(order["data"]) if "data" in order else order.get("body")


async def pieces(order: dict):
    if "data" in order:
        yield order["data"].encode("latin-1")
        return
    length = order.get("cut", order["body"])
    size = order.get("piece", PERIOD)
    for at in range(0, length, size):
        if at and order.get("pause"):
            await asyncio.sleep(order["pause"])
        yield pattern(at, min(size, length - at))


async def carry_out(order: dict, kept: dict) -> dict:
    answer = Answer()
    kind = {"http1": Http1Connection, "http2": Http2Connection}[order["version"]]
    name = order.get("over")
    connection = kept.get(name)
    try:
        if connection is None:
            connection = await kind().open(order["address"])
        if name:
            kept[name] = connection
        await asyncio.wait_for(connection.ask(order, answer), PATIENCE)
    except Ended as error:
        answer["ended"] = str(error)
    except asyncio.TimeoutError:
        answer["ended"] = "timed out"
    except ConnectionError as error:
        answer["ended"] = f"connection: {error}"
    if connection and (not name or answer["ended"] != "complete"):
        kept.pop(name, None)
        await connection.close()
    return answer.told()


async def main() -> None:
    kept: dict = {}
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        # Several at once go over one connection side by side, as HTTP/2 can.
        if isinstance(order, list):
            first, rest = order[0], order[1:]
            told = [asyncio.ensure_future(carry_out(first, kept))]
            while rest and first.get("over") and first["over"] not in kept and not told[0].done():
                await asyncio.sleep(0.001)
            told += [asyncio.ensure_future(carry_out(each, kept)) for each in rest]
            result = await asyncio.gather(*told)
        else:
            result = await carry_out(order, kept)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
