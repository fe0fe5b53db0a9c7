// suite.js HOST:PORT proxy|server [OPTION=VALUE ...]: what an application does with the Node.js driver, each feature once.
//
// The same list as collapse/suite.py, against a replica set's member or the proxy in front of one. Through the proxy the
// driver's pool must never be cleared and no heartbeat may fail.
"use strict";

const { randomBytes } = require("node:crypto");
const { setTimeout: sleep } = require("node:timers/promises");
const { GridFSBucket } = require("mongodb");
const { Counted, expect, expectError, run } = require("./support.js");

const DUPLICATE_KEY = 11000;
const COMMAND_NOT_FOUND = 59;
const BAD_VALUE = 2;
const WRITE_CONFLICT = 112;
const HOST_UNREACHABLE = 6;

// Several chunks of 255 KiB.
const FILE_BYTES = 5_000_000;

const numbers = (from, to, step = 1) => Array.from({ length: Math.ceil((to - from) / step) }, (_, i) => from + i * step);

async function crud(db) {
  const carts = db.collection("carts");
  await carts.insertOne({ _id: 0, user: "a", total: 0 });
  const many = await carts.insertMany(numbers(1, 50).map((n) => ({ _id: n, user: "ab"[n % 2] })));
  expect("insert many", many.insertedCount, 49);
  expect("find one", (await carts.findOne({ _id: 7 })).user, "b");
  expect("update one", (await carts.updateOne({ _id: 7 }, { $set: { total: 5 } })).modifiedCount, 1);
  expect("update many", (await carts.updateMany({ user: "b" }, { $inc: { total: 1 } })).modifiedCount, 25);
  expect("replace", (await carts.replaceOne({ _id: 2 }, { user: "c" })).modifiedCount, 1);
  expect("upsert", (await carts.updateOne({ _id: 99 }, { $set: { user: "d" } }, { upsert: true })).upsertedId, 99);
  expect("find and modify", (await carts.findOneAndUpdate({ _id: 7 }, { $inc: { total: 1 } })).total, 6);
  expect("delete", (await carts.deleteOne({ _id: 99 })).deletedCount, 1);
  expect("count", await carts.countDocuments({}), 50);
  expect("estimated count", await carts.estimatedDocumentCount(), 50);
  expect("distinct", (await carts.distinct("user")).sort(), ["a", "b", "c"]);
  await carts.createIndex("user", { name: "by_user" });
  expect("indexes", (await carts.indexes()).map(({ name }) => name).sort(), ["_id_", "by_user"]);
  expect("collections", (await db.listCollections().toArray()).some(({ name }) => name === "carts"), true);
}

async function bulk(db) {
  const stock = db.collection("stock");
  await stock.insertMany(numbers(0, 100).map((n) => ({ _id: n })));
  const result = await stock.bulkWrite([
    ...numbers(100, 3000).map((n) => ({ insertOne: { document: { _id: n, text: "x".repeat(2000) } } })),
    { updateOne: { filter: { _id: 1 }, update: { $set: { seen: 1 } } } },
    { updateMany: { filter: { _id: { $lt: 50 } }, update: { $set: { seen: 2 } } } },
    { replaceOne: { filter: { _id: 2 }, replacement: { seen: 3 } } },
    { deleteOne: { filter: { _id: 3 } } },
    { deleteMany: { filter: { _id: { $gte: 2900 } } } },
  ]);
  expect("bulk", [result.insertedCount, result.modifiedCount, result.deletedCount], [2900, 52, 101]);
  const twice = [{ insertOne: { document: { _id: 1 } } }, { insertOne: { document: { _id: 9000 } } }];
  const error = await expectError("unordered bulk", DUPLICATE_KEY, () => stock.bulkWrite(twice, { ordered: false }));
  expect("the rest of an unordered bulk", error.result.insertedCount, 1);
}

async function cursors(db) {
  const collection = db.collection("numbers");
  await collection.insertMany(numbers(0, 500).map((n) => ({ _id: n })));
  const read = async (filter, batchSize) =>
    (await collection.find(filter, { batchSize }).sort({ _id: 1 }).toArray()).map(({ _id }) => _id);
  expect("many batches", await read({}, 3), numbers(0, 500));
  const open = numbers(0, 7).map((rest) => collection.find({ _id: { $mod: [7, rest] } }, { batchSize: 2 }).sort({ _id: 1 }));
  const seen = open.map(() => []);
  for (let left = open.length; left > 0; ) {
    left = 0;
    for (const [at, cursor] of open.entries()) {
      const next = await cursor.next();
      if (next) {
        seen[at].push(next._id);
        left += 1;
      }
    }
  }
  expect("interleaved", seen, numbers(0, 7).map((rest) => numbers(rest, 500, 7)));
  const givenUp = collection.find({}, { batchSize: 2 });
  await givenUp.next();
  await givenUp.close();
  const pipeline = [{ $group: { _id: { $mod: ["$_id", 100] } } }, { $sort: { _id: 1 } }];
  const grouped = await collection.aggregate(pipeline, { batchSize: 10 }).toArray();
  expect("aggregate in batches", grouped.map(({ _id }) => _id), numbers(0, 100));
  // More of them at the same time than the proxy has connections.
  const found = await Promise.all(numbers(0, 16).map((rest) => read({ _id: { $mod: [16, rest] } }, 2)));
  expect("16 cursors at a time", found, numbers(0, 16).map((rest) => numbers(rest, 500, 16)));
}

