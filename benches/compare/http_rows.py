"""GETs of HTTP/1 and HTTP/2 next to nginx and Envoy, and passed on unread next to HAProxy's tcp mode."""

import measure
import peers
from processes import Processes
from rows import Bar, Costs, Row, expect_counted

# What has to hold. The goals are tighter: 1.00 for TCP, 0.95 of nginx for HTTP/1 and 0.40 of Envoy for HTTP/2, 4 KB a
# connection.
TCP_BAR = 1.05
NGINX_BAR = 1.00
ENVOY_BAR = 0.30
ENVOY_HTTP2_BAR = 0.45
IDLE_BAR = 6 * 1024

COUNTER = "http.http.downstream_rq_completed"

OVER_TCP = "HTTP GET over tcp"
HTTP = "HTTP/1 GET"
HTTP2 = f"HTTP/2 GET, {measure.HTTP2_CONNECTIONS} x {measure.HTTP2_STREAMS} streams, to HTTP/1"


class Http:
    def __init__(self, processes: Processes, tools: peers.Tools) -> None:
        self._processes, self._tools, self._servers = processes, tools, peers.start_http(processes, tools)
        haproxy = self._start(peers.start_haproxy)
        stats_on = self._start(peers.start_narrows, "narrows")
        stats_off = self._start(peers.start_narrows, "narrows-without-stats", stats=False)
        nginx = self._start(peers.start_nginx)
        envoy = self._start(peers.start_envoy)
        self._http = self._start(peers.start_narrows_http)
        self.rows = [
            Row(OVER_TCP, measure.http_get, (haproxy, stats_on, stats_off)),
            Row(HTTP, measure.http_get, (nginx, envoy, self._http)),
            Row(HTTP2, measure.http2_get, (envoy, self._http)),
        ]

    def check(self, costs: Costs) -> None:
        expect_counted(self._http, sum(costs.requests(row, self._http.name) for row in (HTTP, HTTP2)), COUNTER)

    def bars(self, costs: Costs) -> list[Bar]:
        ours = self._http.name
        text = "HTTP GET through `protocol: tcp`, CPU to HAProxy's tcp mode"
        return [
            Bar(text, costs.ratio(OVER_TCP, "narrows", "haproxy"), TCP_BAR),
            Bar(f"{HTTP} with every stat on, CPU to nginx", costs.ratio(HTTP, ours, "nginx-proxy"), NGINX_BAR),
            Bar(f"{HTTP} with every stat on, CPU to Envoy", costs.ratio(HTTP, ours, "envoy"), ENVOY_BAR),
            Bar(f"{HTTP2}, CPU to Envoy", costs.ratio(HTTP2, ours, "envoy"), ENVOY_HTTP2_BAR),
        ]

    def idle_bars(self) -> list[Bar]:
        nginx, envoy, ours = map(self._idle, (peers.start_nginx, peers.start_envoy, peers.start_narrows_http))
        text = f"An idle HTTP/1 connection (nginx's: {nginx:.0f} B, Envoy's: {envoy:.0f} B)"
        return [Bar(text, ours, IDLE_BAR, " B")]

    def _idle(self, start) -> float:
        proxy = self._start(start)
        size = measure.idle_http_bytes(proxy)
        self._processes.stop(proxy.name)
        return size

    def _start(self, start, *name: str, **options) -> peers.Proxy:
        return start(self._processes, self._tools, self._servers, *name, **options)
