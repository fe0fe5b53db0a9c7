"""login.py HOST:PORT USER PASSWORD MECHANISM: logs in, reads and writes; prints the error code of each, or 0."""

import json
import sys

import pymongo
from pymongo import errors


def main(address: str, user: str, password: str, mechanism: str) -> None:
    options = {} if mechanism == "default" else {"authMechanism": mechanism}
    client = pymongo.MongoClient(
        f"mongodb://{address}/", username=user, password=password, serverSelectionTimeoutMS=30_000, **options
    )
    with client:
        steps = {
            "login": lambda: client.admin.command("ping"),
            "read": lambda: list(client.shop.carts.find({})),
            "write": lambda: client.shop.carts.insert_one({}),
        }
        codes = {name: code_of(step) for name, step in steps.items()}
    print(json.dumps(codes))


def code_of(step) -> int:
    try:
        step()
    except errors.OperationFailure as error:
        return error.code
    return 0


if __name__ == "__main__":
    main(*sys.argv[1:])
