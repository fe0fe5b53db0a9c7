"""Streams and their groups of consumers, with reads that wait."""

from counted import Apart, Server, expect, expect_error

# Long enough to be a wait, short enough for a test.
WAIT_MS = 100
FOREVER_MS = 30_000


def streams(server: Server) -> None:
    key, other = server.key("stream"), server.key("other stream")
    with server.client() as client:
        ids = [client.xadd(key, {"n": n}, id=f"{n + 1}-1") for n in range(5)]
        expect("XADD", ids, ["1-1", "2-1", "3-1", "4-1", "5-1"])
        expect_error(
            "XADD of an old id",
            "ERR The ID specified in XADD is equal or smaller",
            lambda: client.xadd(key, {"n": 9}, id="1-1"),
        )
        expect("XLEN", client.xlen(key), 5)
        expect("XRANGE", client.xrange(key, "2", "3"), [("2-1", {"n": "1"}), ("3-1", {"n": "2"})])
        expect("XREVRANGE", client.xrevrange(key, count=1), [("5-1", {"n": "4"})])
        expect("XREAD", client.xread({key: "3-1"}), {key: [("4-1", {"n": "3"}), ("5-1", {"n": "4"})]})
        expect("XREAD of nothing new", client.xread({key: "5-1", other: "0"}), {})
        expect("XREAD BLOCK, timed out", client.xread({key: "$", other: "$"}, block=WAIT_MS), {})
        expect("XDEL", (client.xdel(key, "1-1", "9-9"), client.xtrim(key, maxlen=3, approximate=False)), (1, 1))
        expect("XINFO STREAM", client.xinfo_stream(key)["length"], 3)
        with Apart(lambda: add_after(server, other, "7-1")):
            # It begins at a place and not at `$`: either may be first.
            found = client.xread({key: "5-1", other: "0"}, block=FOREVER_MS)
        expect("XREAD BLOCK, served", found, {other: [("7-1", {"a": "b"})]})


def add_after(server: Server, key: str, identifier: str) -> None:
    with server.client() as client:
        expect("XADD beside", client.xadd(key, {"a": "b"}, id=identifier), identifier)


def groups(server: Server) -> None:
    key = server.key("jobs")
    with server.client() as client:
        expect("XGROUP CREATE", client.xgroup_create(key, "workers", id="0", mkstream=True), True)
        expect_error("BUSYGROUP", "BUSYGROUP", lambda: client.xgroup_create(key, "workers"))
        for number in range(4):
            client.xadd(key, {"job": number}, id=f"{number + 1}-0")
        first = client.xreadgroup("workers", "ann", {key: ">"}, count=2)
        expect("XREADGROUP", first, {key: [("1-0", {"job": "0"}), ("2-0", {"job": "1"})]})
        expect("XACK", client.xack(key, "workers", "1-0", "9-0"), 1)
        expect("XPENDING", client.xpending(key, "workers")["pending"], 1)
        expect("own history", client.xreadgroup("workers", "ann", {key: "0"}), {key: [("2-0", {"job": "1"})]})
        expect("XCLAIM", client.xclaim(key, "workers", "bob", 0, ["2-0"]), [("2-0", {"job": "1"})])
        expect("XAUTOCLAIM", client.xautoclaim(key, "workers", "ann", 0)[1], [("2-0", {"job": "1"})])
        rest = client.xreadgroup("workers", "bob", {key: ">"}, noack=True)
        expect("XREADGROUP NOACK", rest, {key: [("3-0", {"job": "2"}), ("4-0", {"job": "3"})]})
        expect("XREADGROUP BLOCK, timed out", client.xreadgroup("workers", "ann", {key: ">"}, block=WAIT_MS), {})
        with Apart(lambda: add_after(server, key, "5-0")):
            found = client.xreadgroup("workers", "ann", {key: ">"}, block=FOREVER_MS)
        expect("XREADGROUP BLOCK, served", found, {key: [("5-0", {"a": "b"})]})
        expect("XINFO GROUPS", [(each["name"], each["pending"]) for each in client.xinfo_groups(key)], [("workers", 2)])
        expect("XGROUP DESTROY", client.xgroup_destroy(key, "workers"), 1)
        expect_error("NOGROUP", "NOGROUP", lambda: client.xreadgroup("workers", "ann", {key: ">"}))
