"""suite.py HOST:PORT proxy|server [OPTION=VALUE ...]: what an application does with PyMongo, each feature once.

The options are the driver's own, such as compressors=snappy or loadBalanced=true. The server is a replica set's member, or
the proxy in front of one. Through the proxy the driver's pool must never be cleared and no heartbeat may fail.
"""

import pathlib
import random
import sys
import threading
import time
from typing import Any, Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import gridfs  # noqa: E402
import pymongo  # noqa: E402
from observe import Recorder, connect, expect, expect_error  # noqa: E402
from pools import Pools, report  # noqa: E402

DUPLICATE_KEY = 11000
COMMAND_NOT_FOUND = 59
BAD_VALUE = 2
WRITE_CONFLICT = 112
HOST_UNREACHABLE = 6

# Several chunks of 255 KiB, and more than one message can carry at once.
FILE_BYTES = 5_000_000


def crud(client: pymongo.MongoClient) -> None:
    carts = client.suite.carts
    carts.insert_one({"_id": 0, "user": "a", "total": 0})
    expect("insert many", len(carts.insert_many([{"_id": n, "user": "ab"[n % 2]} for n in range(1, 50)]).inserted_ids), 49)
    expect("find one", carts.find_one({"_id": 7})["user"], "b")
    expect("update one", carts.update_one({"_id": 7}, {"$set": {"total": 5}}).modified_count, 1)
    expect("update many", carts.update_many({"user": "b"}, {"$inc": {"total": 1}}).modified_count, 25)
    expect("replace", carts.replace_one({"_id": 2}, {"user": "c"}).modified_count, 1)
    expect("upsert", carts.update_one({"_id": 99}, {"$set": {"user": "d"}}, upsert=True).upserted_id, 99)
    expect("find and modify", carts.find_one_and_update({"_id": 7}, {"$inc": {"total": 1}})["total"], 6)
    expect("delete", carts.delete_one({"_id": 99}).deleted_count, 1)
    expect("count", carts.count_documents({}), 50)
    expect("estimated count", carts.estimated_document_count(), 50)
    expect("distinct", sorted(carts.distinct("user")), ["a", "b", "c"])
    carts.create_index("user", name="by_user")
    expect("indexes", sorted(carts.index_information()), ["_id_", "by_user"])
    expect("collections", "carts" in client.suite.list_collection_names(), True)
    expect("databases", "suite" in client.list_database_names(), True)


def bulk(client: pymongo.MongoClient) -> None:
    stock = client.suite.stock
    stock.insert_many([{"_id": n} for n in range(100)])
    result = stock.bulk_write(
        [
            *(pymongo.InsertOne({"_id": n, "text": "x" * 2000}) for n in range(100, 3000)),
            pymongo.UpdateOne({"_id": 1}, {"$set": {"seen": 1}}),
            pymongo.UpdateMany({"_id": {"$lt": 50}}, {"$set": {"seen": 2}}),
            pymongo.ReplaceOne({"_id": 2}, {"seen": 3}),
            pymongo.DeleteOne({"_id": 3}),
            pymongo.DeleteMany({"_id": {"$gte": 2900}}),
        ]
    )
    expect("bulk", (result.inserted_count, result.modified_count, result.deleted_count), (2900, 52, 101))
    try:
        stock.bulk_write([pymongo.InsertOne({"_id": 1}), pymongo.InsertOne({"_id": 9000})], ordered=False)
    except pymongo.errors.BulkWriteError as error:
        expect("unordered bulk", (error.details["nInserted"], error.details["writeErrors"][0]["code"]), (1, DUPLICATE_KEY))
    else:
        sys.exit("a bulk write with a duplicate had no error")


def cursors(client: pymongo.MongoClient) -> None:
    numbers = client.suite.numbers
    numbers.insert_many([{"_id": n} for n in range(500)])
    expect("many batches", [each["_id"] for each in numbers.find({}, batch_size=3).sort("_id")], list(range(500)))
    interleaved = [numbers.find({"_id": {"$mod": [7, rest]}}, batch_size=2).sort("_id") for rest in range(7)]
    seen: list[list[int]] = [[] for _ in interleaved]
    while any(cursor.alive for cursor in interleaved):
        for cursor, mine in zip(interleaved, seen):
            mine.extend(each["_id"] for each in [next(cursor, None)] if each)
    expect("interleaved", seen, [list(range(rest, 500, 7)) for rest in range(7)])
    given_up = numbers.find({}, batch_size=2)
    next(given_up)
    given_up.close()
    grouped = numbers.aggregate([{"$group": {"_id": {"$mod": ["$_id", 100]}, "n": {"$sum": 1}}}], batchSize=10)
    expect("aggregate in batches", sorted(each["_id"] for each in grouped), list(range(100)))
    threads_with_cursors(numbers)


