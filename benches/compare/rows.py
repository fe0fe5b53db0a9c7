"""What each kind of measurement has: rows, each of several proxies that do the same work, and bars that have to hold."""

import dataclasses
import statistics
import sys
import urllib.request
from typing import Callable

from measure import Cost
from peers import Proxy, Tools


@dataclasses.dataclass
class Row:
    name: str
    cost_of: Callable[[Tools, Proxy, int], Cost]
    proxies: tuple[Proxy, ...]


@dataclasses.dataclass
class Bar:
    text: str
    seen: float
    limit: float
    unit: str = ""
    least: bool = False  # what is seen has to be as much, and not as little

    def holds(self) -> bool:
        return self.seen >= self.limit if self.least else self.seen <= self.limit

    def __str__(self) -> str:
        digits = (0, 0) if self.unit else (3, 2)
        seen, limit = (f"{value:.{count}f}{self.unit}" for value, count in zip((self.seen, self.limit), digits))
        side, verdict = "least" if self.least else "most", "holds" if self.holds() else "**missed**"
        return f"| {self.text} | {seen} | at {side} {limit} | {verdict} |"


class Costs:
    """Of every round, by row and proxy."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[str, str], list[Cost]] = {}

    def add(self, row: str, proxy: str, cost: Cost) -> None:
        self._rounds.setdefault((row, proxy), []).append(cost)

    def median(self, row: str, proxy: str, field: str = "cpu_us") -> float:
        return statistics.median(getattr(cost, field) for cost in self._rounds[row, proxy])

    def ratio(self, row: str, ours: str, other: str, field: str = "cpu_us") -> float:
        return self.median(row, ours, field) / self.median(row, other, field)

    def requests(self, row: str, proxy: str) -> int:
        return sum(cost.requests for cost in self._rounds[row, proxy])

    def __str__(self) -> str:
        lines = ["| work | proxy | CPU us / request | requests / s | p50 ms | p99 ms |", "|---|---|---:|---:|---:|---:|"]
        for row, proxy in self._rounds:
            cpu, per_second, p50, p99 = (self.median(row, proxy, name) for name in ("cpu_us", "per_second", "p50_ms", "p99_ms"))
            lines.append(f"| {row} | {proxy} | {cpu:.2f} | {per_second:.0f} | {p50:.3f} | {p99:.3f} |")
        return "\n".join(lines)


def expect_counted(proxy: Proxy, requests: int, name: str) -> None:
    """A proxy that has gone blind is a cheap one: the figures are worth something only when every request was counted."""
    if (counted := count_of(proxy, name)) < requests:
        sys.exit(f"{proxy.name} counted {counted} of at least {requests} requests as {name}")


def count_of(proxy: Proxy, name: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{proxy.admin}/stats?filter={name}", timeout=5) as answer:
        lines = dict(line.rsplit(": ", 1) for line in answer.read().decode().splitlines() if ": " in line)
    return int(lines.get(name, 0))
