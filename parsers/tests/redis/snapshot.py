"""Asks a Redis server what the table of commands is compared with:

    redis-server --port 0 --unixsocket /tmp/redis.sock --save '' &
    python3 snapshot.py /tmp/redis.sock

Writes data/commands-7.0.txt and, for the requests that are in it, data/keys-7.0.txt anew.
"""

import pathlib
import socket
import sys

DATA = pathlib.Path(__file__).parent / "data"
FLAGS = ["readonly", "write", "blocking", "movablekeys"]


def main():
    server = socket.socket(socket.AF_UNIX)
    server.connect(sys.argv[1])
    stream = server.makefile("rwb")
    rewrite("commands-7.0.txt", lambda _: list(commands(ask(stream, "COMMAND"))))
    rewrite("keys-7.0.txt", lambda lines: [keys(stream, line) for line in lines])


def rewrite(name, answers):
    lines = (DATA / name).read_text().splitlines()
    head = [line for line in lines if line.startswith("#")]
    body = [line for line in lines if not line.startswith("#")]
    (DATA / name).write_text("\n".join(head + answers(body)) + "\n")


def commands(reply):
    for command in sorted(reply):
        name, arity, flags, first, last, step, *_, subcommands = command
        flags = [flag for flag in FLAGS if flag in flags]
        yield " ".join([name, str(arity), str(first), str(last), str(step), *flags])
        yield from commands(subcommands)


def keys(stream, line):
    request = line.split(" =>")[0]
    words = ["" if word == '""' else word for word in request.split()]
    answer = ask(stream, "COMMAND", "GETKEYS", *words)
    if isinstance(answer, Exception):
        answer = []
    return " ".join([request, "=>", *answer])


def ask(stream, *words):
    words = [word.encode() for word in words]
    bulks = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    stream.write(b"*%d\r\n" % len(words) + bulks)
    stream.flush()
    return reply(stream)


def reply(stream):
    line = stream.readline().rstrip().decode()
    kind, rest = line[0], line[1:]
    if kind == "-":
        return Exception(rest)
    if kind == ":":
        return int(rest)
    if kind == "$":
        return stream.read(int(rest) + 2)[:-2].decode()
    if kind == "*":
        return [reply(stream) for _ in range(int(rest))]
    return rest


main()
