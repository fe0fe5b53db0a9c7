"""full_pool.py HOST:PORT: one find and one insert while every connection of the proxy is in use: what PyMongo does then."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import pymongo  # noqa: E402
from observe import Recorder, connect  # noqa: E402
from pools import Pools, report  # noqa: E402


def main(address: str) -> None:
    recorder, pools = Recorder(), Pools()
    with connect(address, recorder, directConnection=None, event_listeners=pools.listeners()) as client:
        carts = client.shop.carts
        steps = {"find": lambda: carts.find_one({"_id": 1}), "insert": lambda: carts.insert_one({"_id": 1})}
        errors = {name: error_of(step) for name, step in steps.items()}
    report(recorder.operations(), pools, errors=errors)


def error_of(step) -> dict:
    try:
        step()
    except pymongo.errors.OperationFailure as error:
        details = error.details or {}
        return {"code": error.code, "message": details.get("errmsg"), "labels": sorted(details.get("errorLabels", []))}
    sys.exit("no error although the pool was full")


if __name__ == "__main__":
    main(*sys.argv[1:])
