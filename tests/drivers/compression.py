"""compression.py HOST:PORT snappy|zlib|zstd: reads and writes over a compressed connection."""

import sys

import pymongo
from observe import expect, run

DOCUMENTS = 300


def compression(client: pymongo.MongoClient, compressor: str) -> dict:
    before = received(client, compressor)
    notes = client.shop.notes
    client.drop_database("shop")
    documents = [{"_id": number, "text": f"note {number} " * 50} for number in range(DOCUMENTS)]
    notes.insert_many(documents, comment="notes.import")
    expect("find in batches", list(notes.find({}, batch_size=100, comment="notes.export")), documents)
    expect("find by id", notes.find_one({"_id": 17}, comment="notes.open")["_id"], 17)
    expect("update", notes.update_many({}, {"$set": {"read": True}}, comment="notes.read").modified_count, DOCUMENTS)
    # A driver that lacks a compressor's library goes on without it; the server's own count shows that it didn't.
    compressed = received(client, compressor) - before
    if compressed == 0:
        sys.exit(f"{sys.argv[0]}: the server received nothing compressed with {compressor}")
    return {"compressor": compressor, "compressed_bytes": compressed}


def received(client: pymongo.MongoClient, compressor: str) -> int:
    return client.admin.command("serverStatus")["network"]["compression"][compressor]["decompressor"]["bytesIn"]


if __name__ == "__main__":
    run(compression, compressors=sys.argv[2])
