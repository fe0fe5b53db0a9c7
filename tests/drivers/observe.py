"""Runs a driver program against HOST:PORT and prints, as one JSON object, every command that PyMongo says it sent.

PyMongo's own command monitoring is the truth that a proxy's counts are compared with. It reports no handshakes
(`hello`): those are named under "uncounted".
"""

import collections
import json
import os
import sys
import threading
from typing import Any, Callable

import pymongo
from bson import json_util
from pymongo import monitoring

# Far above what any step needs, and below what a test run waits for.
TIMEOUT_MS = 30_000


class Recorder(monitoring.CommandListener):
    """Counts commands by (command, collection, comment); a collection is written with its database, `shop.carts`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[tuple, tuple] = {}
        self._operations: dict[tuple, collections.Counter] = {}

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        key = (event.command_name, collection_of(event), comment_of(event))
        with self._lock:
            self._pending[(event.connection_id, event.request_id)] = key
            counts = self._operations.setdefault(key, collections.Counter())
            counts["count"] += 1
            counts["unacknowledged"] += event.command.get("writeConcern", {}).get("w") == 0

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        cursor = event.reply.get("cursor", {})
        with self._lock:
            counts = self._finish(event)
            counts["returned"] += len(cursor.get("firstBatch", cursor.get("nextBatch", [])))
            counts["n"] += event.reply.get("n", 0)
            # A write that failed is told inside of a reply that is ok; of several, the first speaks for the reply.
            for error in event.reply.get("writeErrors", [])[:1]:
                counts[("code", error["code"])] += 1

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        with self._lock:
            counts = self._finish(event)
            counts["failed"] += 1
            counts[("code", event.failure.get("code"))] += 1

    def _finish(self, event: Any) -> collections.Counter:
        return self._operations[self._pending.pop((event.connection_id, event.request_id))]

    def operations(self) -> list[dict]:
        with self._lock:
            return [describe(key, counts) for key, counts in self._operations.items()]


def collection_of(event: monitoring.CommandStartedEvent) -> str | None:
    name = event.command.get("collection") if event.command_name == "getMore" else event.command.get(event.command_name)
    return f"{event.database_name}.{name}" if isinstance(name, str) else None


def comment_of(event: monitoring.CommandStartedEvent) -> str:
    return json_util.dumps(event.command.get("comment"))


def describe(key: tuple, counts: collections.Counter) -> dict:
    command, collection, comment = key
    comment = json.loads(comment)
    return {
        "command": command,
        "collection": collection,
        "comment": comment,
        "callsite": call_site(comment),
        **{name: counts[name] for name in ("count", "failed", "unacknowledged", "returned", "n")},
        "errors": {str(name[1]): count for name, count in counts.items() if isinstance(name, tuple)},
    }


def call_site(comment: Any) -> str | None:
    """What Narrows should label an operation with that carries this comment."""
    if isinstance(comment, str) and not comment.startswith("{"):
        return comment
    fields = json.loads(comment) if isinstance(comment, str) else comment
    if not isinstance(fields, dict):
        return None
    return fields.get("callingFunction", fields.get("text"))


def run(program: Callable[..., dict | None], **options: Any) -> None:
    """Calls program(client, *arguments) for HOST:PORT, the first argument of the command line, and prints its report."""
    address, *rest = sys.argv[1:]
    recorder = Recorder()
    with connect(address, recorder, **options) as client:
        facts = program(client, *rest) or {}
    # Closing ends the sessions, which is a command too: so the counts are taken after it.
    operations = recorder.operations()
    errors = collections.Counter()
    for operation in operations:
        errors.update(operation["errors"])
    report = {
        "commands": sum(operation["count"] for operation in operations),
        "unacknowledged": sum(operation["unacknowledged"] for operation in operations),
        "errors": errors,
        "operations": operations,
        "uncounted": ["hello"],
        **facts,
    }
    json.dump(report, sys.stdout, indent=1)
    print()


def connect(address: str, recorder: Recorder, **options: Any) -> pymongo.MongoClient:
    """An option that is None is left to the driver."""
    settings = {
        "directConnection": True,
        "appname": "narrows-drivers",
        "serverSelectionTimeoutMS": TIMEOUT_MS,
        "socketTimeoutMS": TIMEOUT_MS,
        **tls_options(),
        **options,
        "event_listeners": [recorder, *options.get("event_listeners", ())],
    }
    return pymongo.MongoClient(f"mongodb://{address}/", **{name: value for name, value in settings.items() if value is not None})


def tls_options() -> dict:
    """TLS is for whoever runs the program to say: TLS_CA_FILE verifies the server, TLS_KEY_FILE is what it is shown."""
    files = {"tlsCAFile": os.environ.get("TLS_CA_FILE"), "tlsCertificateKeyFile": os.environ.get("TLS_KEY_FILE")}
    given = {name: file for name, file in files.items() if file}
    return {"tls": True, **given} if given else {}


def expect(what: str, found: Any, wanted: Any) -> None:
    """Ends the program with a message that names the step, when a step did not do what it should."""
    if found != wanted:
        sys.exit(f"{sys.argv[0]}: {what}: {found!r}, not {wanted!r}")


def expect_error(what: str, code: int, step: Callable[[], Any]) -> None:
    try:
        step()
    except pymongo.errors.OperationFailure as error:
        details = error.details or {}
        codes = [error.code, *(each.get("code") for each in details.get("writeErrors", []))]
        if code not in codes:
            sys.exit(f"{sys.argv[0]}: {what}: error {codes}, not {code}: {error}")
    else:
        sys.exit(f"{sys.argv[0]}: {what}: no error, not error {code}")
