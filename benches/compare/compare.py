"""`make bench`: what narrows costs, next to HAProxy, nginx and Envoy, in one run on one machine; exit 1 when a bar is missed.

Client, proxy and server share the cores, so rates and latencies move from run to run. What is compared is the CPU time
of the proxy's process per request: three rounds, the candidates in turn within each, medians.
"""

import argparse
import pathlib
import resource
import statistics
import sys
import tempfile
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "support"))

import measure  # noqa: E402
import peers  # noqa: E402
from processes import Processes  # noqa: E402

# What has to hold. The goals are tighter: 1.08 for a find, 1.20 for one in collapse mode, 1.00 for TCP, 4 KB a connection,
# 0.95 of nginx for HTTP/1 and 0.40 of Envoy for HTTP/2.
MONGO_BAR = 1.12
COLLAPSE_BAR = 1.25
TCP_BAR = 1.05
STATS_BAR = 1.05
NGINX_BAR = 1.00
ENVOY_BAR = 0.30
ENVOY_HTTP2_BAR = 0.45
IDLE_BAR = 6 * 1024

# The finds of the load, by their call site.
COUNTER = "mongo.mongo.collection.shop.carts.callsite.checkout.load_cart.query.total"

# The requests of the load on HTTP.
HTTP_COUNTER = "http.http.downstream_rq_completed"

COLLAPSE = f"Mongo find, collapse, {measure.CONNECTIONS} clients over {peers.POOLED} connections, canned"
HTTP = "HTTP/1 GET"
HTTP2 = f"HTTP/2 GET, {measure.HTTP2_CONNECTIONS} x {measure.HTTP2_STREAMS} streams, to HTTP/1"

Costs = dict[tuple[str, str], list[measure.Cost]]


