"""command.py URI DATABASE JSON: one command, and its reply or its error as JSON."""

import sys

import pymongo
from bson import json_util


def main(uri: str, database: str, command: str) -> None:
    with pymongo.MongoClient(uri, serverSelectionTimeoutMS=30_000) as client:
        try:
            reply = client[database].command(json_util.loads(command))
        except pymongo.errors.OperationFailure as error:
            reply = error.details or {"ok": 0, "code": error.code, "errmsg": str(error)}
    print(json_util.dumps({name: value for name, value in reply.items() if not name.startswith("$")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
