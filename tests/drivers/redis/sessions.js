// What a connection remembers, or a server for it, and what a server says by itself.
"use strict";

const { createHash } = require("node:crypto");
const { Heard, counts, expect, expectError, results } = require("./counted.js");

const OTHER_DATABASE = 1;

// Rounds in which two clients wake each other.
const ROUNDS = 50;

// Seconds: long enough to be a wait, short enough for a test.
const WAIT = 0.1;
const FOREVER = 30;

async function transactions(server) {
  await server.clients(async (client, other) => {
    const [account, log] = [server.key("account"), server.key("log")];
    await client.set(account, 100);
    expect("MULTI", results(await client.multi().incrby(account, -10).rpush(log, "a").get(account).exec()), [90, 1, "90"]);
    await client.watch(account);
    expect("another client's write", await other.set(account, 50), "OK");
    expect("EXEC of a changed key", await client.multi().set(account, 80).exec(), null);
    await client.watch(account);
    const sum = Number(await client.get(account));
    expect("retried", results(await client.multi().set(account, sum - 10).get(account).exec()), ["OK", "40"]);
    await client.watch(account);
    await other.set(account, 1);
    await client.unwatch();
    expect("after UNWATCH", results(await client.multi().set(account, "text").exec()), ["OK"]);
    const failed = results(await client.multi().lpush(account, "a").get(account).exec());
    await expectError("error of a queued command", "WRONGTYPE", failed[0]);
    expect("after it", failed[1], "text");

    expect("MULTI by hand", await client.multi({ pipeline: false }), "OK");
    expect("queued", [await client.set(account, "b"), await client.discard()], ["QUEUED", "OK"]);
    expect("after DISCARD", await client.get(account), "text");
    await client.multi({ pipeline: false });
    expect("queued", await client.set(account, "c"), "QUEUED");
    await expectError("unknown command in MULTI", "ERR unknown command", client.call("NOSUCHCOMMAND"));
    await expectError("EXECABORT", "EXECABORT", client.exec());
    expect("after EXECABORT", await client.get(account), "text");
    await expectError("EXEC without MULTI", "ERR EXEC without MULTI", client.call("EXEC"));
  });
}

async function scripts(server) {
  await server.clients(async (client) => {
    const [key, counter] = [server.key("script"), server.key("counter")];
    const body = `redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], ARGV[1], 7, false} -- ${server.prefix}`;
    const digest = createHash("sha1").update(body).digest("hex");
    expect("SCRIPT EXISTS", await client.script("EXISTS", digest), [0]);
    await expectError("NOSCRIPT", "NOSCRIPT", client.evalsha(digest, 1, key, "a"));
    expect("SCRIPT LOAD", await client.script("LOAD", body), digest);
    expect("EVALSHA", await client.evalsha(digest, 1, key, "a"), [key, "a", 7, null]);
    expect("EVAL", await client.eval(body, 1, key, "b"), [key, "b", 7, null]);
    await expectError("error of a script", "MY own", client.eval("return redis.error_reply('MY own')", 0));
    // The driver sends it whole the first time, and by its digest from then on.
    client.defineCommand("raise", { numberOfKeys: 1, lua: `return redis.call('INCR', KEYS[1]) -- ${server.prefix}` });
    const before = [counts.commands.evalsha, counts.commands.eval];
    expect("defined command", [await client.raise(counter), await client.raise(counter)], [1, 2]);
    expect("how it was sent", [counts.commands.evalsha - before[0], counts.commands.eval - before[1]], [1, 1]);
    const name = server.prefix.slice(0, -1);
    const call = `function(keys, args) return redis.call('SET', keys[1], args[1]) end`;
    const library = `#!lua name=${name}\nredis.register_function('${name}', ${call})\n`;
    expect("FUNCTION LOAD", await client.function("LOAD", library), name);
    expect("FCALL", await client.fcall(name, 1, key, "c"), "OK");
    expect("FUNCTION DELETE", await client.function("DELETE", name), "OK");
    await expectError("FCALL of what is gone", "ERR Function not found", client.fcall(name, 1, key, "c"));
  });
}

async function replicas(server) {
  await server.clients(async (client) => {
    expect("SET", await client.set(server.key("written"), "1"), "OK");
    expect("WAIT for what was written", await client.wait(0, 1), 0);
  });
}

async function blocking(server) {
  await server.clients(async (client, other) => {
    const [one, two, gone] = [server.key("queue"), server.key("other queue"), server.key("gone")];
    expect("BLPOP, timed out", await client.blpop(gone, one, WAIT), null);
    expect("BLMOVE, timed out", await client.blmove(gone, one, "LEFT", "RIGHT", WAIT), null);
    expect("BZPOPMIN, timed out", await client.bzpopmin(gone, WAIT), null);
    const answers = async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        expect("BRPOP of a question", await other.brpop(one, FOREVER), [one, String(round)]);
        await other.lpush(two, `answer ${round}`);
      }
    };
    const questions = async () => {
      for (let round = 0; round < ROUNDS; round += 1) {
        expect("RPUSH of a question", await client.rpush(one, round), 1);
        expect("BLPOP of its answer", await client.blpop(two, FOREVER), [two, `answer ${round}`]);
      }
    };
    await Promise.all([answers(), questions()]);
    // What is asked behind a wait is answered after it.
    const [popped, behind] = await Promise.all([client.blpop(one, FOREVER), client.echo("behind"), other.rpush(one, "a")]);
    expect("BLPOP, served, and what is behind it", [popped, behind], [[one, "a"], "behind"]);
  });
}

