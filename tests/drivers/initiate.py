"""initiate.py HOST:PORT: makes a mongod that was started with --replSet the primary of a replica set of one."""

import json
import sys
import time

import pymongo
from observe import TIMEOUT_MS, tls_options


def main(address: str) -> None:
    settings = {"serverSelectionTimeoutMS": TIMEOUT_MS, **tls_options()}
    with pymongo.MongoClient(f"mongodb://{address}/?directConnection=true", **settings) as client:
        name = client.admin.command("getCmdLineOpts")["parsed"]["replication"]["replSet"]
        members = [{"_id": 0, "host": address}]
        client.admin.command("replSetInitiate", {"_id": name, "members": members})
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while not client.admin.command("hello")["isWritablePrimary"]:
            if time.monotonic() > deadline:
                sys.exit(f"{address} has not become primary")
            time.sleep(0.05)
    print(json.dumps({"primary": address, "replica_set": name}))


if __name__ == "__main__":
    main(*sys.argv[1:])
