"""The demo's visitors of the web service, over HTTP/2: visitors.py HOST:PORT runs them until it is ended.

Each says in `x-caller` which page it is on; that is all it takes to see the requests by caller.
"""

import asyncio
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "drivers" / "http"))

import http2  # noqa: E402
from http1 import Ended  # noqa: E402

VISITORS = 12
CONNECTIONS = 2
# Pauses between two steps of a visitor, in seconds: enough load to watch, and a core left to watch it with.
THINK = (0.01, 0.12)

# Method, path with a place for a number, the page, and how often.
STEPS = [
    ("GET", "/products/kind-{}", "catalog", 40),
    ("GET", "/carts/user-{}", "basket", 25),
    ("POST", "/carts/user-{}", "catalog", 12),
    ("POST", "/orders", "checkout", 8),
    ("POST", "/sign-up", "welcome", 4),
    ("GET", "/old/kind-{}", "bookmark", 3),
    ("GET", "/health", "monitor", 3),
    ("GET", "/reports/best-sellers", "backoffice", 1),
    ("GET", "/nothing/{}", "crawler", 1),
]


async def main(address: str) -> None:
    while True:
        connections = [await connect(address) for _ in range(CONNECTIONS)]
        visits = [visit(connections[number % CONNECTIONS], address, random.Random(number)) for number in range(VISITORS)]
        try:
            await asyncio.gather(*visits)
        except (Ended, ConnectionError) as error:
            print(f"visitors: {error}", file=sys.stderr)
            await asyncio.sleep(1)


async def connect(address: str) -> http2.Connection:
    host, port = address.rsplit(":", 1)
    connection = http2.Connection(*await asyncio.open_connection(host, int(port)), client=True)
    await connection.open()
    connection.running = asyncio.ensure_future(connection.run())
    return connection


async def visit(connection: http2.Connection, address: str, chance: random.Random) -> None:
    while True:
        ((method, path, page, _),) = chance.choices(STEPS, [step[3] for step in STEPS])
        stream = connection.stream()
        fields = [
            (":method", method), (":scheme", "http"), (":authority", address), (":path", path.format(chance.randrange(40))),
            ("x-caller", page),
        ]  # fmt: skip
        await stream.send_headers(fields, end=method == "GET")
        if method == "POST":
            await stream.send(b'{"count": 1}', end=True)
        async for _ in stream.pieces():
            pass
        connection.forget(stream)
        await asyncio.sleep(chance.uniform(*THINK))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