def main() -> None:
    arguments = parse()
    raise_descriptor_limit()
    tools = peers.Tools(arguments.narrows, arguments.load, pathlib.Path(arguments.tools))
    with tempfile.TemporaryDirectory(prefix="narrows-bench-") as folder, Processes(pathlib.Path(folder)) as processes:
        servers = peers.start_servers(processes, tools)
        costs = measure_requests(processes, tools, servers, arguments)
        idle = measure_idle(processes, tools, servers)
    versions = [peers.version(tools.haproxy, "-v"), peers.version(tools.nginx, "-v"), "Envoy 1.40"]
    print(f"\n{peers.version(tools.narrows, '--version')} against {', '.join(versions)}, one worker each; ", end="")
    print(f"{measure.CONNECTIONS} connections, medians of {arguments.rounds} rounds of {arguments.seconds} s\n")
    print_costs(costs)
    sys.exit(0 if print_bars(costs, idle) else 1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrows", required=True, help="the release build of narrows")
    parser.add_argument("--load", required=True, help="the release build of mongoload")
    parser.add_argument("--tools", required=True, help="the folder of haproxy, nginx, envoy, wrk and h2load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6, help="of each measurement")
    return parser.parse_args()


def raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < measure.DESCRIPTORS:
        if hard != resource.RLIM_INFINITY and hard < measure.DESCRIPTORS:
            sys.exit(
                f"{measure.IDLE_CONNECTIONS} idle connections need {measure.DESCRIPTORS} open files a process; "
                f"this shell may have {hard} (ulimit -Hn)"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (measure.DESCRIPTORS, hard))


def measure_requests(processes: Processes, tools: peers.Tools, servers: peers.Servers, arguments) -> Costs:
    haproxy = peers.start_haproxy(processes, tools, servers)
    stats_on = peers.start_narrows(processes, tools, servers, "narrows")
    stats_off = peers.start_narrows(processes, tools, servers, "narrows-without-stats", stats=False)
    collapse = peers.start_narrows(processes, tools, servers, "narrows-collapse", mode="collapse")
    nginx = peers.start_nginx(processes, tools, servers)
    envoy = peers.start_envoy(processes, tools, servers)
    http = peers.start_narrows_http(processes, tools, servers)
    work = [
        ("Mongo find", measure.mongo_find, (haproxy, stats_on, stats_off)),
        (COLLAPSE, measure.mongo_find, (haproxy, collapse)),
        ("HTTP GET over tcp", measure.http_get, (haproxy, stats_on, stats_off)),
        (HTTP, measure.http_get, (nginx, envoy, http)),
        (HTTP2, measure.http2_get, (envoy, http)),
    ]
    costs: Costs = {}
    for number in range(arguments.rounds):
        for name, cost_of, proxies in work:
            # Each round starts with another one: whatever drifts meanwhile hits all alike.
            turn = number % len(proxies)
            for proxy in proxies[turn:] + proxies[:turn]:
                cost = cost_of(tools, proxy, arguments.seconds)
                processes.check()
                costs.setdefault((name, proxy.name), []).append(cost)
                print(f"round {number + 1}: {name}, {proxy.name}: {cost.cpu_us:.2f} us CPU a request", file=sys.stderr)
    check_stats(stats_on, stats_off, sum(cost.requests for cost in costs["Mongo find", stats_on.name]))
    expect_counted(collapse, sum(cost.requests for cost in costs[COLLAPSE, collapse.name]))
    expect_counted(http, sum(cost.requests for work in (HTTP, HTTP2) for cost in costs[work, http.name]), HTTP_COUNTER)
    for proxy in (haproxy, stats_on, stats_off, collapse, nginx, envoy, http):
        processes.stop(proxy.name)
    return costs


def check_stats(stats_on: peers.Proxy, stats_off: peers.Proxy, finds: int) -> None:
    """A proxy that has gone blind is a cheap one: the figures are worth something only when every find was counted."""
    expect_counted(stats_on, finds)
    if count_of(stats_off, COUNTER):
        sys.exit("narrows counted finds although its stats were off")


def expect_counted(proxy: peers.Proxy, requests: int, name: str = COUNTER) -> None:
    if (counted := count_of(proxy, name)) < requests:
        sys.exit(f"{proxy.name} counted {counted} of at least {requests} requests as {name}")


def count_of(proxy: peers.Proxy, name: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{proxy.admin}/stats?filter={name}", timeout=5) as answer:
        lines = dict(line.rsplit(": ", 1) for line in answer.read().decode().splitlines() if ": " in line)
    return int(lines.get(name, 0))


def measure_idle(processes: Processes, tools: peers.Tools, servers: peers.Servers) -> dict[str, float]:
    """On processes of their own: memory that load has left behind would be used again and hide the cost."""
    idle = {}
    for name, start in (("haproxy-idle", peers.start_haproxy), ("narrows-idle", peers.start_narrows)):
        proxy = start(processes, tools, servers, name)
        idle[name.removesuffix("-idle")] = measure.idle_connection_bytes(tools, proxy)
        processes.stop(name)
    for start in (peers.start_nginx, peers.start_envoy, peers.start_narrows_http):
        proxy = start(processes, tools, servers)
        idle[proxy.name] = measure.idle_http_bytes(proxy)
        processes.stop(proxy.name)
    return idle


def print_costs(costs: Costs) -> None:
    print("| work | proxy | CPU us / request | requests / s | p50 ms | p99 ms |")
    print("|---|---|---:|---:|---:|---:|")
    for (work, proxy), rounds in costs.items():
        per_second, p50, p99 = (
            statistics.median(getattr(cost, field) for cost in rounds) for field in ("per_second", "p50_ms", "p99_ms")
        )
        print(f"| {work} | {proxy} | {cpu(rounds):.2f} | {per_second:.0f} | {p50:.3f} | {p99:.3f} |")
    print()


def print_bars(costs: Costs, idle: dict[str, float]) -> bool:
    def ratio(work: str, other: str, ours: str = "narrows") -> float:
        return cpu(costs[work, ours]) / cpu(costs[work, other])

    bars = [
        ("Mongo find with every stat on, CPU to HAProxy's tcp mode", ratio("Mongo find", "haproxy"), MONGO_BAR),
        (f"{COLLAPSE}, CPU to HAProxy's tcp mode", ratio(COLLAPSE, "haproxy", "narrows-collapse"), COLLAPSE_BAR),
        ("HTTP GET through `protocol: tcp`, CPU to HAProxy's tcp mode", ratio("HTTP GET over tcp", "haproxy"), TCP_BAR),
        ("Mongo find, every stat on to all off", ratio("Mongo find", "narrows-without-stats"), STATS_BAR),
    ]
    ours = "narrows-http"
    bars += [
        ("HTTP/1 GET with every stat on, CPU to nginx", ratio(HTTP, "nginx-proxy", ours), NGINX_BAR),
        ("HTTP/1 GET with every stat on, CPU to Envoy", ratio(HTTP, "envoy", ours), ENVOY_BAR),
        (f"{HTTP2}, CPU to Envoy", ratio(HTTP2, "envoy", ours), ENVOY_HTTP2_BAR),
    ]
    print("| bar | seen | at most | |")
    print("|---|---:|---:|---|")
    held = [row(text, seen <= bar, f"{seen:.3f}", f"{bar:.2f}") for text, seen, bar in bars]
    text = f"An idle connection of {measure.IDLE_CONNECTIONS} (HAProxy's: {idle['haproxy']:.0f} B)"
    held.append(row(text, idle["narrows"] <= IDLE_BAR, f"{idle['narrows']:.0f} B", f"{IDLE_BAR} B"))
    text = f"An idle HTTP/1 connection (nginx's: {idle['nginx-proxy']:.0f} B, Envoy's: {idle['envoy']:.0f} B)"
    held.append(row(text, idle[ours] <= IDLE_BAR, f"{idle[ours]:.0f} B", f"{IDLE_BAR} B"))
    return all(held)


def row(text: str, holds: bool, seen: str, bar: str) -> bool:
    print(f"| {text} | {seen} | {bar} | {'holds' if holds else '**missed**'} |")
    return holds


def cpu(rounds: list[measure.Cost]) -> float:
    return statistics.median(cost.cpu_us for cost in rounds)


if __name__ == "__main__":
    main()
