"""What PyMongo says of its own connections: pools cleared, connections opened, heartbeats."""

import collections
import json
import sys
import threading
from typing import Any

from pymongo import monitoring


class Pools:
    """Counts events of the driver's pools and monitors."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: collections.Counter = collections.Counter()

    def count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def __getattr__(self, name: str) -> int:
        with self._lock:
            return self._counts[name]

    def listeners(self) -> list:
        return [PoolListener(self), HeartbeatListener(self)]

    def facts(self) -> dict:
        names = ("cleared", "created", "closed", "failed_heartbeats", "awaited_heartbeats")
        return {name: getattr(self, name) for name in names}


class PoolListener(monitoring.ConnectionPoolListener):
    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    def pool_cleared(self, event: Any) -> None:
        self._pools.count("cleared")

    def connection_created(self, event: Any) -> None:
        self._pools.count("created")

    def connection_closed(self, event: Any) -> None:
        self._pools.count("closed")

    def _ignore(self, event: Any) -> None:
        pass

    pool_created = pool_ready = pool_closed = connection_ready = _ignore
    connection_check_out_started = connection_check_out_failed = connection_checked_out = connection_checked_in = _ignore


class HeartbeatListener(monitoring.ServerHeartbeatListener):
    def __init__(self, pools: Pools) -> None:
        self._pools = pools

    def started(self, event: Any) -> None:
        pass

    def succeeded(self, event: Any) -> None:
        self._pools.count("awaited_heartbeats" if event.awaited else "heartbeats")

    def failed(self, event: Any) -> None:
        self._pools.count("failed_heartbeats")


def report(operations: list[dict], pools: Pools | None = None, **facts: Any) -> None:
    """Prints one line of JSON: how many commands of each kind were sent, and what else is to be known."""
    commands: collections.Counter = collections.Counter()
    for operation in operations:
        commands[operation["command"]] += operation["count"]
    json.dump({"commands": commands, "pools": pools.facts() if pools else None, **facts}, sys.stdout)
    print()
