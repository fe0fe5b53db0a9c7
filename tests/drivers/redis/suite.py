"""suite.py HOST:PORT: what an application does with redis-py, each feature once.

Prints how many commands of each kind were sent. Any number of them may run against one server at the same time: each keeps
to keys of its own.
"""

import argparse
import json

import data
import sessions
import streams
import subscriptions
from counted import COUNTS, Server

FEATURES = [
    data.strings,
    data.hashes,
    data.lists,
    data.sets,
    data.sorted_sets,
    data.scan,
    data.errors,
    data.pipelines,
    data.big_values,
    streams.streams,
    streams.groups,
    sessions.transactions,
    sessions.scripts,
    sessions.functions,
    sessions.blocking,
    sessions.replicas,
    sessions.databases,
    sessions.names,
    sessions.silenced,
    sessions.login,
    sessions.monitor,
    subscriptions.channels,
    subscriptions.shard_channels,
    subscriptions.by_hand,
    subscriptions.tracking,
    subscriptions.redirected_tracking,
    subscriptions.cached,
]

# What is there in one version of the protocol alone.
ONLY_IN = {subscriptions.tracking: 3, subscriptions.cached: 3, subscriptions.redirected_tracking: 2}


def main() -> None:
    arguments = parse()
    server = Server(arguments)
    names = []
    for feature in FEATURES:
        if ONLY_IN.get(feature, server.resp) == server.resp:
            feature(server)
            names.append(feature.__name__)
    for database in (0, sessions.OTHER_DATABASE):
        with server.client(db=database) as client:
            data.clean_up(server, client)
    print(json.dumps({**COUNTS.report(), "features": names}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address")
    parser.add_argument("--resp", type=int, choices=(2, 3), default=2, help="the version of the protocol")
    parser.add_argument("--user", help="of the server's ACL")
    parser.add_argument("--password")
    parser.add_argument("--big-mb", type=int, default=512, help="the size of the largest value")
    return parser.parse_args()


if __name__ == "__main__":
    main()
