"""redis-py with every command counted that goes out, and what the suite's steps need of a server."""

import argparse
import collections
import contextlib
import sys
import threading
import time
import uuid
from typing import Any, Callable, Iterator

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

# Far above what any step needs, and below what a test run waits for.
PATIENCE = 60

# Commands whose first argument says which of several they are.
CONTAINERS = frozenset(
    "acl client cluster command config function latency memory module object pubsub script slowlog xgroup xinfo".split()
)


class Counts:
    """What was sent, by command, and how many connections were opened for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._commands: collections.Counter = collections.Counter()
        self._connections = 0

    def sent(self, *arguments: Any) -> None:
        # redis-py gives some names with what follows them as one argument.
        words = [*text(arguments[0]).split(), *map(text, arguments[1:2])]
        name = "_".join(words[:2]) if words[0].lower() in CONTAINERS else words[0]
        with self._lock:
            self._commands[name.lower()] += 1

    def opened(self) -> None:
        with self._lock:
            self._connections += 1

    def of(self, name: str) -> int:
        with self._lock:
            return self._commands[name]

    def report(self) -> dict:
        with self._lock:
            return {"commands": dict(sorted(self._commands.items())), "connections": self._connections}


def text(argument: Any) -> str:
    return argument.decode(errors="replace") if isinstance(argument, bytes) else str(argument)


COUNTS = Counts()


class CountingPacker:
    """Each command is packed once each time that it is sent."""

    def __init__(self, packer: Any) -> None:
        self._packer = packer

    def pack(self, *arguments: Any) -> Any:
        COUNTS.sent(*arguments)
        return self._packer.pack(*arguments)


class CountedConnection(redis.Connection):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._command_packer = CountingPacker(self._command_packer)

    def _connect(self) -> Any:
        COUNTS.opened()
        return super()._connect()


class Server:
    """Where the suite runs, and its own part of what is kept there."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        host, _, port = arguments.address.rpartition(":")
        self.resp = arguments.resp
        self.user = arguments.user
        self.password = arguments.password
        self.big_mb = arguments.big_mb
        self.prefix = f"py{uuid.uuid4().hex[:12]}:"
        self._options = {
            "host": host,
            "port": int(port),
            "protocol": arguments.resp,
            "username": arguments.user,
            "password": arguments.password,
            "socket_timeout": PATIENCE,
            "decode_responses": True,
            # The same shapes of both versions of the protocol.
            "legacy_responses": False,
            # A command that is sent again would be hidden trouble.
            "retry": Retry(NoBackoff(), 0),
        }

    def key(self, name: str) -> str:
        return self.prefix + name

    @contextlib.contextmanager
    def client(self, **options: Any) -> Iterator[redis.Redis]:
        pool = redis.ConnectionPool(connection_class=CountedConnection, **{**self._options, **options})
        with redis.Redis(connection_pool=pool) as client:
            yield client
        pool.disconnect()

    @contextlib.contextmanager
    def raw(self, **options: Any) -> Iterator["Raw"]:
        with self.client(**options) as client:
            connection = client.connection_pool.get_connection()
            yield Raw(connection)
            connection.disconnect()


class Raw:
    """One connection of the driver, with nothing between its user and the replies."""

    def __init__(self, connection: redis.Connection) -> None:
        self._connection = connection

    def __call__(self, *arguments: Any) -> Any:
        self.send(*arguments)
        return self.read()

    def send(self, *arguments: Any) -> None:
        self._connection.send_command(*arguments)

    def send_together(self, *commands: tuple) -> None:
        self._connection.send_packed_command(self._connection.pack_commands(commands))

    def read(self) -> Any:
        """The next reply, an error as a value too; a push as well when the protocol has them."""
        try:
            return self._connection.read_response(push_request=True)
        except (redis.ResponseError, redis.AuthenticationError) as error:
            # After the second the driver has closed the connection.
            return error

    def take_invalidations(self) -> None:
        """redis-py throws them away unless they are asked for."""
        self._connection._parser.set_invalidation_push_handler(lambda push: push)


def expect(what: str, found: Any, wanted: Any) -> None:
    """Ends the program with a message that names the step, when a step did not do what it should."""
    if found != wanted:
        sys.exit(f"{sys.argv[0]}: {what}: {found!r}, not {wanted!r}"[:2000])


def expect_error(what: str, begins: str, step: Callable[[], Any]) -> None:
    """The step has to fail with a reply that begins so."""
    try:
        step()
    except redis.ResponseError as error:
        expect_failed(what, begins, error)
    else:
        sys.exit(f"{sys.argv[0]}: {what}: no error, not {begins}")


def expect_failed(what: str, begins: str, reply: Any) -> None:
    if not isinstance(reply, redis.RedisError) or not said(reply).startswith(begins):
        sys.exit(f"{sys.argv[0]}: {what}: {said(reply)}, not {begins}")


def said(error: Any) -> str:
    """What the server said: redis-py takes the code apart of those that it knows."""
    code = getattr(error, "status_code", None)
    return f"{code} {error}" if code else str(error)


def eventually(what: str, probe: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not probe():
        if time.monotonic() > deadline:
            sys.exit(f"{sys.argv[0]}: never happened: {what}")
        time.sleep(0.01)


class Apart(threading.Thread):
    """A step that runs beside the others; leaving the `with` block waits for its end, and its failure is the suite's."""

    def __init__(self, step: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._step = step
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._step()
        except BaseException as failure:  # noqa: BLE001 # sys.exit() is one that only ends the thread
            self._failure = failure

    def __enter__(self) -> "Apart":
        self.start()
        return self

    def __exit__(self, kind: Any, *_) -> None:
        if kind:
            return
        self.join(PATIENCE)
        if self._failure:
            raise self._failure
        if self.is_alive():
            sys.exit(f"{sys.argv[0]}: a step that runs beside the others does not end")
