"""Calls server.py in every way there is, and prints what came of it as one object of JSON: client.py HOST:PORT"""

import concurrent.futures
import json
import queue
import sys
import time

import grpc

SERVICE = "/shop.Carts/"
TIMEOUT = 30


def main(address: str) -> None:
    options = [("grpc.max_receive_message_length", 32 << 20), ("grpc.enable_retries", 0)]
    with grpc.insecure_channel(address, options=options) as channel:
        print(json.dumps({name: each(channel) for name, each in CASES.items()}))


def unary(channel) -> dict:
    reply, call = channel.unary_unary(SERVICE + "Get").with_call(b"hello", timeout=TIMEOUT, metadata=[("x-caller", "checkout")])
    first = dict(call.initial_metadata()).get("x-first")
    last = dict(call.trailing_metadata()).get("x-last-bin")
    return {"reply": reply.decode(), "first": first, "last": last.hex() if last else None, "code": call.code().name}


def unary_large(channel) -> dict:
    request = bytes(range(256)) * 40_000
    reply = channel.unary_unary(SERVICE + "Get")(request, timeout=TIMEOUT)
    return {"length": len(reply), "same": reply == request}


def empty(channel) -> dict:
    return {"length": len(channel.unary_unary(SERVICE + "Get")(b"", timeout=TIMEOUT))}


def failure(channel) -> dict:
    return error_of(lambda: channel.unary_unary(SERVICE + "Get")(b"fail:NOT_FOUND", timeout=TIMEOUT))


def unimplemented(channel) -> dict:
    return error_of(lambda: channel.unary_unary(SERVICE + "Nothing")(b"", timeout=TIMEOUT))


def server_stream(channel) -> dict:
    replies = list(channel.unary_stream(SERVICE + "List")(b"1000:1000:0", timeout=TIMEOUT))
    return {"count": len(replies), "ordered": all(reply.startswith(b"%d:" % index) for index, reply in enumerate(replies))}


def client_stream(channel) -> dict:
    reply = channel.stream_unary(SERVICE + "Add")((b"x" * 1000 for _ in range(1000)), timeout=TIMEOUT)
    return {"reply": reply.decode()}


def both_ways(channel) -> dict:
    """Each message only when the last has come back: a hop that gathers messages would wait for ever."""
    requests: queue.Queue = queue.Queue()
    replies = channel.stream_stream(SERVICE + "Chat")(iter(requests.get, None), timeout=TIMEOUT)
    rounds = 0
    for number in range(200):
        requests.put(b"%d" % number)
        rounds += next(replies) == b"%d" % number
    requests.put(None)
    return {"rounds": rounds, "rest": len(list(replies))}


def deadline(channel) -> dict:
    begun = time.monotonic()
    result = error_of(lambda: channel.unary_unary(SERVICE + "Get")(b"wait:20", timeout=0.5))
    return result | {"early": time.monotonic() - begun < 5}


def deadline_of_a_stream(channel) -> dict:
    return error_of(lambda: list(channel.unary_stream(SERVICE + "List")(b"1000:10:0.1", timeout=0.5)))


def cancellation(channel) -> dict:
    call = channel.unary_stream(SERVICE + "List")(b"100000:10:0.01", timeout=TIMEOUT)
    seen = [next(call) for _ in range(3)]
    call.cancel()
    return error_of(lambda: list(call)) | {"seen": len(seen)}


def cancellation_of_a_unary_call(channel) -> dict:
    call = channel.unary_unary(SERVICE + "Get").future(b"wait:20", timeout=TIMEOUT)
    time.sleep(0.2)
    return {"cancelled": call.cancel()}


def many(channel) -> dict:
    call = channel.unary_unary(SERVICE + "Get")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda number: call(b"%d" % number, timeout=TIMEOUT) == b"%d" % number, range(500)))
    return {"right": sum(replies)}


def error_of(call) -> dict:
    try:
        call()
    except grpc.RpcError as error:
        trailing = {key: value for key, value in error.trailing_metadata() or () if isinstance(value, str)}
        return {"code": error.code().name, "details": error.details(), "why": trailing.get("x-why")}
    except grpc.FutureCancelledError:
        return {"code": "CANCELLED"}
    return {"code": "OK"}


CASES = {
    each.__name__: each
    for each in (
        unary, unary_large, empty, failure, unimplemented, server_stream, client_stream, both_ways,
        deadline, deadline_of_a_stream, cancellation, cancellation_of_a_unary_call, many,
    )
}  # fmt: skip

if __name__ == "__main__":
    main(*sys.argv[1:])