def threads_with_cursors(numbers) -> None:
    """More of them at the same time than the proxy has connections."""
    wrong = []

    def read(rest: int) -> None:
        found = [each["_id"] for each in numbers.find({"_id": {"$mod": [16, rest]}}, batch_size=2).sort("_id")]
        if found != list(range(rest, 500, 16)):
            wrong.append((rest, found))

    threads = [threading.Thread(target=read, args=(rest,)) for rest in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect("cursors of 16 threads", wrong, [])


def sessions(client: pymongo.MongoClient) -> None:
    notes = client.suite.notes
    with client.start_session(causal_consistency=True) as session:
        for number in range(20):
            notes.insert_one({"_id": number}, session=session)
            expect("own write", notes.find_one({"_id": number}, session=session), {"_id": number})
        cursor = notes.find({}, batch_size=4, session=session)
        expect("cursor of a session", len(list(cursor)), 20)
    with client.start_session(snapshot=True) as session:
        before = notes.count_documents({}, session=session)
        notes.insert_one({"_id": 20})
        expect("snapshot", (before, notes.count_documents({}, session=session)), (20, 20))


def retryable_writes(client: pymongo.MongoClient, through: str) -> None:
    events = client.suite.events
    events.insert_one({"_id": "first"})
    with fail_once(client, "insert", errorCode=HOST_UNREACHABLE, errorLabels=["RetryableWriteError"]):
        events.insert_one({"_id": "retried"})
    with fail_once(client, "find", errorCode=HOST_UNREACHABLE):
        expect("retried read", events.find_one({"_id": "retried"}), {"_id": "retried"})
    if through == "proxy":
        # The connection that ends is one between the proxy and the server: the driver's stay.
        with fail_once(client, "insert", closeConnection=True):
            events.insert_one({"_id": "connection lost"})
        with fail_once(client, "find", closeConnection=True):
            expect("connection lost", events.find_one({"_id": "connection lost"}), {"_id": "connection lost"})
    events.find_one_and_update({"_id": "first"}, {"$set": {"seen": True}})


class fail_once:  # noqa: N801 # reads as a `with` statement
    """Lets the server fail the next command of this name."""

    def __init__(self, client: pymongo.MongoClient, command: str, **how: Any) -> None:
        self._client = client
        self._data = {"failCommands": [command], **how}

    def __enter__(self) -> None:
        self._client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data=self._data)

    def __exit__(self, *_) -> None:
        self._client.admin.command("configureFailPoint", "failCommand", mode="off")


def transactions(client: pymongo.MongoClient) -> None:
    accounts = client.suite.accounts
    accounts.insert_many([{"_id": "a", "sum": 100}, {"_id": "b", "sum": 100}])
    with client.start_session() as session:
        with session.start_transaction():
            transfer(accounts, session, 10)
            expect("own change", accounts.find_one({"_id": "a"}, session=session)["sum"], 90)
            expect("not seen outside", accounts.find_one({"_id": "a"})["sum"], 100)
        expect("committed", accounts.find_one({"_id": "a"})["sum"], 90)
        # A commit may be repeated.
        session.commit_transaction()
        session.start_transaction()
        transfer(accounts, session, 50)
        session.abort_transaction()
        expect("aborted", accounts.find_one({"_id": "a"})["sum"], 90)
        session.start_transaction()
        transfer(accounts, session, 50)
        expect_error("error inside", DUPLICATE_KEY, lambda: accounts.insert_one({"_id": "a"}, session=session))
        session.abort_transaction()
        session.with_transaction(lambda session: transfer(accounts, session, 5))
        expect("with_transaction", accounts.find_one({"_id": "a"})["sum"], 85)
        session.start_transaction()
        found = accounts.find({}, batch_size=1, session=session)
        expect("cursor inside", len(list(found)), 2)
        session.commit_transaction()
    conflict(client, accounts)


def transfer(accounts, session, amount: int) -> None:
    accounts.update_one({"_id": "a"}, {"$inc": {"sum": -amount}}, session=session)
    accounts.update_one({"_id": "b"}, {"$inc": {"sum": amount}}, session=session)


def conflict(client: pymongo.MongoClient, accounts) -> None:
    with client.start_session() as winner, client.start_session() as loser:
        winner.start_transaction()
        accounts.update_one({"_id": "a"}, {"$inc": {"sum": 1}}, session=winner)
        loser.start_transaction()
        try:
            accounts.update_one({"_id": "a"}, {"$inc": {"sum": 1}}, session=loser)
        except pymongo.errors.OperationFailure as error:
            expect("conflict", (error.code, error.has_error_label("TransientTransactionError")), (WRITE_CONFLICT, True))
        loser.abort_transaction()
        winner.commit_transaction()


