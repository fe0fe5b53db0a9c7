"""What is kept in Redis: each kind of value, the errors of wrong use, long pipelines and large values."""

import hashlib

import redis
from counted import Server, expect, expect_error, expect_failed

PIPELINED = 10_000
MEGABYTE = 1 << 20


def strings(server: Server) -> None:
    with server.client() as client:
        key, other, gone = (server.key(name) for name in ("string", "other", "gone"))
        expect("SET", client.set(key, "a"), True)
        expect("SET NX", client.set(key, "b", nx=True), None)
        expect("SET GET", client.set(key, "b", get=True), "a")
        expect("GET", client.get(key), "b")
        expect("GET of nothing", client.get(gone), None)
        expect("GETDEL of nothing", client.getdel(gone), None)
        expect("APPEND", client.append(key, "cd"), 3)
        expect("GETRANGE", client.getrange(key, 1, -1), "cd")
        expect("SETRANGE", client.setrange(key, 5, "x"), 6)
        expect("what is between", client.get(key), "bcd\0\0x")
        expect("STRLEN", client.strlen(key), 6)
        expect("MSET", client.mset({key: 1, other: 2}), True)
        expect("MGET", client.mget(key, gone, other), ["1", None, "2"])
        expect("INCR", (client.incr(key), client.incrby(key, 40), client.decr(key)), (2, 42, 41))
        expect("INCRBYFLOAT", client.incrbyfloat(key, 0.5), 41.5)
        expect("MSETNX", client.msetnx({key: 1, gone: 1}), False)
        expect("EXPIRE", client.expire(key, 100), True)
        expect("TTL", 0 < client.ttl(key) <= 100, True)
        expect("PERSIST", (client.persist(key), client.ttl(key), client.ttl(gone)), (True, -1, -2))
        expect("SETBIT", (client.setbit(other, 7, 1), client.getbit(other, 7), client.bitcount(other)), (0, 1, 4))
        expect("EXISTS", client.exists(key, key, gone), 2)
        expect("TYPE", client.type(key), "string")
        expect("RENAME", (client.rename(key, gone), client.exists(key)), (True, 0))
        expect("COPY", client.copy(gone, key), True)
        expect("DUMP", client.restore(server.key("restored"), 0, dump(server, key)), "OK")
        expect("OBJECT ENCODING", client.object("encoding", other), "raw")
        expect("DEL", (client.delete(key, other), client.unlink(gone)), (2, 1))
    binary(server)


def dump(server: Server, key: str) -> bytes:
    with server.client(decode_responses=False) as client:
        return client.dump(key)


def binary(server: Server) -> None:
    """Every byte, and what looks like the protocol."""
    with server.client(decode_responses=False) as client:
        for name, value in (("bytes", bytes(range(256))), ("protocol", b"$5\r\n*1\r\n-ERR\r\n"), ("empty", b"")):
            key = server.key(name)
            expect("SET of bytes", client.set(key, value), True)
            expect("GET of bytes", client.get(key), value)
            expect("bytes in a key", client.set(key.encode() + value, value), True)
            expect("GET by bytes", client.get(key.encode() + value), value)
            client.delete(key, key.encode() + value)


def hashes(server: Server) -> None:
    with server.client() as client:
        key = server.key("hash")
        expect("HSET", client.hset(key, mapping={"a": 1, "b": 2}), 2)
        expect("HSETNX", client.hsetnx(key, "a", 5), 0)
        expect("HGET", (client.hget(key, "a"), client.hget(key, "z")), ("1", None))
        expect("HGETALL", client.hgetall(key), {"a": "1", "b": "2"})
        expect("HGETALL of nothing", client.hgetall(server.key("gone")), {})
        expect("HMGET", client.hmget(key, "b", "z"), ["2", None])
        expect("HINCRBY", (client.hincrby(key, "a", 2), client.hincrbyfloat(key, "a", 0.5)), (3, 3.5))
        expect("HKEYS", (sorted(client.hkeys(key)), client.hlen(key)), (["a", "b"], 2))
        expect("HVALS", sorted(client.hvals(key)), ["2", "3.5"])
        expect("HEXISTS", (client.hexists(key, "a"), client.hexists(key, "z")), (True, False))
        expect("HRANDFIELD", client.hrandfield(key) in ("a", "b"), True)
        client.hset(key, mapping={f"field{n}": n for n in range(1000)})
        expect("HSCAN", len(dict(client.hscan_iter(key, count=50))), 1002)
        expect("HDEL", client.hdel(key, "a", "b", "z"), 2)


