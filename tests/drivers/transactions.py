"""transactions.py HOST:PORT, a replica set's primary: one transaction committed, one aborted, two in conflict."""

import pymongo
from observe import expect, expect_error, run

WRITE_CONFLICT = 112


def transactions(client: pymongo.MongoClient) -> dict:
    accounts = client.bank.accounts
    client.drop_database("bank")
    accounts.insert_many([{"_id": "a", "sum": 100}, {"_id": "b", "sum": 100}], comment="bank.open")
    with client.start_session() as session:
        transfer(accounts, session, 10)
        session.commit_transaction()
        transfer(accounts, session, 50)
        session.abort_transaction()
    conflict(client, accounts)
    expect("what is left", accounts.find_one({"_id": "a"}, comment="bank.check")["sum"], 89)
    # The server itself ends the transaction that lost the conflict; the driver says abortTransaction all the same.
    return {"transactions": {"started": 4, "committed": 2, "aborted": 2}}


def transfer(accounts, session, amount: int) -> None:
    session.start_transaction()
    take = {"$inc": {"sum": -amount}}
    give = {"$inc": {"sum": amount}}
    expect("take", accounts.update_one({"_id": "a"}, take, session=session, comment="bank.take").modified_count, 1)
    expect("give", accounts.update_one({"_id": "b"}, give, session=session, comment="bank.give").modified_count, 1)


def conflict(client: pymongo.MongoClient, accounts) -> None:
    take = {"$inc": {"sum": -1}}
    with client.start_session() as winner, client.start_session() as loser:
        winner.start_transaction()
        accounts.update_one({"_id": "a"}, take, session=winner, comment="bank.winner")
        loser.start_transaction()
        expect_error(
            "a second writer",
            WRITE_CONFLICT,
            lambda: accounts.update_one({"_id": "a"}, take, session=loser, comment="bank.loser"),
        )
        loser.abort_transaction()
        winner.commit_transaction()


if __name__ == "__main__":
    run(transactions)
