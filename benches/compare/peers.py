"""What is measured: narrows, HAProxy, nginx, Envoy and twemproxy, side by side, and the servers behind them."""

import dataclasses
import json
import pathlib
import subprocess

from processes import Processes, free_port

# What a plain HTTP backend answers: 64 bytes.
BODY = "0123456789abcdef" * 4


# Upstream connections that the clients of collapse mode share.
POOLED = 32


@dataclasses.dataclass
class Tools:
    narrows: str
    load: str
    installed: pathlib.Path  # the folder of the peers, the servers and the other load tools

    def __getattr__(self, name: str) -> str:
        return str(self.installed / name)


@dataclasses.dataclass
class Proxy:
    name: str
    pid: int
    mongo: int = 0  # ports, of what it serves
    http: int = 0
    redis: int = 0
    admin: int = 0


@dataclasses.dataclass
class Servers:
    """Their ports; a proxy serves what there is a server for."""

    mongo: int = 0
    http: int = 0
    redis: int = 0

    def listeners(self) -> dict[str, int]:
        """A free port for each."""
        return {name: free_port() for name, port in dataclasses.asdict(self).items() if port}


def start_mongo(processes: Processes, tools: Tools) -> Servers:
    """Canned answers: a real mongod would be most of what is measured."""
    servers = Servers(mongo=free_port())
    processes.start("canned-mongo", tools.load, "serve", f"127.0.0.1:{servers.mongo}")
    processes.wait_for_port("canned-mongo", servers.mongo)
    return servers


def start_http(processes: Processes, tools: Tools) -> Servers:
    servers = Servers(http=free_port())
    config = processes.folder / "nginx.conf"
    config.write_text(nginx_config(processes.folder, servers.http))
    processes.start("nginx", tools.nginx, "-e", "stderr", "-p", processes.folder, "-c", config)
    processes.wait_for_port("nginx", servers.http)
    return servers


def start_haproxy(processes: Processes, tools: Tools, servers: Servers, name: str = "haproxy") -> Proxy:
    listeners = servers.listeners()
    config = processes.folder / f"{name}.cfg"
    config.write_text(haproxy_config(listeners, servers))
    process = processes.start(name, tools.haproxy, "-db", "-f", config)
    return ready(processes, Proxy(name, process.pid, **listeners))


def start_nginx(processes: Processes, tools: Tools, servers: Servers, name: str = "nginx-proxy") -> Proxy:
    http = free_port()
    config = processes.folder / f"{name}.conf"
    config.write_text(nginx_proxy_config(processes.folder / name, http, servers))
    # One of the same name may have been measured before.
    (processes.folder / name).mkdir(exist_ok=True)
    process = processes.start(name, tools.nginx, "-e", "stderr", "-p", processes.folder, "-c", config)
    return ready(processes, Proxy(name, process.pid, http=http))


def start_envoy(processes: Processes, tools: Tools, servers: Servers, name: str = "envoy") -> Proxy:
    ((kind, port),) = servers.listeners().items()
    config = processes.folder / f"{name}.json"
    config.write_text(json.dumps(envoy_config(kind, port, servers)))
    # Hot restart would have it share memory with any other Envoy of the machine.
    command = (tools.envoy, "-c", config, "--concurrency", 1, "--log-level", "error", "--disable-hot-restart")
    process = processes.start(name, *command)
    return ready(processes, Proxy(name, process.pid, **{kind: port}))


def start_narrows_http(processes: Processes, tools: Tools, servers: Servers, name: str = "narrows-http") -> Proxy:
    http, admin = free_port(), free_port()
    config = processes.folder / f"{name}.yaml"
    config.write_text(narrows_http_config(http, admin, servers))
    process = processes.start(name, tools.narrows, "run", "-c", config)
    return ready(processes, Proxy(name, process.pid, http=http, admin=admin))


def start_narrows(
    processes: Processes, tools: Tools, servers: Servers, name: str, stats: bool = True, mode: str = "tap"
) -> Proxy:
    listeners, admin = servers.listeners(), free_port()
    config = processes.folder / f"{name}.yaml"
    config.write_text(narrows_config(listeners, admin, servers, stats, mode))
    process = processes.start(name, tools.narrows, "run", "-c", config)
    return ready(processes, Proxy(name, process.pid, admin=admin, **listeners))


