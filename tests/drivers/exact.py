"""exact.py HOST:PORT N: N finds with comment="checkout.load_cart", and nothing else."""

import pymongo
from observe import run


def exact(client: pymongo.MongoClient, times: str) -> None:
    for number in range(int(times)):
        client.shop.carts.find_one({"_id": number}, comment="checkout.load_cart")


if __name__ == "__main__":
    run(exact)