async function databases(server) {
  const key = server.key("in a database");
  await server.clients(async (client) => {
    expect("SET in the first", await client.set(key, "zero"), "OK");
    expect("SELECT", [await client.select(OTHER_DATABASE), await client.get(key)], ["OK", null]);
    await expectError("SELECT of what is not there", "ERR DB index is out of range", client.call("SELECT", 1_000_000));
    expect("SET in the other", [await client.set(key, "one"), await client.get(key)], ["OK", "one"]);
    expect("SELECT back", [await client.select(0), await client.get(key)], ["OK", "zero"]);
  });
  await server.clients(
    async (client) => expect("the options' database", [await client.get(key), await client.del(key)], ["one", 1]),
    { db: OTHER_DATABASE },
  );
}

async function names(server) {
  const name = server.prefix.slice(0, -1);
  await server.clients(
    async (client) => {
      expect("name of the options", await client.client("GETNAME"), name);
      expect("CLIENT SETNAME", await client.client("SETNAME", `${name}2`), "OK");
      expect("its new name", await client.client("GETNAME"), `${name}2`);
      await expectError("a name with a space", "ERR Client names cannot contain spaces", client.client("SETNAME", "a b"));
      expect("PING", [await client.ping(), await client.ping("a")], ["PONG", "a"]);
      expect("QUIT", await client.quit(), "OK");
    },
    { connectionName: name },
  );
}

async function login(server) {
  await server.clients(async (client) => {
    if (!server.user) {
      const refused = "ERR AUTH <password> called without any password configured";
      await expectError("AUTH without a password set", refused, client.call("AUTH", "wrong"));
    } else {
      await expectError("wrong password", "WRONGPASS", client.call("AUTH", server.user, "wrong"));
      await expectError("unknown user", "WRONGPASS", client.call("AUTH", "nosuchuser", server.password));
      expect("AUTH", await client.call("AUTH", server.user, server.password), "OK");
      expect("ACL WHOAMI", await client.acl("WHOAMI"), server.user);
    }
    expect("PING after it", await client.ping(), "PONG");
  });
}

async function channels(server) {
  await server.clients(async (client, subscriber) => {
    const [news, sport, weather, pattern] = ["news", "sport", "weather", "w*"].map((name) => server.key(name));
    const heard = new Heard(subscriber, "message", "pmessage");
    expect("SUBSCRIBE", await subscriber.subscribe(news, sport, weather), 3);
    expect("PSUBSCRIBE", await subscriber.psubscribe(pattern), 4);
    expect("PUBLISH", [await client.publish(news, "a"), await client.publish(weather, "b")], [1, 2]);
    const wanted = [["message", news, "a"], ["message", weather, "b"], ["pmessage", pattern, weather, "b"]];
    expect("messages", await heard.take(3), wanted);
    await Promise.all(Array.from({ length: 1000 }, (_, n) => client.publish(sport, n)));
    const many = await heard.take(1000);
    expect("many messages", many.map(([, , text]) => Number(text)), Array.from({ length: 1000 }, (_, n) => n));
    expect("PUBSUB NUMSUB", await client.pubsub("NUMSUB", news), [news, 1]);
    expect("UNSUBSCRIBE of one", await subscriber.unsubscribe(news), 3);
    expect("PUBLISH to nobody", await client.publish(news, "c"), 0);
    // Named: without names the driver waits until there are no patterns either.
    expect("UNSUBSCRIBE", [await subscriber.unsubscribe(sport, weather), await subscriber.punsubscribe()], [1, 0]);
    expect("the same connection", [await subscriber.set(news, "kept"), await subscriber.get(news)], ["OK", "kept"]);
    expect("SUBSCRIBE again", await subscriber.subscribe(sport), 1);
    if (server.resp === 3) expect("GET while subscribed", await subscriber.get(news), "kept");
  });
}

async function shardChannels(server) {
  await server.clients(async (client, subscriber) => {
    const [one, two] = [server.key("{shard}1"), server.key("{shard}2")];
    const heard = new Heard(subscriber, "smessage");
    expect("SSUBSCRIBE", await subscriber.ssubscribe(one, two), 2);
    expect("SPUBLISH", [await client.spublish(one, "a"), await client.spublish(two, "b")], [1, 1]);
    expect("messages of shards", await heard.take(2), [["smessage", one, "a"], ["smessage", two, "b"]]);
    expect("PUBLISH beside", await client.publish(one, "a"), 0);
    expect("SUNSUBSCRIBE", [await subscriber.sunsubscribe(), await subscriber.get(one)], [0, null]);
  });
}

// The driver drops what version 3 pushes here, and must not take it for a reply.
async function tracking(server) {
  await server.clients(async (client, other) => {
    const key = server.key("tracked");
    expect("CLIENT TRACKING", await client.client("TRACKING", "ON"), "OK");
    for (let n = 0; n < 100; n += 1) {
      expect("write", await other.set(key, n), "OK");
      expect("read", await client.get(key), String(n));
    }
  });
}

async function redirectedTracking(server) {
  await server.clients(async (client, told, other) => {
    const key = server.key("redirected");
    await client.set(key, "a");
    const heard = new Heard(told, "message");
    const id = await told.client("ID");
    expect("SUBSCRIBE", await told.subscribe("__redis__:invalidate"), 1);
    expect("CLIENT TRACKING REDIRECT", await client.client("TRACKING", "ON", "REDIRECT", id), "OK");
    expect("GET", await client.get(key), "a");
    await other.set(key, "b");
    expect("invalidation", await heard.take(1), [["message", "__redis__:invalidate", key]]);
  });
}

module.exports = {
  OTHER_DATABASE,
  transactions,
  scripts,
  blocking,
  replicas,
  databases,
  names,
  login,
  channels,
  shardChannels,
  tracking,
  redirectedTracking,
};
