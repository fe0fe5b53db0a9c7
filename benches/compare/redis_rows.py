"""GETs of Redis, one at a time and in pipelines, next to HAProxy's tcp mode, Envoy and twemproxy, and without a proxy."""

import functools
import socket
import sys

import measure
import peers
from processes import Processes, free_port
from rows import Bar, Costs, Row, expect_counted

# What has to hold. The goals are tighter: 0.9 of twemproxy for one at a time, 0.8 for pipelines.
TWEMPROXY_BAR = 1.0
TWEMPROXY_DEEP_BAR = 0.9
TAP_BAR = 1.3
ENVOY_TIMES_BAR = 2.0

KEYS = 1000
VALUE = "0123456789abcdef" * 4
DEPTH = 16

COUNTER = "redis.redis.command.get.total"

GET = "Redis GET"
DEEP = f"Redis GET, {DEPTH} deep"


class Redis:
    def __init__(self, processes: Processes, tools: peers.Tools) -> None:
        self._processes, self._tools = processes, tools
        server = start_redis(processes, tools)
        self._servers = peers.Servers(redis=server.redis)
        fill(server)
        haproxy = self._start(peers.start_haproxy)
        envoy = self._start(peers.start_envoy)
        twemproxy = self._start(start_twemproxy)
        self._ours = tuple(self._start(peers.start_narrows, f"narrows-{mode}", mode=mode) for mode in ("tap", "collapse"))
        proxies = (server, haproxy, envoy, twemproxy, *self._ours)
        one, deep = (functools.partial(get, server, depth=depth) for depth in (1, DEPTH))
        self.rows = [Row(GET, one, proxies), Row(DEEP, deep, proxies)]

    def check(self, costs: Costs) -> None:
        for proxy in self._ours:
            expect_counted(proxy, sum(costs.requests(row, proxy.name) for row in (GET, DEEP)), COUNTER)

    def bars(self, costs: Costs) -> list[Bar]:
        ours = "narrows-collapse"
        times = costs.ratio(DEEP, ours, "envoy", "per_second")
        return [
            Bar(f"{GET}, collapse, CPU to twemproxy", costs.ratio(GET, ours, "twemproxy"), TWEMPROXY_BAR),
            Bar(f"{DEEP}, collapse, CPU to twemproxy", costs.ratio(DEEP, ours, "twemproxy"), TWEMPROXY_DEEP_BAR),
            Bar(f"{DEEP}, tap, CPU to HAProxy's tcp mode", costs.ratio(DEEP, "narrows-tap", "haproxy"), TAP_BAR),
            Bar(f"{DEEP}, collapse, requests a second to Envoy", times, ENVOY_TIMES_BAR, least=True),
        ]

    def idle_bars(self) -> list[Bar]:
        return []

    def _start(self, start, *name: str, **options) -> peers.Proxy:
        return start(self._processes, self._tools, self._servers, *name, **options)


def get(server: peers.Proxy, tools: peers.Tools, proxy: peers.Proxy, seconds: int, depth: int) -> measure.Cost:
    """What was measured are found values: the server says how many it found, and that none was missing."""
    before = keyspace(server)
    cost = measure.redis_get(tools, proxy, seconds, depth, KEYS)
    found, missed = (after - each for after, each in zip(keyspace(server), before))
    asked = cost.requests + measure.REDIS_WARM_UP
    if found < asked or missed:
        sys.exit(f"{proxy.name}: the server found {found} values of {asked}, and missed {missed}")
    return cost


def start_redis(processes: Processes, tools: peers.Tools) -> peers.Proxy:
    name, port = "redis-server", free_port()
    options = ("--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", processes.folder)
    process = processes.start(name, getattr(tools, name), *options)
    return peers.ready(processes, peers.Proxy(name, process.pid, redis=port))


def start_twemproxy(processes: Processes, tools: peers.Tools, servers: peers.Servers, name: str = "twemproxy") -> peers.Proxy:
    port = free_port()
    config = processes.folder / f"{name}.yaml"
    config.write_text(f"""\
redis:
  listen: 127.0.0.1:{port}
  hash: fnv1a_64
  distribution: ketama
  redis: true
  servers:
    - 127.0.0.1:{servers.redis}:1
""")
    stats = ("--stats-addr", "127.0.0.1", "--stats-port", free_port())
    files = ("--conf-file", config, "--output", processes.log(name), "--pid-file", processes.folder / f"{name}.pid")
    process = processes.start(name, tools.nutcracker, *files, *stats)
    return peers.ready(processes, peers.Proxy(name, process.pid, redis=port))


def fill(server: peers.Proxy) -> None:
    """The keys that redis-benchmark asks for."""
    for number in range(KEYS):
        if (said := ask(server, "SET", f"key:{number:012}", VALUE)) != "+OK":
            sys.exit(f"SET: {said}")


def keyspace(server: peers.Proxy) -> tuple[int, int]:
    fields = dict(line.split(":", 1) for line in ask(server, "INFO", "stats").splitlines() if ":" in line)
    return int(fields["keyspace_hits"]), int(fields["keyspace_misses"])


def ask(server: peers.Proxy, *words: str) -> str:
    """One command on a connection of its own, and its reply: a line, or what follows the length of a string."""
    request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with socket.create_connection(("127.0.0.1", server.redis), 10) as stream, stream.makefile("rb") as reply:
        stream.sendall(request.encode())
        line = reply.readline().decode().rstrip()
        return reply.read(int(line[1:])).decode() if line.startswith("$") else line
