"""unacknowledged.py HOST:PORT: writes that ask for no reply (w: 0), then reads until they have all arrived."""

import sys
import time

import pymongo
from observe import TIMEOUT_MS, run

INSERTS = 20


def unacknowledged(client: pymongo.MongoClient) -> None:
    client.drop_database("shop")
    clicks = client.shop.get_collection("clicks", write_concern=pymongo.WriteConcern(w=0))
    for number in range(INSERTS):
        clicks.insert_one({"_id": number}, comment="clicks.add")
    # Ordered, the driver would ask for a reply after all.
    more = [{"_id": INSERTS + number} for number in range(INSERTS)]
    clicks.insert_many(more, ordered=False, comment="clicks.add_many")
    clicks.update_many({}, {"$set": {"seen": True}}, comment="clicks.see")
    clicks.delete_one({"_id": 0}, comment="clicks.forget")
    wait_for(client.shop.clicks, {"seen": True}, 2 * INSERTS - 1)


def wait_for(collection, wanted: dict, count: int) -> None:
    """Nothing else tells when an unacknowledged write has been done."""
    deadline = time.monotonic() + TIMEOUT_MS / 1000
    while (found := collection.count_documents(wanted, comment="clicks.count")) != count:
        if time.monotonic() > deadline:
            sys.exit(f"{sys.argv[0]}: {found} documents arrived, not {count}")


if __name__ == "__main__":
    run(unacknowledged)