def change_streams(client: pymongo.MongoClient) -> None:
    orders = client.suite.orders
    client.suite.create_collection("orders")
    with orders.watch(max_await_time_ms=200) as changes:
        expect("before any change", changes.try_next(), None)
        orders.insert_many([{"_id": number} for number in range(3)])
        expect("changes", [next(changes)["documentKey"]["_id"] for _ in range(2)], [0, 1])
        token = changes.resume_token
    orders.insert_one({"_id": 3})
    with orders.watch(resume_after=token, max_await_time_ms=200) as changes:
        expect("resumed", [next(changes)["documentKey"]["_id"] for _ in range(2)], [2, 3])
    with client.suite.watch(max_await_time_ms=200) as of_database, client.watch(max_await_time_ms=200) as of_all:
        orders.insert_one({"_id": 4})
        expect("database and cluster", [next(each)["documentKey"]["_id"] for each in (of_database, of_all)], [4, 4])


def grid_fs(client: pymongo.MongoClient) -> None:
    bucket = gridfs.GridFSBucket(client.suite)
    content = random.Random(3).randbytes(FILE_BYTES)
    number = bucket.upload_from_stream("film", content)
    expect("file", bucket.open_download_stream(number).read() == content, True)
    bucket.delete(number)


def aggregation(client: pymongo.MongoClient) -> None:
    sales = client.suite.sales
    sales.insert_many([{"_id": n, "shop": n % 5, "sum": n} for n in range(200)])
    by_shop = {"$group": {"_id": "$shop", "sum": {"$sum": "$sum"}}}
    list(sales.aggregate([by_shop, {"$out": "totals"}]))
    expect("$out", sum(each["sum"] for each in client.suite.totals.find()), 19900)
    list(sales.aggregate([by_shop, {"$merge": {"into": "totals", "whenMatched": "keepExisting"}}]))
    expect("$merge", client.suite.totals.count_documents({}), 5)


def errors(client: pymongo.MongoClient) -> None:
    carts = client.suite.carts
    expect_error("duplicate key", DUPLICATE_KEY, lambda: carts.insert_one({"_id": 0}))
    expect_error("unknown command", COMMAND_NOT_FOUND, lambda: client.suite.command("noSuchCommand"))
    expect_error("bad filter", BAD_VALUE, lambda: carts.find_one({"$noSuchOperator": 1}))
    try:
        carts.insert_one({"_id": 0})
    except pymongo.errors.DuplicateKeyError as error:
        expect("details are the server's", error.details["keyValue"], {"_id": 0})


def unacknowledged(address: str, options: dict) -> dict:
    """One connection, so that what is written and what is read come from the same client."""
    recorder = Recorder()
    with connect(address, recorder, **options, maxPoolSize=1) as client:
        clicks = client.suite.get_collection("clicks", write_concern=pymongo.WriteConcern(w=0))
        for number in range(200):
            clicks.insert_one({"_id": number})
            expect("written just now", client.suite.clicks.find_one({"_id": number}), {"_id": number})
        clicks.delete_many({"_id": {"$lt": 100}})
        expect("deleted just now", client.suite.clicks.count_documents({}), 100)
    return recorder.operations()


def monitoring(pools: Pools, options: dict, through: str) -> None:
    expect("failed heartbeats", pools.failed_heartbeats, 0)
    if through == "proxy":
        expect("pool clears", pools.cleared, 0)
    if not options.get("loadBalanced"):
        deadline = time.monotonic() + 10
        while pools.awaited_heartbeats == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        expect("heartbeats are streamed", pools.awaited_heartbeats > 0, True)


FEATURES: list[Callable] = [crud, bulk, cursors, sessions, transactions, change_streams, grid_fs, aggregation, errors]


def main(address: str, through: str, *rest: str) -> None:
    options: dict[str, Any] = dict(each.split("=", 1) for each in rest)
    if options.get("loadBalanced"):
        options |= {"loadBalanced": True}
    options |= {"directConnection": None, "heartbeatFrequencyMS": 500}
    recorder, pools = Recorder(), Pools()
    did = []
    with connect(address, recorder, **options, event_listeners=pools.listeners()) as client:
        client.drop_database("suite")
        for feature in FEATURES:
            feature(client)
            did.append(feature.__name__)
        retryable_writes(client, through)
        apart = unacknowledged(address, options)
        monitoring(pools, options, through)
    report(recorder.operations() + apart, pools, features=[*did, "retryable_writes", "unacknowledged", "monitoring"])


if __name__ == "__main__":
    main(*sys.argv[1:])
