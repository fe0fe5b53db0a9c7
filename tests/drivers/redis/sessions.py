"""What a connection remembers, or a server for it: transactions, scripts, waits, databases, names, users."""

import hashlib

import redis
from counted import COUNTS, Apart, Server, expect, expect_error, expect_failed

OTHER_DATABASE = 1

# Rounds in which two clients wake each other.
ROUNDS = 50

# Seconds: long enough to be a wait, short enough for a test.
WAIT = 0.1
FOREVER = 30


def transactions(server: Server) -> None:
    with server.client() as client, server.client() as other:
        account, log = server.key("account"), server.key("log")
        client.set(account, 100)
        expect("MULTI", client.pipeline().incrby(account, -10).rpush(log, "a").get(account).execute(), [90, 1, "90"])
        with client.pipeline() as pipe:
            pipe.watch(account)
            sum_before = int(pipe.get(account))
            expect("another client's write", other.set(account, 50), True)
            pipe.multi()
            pipe.set(account, sum_before - 10)
            try:
                pipe.execute()
            except redis.WatchError:
                pass
            else:
                raise SystemExit("EXEC did not see that a watched key was changed")
            expect("what the other wrote", client.get(account), "50")
        tried = []
        retried = client.transaction(lambda pipe: withdraw(pipe, account, tried, other), account)
        expect("WATCH, retried", (retried, tried, client.get(account)), ([True], ["50", "70"], "60"))
        with client.pipeline() as pipe:
            pipe.watch(account)
            other.set(account, 1)
            pipe.unwatch()
            expect("after UNWATCH", pipe.set(account, 2).execute(), [True])
        failed = client.pipeline().set(account, "text").lpush(account, "a").get(account).execute(raise_on_error=False)
        expect("around an error", [failed[0], failed[2]], [True, "text"])
        expect_failed("error of a queued command", "WRONGTYPE", failed[1])
    transactions_by_hand(server)


def withdraw(pipe: redis.client.Pipeline, account: str, tried: list, other: redis.Redis) -> None:
    """The first try is disturbed."""
    tried.append(pipe.get(account))
    if len(tried) == 1:
        other.set(account, 70)
    pipe.multi()
    pipe.set(account, int(tried[-1]) - 10)


def transactions_by_hand(server: Server) -> None:
    key = server.key("by hand")
    with server.raw() as raw:
        expect("MULTI", raw("MULTI"), "OK")
        expect("queued", (raw("SET", key, "a"), raw("GET", key)), ("QUEUED", "QUEUED"))
        expect_failed("MULTI in MULTI", "ERR MULTI calls can not be nested", raw("MULTI"))
        expect("EXEC", raw("EXEC"), ["OK", "a"])
        expect("DISCARD", (raw("MULTI"), raw("SET", key, "b"), raw("DISCARD")), ("OK", "QUEUED", "OK"))
        expect("after DISCARD", raw("GET", key), "a")
        expect("MULTI to be aborted", (raw("MULTI"), raw("SET", key, "c")), ("OK", "QUEUED"))
        expect_failed("ERR unknown command in MULTI", "ERR unknown command", raw("NOSUCHCOMMAND"))
        expect_failed("EXECABORT", "EXECABORT Transaction discarded because of previous errors", raw("EXEC"))
        expect("after EXECABORT", raw("GET", key), "a")
        expect_failed("EXEC without MULTI", "ERR EXEC without MULTI", raw("EXEC"))
        expect_failed("DISCARD without MULTI", "ERR DISCARD without MULTI", raw("DISCARD"))
        expect(
            "no wait inside", (raw("MULTI"), raw("BLPOP", server.key("gone"), FOREVER), raw("EXEC")), ("OK", "QUEUED", [None])
        )
        with server.raw() as other:
            expect(
                "WATCH",
                (raw("WATCH", key), other("SET", key, "d"), raw("MULTI"), raw("GET", key)),
                ("OK", "OK", "OK", "QUEUED"),
            )
            expect("EXEC of a changed key", raw("EXEC"), None)
            expect(
                "WATCH is over",
                (other("SET", key, "e"), raw("MULTI"), raw("GET", key), raw("EXEC")),
                ("OK", "OK", "QUEUED", ["e"]),
            )
            expect(
                "WATCH to be dropped", (raw("WATCH", key), other("SET", key, "f"), raw("MULTI"), raw("DISCARD")), ("OK",) * 4
            )
            expect("DISCARD drops WATCH", (raw("MULTI"), raw("GET", key), raw("EXEC")), ("OK", "QUEUED", ["f"]))
        raw.send_together(("MULTI",), ("INCR", server.key("many")), ("GET", server.key("many")), ("EXEC",), ("GET", key))
        expect("all at once", [raw.read() for _ in range(5)], ["OK", "QUEUED", "QUEUED", [1, "1"], "f"])
    with server.raw() as left:
        expect("MULTI and gone", (left("MULTI"), left("SET", key, "never")), ("OK", "QUEUED"))
    with server.client() as client:
        expect("what is left unfinished", client.get(key), "f")


