"""`make demo`: a real mongod, narrows in front of it, a sample application, and a live table of what passes.

On a terminal it runs until Ctrl-C. Otherwise, or with DEMO_SECONDS=N, it runs for a while, prints the table once and ends.
"""

import argparse
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


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory(prefix="narrows-demo-") as name:
        folder = pathlib.Path(name)
        with Processes(folder) as processes:
            try:
                proxy, admin = start(arguments, folder, processes)
                watch(proxy, admin, processes)
            except KeyboardInterrupt:
                print()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--narrows", required=True, help="the narrows program")
    parser.add_argument("--mongod", required=True, help="the mongod program")
    return parser.parse_args()


def start(arguments: argparse.Namespace, folder: pathlib.Path, processes: Processes) -> tuple[int, int]:
    server, proxy, admin = free_port(), free_port(27117), free_port(9900)
    data = folder / "data"
    data.mkdir()
    processes.start(
        "mongod", arguments.mongod, "--dbpath", data, "--port", server, "--bind_ip", "127.0.0.1",
        "--unixSocketPrefix", folder, "--wiredTigerCacheSizeGB", "0.5",
    )  # fmt: skip
    processes.wait_for_port("mongod", server)
    command = [
        arguments.narrows, "run", "--listen", f"mongo://127.0.0.1:{proxy}", "--to", f"127.0.0.1:{server}",
        "--admin", f"127.0.0.1:{admin}",
    ]  # fmt: skip
    processes.start("narrows", *command)
    processes.wait_for_port("narrows", proxy)
    stats.wait_until_ready(admin, processes)
    shop = pathlib.Path(__file__).with_name("shop.py")
    processes.start("shop", sys.executable, shop, f"127.0.0.1:{proxy}")
    print(f"mongod 127.0.0.1:{server}  <-  narrows 127.0.0.1:{proxy}  <-  tests/demo/shop.py")
    return proxy, admin


def watch(proxy: int, admin: int, processes: Processes) -> None:
    live = sys.stdout.isatty() and "DEMO_SECONDS" not in os.environ
    seconds = float("inf") if live else float(os.environ.get("DEMO_SECONDS", SECONDS_WITHOUT_A_TERMINAL))
    end = time.monotonic() + seconds
    places = [
        f"http://127.0.0.1:{admin}/stats?filter=callsite",
        f"http://127.0.0.1:{admin}/metrics",
        f"mongodb://127.0.0.1:{proxy}/?directConnection=true  (try it with your own program)",
    ]
    rates = table.Rates()
    rows = []
    while time.monotonic() < end:
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))
        processes.check()
        try:
            rows = rates.update(stats.read(admin), time.monotonic())
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
