"""The table: which operations, how many, how fast."""

from stats import Operation

QUANTILES = (50, 90, 99)
HEADINGS = ("count", "per s", "p50 ms", "p90 ms", "p99 ms", "errors")
WIDTH = 9
# Rows of the screen that are not operations: three blank, three headings, a title, and the line of the cursor.
FRAME = 8

Row = tuple[Operation, float]


class Rates:
    """Remembers the last counts, to tell how many operations there are a second."""

    def __init__(self) -> None:
        self._last: dict[tuple, int] = {}
        self._at = 0.0

    def update(self, operations: list[Operation], now: float) -> list[Row]:
        seconds = now - self._at
        rows = []
        for operation in operations:
            new = operation.count - self._last.get(key(operation), 0)
            # What came before the first look came at an unknown rate.
            rows.append((operation, new / seconds if self._last else 0.0))
        self._last = {key(operation): operation.count for operation in operations}
        self._at = now
        return sorted(rows, key=lambda row: -row[0].count)


def key(operation: Operation) -> tuple:
    return operation.kind, operation.name, operation.of


def render(rows: list[Row], places: list[str], columns: int = 110, lines: int | None = None) -> str:
    """The whole page; as many rows as `lines` has room for, the busiest first."""
    sites = [row for row in rows if row[0].kind == "call site"]
    commands = [row for row in rows if row[0].kind == "command"]
    routes = [row for row in rows if row[0].kind == "route"]
    room = None if lines is None else max(3, lines - FRAME - len(places))
    if room is not None:
        commands = commands[: max(1, room // 4)]
        routes = routes[: max(1, room // 3)]
        sites = sites[: room - len(commands) - len(routes)]
    page = [*places, ""]
    page += section("route", "", routes, columns) + [""]
    page += section("collection", "call site", sites, columns) + [""]
    page += section("command", "", commands, columns)
    return "\n".join(page) + "\n"


def section(first: str, second: str, rows: list[Row], columns: int) -> list[str]:
    names = max(30, columns - WIDTH * len(HEADINGS))
    left = names * 2 // 5 if second else names
    right = names - left

    def line(one: str, two: str, cells: list[str]) -> str:
        return one[: left - 1].ljust(left) + two[: max(0, right - 1)].ljust(right) + "".join(cells)

    page = [line(first, second, [heading.rjust(WIDTH) for heading in HEADINGS])]
    for operation, rate in rows:
        one, two = (operation.of, operation.name) if second else (operation.name, "")
        page.append(line(one, two, cells(operation, rate)))
    return page


def cells(operation: Operation, rate: float) -> list[str]:
    times = [operation.quantiles.get(quantile) for quantile in QUANTILES]
    shown = ["-" if value is None else f"{value:.3f}" for value in times]
    return [cell.rjust(WIDTH) for cell in (f"{operation.count}", f"{rate:.1f}", *shown, f"{operation.errors}")]