def scripts(server: Server) -> None:
    with server.client() as client:
        key = server.key("script")
        body = f"redis.call('SET', KEYS[1], ARGV[1]) return {{KEYS[1], ARGV[1], 7, false}} -- {server.prefix}"
        digest = hashlib.sha1(body.encode()).hexdigest()
        expect("SCRIPT EXISTS", client.script_exists(digest), [False])
        expect_error("NOSCRIPT", "NOSCRIPT No matching script", lambda: client.evalsha(digest, 1, key, "a"))
        expect("SCRIPT LOAD", client.script_load(body), digest)
        expect("EVALSHA", client.evalsha(digest, 1, key, "a"), [key, "a", 7, None])
        expect("EVAL", client.eval(body, 1, key, "b"), [key, "b", 7, None])
        expect("EVAL_RO", client.eval_ro("return redis.call('GET', KEYS[1])", 1, key), "b")
        expect_error(
            "write in EVAL_RO",
            "ERR Write commands are not allowed",
            lambda: client.eval_ro("return redis.call('DEL', KEYS[1])", 1, key),
        )
        expect_error("error of a script", "MY own", lambda: client.eval("return redis.error_reply('MY own')", 0))
        expect_error("script that fails", "WRONGTYPE", lambda: client.eval("return redis.call('LPUSH', KEYS[1], 1)", 1, key))
        # The driver loads it by itself when the server does not have it.
        registered = client.register_script(f"return redis.call('INCR', KEYS[1]) -- {server.prefix}")
        before = COUNTS.of("evalsha"), COUNTS.of("script_load")
        counter = server.key("counter")
        expect("registered script", [registered(keys=[counter]), registered(keys=[counter])], [1, 2])
        expect("how it was loaded", (COUNTS.of("evalsha") - before[0], COUNTS.of("script_load") - before[1]), (3, 1))
        pipe = client.pipeline()
        registered(keys=[counter], client=pipe)
        expect("script in a transaction", pipe.get(counter).execute(), [3, "3"])


def functions(server: Server) -> None:
    name = server.prefix.rstrip(":")
    library = f"""#!lua name={name}
redis.register_function('{name}_put', function(keys, args) return redis.call('SET', keys[1], args[1]) end)
redis.register_function{{
  function_name='{name}_get', callback=function(keys) return redis.call('GET', keys[1]) end, flags={{'no-writes'}}
}}
"""
    with server.client() as client:
        expect("FUNCTION LOAD", client.function_load(library), name)
        expect_error("FUNCTION LOAD again", f"ERR Library '{name}' already exists", lambda: client.function_load(library))
        expect("FCALL", client.fcall(f"{name}_put", 1, server.key("function"), "a"), "OK")
        expect("FCALL_RO", client.fcall_ro(f"{name}_get", 1, server.key("function")), "a")
        expect_error("unknown function", "ERR Function not found", lambda: client.fcall("nosuchfunction", 0))
        listed = client.function_list(library=name)
        expect("FUNCTION LIST", [each["library_name"] for each in listed], [name])
        expect("FUNCTION DELETE", client.function_delete(name), True)


def replicas(server: Server) -> None:
    """A wait for what the same connection has written before."""
    with server.client() as client:
        expect("WAIT", (client.set(server.key("written"), "1"), client.wait(0, 1)), (True, 0))


def blocking(server: Server) -> None:
    """Waits that end by time, waits that another client ends, and two clients that wake each other."""
    with server.client() as client:
        one, two, gone = server.key("queue"), server.key("other queue"), server.key("gone")
        expect("BLPOP, timed out", client.blpop([gone, one], WAIT), None)
        expect("BRPOP, timed out", client.brpop(gone, WAIT), None)
        expect("BLMOVE, timed out", client.blmove(gone, one, WAIT), None)
        expect("BLMPOP, timed out", client.blmpop(WAIT, 1, gone, direction="LEFT"), None)
        expect("BRPOPLPUSH, timed out", client.brpoplpush(gone, one, 1), None)
        expect("BZPOPMIN, timed out", client.bzpopmin(gone, WAIT), None)
        expect("BZMPOP, timed out", client.bzmpop(WAIT, 1, [gone], min=True), None)
        expect("BLPOP of what is there", (client.rpush(two, "a"), client.blpop([one, two], FOREVER)), (1, [two, "a"]))
        with Apart(lambda: answer_rounds(server)):
            for number in range(ROUNDS):
                expect("RPUSH of a question", client.rpush(one, number), 1)
                expect("BLPOP of its answer", client.blpop(two, FOREVER), [two, f"answer {number}"])
        with Apart(lambda: fill(server, lambda other: other.zadd(one, {"a": 1.5}))):
            expect("BZPOPMIN, served", client.bzpopmin([gone, one], FOREVER), [one, "a", 1.5])
        with Apart(lambda: fill(server, lambda other: other.rpush(one, "x", "y"))):
            expect("BLMOVE, served", client.blmove(one, two, FOREVER, "RIGHT", "LEFT"), "y")
        expect("after the waits", (client.lrange(one, 0, -1), client.lrange(two, 0, -1)), (["x"], ["y"]))


