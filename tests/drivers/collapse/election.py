"""election.py HOST:PORT: one thread writes, one reads from secondaries, until standard input ends.

Prints `started` on standard error when both have begun. A write that failed is tried again until it is done; its document
has to be there once in the end. Reads must never fail.
"""

import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import pymongo  # noqa: E402
from observe import Recorder, connect, expect  # noqa: E402
from pools import Pools, report  # noqa: E402

PAUSE = 0.005


def main(address: str) -> None:
    recorder, pools = Recorder(), Pools()
    with connect(address, recorder, directConnection=None, event_listeners=pools.listeners()) as client:
        client.shop.ledger.drop()
        client.shop.ledger.insert_one({"_id": -1})
        facts = {"write_errors": [], "read_errors": [], "longest_write_s": 0.0, "reads": 0, "written": 0}
        stop = threading.Event()
        threads = [threading.Thread(target=each, args=(client.shop, stop, facts)) for each in (write, read)]
        for thread in threads:
            thread.start()
        while facts["written"] < 20 or facts["reads"] < 20:
            time.sleep(PAUSE)
        before = pools.facts()
        print("started", file=sys.stderr, flush=True)
        sys.stdin.read()
        stop.set()
        for thread in threads:
            thread.join()
        found = sorted(each["_id"] for each in client.shop.ledger.find())
        expect("documents", found, list(range(-1, facts["written"])))
        after = pools.facts()
    report(recorder.operations(), pools, before=before, after=after, **facts)


def write(shop, stop: threading.Event, facts: dict) -> None:
    while not stop.is_set():
        begun = time.monotonic()
        while not insert(shop.ledger, facts["written"], facts["write_errors"]):
            time.sleep(PAUSE)
        facts["longest_write_s"] = max(facts["longest_write_s"], time.monotonic() - begun)
        facts["written"] += 1
        time.sleep(PAUSE)


def insert(ledger, number: int, errors: list) -> bool:
    try:
        ledger.insert_one({"_id": number})
    except pymongo.errors.DuplicateKeyError:
        return True
    except pymongo.errors.PyMongoError as error:
        errors.append(str(error)[:200])
        return False
    return True


def read(shop, stop: threading.Event, facts: dict) -> None:
    ledger = shop.get_collection("ledger", read_preference=pymongo.ReadPreference.SECONDARY_PREFERRED)
    while not stop.is_set():
        try:
            ledger.find_one({"_id": -1})
            facts["reads"] += 1
        except pymongo.errors.PyMongoError as error:
            facts["read_errors"].append(str(error)[:200])
        time.sleep(PAUSE)


if __name__ == "__main__":
    main(*sys.argv[1:])
