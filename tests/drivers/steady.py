"""steady.py HOST:PORT [THREADS]: finds without a pause until standard input ends; any error at all ends it with exit 1.

Prints `started` on standard error once every thread has had its first reply. Retries are off: a dropped connection is an error.
"""

import concurrent.futures
import sys
import threading

import pymongo
from observe import run


def steady(client: pymongo.MongoClient, threads: str = "8") -> None:
    stop = threading.Event()
    first_replies = threading.Barrier(int(threads) + 1)
    with concurrent.futures.ThreadPoolExecutor(int(threads)) as pool:
        workers = [pool.submit(find_until, stop, first_replies, client.shop.carts) for _ in range(int(threads))]
        first_replies.wait()
        print("started", file=sys.stderr, flush=True)
        sys.stdin.read()
        stop.set()
        for worker in workers:
            worker.result()


def find_until(stop: threading.Event, first_replies: threading.Barrier, carts) -> None:
    try:
        carts.find_one({"_id": 1}, comment="steady.find")
    except BaseException:
        first_replies.abort()
        raise
    first_replies.wait()
    while not stop.is_set():
        carts.find_one({"_id": 1}, comment="steady.find")


if __name__ == "__main__":
    run(steady, retryReads=False, retryWrites=False)