def ready(processes: Processes, proxy: Proxy) -> Proxy:
    for port in filter(None, (proxy.mongo, proxy.http, proxy.redis)):
        processes.wait_for_port(proxy.name, port)
    return proxy


def version(program: str, argument: str) -> str:
    result = subprocess.run([program, argument], capture_output=True, text=True, check=True)
    return (result.stdout or result.stderr).splitlines()[0]


def narrows_config(listeners: dict[str, int], admin: int, servers: Servers, stats: bool, mode: str) -> str:
    def listener(name: str, port: int) -> str:
        """HTTP is passed on by `protocol: tcp` here."""
        protocol = "protocol: tcp" if name == "http" else f"protocol: {name}, {name}: {{ mode: {mode} }}"
        return f"  - {{ name: {name}, listen: 127.0.0.1:{port}, cluster: {name}, {protocol} }}\n"

    def cluster(name: str) -> str:
        pool = f", pool: {{ max_connections: {POOLED} }}" if (name, mode) == ("mongo", "collapse") else ""
        return f"  - {{ name: {name}, endpoints: [127.0.0.1:{getattr(servers, name)}]{pool} }}\n"

    return f"""\
admin: {{ listen: 127.0.0.1:{admin} }}
workers: 1
listeners:
{"".join(listener(*each) for each in listeners.items())}\
clusters:
{"".join(map(cluster, listeners))}\
stats: {{ enabled: {str(stats).lower()} }}
"""


def narrows_http_config(http: int, admin: int, servers: Servers) -> str:
    return f"""\
admin: {{ listen: 127.0.0.1:{admin} }}
workers: 1
listeners:
  - {{ name: http, listen: 127.0.0.1:{http}, protocol: http, cluster: http }}
clusters:
  - {{ name: http, endpoints: [127.0.0.1:{servers.http}] }}
"""


def haproxy_config(listeners: dict[str, int], servers: Servers) -> str:
    def listen(name: str, port: int) -> str:
        return f"listen {name}\n  bind 127.0.0.1:{port}\n  server one 127.0.0.1:{getattr(servers, name)}\n"

    return f"""\
global
  nbthread 1
  maxconn 6000
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
{"".join(listen(*each) for each in listeners.items())}"""


def nginx_config(folder: pathlib.Path, port: int) -> str:
    # The folders that it makes at its start lie in /var by default, where only root may write.
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = " ".join(f"{kind}_temp_path {folder}/backend-{kind};" for kind in kinds)
    return f"""\
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 4096; }}
http {{
  {folders}
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type text/plain; return 200 "{BODY}"; }}
  }}
}}
"""


def nginx_proxy_config(folder: pathlib.Path, port: int, servers: Servers) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    # Without a master, the process that was started is the one that works.
    return f"""\
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{ worker_connections 12000; }}
http {{
  {folders}
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600;
  upstream backend {{ server 127.0.0.1:{servers.http}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://backend; }}
  }}
}}
"""


def envoy_config(kind: str, port: int, servers: Servers) -> dict:
    """The least that routes everything to one cluster, with limits that this load does not reach."""

    def typed(kind: str, **settings) -> dict:
        return {"@type": f"type.googleapis.com/envoy.extensions.filters.{kind}", **settings}

    def address(number: int) -> dict:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    router = {"name": "envoy.filters.http.router", "typed_config": typed("http.router.v3.Router")}
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]}]
    http = typed(
        "network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="ingress",
        codec_type="AUTO",
        route_config={"virtual_hosts": hosts},
        http_filters=[router],
    )
    redis = typed(
        "network.redis_proxy.v3.RedisProxy",
        stat_prefix="ingress",
        # What narrows counts too.
        settings={"op_timeout": "5s", "enable_command_stats": True},
        prefix_routes={"catch_all_route": {"cluster": "backend"}},
    )
    name, filter_config = {"http": ("http_connection_manager", http), "redis": ("redis_proxy", redis)}[kind]
    chain = {"filters": [{"name": f"envoy.filters.network.{name}", "typed_config": filter_config}]}
    many = {"max_connections": 20000, "max_requests": 20000, "max_pending_requests": 20000}
    backend = {
        "name": "backend",
        "connect_timeout": "1s",
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [many]},
        "load_assignment": {
            "cluster_name": "backend",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(getattr(servers, kind))}}]}],
        },
    }
    listener = {"name": kind, "address": address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [backend]}}
