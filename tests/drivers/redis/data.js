// What is kept in Redis: each kind of value, the errors of wrong use, long pipelines and large values.
"use strict";

const { createHash } = require("node:crypto");
const { expect, expectError, results } = require("./counted.js");

const PIPELINED = 10_000;
const MEGABYTE = 1 << 20;

// Milliseconds: long enough to be a wait, short enough for a test.
const WAIT_MS = 100;
const FOREVER_MS = 30_000;

const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);

async function strings(server) {
  await server.clients(async (client) => {
    const [key, other, gone] = ["string", "other", "gone"].map((name) => server.key(name));
    expect("SET", await client.set(key, "a"), "OK");
    expect("SET NX", await client.set(key, "b", "NX"), null);
    expect("SET GET", await client.set(key, "b", "EX", 100, "GET"), "a");
    expect("GET", [await client.get(key), await client.get(gone)], ["b", null]);
    expect("APPEND", await client.append(key, "cd"), 3);
    expect("GETRANGE", await client.getrange(key, 1, -1), "cd");
    expect("MSET", await client.mset(key, 1, other, 2), "OK");
    expect("MGET", await client.mget(key, gone, other), ["1", null, "2"]);
    expect("INCR", [await client.incr(key), await client.incrby(key, 40), await client.decr(key)], [2, 42, 41]);
    expect("INCRBYFLOAT", await client.incrbyfloat(key, 0.5), "41.5");
    expect("TTL", [await client.ttl(key), await client.expire(key, 50), await client.persist(key)], [-1, 1, 1]);
    expect("EXISTS", await client.exists(key, key, gone), 2);
    expect("TYPE", await client.type(key), "string");
    expect("DEL", [await client.del(key, other), await client.unlink(gone)], [2, 0]);
    for (const value of [Buffer.from(numbers(0, 256)), Buffer.from("$5\r\n*1\r\n-ERR\r\n"), Buffer.alloc(0)]) {
      expect("SET of bytes", await client.set(key, value), "OK");
      expect("GET of bytes", await client.getBuffer(key), value);
    }
  });
}

async function hashes(server) {
  await server.clients(async (client) => {
    const key = server.key("hash");
    expect("HSET", await client.hset(key, { a: 1, b: 2 }), 2);
    expect("HGET", [await client.hget(key, "a"), await client.hget(key, "z")], ["1", null]);
    expect("HGETALL", { ...(await client.hgetall(key)) }, { a: "1", b: "2" });
    expect("HMGET", await client.hmget(key, "b", "z"), ["2", null]);
    expect("HINCRBY", [await client.hincrby(key, "a", 2), await client.hincrbyfloat(key, "a", 0.5)], [3, "3.5"]);
    expect("HDEL", [await client.hdel(key, "a", "z"), await client.hlen(key)], [1, 1]);
  });
}

async function lists(server) {
  await server.clients(async (client) => {
    const [key, other] = [server.key("list"), server.key("other list")];
    expect("RPUSH", [await client.rpush(key, "b", "c"), await client.lpush(key, "a")], [2, 3]);
    expect("LRANGE", await client.lrange(key, 0, -1), ["a", "b", "c"]);
    expect("LINDEX", [await client.lindex(key, -1), await client.lindex(key, 9)], ["c", null]);
    expect("LMOVE", await client.lmove(key, other, "LEFT", "RIGHT"), "a");
    expect("LMPOP", await client.lmpop(2, key, other, "LEFT", "COUNT", 5), [key, ["b", "c"]]);
    expect("LPOP", [await client.lpop(key), await client.lpop(other, 2)], [null, ["a"]]);
    await client.rpush(key, ...numbers(0, 5000));
    expect("a long list", await client.lrange(key, 0, -1), numbers(0, 5000).map(String));
  });
}

