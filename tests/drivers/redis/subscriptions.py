"""What a server says by itself: messages of channels, and keys that are no longer what a client has read."""

import time

import redis
from counted import COUNTS, PATIENCE, Raw, Server, eventually, expect
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection

# It asks for a newer server than the feature needs.
CacheProxyConnection.MIN_ALLOWED_VERSION = "6.0.0"


def channels(server: Server) -> None:
    names = [server.key(name) for name in ("news", "sport", "weather")]
    pattern = server.key("w*")
    with server.client() as client, client.pubsub() as pubsub:
        pubsub.subscribe(*names)
        expect("SUBSCRIBE", messages(pubsub, 3), [("subscribe", None, name, number + 1) for number, name in enumerate(names)])
        pubsub.psubscribe(pattern, server.key("n?ws"))
        wanted = [("psubscribe", None, pattern, 4), ("psubscribe", None, server.key("n?ws"), 5)]
        expect("PSUBSCRIBE", messages(pubsub, 2), wanted)
        expect("PUBLISH", [client.publish(name, f"of {name}") for name in names], [2, 1, 2])
        news, sport, weather = names
        wanted = [
            ("message", None, news, f"of {news}"),
            ("pmessage", server.key("n?ws"), news, f"of {news}"),
            ("message", None, sport, f"of {sport}"),
            ("message", None, weather, f"of {weather}"),
            ("pmessage", pattern, weather, f"of {weather}"),
        ]
        expect("messages", messages(pubsub, 5), wanted)
        expect("PUBSUB NUMSUB", client.pubsub_numsub(*names), [(name, 1) for name in names])
        expect("PUBSUB CHANNELS", sorted(client.pubsub_channels(server.key("*"))), sorted(names))
        for number in range(1000):
            client.publish(sport, number)
        expect("many messages", [message[3] for message in messages(pubsub, 1000)], [str(number) for number in range(1000)])
        pubsub.unsubscribe(news)
        expect("UNSUBSCRIBE of one", messages(pubsub, 1), [("unsubscribe", None, news, 4)])
        if server.resp == 2:
            # Of version 3 the driver takes the answer for a message, and cuts it to pieces.
            pubsub.ping()
            expect("PING while subscribed", messages(pubsub, 1), [("pong", None, None, "")])
        # Which of several is confirmed first is the server's to choose.
        pubsub.unsubscribe()
        left = messages(pubsub, 2)
        expect("UNSUBSCRIBE", ({each[2] for each in left}, [each[3] for each in left]), ({sport, weather}, [3, 2]))
        pubsub.punsubscribe()
        expect("PUNSUBSCRIBE", [each[3] for each in messages(pubsub, 2)], [1, 0])
        expect("PUBLISH to nobody", client.publish(sport, "a"), 0)
        pubsub.subscribe(sport)
        expect("SUBSCRIBE again", messages(pubsub, 1), [("subscribe", None, sport, 1)])


def messages(pubsub: redis.client.PubSub, count: int) -> list[tuple]:
    found = []
    deadline = time.monotonic() + PATIENCE
    while len(found) < count and time.monotonic() < deadline:
        if message := pubsub.get_message(timeout=1):
            found.append(tuple(message[name] for name in ("type", "pattern", "channel", "data")))
    return found


def shard_channels(server: Server) -> None:
    names = [server.key("{shard}1"), server.key("{shard}2")]
    with server.client() as client, client.pubsub() as pubsub:
        pubsub.ssubscribe(*names)
        expect("SSUBSCRIBE", messages(pubsub, 2), [("ssubscribe", None, name, number + 1) for number, name in enumerate(names)])
        expect("SPUBLISH", [client.spublish(name, "a") for name in names], [1, 1])
        expect("messages of shards", messages(pubsub, 2), [("smessage", None, name, "a") for name in names])
        expect("PUBSUB SHARDNUMSUB", client.pubsub_shardnumsub(names[0]), [(names[0], 1)])
        # A channel of the same name is another one.
        expect("PUBLISH beside", client.publish(names[0], "a"), 0)
        pubsub.sunsubscribe()
        expect("SUNSUBSCRIBE", [each[3] for each in messages(pubsub, 2)], [1, 0])


