"""The demo's sample application: a small web shop. shop.py HOST:PORT runs customers until it is ended.

Every operation carries a comment that names the function it comes from; that is all it takes to see it by call site.
"""

import json
import random
import sys
import threading
import time

import pymongo

CUSTOMERS = 6
PRODUCTS = 2000
USERS = 500

# Pauses between two steps of a customer, in seconds: enough load to watch, and a core left to watch it with.
THINK = (0.002, 0.02)


def main(address: str) -> None:
    client = pymongo.MongoClient(f"mongodb://{address}/?directConnection=true&appName=shop")
    stock(client.shop)
    for number in range(CUSTOMERS):
        threading.Thread(target=shop_forever, args=(client.shop, number), daemon=True).start()
    threading.Event().wait()


def stock(shop) -> None:
    if shop.products.estimated_document_count(comment="catalog.check_stock"):
        return
    products = [
        {"_id": number, "kind": f"kind-{number % 40}", "price": number % 97 + 1, "left": 1_000_000, "text": "x" * 300}
        for number in range(PRODUCTS)
    ]
    shop.products.insert_many(products, comment="catalog.import_products")
    shop.products.create_index("kind", comment="catalog.import_products")
    shop.users.insert_many([{"_id": f"user-{number}"} for number in range(USERS)], comment="users.import")


def shop_forever(shop, seed: int) -> None:
    chance = random.Random(seed)
    steps, weights = zip(*STEPS)
    while True:
        (step,) = chance.choices(steps, weights)
        try:
            step(shop, chance)
        except pymongo.errors.OperationFailure:
            pass  # Expected now and then, and a line of the table: a name that is taken, a misspelt operator.
        except pymongo.errors.AutoReconnect as error:
            print(f"shop: {error}", file=sys.stderr)
            time.sleep(1)
        time.sleep(chance.uniform(*THINK))


def load_cart(shop, chance) -> None:
    shop.carts.find_one({"_id": user(chance)}, comment="checkout.load_cart")


def add_to_cart(shop, chance) -> None:
    line = {"product": product(chance), "count": chance.randint(1, 3)}
    shop.carts.update_one(
        {"_id": user(chance)},
        {"$push": {"lines": {"$each": [line], "$slice": -20}}},
        upsert=True,
        comment="checkout.add_to_cart",
    )


def place_order(shop, chance) -> None:
    who, what = user(chance), product(chance)
    shop.products.find_one_and_update({"_id": what}, {"$inc": {"left": -1}}, comment="inventory.reserve")
    shop.orders.insert_one({"user": who, "product": what, "at": time.time()}, comment="checkout.place_order")
    shop.carts.delete_one({"_id": who}, comment="checkout.clear_cart")


def search(shop, chance) -> None:
    # The form that Envoy reads: JSON with a `callingFunction`.
    caller = json.dumps({"callingFunction": "catalog.search", "page": chance.randint(1, 9)})
    list(shop.products.find({"kind": kind(chance)}, limit=20, comment=caller))


def export(shop, chance) -> None:
    # 400 products in batches of 100: one find and three getMores, which keep the call site.
    list(shop.products.find({}, limit=400, batch_size=100, comment="catalog.export"))


def best_sellers(shop, chance) -> None:
    pipeline = [{"$group": {"_id": "$product", "sold": {"$sum": 1}}}, {"$sort": {"sold": -1}}, {"$limit": 10}]
    list(shop.orders.aggregate(pipeline, comment={"callingFunction": "reports.best_sellers"}))


def sign_up(shop, chance) -> None:
    shop.users.insert_one({"_id": user(chance)}, comment="users.sign_up")


def misspelt(shop, chance) -> None:
    shop.orders.find_one({"at": {"$gtt": 0}}, comment="reports.recent_orders")


def user(chance) -> str:
    return f"user-{chance.randrange(USERS * 2)}"


def product(chance) -> int:
    return chance.randrange(PRODUCTS)


def kind(chance) -> str:
    return f"kind-{chance.randrange(40)}"


STEPS = [
    (load_cart, 40),
    (add_to_cart, 20),
    (search, 15),
    (place_order, 10),
    (sign_up, 5),
    (export, 3),
    (best_sellers, 2),
    (misspelt, 1),
]

if __name__ == "__main__":
    main(*sys.argv[1:])
