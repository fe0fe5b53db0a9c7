"""Reads operations from the admin page: one `Operation` for every call site of a collection, every command and every route."""

import dataclasses
import json
import re
import time
import urllib.error
import urllib.request

TIMEOUT = 5.0

# The listeners are called `mongo` and `web`. Collections and call sites hold dots themselves.
CALL_SITE = re.compile(r"mongo\.mongo\.collection\.(?P<of>.+)\.callsite\.(?P<name>.+)\.query\.(?P<stat>\w+)")
COMMAND = re.compile(r"mongo\.mongo\.cmd\.(?P<name>.+)\.(?P<stat>\w+)")
ROUTE = re.compile(r"http\.web\.route\.(?P<name>.+)\.(?P<stat>\w+)")

TIMES = ("reply_time_ms", "downstream_rq_time_ms")
TOTALS = ("total", "downstream_rq_total")
# Of a route they are what the client did wrong, and the server.
ERRORS = ("error", "downstream_rq_4xx", "downstream_rq_5xx")


@dataclasses.dataclass
class Operation:
    kind: str  # "command", "call site" or "route"
    name: str
    of: str = ""  # the collection, for a call site
    count: int = 0
    errors: int = 0
    quantiles: dict[float, float] = dataclasses.field(default_factory=dict)  # milliseconds since the start


def wait_until_ready(admin: int, processes) -> None:
    while True:
        processes.check()
        try:
            get(admin, "/ready")
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)


def read(admin: int) -> list[Operation]:
    operations: dict[tuple, Operation] = {}
    # The pattern keeps the other few hundred stats out of the answer.
    for entry in json.loads(get(admin, r"/stats?format=json&filter=%5E(mongo%5C.mongo%5C.(cmd|collection)|http%5C.web%5C.route)%5C."))["stats"]:
        if "histograms" in entry:
            histograms = entry["histograms"]
            for histogram in histograms["computed_quantiles"]:
                operation, stat = find(operations, histogram["name"])
                if stat in TIMES:
                    values = [value["cumulative"] for value in histogram["values"]]
                    operation.quantiles = dict(zip(histograms["supported_quantiles"], values))
        else:
            operation, stat = find(operations, entry["name"])
            if stat in TOTALS:
                operation.count = entry["value"]
            elif stat in ERRORS:
                operation.errors += entry["value"]
    return [operation for operation in operations.values() if operation.count]


def find(operations: dict[tuple, Operation], name: str) -> tuple[Operation | None, str]:
    if match := CALL_SITE.fullmatch(name):
        key = ("call site", match["name"], match["of"])
    elif match := COMMAND.fullmatch(name):
        key = ("command", match["name"], "")
    elif match := ROUTE.fullmatch(name):
        key = ("route", match["name"], "")
    else:
        return None, ""
    return operations.setdefault(key, Operation(*key)), match["stat"]


def get(admin: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}{path}", timeout=TIMEOUT) as answer:
        return answer.read().decode()