def answer_rounds(server: Server) -> None:
    with server.client() as client:
        for number in range(ROUNDS):
            found = client.brpop(server.key("queue"), FOREVER)
            expect("BRPOP of a question", found, [server.key("queue"), str(number)])
            client.lpush(server.key("other queue"), f"answer {number}")


def fill(server: Server, step) -> None:
    with server.client() as client:
        step(client)


def databases(server: Server) -> None:
    key = server.key("in a database")
    with server.client() as client, server.client(db=OTHER_DATABASE) as other:
        expect("SET in each", (client.set(key, "zero"), other.set(key, "one")), (True, True))
        expect("GET in each", (client.get(key), other.get(key)), ("zero", "one"))
        expect("MOVE of what is there too", client.move(key, OTHER_DATABASE), False)
        expect("DEL in one", (other.delete(key), client.get(key)), (1, "zero"))
        expect("MOVE", (client.move(key, OTHER_DATABASE), client.get(key), other.get(key)), (True, None, "zero"))
    with server.raw() as raw:
        expect("SELECT", (raw("GET", key), raw("SELECT", OTHER_DATABASE), raw("GET", key)), (None, "OK", "zero"))
        expect_failed("SELECT of what is not there", "ERR DB index is out of range", raw("SELECT", 1_000_000))
        expect(
            "SELECT inside",
            (raw("MULTI"), raw("SELECT", 0), raw("GET", key), raw("EXEC")),
            ("OK", "QUEUED", "QUEUED", ["OK", None]),
        )
        expect("SELECT remains", raw("GET", key), None)


def names(server: Server) -> None:
    name = server.prefix.rstrip(":")
    with server.client(client_name=name) as client:
        expect("name of the options", client.client_getname(), name)
        expect("CLIENT SETNAME", (client.client_setname(f"{name}2"), client.client_getname()), (True, f"{name}2"))
        expect_error("a name with a space", "ERR Client names cannot contain spaces", lambda: client.client_setname("a b"))
        expect("CLIENT INFO", client.client_info()["name"], f"{name}2")
        expect("CLIENT ID", client.client_id(), client.client_id())
        expect("ECHO", (client.echo("a"), client.ping()), ("a", True))
    with server.raw() as raw:
        expect("no name", raw("CLIENT", "GETNAME") in (None, ""), True)
        expect("RESET", (raw("CLIENT", "SETNAME", name), raw("MULTI"), raw("RESET")), ("OK", "OK", "RESET"))
        # The protocol is the first again, and nobody is logged in.
        raw("HELLO", server.resp, *(("AUTH", server.user, server.password) if server.user else ()))
        expect("after RESET", (raw("CLIENT", "GETNAME"), raw("PING")), (None, "PONG"))
        expect("QUIT", raw("QUIT"), "OK")


def silenced(server: Server) -> None:
    """Commands without a reply, between others that have one."""
    key = server.key("silenced")
    with server.raw() as raw:
        raw.send_together(("CLIENT", "REPLY", "SKIP"), ("SET", key, "a"), ("GET", key))
        expect("after CLIENT REPLY SKIP", raw.read(), "a")
        raw.send_together(
            ("CLIENT", "REPLY", "OFF"), ("SET", key, "b"), ("GET", key), ("NOSUCHCOMMAND",), ("CLIENT", "REPLY", "ON")
        )
        expect("CLIENT REPLY ON", (raw.read(), raw("GET", key)), ("OK", "b"))


def login(server: Server) -> None:
    if not server.user:
        refuse_login(server, "ERR AUTH <password> called without any password configured", "wrong")
        return
    refuse_login(server, "WRONGPASS", server.user, "wrong")
    refuse_login(server, "WRONGPASS", "nosuchuser", server.password)
    with server.raw() as raw:
        expect("ACL WHOAMI", raw("ACL", "WHOAMI"), server.user)
        expect("AUTH", raw("AUTH", server.user, server.password), "OK")
        raw("HELLO", server.resp, "AUTH", server.user, server.password, "SETNAME", "by-hello")
        expect("HELLO SETNAME", raw("CLIENT", "GETNAME"), "by-hello")
    with server.client(password="wrong") as client:
        try:
            client.ping()
        except redis.AuthenticationError as error:
            expect_failed("the driver's login", "WRONGPASS", error)
        else:
            raise SystemExit("a wrong password was taken")


def refuse_login(server: Server, error: str, *login: str) -> None:
    with server.raw() as raw:
        expect_failed("AUTH", error, raw("AUTH", *login))


def monitor(server: Server) -> None:
    key = server.key("monitored")
    with server.client() as client, client.monitor() as seen, server.client() as other:
        other.set(key, "a b")
        other.get(key)
        mine = (each for each in (next_line["command"] for next_line in seen.listen()) if key in each)
        expect("MONITOR", [next(mine), next(mine)], [f"SET {key} a b", f"GET {key}"])