async function sessions(db, client) {
  const notes = db.collection("notes");
  await client.withSession({ causalConsistency: true }, async (session) => {
    for (const number of numbers(0, 20)) {
      await notes.insertOne({ _id: number }, { session });
      expect("own write", await notes.findOne({ _id: number }, { session }), { _id: number });
    }
    expect("cursor of a session", (await notes.find({}, { batchSize: 4, session }).toArray()).length, 20);
  });
  await client.withSession({ snapshot: true }, async (session) => {
    const before = await notes.countDocuments({}, { session });
    await notes.insertOne({ _id: 20 });
    expect("snapshot", [before, await notes.countDocuments({}, { session })], [20, 20]);
  });
}

async function retryableWrites(db, client, through) {
  const events = db.collection("events");
  await events.insertOne({ _id: "first" });
  const failOnce = async (command, how, step) => {
    const admin = client.db("admin");
    const data = { failCommands: [command], ...how };
    await admin.command({ configureFailPoint: "failCommand", mode: { times: 1 }, data });
    await step();
    await admin.command({ configureFailPoint: "failCommand", mode: "off" });
  };
  const lost = { errorCode: HOST_UNREACHABLE };
  await failOnce("insert", { ...lost, errorLabels: ["RetryableWriteError"] }, () => events.insertOne({ _id: "retried" }));
  await failOnce("find", lost, async () => expect("retried read", (await events.findOne({ _id: "retried" }))._id, "retried"));
  if (through === "proxy") {
    // The connection that ends is one between the proxy and the server: the driver's stay.
    await failOnce("insert", { closeConnection: true }, () => events.insertOne({ _id: "connection lost" }));
    await failOnce("find", { closeConnection: true }, async () =>
      expect("connection lost", (await events.findOne({ _id: "connection lost" }))._id, "connection lost"),
    );
  }
  await events.findOneAndUpdate({ _id: "first" }, { $set: { seen: true } });
}

async function transactions(db, client) {
  const accounts = db.collection("accounts");
  await accounts.insertMany([{ _id: "a", sum: 100 }, { _id: "b", sum: 100 }]);
  const sum = async (options) => (await accounts.findOne({ _id: "a" }, options)).sum;
  const transfer = async (session, amount) => {
    await accounts.updateOne({ _id: "a" }, { $inc: { sum: -amount } }, { session });
    await accounts.updateOne({ _id: "b" }, { $inc: { sum: amount } }, { session });
  };
  await client.withSession(async (session) => {
    session.startTransaction();
    await transfer(session, 10);
    expect("own change", await sum({ session }), 90);
    expect("not seen outside", await sum(), 100);
    await session.commitTransaction();
    expect("committed", await sum(), 90);
    // A commit may be repeated.
    await session.commitTransaction();
    session.startTransaction();
    await transfer(session, 50);
    await session.abortTransaction();
    expect("aborted", await sum(), 90);
    session.startTransaction();
    await transfer(session, 50);
    await expectError("error inside", DUPLICATE_KEY, () => accounts.insertOne({ _id: "a" }, { session }));
    await session.abortTransaction();
    await session.withTransaction(() => transfer(session, 5));
    expect("withTransaction", await sum(), 85);
    session.startTransaction();
    expect("cursor inside", (await accounts.find({}, { batchSize: 1, session }).toArray()).length, 2);
    await session.commitTransaction();
  });
  await conflict(accounts, client);
}

async function conflict(accounts, client) {
  const more = [{ _id: "a" }, { $inc: { sum: 1 } }];
  await client.withSession(async (winner) => {
    await client.withSession(async (loser) => {
      winner.startTransaction();
      await accounts.updateOne(...more, { session: winner });
      loser.startTransaction();
      const error = await expectError("conflict", WRITE_CONFLICT, () => accounts.updateOne(...more, { session: loser }));
      expect("label of the conflict", error.hasErrorLabel("TransientTransactionError"), true);
      await loser.abortTransaction();
      await winner.commitTransaction();
    });
  });
}