async function sets(server) {
  await server.clients(async (client) => {
    const [one, two] = [server.key("set"), server.key("other set")];
    expect("SADD", [await client.sadd(one, "a", "b", "c"), await client.sadd(two, "b", "c", "d")], [3, 3]);
    expect("SISMEMBER", [await client.sismember(one, "a"), await client.smismember(one, "a", "z")], [1, [1, 0]]);
    expect("SMEMBERS", (await client.smembers(one)).sort(), ["a", "b", "c"]);
    expect("SINTER", (await client.sinter(one, two)).sort(), ["b", "c"]);
    expect("SDIFF", await client.sdiff(one, two), ["a"]);
    expect("SREM", [await client.srem(two, "b", "z"), await client.scard(two)], [1, 2]);
  });
}

async function sortedSets(server) {
  await server.clients(async (client) => {
    const key = server.key("zset");
    expect("ZADD", await client.zadd(key, 1, "a", 2, "b", 3.5, "c"), 3);
    expect("ZSCORE", [await client.zscore(key, "c"), await client.zscore(key, "z")], ["3.5", null]);
    expect("ZRANK", [await client.zrank(key, "c"), await client.zrank(key, "z")], [2, null]);
    expect("ZRANGE", (await client.zrange(key, 0, -1, "WITHSCORES")).flat(), ["a", "1", "b", "2", "c", "3.5"]);
    expect("ZINCRBY", await client.zincrby(key, 10, "a"), "11");
    expect("ZPOPMAX", (await client.zpopmax(key)).flat(), ["a", "11"]);
    expect("ZREM", [await client.zrem(key, "b", "z"), await client.zcard(key)], [1, 1]);
  });
}

async function streams(server) {
  await server.clients(async (client, other) => {
    const [key, empty] = [server.key("stream"), server.key("other stream")];
    for (const n of numbers(1, 6)) expect("XADD", await client.xadd(key, `${n}-1`, "n", n), `${n}-1`);
    expect("XLEN", await client.xlen(key), 5);
    expect("XRANGE", await client.xrange(key, 2, 3), [["2-1", ["n", "2"]], ["3-1", ["n", "3"]]]);
    expect("XREAD", (await client.xread("STREAMS", key, "4-1")).flat(), [key, [["5-1", ["n", "5"]]]]);
    expect("XREAD of nothing new", await client.xread("STREAMS", key, "5-1"), null);
    expect("XREAD BLOCK, timed out", await client.xread("BLOCK", WAIT_MS, "STREAMS", key, "$"), null);
    const [served] = await Promise.all([
      client.xread("BLOCK", FOREVER_MS, "STREAMS", key, empty, "5-1", "0"),
      other.xadd(empty, "7-1", "a", "b"),
    ]);
    expect("XREAD BLOCK, served", served.flat(), [empty, [["7-1", ["a", "b"]]]]);
  });
}

async function groups(server) {
  await server.clients(async (client, other) => {
    const key = server.key("jobs");
    const read = (...rest) => client.xreadgroup("GROUP", "workers", "ann", ...rest);
    expect("XGROUP CREATE", await client.xgroup("CREATE", key, "workers", "0", "MKSTREAM"), "OK");
    await expectError("BUSYGROUP", "BUSYGROUP", client.xgroup("CREATE", key, "workers", "0"));
    for (const n of numbers(1, 4)) await client.xadd(key, `${n}-0`, "job", n);
    const first = [["1-0", ["job", "1"]], ["2-0", ["job", "2"]]];
    expect("XREADGROUP", (await read("COUNT", 2, "STREAMS", key, ">")).flat(), [key, first]);
    expect("XACK", await client.xack(key, "workers", "1-0", "9-0"), 1);
    expect("XPENDING", (await client.xpending(key, "workers"))[0], 1);
    expect("own history", (await read("STREAMS", key, "0")).flat(), [key, first.slice(1)]);
    expect("the rest", (await read("NOACK", "STREAMS", key, ">")).flat(), [key, [["3-0", ["job", "3"]]]]);
    expect("XREADGROUP BLOCK, timed out", await read("BLOCK", WAIT_MS, "STREAMS", key, ">"), null);
    const [served] = await Promise.all([read("BLOCK", FOREVER_MS, "STREAMS", key, ">"), other.xadd(key, "5-0", "a", "b")]);
    expect("XREADGROUP BLOCK, served", served.flat(), [key, [["5-0", ["a", "b"]]]]);
    await expectError("NOGROUP", "NOGROUP", client.xreadgroup("GROUP", "nobody", "ann", "STREAMS", key, ">"));
  });
}

