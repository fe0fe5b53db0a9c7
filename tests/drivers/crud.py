"""crud.py HOST:PORT: every ordinary operation, with comments in each form, and two errors."""

import json

import pymongo
from observe import expect, expect_error, run

DUPLICATE_KEY = 11000
COMMAND_NOT_FOUND = 59


def crud(client: pymongo.MongoClient) -> None:
    shop = client.shop
    client.drop_database("shop")
    writes(shop.carts)
    reads(shop.carts)
    cursors(shop.carts)
    updates(shop.carts)
    errors(shop)


def writes(carts) -> None:
    carts.insert_one({"_id": 0, "user": "a", "total": 0}, comment="checkout.open_cart")
    carts.insert_many(
        [{"_id": number, "user": "ab"[number % 2], "total": number} for number in range(1, 50)],
        comment="checkout.import_carts",
    )
    result = carts.bulk_write(
        [
            pymongo.InsertOne({"_id": 50, "user": "c", "total": 1}),
            pymongo.UpdateOne({"_id": 50}, {"$set": {"total": 2}}),
            pymongo.UpdateMany({"user": "a"}, {"$inc": {"total": 1}}),
            pymongo.DeleteOne({"_id": 50}),
        ],
        comment="checkout.sync",
    )
    expect("bulk write", (result.inserted_count, result.modified_count, result.deleted_count), (1, 26, 1))


def reads(carts) -> None:
    expect("find by id", carts.find_one({"_id": 7}, comment="checkout.load_cart")["total"], 7)
    expect("find several", len(list(carts.find({"_id": {"$in": [1, 2, 3]}}, comment="checkout.load_carts"))), 3)
    as_json = json.dumps({"callingFunction": "checkout.scan_carts", "hostname": "web-1"})
    expect("find all of a user", len(list(carts.find({"user": "b"}, comment=as_json))), 25)
    as_document = {"callingFunction": "checkout.price", "version": 3}
    expect("find with a document comment", carts.find_one({"_id": 9}, comment=as_document)["total"], 9)
    expect("find without a comment", carts.find_one({"_id": 11})["total"], 11)
    expect("count", carts.count_documents({}, comment="reports.count"), 50)
    expect("estimated count", carts.estimated_document_count(comment="reports.estimate"), 50)
    expect("distinct", sorted(carts.distinct("user", comment="reports.users")), ["a", "b"])
    by_user = [{"$group": {"_id": "$user", "sum": {"$sum": "$total"}}}]
    expect("aggregate", len(list(carts.aggregate(by_user, comment="reports.by_user"))), 2)


def cursors(carts) -> None:
    expect("find in batches", len(list(carts.find({}, batch_size=20, comment="reports.all_carts"))), 50)
    unfinished = carts.find({}, batch_size=5, comment="reports.first_carts")
    next(unfinished)
    unfinished.close()


def updates(carts) -> None:
    expect("update one", carts.update_one({"_id": 1}, {"$set": {"total": 5}}, comment="checkout.pay").modified_count, 1)
    expect("update many", carts.update_many({"user": "b"}, {"$inc": {"total": 1}}, comment="jobs.raise").modified_count, 25)
    expect("replace", carts.replace_one({"_id": 2}, {"user": "a"}, comment="checkout.reset").modified_count, 1)
    found = carts.find_one_and_update({"_id": 3}, {"$inc": {"total": 1}}, comment="checkout.reserve")
    expect("find and modify", found["_id"], 3)
    expect("delete one", carts.delete_one({"_id": 4}, comment="checkout.drop_cart").deleted_count, 1)
    expect("delete many", carts.delete_many({"user": "a"}, comment="jobs.expire").deleted_count, 24)


def errors(shop) -> None:
    duplicate = {"_id": 1}
    expect_error("duplicate key", DUPLICATE_KEY, lambda: shop.carts.insert_one(duplicate, comment="checkout.open_cart"))
    expect_error("unknown command", COMMAND_NOT_FOUND, lambda: shop.command("noSuchCommand", comment="ops.typo"))


if __name__ == "__main__":
    run(crud)
