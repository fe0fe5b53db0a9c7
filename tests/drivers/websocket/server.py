"""A WebSocket server that sends each message back, and the page that makes a browser talk to it.

Prints `{"port": N}` once it listens, then a line of JSON for each connection that has ended, and for what the page found. server.py
"""

import asyncio
import http
import json
import logging
import pathlib
import urllib.parse

import websockets
from websockets.asyncio.server import serve

PAGE = pathlib.Path(__file__).with_name("page.html")


async def answer(socket) -> None:
    messages = 0
    try:
        if socket.request.path == "/leave":
            await socket.close(4001, "on purpose")
        async for message in socket:
            messages += 1
            await socket.send(message)
    except websockets.ConnectionClosedError:
        pass
    tell({"path": socket.request.path, "messages": messages, "code": socket.close_code, "fields": list(socket.request.headers.raw_items())})


def plain(socket, request):
    """Whatever does not ask for a WebSocket: the page, and what it found."""
    path = urllib.parse.urlsplit(request.path)
    if path.path == "/page":
        response = socket.respond(http.HTTPStatus.OK, PAGE.read_text())
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "text/html; charset=utf-8"
        return response
    if path.path == "/found":
        tell({"found": json.loads(urllib.parse.unquote(path.query))})
        return socket.respond(http.HTTPStatus.OK, "thanks\n")
    if path.path == "/refused":
        return socket.respond(http.HTTPStatus.FORBIDDEN, "not here\n")
    return None


def choose(_, offered):
    return "chat.v1" if "chat.v1" in offered else None


def tell(what: dict) -> None:
    print(json.dumps(what), flush=True)


async def main() -> None:
    # A connection that never asked for anything, as a browser opens them in advance, is nothing to tell of.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    settings = {"max_size": 64 << 20, "select_subprotocol": choose, "process_request": plain}
    async with serve(answer, "127.0.0.1", 0, **settings) as server:
        tell({"port": server.sockets[0].getsockname()[1]})
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
