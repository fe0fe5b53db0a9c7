"""How it is measured: CPU time of the proxy's process per request, and its memory per idle connection."""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

from peers import BODY, Proxy, Tools

CONNECTIONS = 64
HTTP2_CONNECTIONS = 16
HTTP2_STREAMS = 32
REDIS_WARM_UP = 50_000  # requests, which tell how many fill the time
IDLE_CONNECTIONS = 5000
# An idle connection is two sockets at the proxy; the rest is its listeners, logs and the like.
DESCRIPTORS = 2 * IDLE_CONNECTIONS + 500

# Memory counts as settled when it has not changed for this long.
SETTLED = 1.0


@dataclasses.dataclass
class Cost:
    requests: int
    cpu_us: float  # of the proxy, a request
    per_second: float
    p50_ms: float
    p99_ms: float


def mongo_find(tools: Tools, proxy: Proxy, seconds: int) -> Cost:
    """Finds with a comment, answered by the canned server; the load tool takes the CPU time itself."""
    result = json.loads(run(
        tools.load, "load", f"127.0.0.1:{proxy.mongo}", "--connections", CONNECTIONS,
        "--seconds", seconds, "--pid", proxy.pid,
    ))  # fmt: skip
    return Cost(
        result["operations"],
        result["cpu_us_per_operation"],
        result["operations_per_second"],
        result["p50_us"] / 1000,
        result["p99_us"] / 1000,
    )


def http_get(tools: Tools, proxy: Proxy, seconds: int) -> Cost:
    """GETs of 64 bytes on kept-alive connections."""
    wrk(tools, proxy, 1)
    before = cpu_seconds(proxy.pid)
    output = wrk(tools, proxy, seconds)
    used = cpu_seconds(proxy.pid) - before
    requests = int(find(output, r"(\d+) requests in"))
    return Cost(
        requests,
        used * 1e6 / requests,
        float(find(output, r"Requests/sec:\s+([\d.]+)")),
        milliseconds(find(output, r"(?m)^\s+50%\s+(\S+)")),
        milliseconds(find(output, r"(?m)^\s+99%\s+(\S+)")),
    )


def http2_get(tools: Tools, proxy: Proxy, seconds: int) -> Cost:
    """The same in HTTP/2 without TLS, many streams on few connections; h2load tells no percentiles."""
    h2load(tools, proxy, 1)
    before = cpu_seconds(proxy.pid)
    output = h2load(tools, proxy, seconds)
    used = cpu_seconds(proxy.pid) - before
    requests = int(find(output, r"(\d+) succeeded"))
    return Cost(requests, used * 1e6 / requests, requests / seconds, math.nan, math.nan)


def redis_get(tools: Tools, proxy: Proxy, seconds: int, depth: int, keys: int) -> Cost:
    """GETs of keys at random, so many under way on each connection. redis-benchmark takes a number of them, not a time."""
    rate, _, _ = redis_benchmark(tools, proxy, REDIS_WARM_UP, depth, keys)
    requests = round(rate * seconds)
    before = cpu_seconds(proxy.pid)
    per_second, p50_ms, p99_ms = redis_benchmark(tools, proxy, requests, depth, keys)
    return Cost(requests, (cpu_seconds(proxy.pid) - before) * 1e6 / requests, per_second, p50_ms, p99_ms)


def redis_benchmark(tools: Tools, proxy: Proxy, requests: int, depth: int, keys: int) -> tuple[float, float, float]:
    load = ("-p", proxy.redis, "-c", CONNECTIONS, "-n", requests, "-P", depth, "-t", "get", "-r", keys, "--csv")
    output = run(getattr(tools, "redis-benchmark"), *load)
    # "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
    fields = find(output, r'(?m)^"GET",(.*)').replace('"', "").split(",")
    return float(fields[0]), float(fields[3]), float(fields[5])


def h2load(tools: Tools, proxy: Proxy, seconds: int) -> str:
    url = f"http://127.0.0.1:{proxy.http}/"
    load = ("--clients", HTTP2_CONNECTIONS, "--max-concurrent-streams", HTTP2_STREAMS, "--threads", 1)
    output = run(tools.h2load, *load, "--duration", seconds, url)
    if not re.search(r"\b0 failed, 0 errored, 0 timeout", output):
        sys.exit(f"h2load through {proxy.name}: {output}")
    return output


def wrk(tools: Tools, proxy: Proxy, seconds: int) -> str:
    url = f"http://127.0.0.1:{proxy.http}/"
    output = run(tools.wrk, "--threads", 1, "--connections", CONNECTIONS, "--duration", f"{seconds}s", "--latency", url)
    if "Socket errors" in output or "Non-2xx" in output:
        sys.exit(f"wrk through {proxy.name}: {output}")
    return output


def idle_connection_bytes(tools: Tools, proxy: Proxy) -> float:
    """Resident memory that one more idle MongoDB connection takes, after its hello."""
    return bytes_each(proxy, lambda connections: idle(tools, proxy, connections))


def idle_http_bytes(proxy: Proxy) -> float:
    """The same of an HTTP/1 connection, after a request."""
    return bytes_each(proxy, lambda connections: idle_http(proxy, connections))


def bytes_each(proxy: Proxy, holding) -> float:
    with holding(1):
        pass
    before = settled_resident_bytes(proxy.pid)
    with holding(IDLE_CONNECTIONS):
        return (settled_resident_bytes(proxy.pid) - before) / IDLE_CONNECTIONS


@contextlib.contextmanager
def idle_http(proxy: Proxy, connections: int):
    """Holds open that many connections, a request answered on each."""
    with contextlib.ExitStack() as held:
        for _ in range(connections):
            stream = held.enter_context(socket.create_connection(("127.0.0.1", proxy.http), 10))
            stream.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            said = b""
            while not said.endswith(BODY.encode()):
                if not (part := stream.recv(4096)):
                    sys.exit(f"{proxy.name} closed an idle connection")
                said += part
        yield


class idle:  # noqa: N801 # reads as a `with` statement
    """Holds open that many connections, hello said on each."""

    def __init__(self, tools: Tools, proxy: Proxy, connections: int) -> None:
        command = [tools.load, "idle", f"127.0.0.1:{proxy.mongo}", "--connections", str(connections)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._what = f"{connections} connections through {proxy.name}"

    def __enter__(self) -> None:
        if self._process.stdout.readline() != "ready\n":
            sys.exit(f"{self._what}: could not be opened")

    def __exit__(self, *_) -> None:
        # It holds them until its input ends.
        self._process.stdin.close()
        self._process.wait()


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads: fields 14 and 15 of proc(5)'s stat."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def settled_resident_bytes(pid: int) -> int:
    since, last = time.monotonic(), resident_bytes(pid)
    while time.monotonic() - since < SETTLED:
        time.sleep(SETTLED / 10)
        if (now := resident_bytes(pid)) != last:
            since, last = time.monotonic(), now
    return last


def resident_bytes(pid: int) -> int:
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run(*command) -> str:
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{command[0]}: {result.stderr or result.stdout}")
    return result.stdout


def find(text: str, pattern: str) -> str:
    if not (match := re.search(pattern, text)):
        sys.exit(f"the load tool printed nothing like {pattern}: {text}")
    return match[1]


def milliseconds(text: str) -> float:
    if not (match := re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)):
        sys.exit(f"wrk printed a time that is none: {text}")
    return float(match[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}[match[2]]
