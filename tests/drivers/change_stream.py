"""change_stream.py HOST:PORT, a replica set's primary: reads the changes that it makes itself."""

import pymongo
from observe import expect, run

INSERTS = 5


def change_stream(client: pymongo.MongoClient) -> None:
    orders = client.shop.orders
    client.drop_database("shop")
    # Waits of 200 ms at the server: some getMores come back empty, as they do in production.
    with orders.watch(max_await_time_ms=200, comment="outbox.follow") as changes:
        expect("before any change", changes.try_next(), None)
        for number in range(INSERTS):
            orders.insert_one({"_id": number}, comment="checkout.place_order")
        seen = [next(changes)["documentKey"]["_id"] for _ in range(INSERTS)]
    expect("changes", seen, list(range(INSERTS)))


if __name__ == "__main__":
    run(change_stream)
