"""big.py HOST:PORT: one insert message just under 48,000,000 bytes, and replies just under 16 MiB.

A server refuses longer messages (maxMessageSizeBytes), and never puts more than 16 MiB into one batch of a reply.
"""

import pymongo
from observe import expect, run

DOCUMENTS = 3
PAYLOAD = 15_990_000


def big(client: pymongo.MongoClient) -> dict:
    client.drop_database("archive")
    files = client.archive.files
    payload = bytes(range(256)) * (PAYLOAD // 256)
    files.insert_many([{"_id": number, "payload": payload} for number in range(DOCUMENTS)], comment="archive.store")
    for number in range(DOCUMENTS):
        found = files.find_one({"_id": number}, comment="archive.load")
        expect(f"file {number} is what was stored", found["payload"] == payload, True)
    expect("find in batches", sum(1 for _ in files.find({}, comment="archive.scan")), DOCUMENTS)
    client.drop_database("archive")
    return {"message_bytes_at_least": DOCUMENTS * len(payload), "reply_bytes_at_least": len(payload)}


if __name__ == "__main__":
    run(big)