def lists(server: Server) -> None:
    with server.client() as client:
        key, other = server.key("list"), server.key("other list")
        expect("RPUSH", (client.rpush(key, "b", "c"), client.lpush(key, "a")), (2, 3))
        expect("LPUSHX", client.lpushx(other, "a"), 0)
        expect("LRANGE", client.lrange(key, 0, -1), ["a", "b", "c"])
        expect("LINDEX", (client.lindex(key, -1), client.lindex(key, 9)), ("c", None))
        expect("LINSERT", client.linsert(key, "before", "c", "x"), 4)
        expect("LSET", client.lset(key, 0, "A"), True)
        expect("LPOS", (client.lpos(key, "x"), client.lpos(key, "z")), (2, None))
        expect("LREM", client.lrem(key, 0, "x"), 1)
        expect("LMOVE", client.lmove(key, other, "LEFT", "RIGHT"), "A")
        expect("RPOPLPUSH", client.rpoplpush(key, other), "c")
        expect("LMPOP", client.lmpop(2, key, other, direction="LEFT", count=5), [key, ["b"]])
        expect("LPOP", (client.lpop(key), client.lpop(other, 2)), (None, ["c", "A"]))
        client.rpush(key, *range(5000))
        expect("a long list", client.lrange(key, 0, -1), [str(n) for n in range(5000)])
        expect("LTRIM", (client.ltrim(key, 0, 9), client.llen(key)), (True, 10))
        expect("SORT", client.sort(key, desc=True, start=0, num=2), ["9", "8"])


def sets(server: Server) -> None:
    with server.client() as client:
        one, two = server.key("set"), server.key("other set")
        expect("SADD", (client.sadd(one, "a", "b", "c"), client.sadd(two, "b", "c", "d")), (3, 3))
        expect("SISMEMBER", (client.sismember(one, "a"), client.smismember(one, ["a", "z"])), (1, [1, 0]))
        expect("SMEMBERS", client.smembers(one), {"a", "b", "c"})
        expect("SINTER", (client.sinter(one, two), client.sintercard(2, [one, two])), ({"b", "c"}, 2))
        expect("SUNION", client.sunion(one, two), {"a", "b", "c", "d"})
        expect("SDIFF", (client.sdiff(one, two), client.sdiffstore(server.key("diff"), one, two)), ({"a"}, 1))
        expect("SMOVE", client.smove(one, two, "a"), True)
        expect("SCARD", (client.scard(one), client.scard(two)), (2, 4))
        expect("SRANDMEMBER", set(client.srandmember(two, 4)), {"a", "b", "c", "d"})
        expect("SPOP", client.spop(one) in ("b", "c"), True)
        expect("SREM", client.srem(two, "a", "z"), 1)
        client.sadd(two, *range(1000))
        expect("SSCAN", set(client.sscan_iter(two, count=50)), {"b", "c", "d", *map(str, range(1000))})