def by_hand(server: Server) -> None:
    """One connection that asks, subscribes, and asks again."""
    one, two, key = server.key("one"), server.key("two"), server.key("asked")
    with server.raw() as raw, server.client() as client:
        expect("SET before", raw("SET", key, "a"), "OK")
        raw.send("SUBSCRIBE", one, two)
        expect("SUBSCRIBE", [raw.read(), raw.read()], [["subscribe", one, 1], ["subscribe", two, 2]])
        raw.send("SUBSCRIBE", one)
        expect("SUBSCRIBE of the same", raw.read(), ["subscribe", one, 2])
        if server.resp == 2:
            refused = raw("GET", key)
            expect("GET while subscribed", "Can't execute 'get'" in str(refused), True)
        else:
            expect("GET while subscribed", raw("GET", key), "a")
        expect("PUBLISH", client.publish(two, "hello"), 1)
        expect("message", raw.read(), ["message", two, "hello"])
        raw.send("UNSUBSCRIBE")
        expect("UNSUBSCRIBE", [raw.read()[2], raw.read()[2]], [1, 0])
        expect("GET after it", raw("GET", key), "a")
        raw.send("UNSUBSCRIBE")
        expect("UNSUBSCRIBE of nothing", raw.read(), ["unsubscribe", None, 0])
        raw.send_together(("SUBSCRIBE", one), ("UNSUBSCRIBE", one), ("GET", key), ("PUNSUBSCRIBE", two), ("PING",))
        wanted = [["subscribe", one, 1], ["unsubscribe", one, 0], "a", ["punsubscribe", two, 0], "PONG"]
        expect("all at once", [raw.read() for _ in range(5)], wanted)


def tracking(server: Server) -> None:
    """Version 3 tells it on the connection that has read."""
    key, beside = server.key("tracked"), server.key("beside")
    with server.raw() as raw, server.client() as client:
        client.mset({key: "a", beside: "b"})
        raw.take_invalidations()
        expect("CLIENT TRACKING", raw("CLIENT", "TRACKING", "ON"), "OK")
        expect("reads", (raw("GET", key), raw("GET", key)), ("a", "a"))
        expect("write", (client.set(beside, "x"), client.set(key, "y")), (True, True))
        expect("invalidation", raw.read(), ["invalidate", [key]])
        expect("read of what is new", raw("GET", key), "y")
        expect("CLIENT TRACKING OFF", raw("CLIENT", "TRACKING", "OFF"), "OK")
        broadcast = ("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", server.key("all:"), "NOLOOP")
        expect("CLIENT TRACKING BCAST", raw(*broadcast), "OK")
        expect("own write", raw("SET", server.key("all:1"), "a"), "OK")
        client.set(server.key("all:2"), "a")
        expect("invalidation of a prefix", raw.read(), ["invalidate", [server.key("all:2")]])
        expect("CLIENT TRACKINGINFO", "bcast" in flags(raw), True)


def flags(raw: Raw) -> list:
    info = raw("CLIENT", "TRACKINGINFO")
    return (info if isinstance(info, dict) else dict(zip(info[::2], info[1::2])))["flags"]


def redirected_tracking(server: Server) -> None:
    """Version 2 needs a second connection to tell it."""
    key = server.key("redirected")
    with server.raw() as told, server.raw() as raw, server.client() as client:
        client.set(key, "a")
        identifier = told("CLIENT", "ID")
        expect("SUBSCRIBE", told("SUBSCRIBE", "__redis__:invalidate"), ["subscribe", "__redis__:invalidate", 1])
        expect("CLIENT TRACKING REDIRECT", raw("CLIENT", "TRACKING", "ON", "REDIRECT", identifier), "OK")
        expect("CLIENT GETREDIR", (raw("CLIENT", "GETREDIR"), raw("GET", key)), (identifier, "a"))
        client.set(key, "b")
        expect("invalidation elsewhere", told.read(), ["message", "__redis__:invalidate", [key]])
        expect("GET after it", raw("GET", key), "b")


def cached(server: Server) -> None:
    """The driver's own cache, which it has for version 3 alone."""
    key = server.key("cached")
    with server.client(cache_config=CacheConfig()) as client, server.client() as other:
        other.set(key, "a")
        expect("first GET", client.get(key), "a")
        before = COUNTS.of("get")
        expect("cached GETs", [client.get(key) for _ in range(100)], ["a"] * 100)
        expect("none of them sent", COUNTS.of("get"), before)
        other.set(key, "b")
        # Nothing else than the server's word lets the driver ask again.
        eventually("the driver hears that a key has changed", lambda: client.get(key) == "b")
        expect("asked once", COUNTS.of("get"), before + 1)
        expect("cached again", (client.get(key), COUNTS.of("get")), ("b", before + 1))
