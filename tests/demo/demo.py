"""`make demo`: a real mongod, a web service, narrows in front of both, who uses them, and a live table of what passes.

On a terminal it runs until Ctrl-C. Otherwise, or with DEMO_SECONDS=N, it runs for a while, prints the table once and ends.
"""

import argparse
import dataclasses
import os
import pathlib
import shutil
import sys
import tempfile
import time
import urllib.error

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "support"))

import stats  # noqa: E402
import table  # noqa: E402
from processes import Processes, free_port  # noqa: E402

SECONDS_WITHOUT_A_TERMINAL = 10.0

CONFIG = """\
admin: {{ listen: 127.0.0.1:{ports.admin} }}
listeners:
  - {{ name: mongo, listen: 127.0.0.1:{ports.mongo}, protocol: mongo, cluster: mongo }}
  - name: web
    listen: 127.0.0.1:{ports.web}
    protocol: http
    http:
      caller_header: x-caller
      virtual_hosts:
        - name: shop
          domains: ["*"]
          routes:
            - {{ name: products, prefix: /products/, cluster: web }}
            - {{ name: carts, prefix: /carts/, methods: [GET], cluster: web }}
            - {{ name: add-to-cart, prefix: /carts/, methods: [POST], cluster: web }}
            - {{ name: orders, path: /orders, cluster: web }}
            - {{ name: sign-up, path: /sign-up, cluster: web }}
            - {{ name: reports, prefix: /reports/, cluster: web, timeout: 10s }}
            - {{ name: old, prefix: /old/, redirect: {{ status: 301, prefix_rewrite: /products/ }} }}
            - {{ name: health, path: /health, respond: {{ status: 200, body: well }} }}
            - {{ name: rest, prefix: /, cluster: web }}
clusters:
  - {{ name: mongo, endpoints: [127.0.0.1:{mongod}] }}
  - {{ name: web, endpoints: [127.0.0.1:{web}] }}
"""


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="narrows-demo-") as name:
        folder = pathlib.Path(name)
        with Processes(folder) as processes:
            try:
                watch(start(arguments, folder, processes), processes)
            except KeyboardInterrupt:
                print()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrows", required=True, help="the narrows program")
    parser.add_argument("--mongod", required=True, help="the mongod program")
    return parser.parse_args()


@dataclasses.dataclass
class Ports:
    """Where narrows listens."""

    mongo: int
    web: int
    admin: int


def start(arguments: argparse.Namespace, folder: pathlib.Path, processes: Processes) -> Ports:
    ports = Ports(free_port(27117), free_port(8080), free_port(9900))
    mongod, web = free_port(), free_port()
    data = folder / "data"
    data.mkdir()
    processes.start(
        "mongod", arguments.mongod, "--dbpath", data, "--port", mongod, "--bind_ip", "127.0.0.1",
        "--unixSocketPrefix", folder, "--wiredTigerCacheSizeGB", "0.5",
    )  # fmt: skip
    processes.wait_for_port("mongod", mongod)
    config = folder / "narrows.yaml"
    config.write_text(CONFIG.format(ports=ports, mongod=mongod, web=web))
    processes.start("narrows", arguments.narrows, "run", "-c", config)
    processes.wait_for_port("narrows", ports.mongo)
    stats.wait_until_ready(ports.admin, processes)
    here = pathlib.Path(__file__).parent
    processes.start("shop", sys.executable, here / "shop.py", f"127.0.0.1:{ports.mongo}")
    # The web service asks MongoDB through narrows as well.
    processes.start("web", sys.executable, here / "web.py", web, f"127.0.0.1:{ports.mongo}")
    processes.wait_for_port("web", web)
    processes.start("visitors", sys.executable, here / "visitors.py", f"127.0.0.1:{ports.web}")
    print(f"mongod    127.0.0.1:{mongod}  <-  narrows 127.0.0.1:{ports.mongo}  <-  tests/demo/shop.py, tests/demo/web.py")
    print(f"web.py    127.0.0.1:{web}  <-  narrows 127.0.0.1:{ports.web}  <-  tests/demo/visitors.py, in HTTP/2")
    return ports


def watch(ports: Ports, processes: Processes) -> None:
    live = sys.stdout.isatty() and "DEMO_SECONDS" not in os.environ
    seconds = float("inf") if live else float(os.environ.get("DEMO_SECONDS", SECONDS_WITHOUT_A_TERMINAL))
    end = time.monotonic() + seconds
    places = [
        f"http://127.0.0.1:{ports.admin}/stats?filter=callsite",
        f"http://127.0.0.1:{ports.admin}/stats?filter=http.*route",
        f"http://127.0.0.1:{ports.admin}/metrics",
        f"mongodb://127.0.0.1:{ports.mongo}/?directConnection=true  (try it with your own program)",
        f"http://127.0.0.1:{ports.web}/products/kind-7",
    ]
    rates = table.Rates()
    rows = []
    while time.monotonic() < end:
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))
        processes.check()
        try:
            rows = rates.update(stats.read(ports.admin), time.monotonic())
        except (urllib.error.URLError, TimeoutError) as error:
            processes.give_up(f"the admin page does not answer: {error}", "narrows")
        if live:
            size = shutil.get_terminal_size()
            text = table.render(rows, places, size.columns, size.lines)
            # To the top left, and clear what the last page left.
            print("\x1b[H\x1b[J" + text, end="", flush=True)
    print(table.render(rows, places))
    if not rows:
        processes.give_up("no operation was seen", "narrows")


if __name__ == "__main__":
    main()