def sorted_sets(server: Server) -> None:
    with server.client() as client:
        key, other = server.key("zset"), server.key("other zset")
        expect("ZADD", client.zadd(key, {"a": 1, "b": 2, "c": 3.5}), 3)
        expect("ZADD INCR", client.zadd(key, {"a": 1}, incr=True), 2.0)
        expect("ZSCORE", (client.zscore(key, "c"), client.zscore(key, "z")), (3.5, None))
        expect("ZMSCORE", client.zmscore(key, ["b", "z"]), [2.0, None])
        expect("ZRANK", (client.zrank(key, "c"), client.zrevrank(key, "c"), client.zrank(key, "z")), (2, 0, None))
        expect("ZRANGE", client.zrange(key, 0, -1, withscores=True), [["a", 2.0], ["b", 2.0], ["c", 3.5]])
        expect("ZRANGE BYSCORE", client.zrange(key, "(2", "+inf", byscore=True), ["c"])
        expect("ZINCRBY", client.zincrby(key, float("inf"), "a"), float("inf"))
        expect("ZCOUNT", (client.zcount(key, 2, 4), client.zcard(key)), (2, 3))
        client.zadd(other, {"b": 10})
        expect("ZINTER", client.zinter([key, other], withscores=True), [["b", 12.0]])
        expect("ZUNIONSTORE", client.zunionstore(server.key("union"), [key, other]), 3)
        expect("ZPOPMIN", client.zpopmin(key), [["b", 2.0]])
        expect("ZPOPMAX", client.zpopmax(key), [["a", float("inf")]])
        expect("ZRANDMEMBER", client.zrandmember(key), "c")
        client.zadd(key, {f"member{n}": n for n in range(1000)})
        expect("ZSCAN", len(dict(client.zscan_iter(key, count=50))), 1001)
        expect("ZREMRANGEBYSCORE", client.zremrangebyscore(key, 0, 99), 101)
        expect("ZREM", client.zrem(key, "member100", "z"), 1)
        places = (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")
        expect("GEOADD", client.geoadd(other, places), 2)
        expect("GEODIST", client.geodist(other, "Palermo", "Catania", "km"), 166.2742)
        expect("PFADD", (client.pfadd(server.key("hll"), "a", "b"), client.pfcount(server.key("hll"))), (1, 2))


def scan(server: Server) -> None:
    with server.client() as client:
        mine = {server.key(f"scan:{n}") for n in range(500)}
        client.mset(dict.fromkeys(mine, "x"))
        expect("SCAN", set(client.scan_iter(server.key("scan:*"), count=100)), mine)
        expect("SCAN of a type", set(client.scan_iter(server.key("scan:*"), count=1000, _type="list")), set())
        expect("UNLINK", client.unlink(*mine), 500)


def errors(server: Server) -> None:
    with server.client() as client:
        key = server.key("wrong")
        client.set(key, "text")
        wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value"
        expect_error("WRONGTYPE", wrong_type, lambda: client.lpush(key, "a"))
        expect_error("not a number", "ERR value is not an integer", lambda: client.incr(key))
        expect_error(
            "ERR unknown command", "ERR unknown command 'NOSUCHCOMMAND'", lambda: client.execute_command("NOSUCHCOMMAND", key)
        )
        expect_error("too few arguments", "ERR wrong number of arguments", lambda: client.execute_command("GET"))
        expect_error("ERR unknown subcommand", "ERR unknown subcommand", lambda: client.execute_command("CLIENT", "NOSUCH"))
        expect_error("syntax", "ERR syntax error", lambda: client.execute_command("SET", key, "a", "NOSUCH"))
        expect_error("ERR no such key", "ERR no such key", lambda: client.rename(server.key("gone"), key))
        pipe = client.pipeline(transaction=False)
        replies = pipe.get(key).lpush(key, "a").set(key, "b").execute_command("NOSUCHCOMMAND").get(key).execute(False)
        expect("what a pipeline does around errors", [replies[0], replies[2], replies[4]], ["text", True, "b"])
        expect_failed("WRONGTYPE in a pipeline", wrong_type, replies[1])
        expect_failed("ERR unknown command in a pipeline", "ERR unknown command", replies[3])


def pipelines(server: Server) -> None:
    """All sent before the first reply is read."""
    with server.client() as client:
        pipe = client.pipeline(transaction=False)
        for number in range(PIPELINED // 4):
            key = server.key(f"pipe:{number % 100}")
            pipe.set(key, number).get(key).incr(server.key("pipe:count")).lrange(server.key("gone"), 0, -1)
        wanted = [reply for number in range(PIPELINED // 4) for reply in (True, str(number), number + 1, [])]
        expect("pipeline", pipe.execute() == wanted, True)
        pipe = client.pipeline(transaction=True)
        for number in range(PIPELINED):
            pipe.rpush(server.key("queued"), number)
        expect("long transaction", pipe.execute(), list(range(1, PIPELINED + 1)))


def big_values(server: Server) -> None:
    key = server.key("big")
    block = hashlib.shake_256(server.prefix.encode()).digest(MEGABYTE - 8)
    value = b"".join(number.to_bytes(8, "big") + block for number in range(server.big_mb))
    digest, length = hashlib.sha256(value).hexdigest(), len(value)
    with server.client(decode_responses=False) as client:
        expect("SET of a big value", client.set(key, value), True)
        del value
        expect("STRLEN", client.strlen(key), length)
        found = client.get(key)
        expect("length of a big value", len(found), length)
        expect("hash of a big value", hashlib.sha256(found).hexdigest(), digest)
        expect("SET after it", client.set(key, "small"), True)
        expect("GET after it", client.get(key), b"small")


def clean_up(server: Server, client: redis.Redis) -> None:
    keys = list(client.scan_iter(server.key("*"), count=1000))
    if keys:
        client.unlink(*keys)
