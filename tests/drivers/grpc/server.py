"""A gRPC server with one method of each kind, on raw bytes: what it is to do, the request says.

Prints `{"port": N}` once it listens, and then a line of JSON for each call that has ended. server.py
"""

import concurrent.futures
import json
import threading
import time

import grpc

SERVICE = "shop.Carts"


class Carts(grpc.GenericRpcHandler):
    """`Get` answers its request, `List` a number of messages, `Add` what it was sent in all, `Chat` each message as it comes."""

    def service(self, details: grpc.HandlerCallDetails):
        kinds = {
            "Get": (grpc.unary_unary_rpc_method_handler, get),
            "List": (grpc.unary_stream_rpc_method_handler, list_all),
            "Add": (grpc.stream_unary_rpc_method_handler, add),
            "Chat": (grpc.stream_stream_rpc_method_handler, chat),
        }
        service, method = details.method.removeprefix("/").split("/")
        if service != SERVICE or method not in kinds:
            return None
        kind, answer = kinds[method]
        return kind(told(method, answer))


def told(method: str, answer):
    """The same, and a line about each call when it is over."""

    def wrapped(request, context):
        begun = time.monotonic()
        remaining = context.time_remaining()
        over = threading.Event()

        def report() -> None:
            over.set()
            code = context.code()
            tell({
                "method": method,
                # A client that has left, or a deadline that has passed, is a call that was not answered.
                "answered": context.finished,
                "code": code.name if code else None,
                "deadline": None if remaining is None or remaining > 10_000 else round(remaining, 3),
                "seconds": round(time.monotonic() - begun, 3),
                "metadata": {key: value for key, value in context.invocation_metadata() if isinstance(value, str)},
            })  # fmt: skip

        context.finished = False
        context.over = over
        context.add_callback(report)
        return answer(request, context)

    return wrapped


def get(request: bytes, context) -> bytes:
    word, _, rest = request.partition(b":")
    if word == b"fail":
        context.set_trailing_metadata((("x-why", "it was asked for"),))
        context.finished = True
        context.abort(grpc.StatusCode[rest.decode()], "as you wish: ä")
    if word == b"wait":
        context.over.wait(float(rest))
    context.finished = not context.over.is_set()
    context.send_initial_metadata((("x-first", "1"),))
    context.set_trailing_metadata((("x-last-bin", b"\x00\xff"),))
    return request


def list_all(request: bytes, context):
    number, size, pause = request.split(b":")
    for index in range(int(number)):
        yield b"%d:" % index + b"x" * int(size)
        if float(pause) and context.over.wait(float(pause)):
            return
    context.finished = not context.over.is_set()


def add(requests, context) -> bytes:
    count = length = 0
    try:
        for request in requests:
            count += 1
            length += len(request)
    except grpc.RpcError:
        return b""
    context.finished = True
    return b"%d:%d" % (count, length)


def chat(requests, context):
    try:
        yield from requests
    except grpc.RpcError:
        return
    context.finished = True


def tell(what: dict) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    pool = concurrent.futures.ThreadPoolExecutor(64)
    # Two servers on one port would share its connections, and one of them would be another test's.
    options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 32 << 20), ("grpc.max_concurrent_streams", 200)]
    server = grpc.server(pool, [Carts()], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    tell({"port": port})
    server.wait_for_termination()


if __name__ == "__main__":
    main()
