"""`make bench`: what narrows costs, next to HAProxy, nginx, Envoy and twemproxy, in one run on one machine; exit 1 when a bar
is missed.

Client, proxy and server share the cores, so rates and latencies move from run to run. What is compared is the CPU time
of the proxy's process per request: three rounds, the candidates in turn within each, medians.
"""

import argparse
import pathlib
import resource
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "support"))

import measure  # noqa: E402
import peers  # noqa: E402
from http_rows import Http  # noqa: E402
from mongo_rows import Mongo  # noqa: E402
from processes import Processes  # noqa: E402
from redis_rows import Redis  # noqa: E402
from rows import Bar, Costs  # noqa: E402

KINDS = {"mongo": Mongo, "http": Http, "redis": Redis}


def main() -> None:
    arguments = parse()
    raise_descriptor_limit()
    tools = peers.Tools(arguments.narrows, arguments.load, pathlib.Path(arguments.tools))
    costs, bars = Costs(), []
    with tempfile.TemporaryDirectory(prefix="narrows-bench-") as folder, Processes(pathlib.Path(folder)) as processes:
        for kind in arguments.only or KINDS:
            bars += measure_kind(KINDS[kind](processes, tools), processes, tools, costs, arguments)
    versions = [peers.version(tools.haproxy, "-v"), peers.version(tools.nginx, "-v"), "Envoy 1.40", "twemproxy 0.5"]
    print(f"\n{peers.version(tools.narrows, '--version')} against {', '.join(versions)}, one worker each; ", end="")
    print(f"{measure.CONNECTIONS} connections, medians of {arguments.rounds} rounds of {arguments.seconds} s\n")
    print(f"{costs}\n\n| bar | seen | has to be | |\n|---|---:|---:|---|")
    for bar in bars:
        print(bar)
    sys.exit(0 if all(bar.holds() for bar in bars) else 1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrows", required=True, help="the release build of narrows")
    parser.add_argument("--load", required=True, help="the release build of mongoload")
    parser.add_argument("--tools", required=True, help="the folder of the peers, of the servers and of the other load tools")
    parser.add_argument("--only", action="append", choices=KINDS, help="leave out the rest; may be given several times")
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


def measure_kind(kind: Mongo | Http | Redis, processes: Processes, tools: peers.Tools, costs: Costs, arguments) -> list[Bar]:
    for number in range(arguments.rounds):
        for row in kind.rows:
            # Each round starts with another one: whatever drifts meanwhile hits all alike.
            turn = number % len(row.proxies)
            for proxy in row.proxies[turn:] + row.proxies[:turn]:
                cost = row.cost_of(tools, proxy, arguments.seconds)
                processes.check()
                costs.add(row.name, proxy.name, cost)
                print(f"round {number + 1}: {row.name}, {proxy.name}: {cost.cpu_us:.2f} us CPU a request", file=sys.stderr)
    kind.check(costs)
    for name in {proxy.name for row in kind.rows for proxy in row.proxies}:
        processes.stop(name)
    # On processes of their own: memory that load has left behind would be used again and hide the cost.
    return kind.bars(costs) + kind.idle_bars()


if __name__ == "__main__":
    main()
