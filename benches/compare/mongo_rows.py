"""Finds, in mode tap and in mode collapse, next to HAProxy's tcp mode."""

import sys

import measure
import peers
from processes import Processes
from rows import Bar, Costs, Row, count_of, expect_counted

# What has to hold. The goals are tighter: 1.08 for a find, 1.20 for one in collapse mode, 4 KB a connection.
FIND_BAR = 1.12
COLLAPSE_BAR = 1.25
STATS_BAR = 1.05
IDLE_BAR = 6 * 1024

# The finds of the load, by their call site.
COUNTER = "mongo.mongo.collection.shop.carts.callsite.checkout.load_cart.query.total"

FIND = "Mongo find"
COLLAPSE = f"Mongo find, collapse, {measure.CONNECTIONS} clients over {peers.POOLED} connections, canned"


class Mongo:
    def __init__(self, processes: Processes, tools: peers.Tools) -> None:
        self._processes, self._tools, self._servers = processes, tools, peers.start_mongo(processes, tools)
        haproxy = self._start(peers.start_haproxy)
        self._stats_on = self._start(peers.start_narrows, "narrows")
        self._stats_off = self._start(peers.start_narrows, "narrows-without-stats", stats=False)
        self._collapse = self._start(peers.start_narrows, "narrows-collapse", mode="collapse")
        self.rows = [
            Row(FIND, measure.mongo_find, (haproxy, self._stats_on, self._stats_off)),
            Row(COLLAPSE, measure.mongo_find, (haproxy, self._collapse)),
        ]

    def check(self, costs: Costs) -> None:
        expect_counted(self._stats_on, costs.requests(FIND, self._stats_on.name), COUNTER)
        expect_counted(self._collapse, costs.requests(COLLAPSE, self._collapse.name), COUNTER)
        if count_of(self._stats_off, COUNTER):
            sys.exit("narrows counted finds although its stats were off")

    def bars(self, costs: Costs) -> list[Bar]:
        return [
            Bar(f"{FIND} with every stat on, CPU to HAProxy's tcp mode", costs.ratio(FIND, "narrows", "haproxy"), FIND_BAR),
            Bar(f"{COLLAPSE}, CPU to HAProxy's tcp mode", costs.ratio(COLLAPSE, "narrows-collapse", "haproxy"), COLLAPSE_BAR),
            Bar(f"{FIND}, every stat on to all off", costs.ratio(FIND, "narrows", "narrows-without-stats"), STATS_BAR),
        ]

    def idle_bars(self) -> list[Bar]:
        haproxy, narrows = (self._idle(*each) for each in ((peers.start_haproxy, "haproxy"), (peers.start_narrows, "narrows")))
        text = f"An idle connection of {measure.IDLE_CONNECTIONS} (HAProxy's: {haproxy:.0f} B)"
        return [Bar(text, narrows, IDLE_BAR, " B")]

    def _idle(self, start, name: str) -> float:
        proxy = self._start(start, f"{name}-idle")
        size = measure.idle_connection_bytes(self._tools, proxy)
        self._processes.stop(proxy.name)
        return size

    def _start(self, start, *name: str, **options) -> peers.Proxy:
        return start(self._processes, self._tools, self._servers, *name, **options)