async function changeStreams(db, client) {
  await db.createCollection("orders");
  const orders = db.collection("orders");
  const next = async (changes) => (await changes.next()).documentKey._id;
  const changes = orders.watch([], { maxAwaitTimeMS: 200 });
  expect("before any change", await changes.tryNext(), null);
  await orders.insertMany([{ _id: 0 }, { _id: 1 }, { _id: 2 }]);
  expect("changes", [await next(changes), await next(changes)], [0, 1]);
  const resumeAfter = changes.resumeToken;
  await changes.close();
  await orders.insertOne({ _id: 3 });
  const resumed = orders.watch([], { resumeAfter, maxAwaitTimeMS: 200 });
  expect("resumed", [await next(resumed), await next(resumed)], [2, 3]);
  await resumed.close();
  const wide = [db.watch([], { maxAwaitTimeMS: 200 }), client.watch([], { maxAwaitTimeMS: 200 })];
  for (const each of wide) await each.tryNext();
  await orders.insertOne({ _id: 4 });
  expect("database and cluster", [await next(wide[0]), await next(wide[1])], [4, 4]);
  for (const each of wide) await each.close();
}

async function gridFs(db) {
  const bucket = new GridFSBucket(db);
  const content = randomBytes(FILE_BYTES);
  const upload = bucket.openUploadStream("film");
  await new Promise((resolve, reject) => upload.once("finish", resolve).once("error", reject).end(content));
  const chunks = [];
  for await (const chunk of bucket.openDownloadStream(upload.id)) chunks.push(chunk);
  expect("file", Buffer.concat(chunks).equals(content), true);
  await bucket.delete(upload.id);
}

async function aggregation(db) {
  const sales = db.collection("sales");
  await sales.insertMany(numbers(0, 200).map((n) => ({ _id: n, shop: n % 5, sum: n })));
  const byShop = { $group: { _id: "$shop", sum: { $sum: "$sum" } } };
  await sales.aggregate([byShop, { $out: "totals" }]).toArray();
  const totals = await db.collection("totals").find().toArray();
  expect("$out", totals.reduce((all, { sum }) => all + sum, 0), 19900);
  await sales.aggregate([byShop, { $merge: { into: "totals", whenMatched: "keepExisting" } }]).toArray();
  expect("$merge", await db.collection("totals").countDocuments({}), 5);
}

async function errors(db) {
  const carts = db.collection("carts");
  const error = await expectError("duplicate key", DUPLICATE_KEY, () => carts.insertOne({ _id: 0 }));
  expect("details are the server's", error.keyValue, { _id: 0 });
  await expectError("unknown command", COMMAND_NOT_FOUND, () => db.command({ noSuchCommand: 1 }));
  await expectError("bad filter", BAD_VALUE, () => carts.findOne({ $noSuchOperator: 1 }));
}

// One connection, so that what is written and what is read come from the same client.
async function unacknowledged(address, options) {
  const counted = new Counted(address, { ...options, maxPoolSize: 1 });
  const db = counted.client.db("suite");
  const clicks = db.collection("clicks", { writeConcern: { w: 0 } });
  for (const number of numbers(0, 200)) {
    await clicks.insertOne({ _id: number });
    expect("written just now", await db.collection("clicks").findOne({ _id: number }), { _id: number });
  }
  await clicks.deleteMany({ _id: { $lt: 100 } });
  expect("deleted just now", await db.collection("clicks").countDocuments({}), 100);
  await counted.client.close();
  return counted.commands;
}

async function monitoring(counted, options, through) {
  expect("failed heartbeats", counted.pools.failed_heartbeats, 0);
  if (through === "proxy") expect("pool clears", counted.pools.cleared, 0);
  const deadline = Date.now() + 10_000;
  while (!options.loadBalanced && counted.pools.awaited_heartbeats === 0 && Date.now() < deadline) await sleep(50);
  expect("heartbeats are streamed", Boolean(options.loadBalanced) || counted.pools.awaited_heartbeats > 0, true);
}

const FEATURES = [crud, bulk, cursors, sessions, retryableWrites, transactions, changeStreams, gridFs, aggregation, errors];

run(async (address, through, ...rest) => {
  const options = Object.fromEntries(rest.map((each) => each.split("=", 2)));
  options.heartbeatFrequencyMS = 500;
  const counted = new Counted(address, options);
  const db = counted.client.db("suite");
  await db.dropDatabase();
  for (const feature of FEATURES) await feature(db, counted.client, through);
  const apart = await unacknowledged(address, options);
  await monitoring(counted, options, through);
  await counted.client.close();
  for (const [name, count] of Object.entries(apart)) counted.commands[name] = (counted.commands[name] ?? 0) + count;
  const features = [...FEATURES, unacknowledged, monitoring].map(({ name }) => name);
  return { commands: counted.commands, pools: counted.pools, features };
});
