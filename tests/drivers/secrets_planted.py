"""secrets_planted.py HOST:PORT PASSWORD SECRET: a SCRAM login with that password, and that secret as a value everywhere.

Neither may show up in anything that a proxy prints, counts or logs.
"""

import sys

import pymongo
from observe import Recorder, connect, expect, expect_error, run

AUTHENTICATION_FAILED = 18


def secrets_planted(client: pymongo.MongoClient, password: str, secret: str) -> None:
    client.admin.command("dropAllUsersFromDatabase")
    client.admin.command("createUser", "planted", pwd=password, roles=["root"])
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-1"):
        with connect(sys.argv[1], Recorder(), username="planted", password=password, authMechanism=mechanism) as user:
            expect(f"{mechanism} login", user.admin.command("ping", comment="planted.login")["ok"], 1.0)
    wrong = {"username": "planted", "password": password + "x", "authMechanism": "SCRAM-SHA-256"}
    with connect(sys.argv[1], Recorder(), **wrong) as nobody:
        expect_error("login with a wrong password", AUTHENTICATION_FAILED, lambda: nobody.admin.command("ping"))
    plant(client.shop.people, secret)
    client.admin.command("dropAllUsersFromDatabase")


def plant(people, secret: str) -> None:
    people.drop()
    people.insert_one({"_id": secret, "card": secret}, comment="people.add")
    expect("find", people.find_one({"card": secret}, comment="people.find")["_id"], secret)
    expect("update", people.update_one({"_id": secret}, {"$set": {"card2": secret}}, comment="people.edit").matched_count, 1)
    expect("distinct", people.distinct("card", {"_id": secret}, comment="people.cards"), [secret])
    expect("aggregate", len(list(people.aggregate([{"$match": {"card": secret}}], comment="people.report"))), 1)
    # The server's own error text repeats the key.
    expect_error("duplicate key", 11000, lambda: people.insert_one({"_id": secret}, comment="people.add"))


if __name__ == "__main__":
    run(secrets_planted)
