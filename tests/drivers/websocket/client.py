"""Talks to server.py in every way there is, and prints what came of it as one object of JSON: client.py HOST:PORT"""

import asyncio
import json
import os
import sys

import websockets
from websockets.asyncio.client import connect

CONNECTIONS = 50


async def main(address: str) -> None:
    url = f"ws://{address}"
    found = {
        "messages": await messages(url),
        "plain": await plain(url),
        "left": await left(url),
        "refused": await refused(url),
        "many": sum(await asyncio.gather(*(one_of_many(url, number) for number in range(CONNECTIONS)))),
    }
    print(json.dumps(found))


async def messages(url: str) -> dict:
    """Text, binary, in pieces, compressed, large; a ping; and a close that is answered."""
    large = os.urandom(5_000_000)
    async with connect(url + "/echo?a=b", subprotocols=["chat.v1", "chat.v2"], max_size=64 << 20) as socket:
        found = {"subprotocol": socket.subprotocol, "compressed": bool(socket.protocol.extensions)}
        await socket.send("ä€😀")
        found["text"] = await socket.recv() == "ä€😀"
        await socket.send(large)
        found["binary"] = await socket.recv() == large
        await socket.send(part for part in ["one ", "two ", "three"])
        found["pieces"] = await socket.recv() == "one two three"
        await (await socket.ping(b"there?"))
        found["ping"] = True
        for number in range(500):
            await socket.send(f"{number}")
        found["many"] = all([await socket.recv() == f"{number}" for number in range(500)])
    return found | {"code": socket.close_code}


async def plain(url: str) -> bool:
    async with connect(url + "/echo", compression=None) as socket:
        await socket.send(b"\x00\xff" * 100)
        return await socket.recv() == b"\x00\xff" * 100


async def left(url: str) -> dict:
    """The server closes."""
    async with connect(url + "/leave") as socket:
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            return {"code": closed.rcvd.code, "reason": closed.rcvd.reason}
    return {}


async def refused(url: str) -> int:
    try:
        async with connect(url + "/refused"):
            return 101
    except websockets.InvalidStatus as error:
        return error.response.status_code


async def one_of_many(url: str, number: int) -> bool:
    async with connect(f"{url}/many/{number}") as socket:
        await socket.send(f"{number}")
        return await socket.recv() == f"{number}"


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