async function scan(server) {
  await server.clients(async (client) => {
    const mine = numbers(0, 500).map((n) => server.key(`scan:${n}`));
    await client.mset(...mine.flatMap((key) => [key, "x"]));
    const seen = new Set();
    for await (const keys of client.scanStream({ match: server.key("scan:*"), count: 100 })) {
      for (const key of keys) seen.add(key);
    }
    expect("SCAN", [...seen].sort(), mine.sort());
  });
}

async function errors(server) {
  await server.clients(async (client) => {
    const key = server.key("wrong");
    await client.set(key, "text");
    const wrongType = "WRONGTYPE Operation against a key holding the wrong kind of value";
    await expectError("WRONGTYPE", wrongType, client.lpush(key, "a"));
    await expectError("not a number", "ERR value is not an integer", client.incr(key));
    await expectError("unknown command", "ERR unknown command 'NOSUCHCOMMAND'", client.call("NOSUCHCOMMAND", key));
    await expectError("too few arguments", "ERR wrong number of arguments", client.call("GET"));
    const replies = results(await client.pipeline().get(key).lpush(key, "a").call("NOSUCHCOMMAND").get(key).exec());
    expect("around errors", [replies[0], replies[3]], ["text", "text"]);
    await expectError("WRONGTYPE in a pipeline", wrongType, replies[1]);
    await expectError("unknown command in a pipeline", "ERR unknown command", replies[2]);
  });
}

async function pipelines(server) {
  await server.clients(async (client) => {
    const [count, gone, queued] = ["pipe:count", "gone", "queued"].map((name) => server.key(name));
    const pipe = client.pipeline();
    const wanted = [];
    for (const n of numbers(0, PIPELINED / 4)) {
      const key = server.key(`pipe:${n % 100}`);
      pipe.set(key, n).get(key).incr(count).lrange(gone, 0, -1);
      wanted.push("OK", String(n), n + 1, []);
    }
    expect("pipeline", results(await pipe.exec()), wanted);
    const transaction = client.multi();
    for (const n of numbers(0, PIPELINED)) transaction.rpush(queued, n);
    expect("long transaction", results(await transaction.exec()), numbers(1, PIPELINED + 1));
    // Without a pipeline, but without waiting either.
    expect("at once", await Promise.all(numbers(0, 1000).map((n) => client.echo(String(n)))), numbers(0, 1000).map(String));
  });
}

async function bigValues(server) {
  const key = server.key("big");
  const value = Buffer.alloc(server.bigMb * MEGABYTE, createHash("sha512").update(server.prefix).digest());
  for (const n of numbers(0, server.bigMb)) value.writeUInt32BE(n, n * MEGABYTE);
  const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");
  await server.clients(async (client) => {
    expect("SET of a big value", await client.set(key, value), "OK");
    expect("STRLEN", await client.strlen(key), value.length);
    const found = await client.getBuffer(key);
    expect("length of a big value", found.length, value.length);
    expect("hash of a big value", digest(found), digest(value));
    expect("SET after it", await client.set(key, "small"), "OK");
    expect("GET after it", await client.get(key), "small");
  });
}

module.exports = { strings, hashes, lists, sets, sortedSets, streams, groups, scan, errors, pipelines, bigValues };
