"""What is measured: narrows and HAProxy, side by side, and the servers behind them."""

import dataclasses
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
    installed: pathlib.Path  # the folder of haproxy, nginx and wrk

    def __getattr__(self, name: str) -> str:
        return str(self.installed / name)


@dataclasses.dataclass
class Proxy:
    name: str
    pid: int
    mongo: int  # ports
    http: int
    admin: int = 0


@dataclasses.dataclass
class Servers:
    mongo: int
    http: int


def start_servers(processes: Processes, tools: Tools) -> Servers:
    servers = Servers(free_port(), free_port())
    processes.start("canned-mongo", tools.load, "serve", f"127.0.0.1:{servers.mongo}")
    config = processes.folder / "nginx.conf"
    config.write_text(nginx_config(processes.folder, servers.http))
    processes.start("nginx", tools.nginx, "-e", "stderr", "-p", processes.folder, "-c", config)
    processes.wait_for_port("canned-mongo", servers.mongo)
    processes.wait_for_port("nginx", servers.http)
    return servers


def start_haproxy(processes: Processes, tools: Tools, servers: Servers, name: str = "haproxy") -> Proxy:
    mongo, http = free_port(), free_port()
    config = processes.folder / f"{name}.cfg"
    config.write_text(haproxy_config(mongo, http, servers))
    process = processes.start(name, tools.haproxy, "-db", "-f", config)
    return ready(processes, Proxy(name, process.pid, mongo, http))


def start_narrows(processes: Processes, tools: Tools, servers: Servers, name: str, stats: bool = True, mode: str = "tap") -> Proxy:
    mongo, http, admin = free_port(), free_port(), free_port()
    config = processes.folder / f"{name}.yaml"
    config.write_text(narrows_config(mongo, http, admin, servers, stats, mode))
    process = processes.start(name, tools.narrows, "run", "-c", config)
    return ready(processes, Proxy(name, process.pid, mongo, http, admin))


def ready(processes: Processes, proxy: Proxy) -> Proxy:
    processes.wait_for_port(proxy.name, proxy.mongo)
    processes.wait_for_port(proxy.name, proxy.http)
    return proxy


def version(program: str, argument: str) -> str:
    result = subprocess.run([program, argument], capture_output=True, text=True, check=True)
    return (result.stdout or result.stderr).splitlines()[0]


def narrows_config(mongo: int, http: int, admin: int, servers: Servers, stats: bool, mode: str) -> str:
    pool = f", pool: {{ max_connections: {POOLED} }}" if mode == "collapse" else ""
    return f"""\
admin: {{ listen: 127.0.0.1:{admin} }}
workers: 1
listeners:
  - {{ name: mongo, listen: 127.0.0.1:{mongo}, protocol: mongo, cluster: mongo, mongo: {{ mode: {mode} }} }}
  - {{ name: http, listen: 127.0.0.1:{http}, protocol: tcp, cluster: http }}
clusters:
  - {{ name: mongo, endpoints: [127.0.0.1:{servers.mongo}]{pool} }}
  - {{ name: http, endpoints: [127.0.0.1:{servers.http}] }}
stats: {{ enabled: {str(stats).lower()} }}
"""


def haproxy_config(mongo: int, http: int, servers: Servers) -> str:
    return f"""\
global
  nbthread 1
  maxconn 6000
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
listen mongo
  bind 127.0.0.1:{mongo}
  server one 127.0.0.1:{servers.mongo}
listen http
  bind 127.0.0.1:{http}
  server one 127.0.0.1:{servers.http}
"""


def nginx_config(folder: pathlib.Path, port: int) -> str:
    # The folders that it makes at its start lie in /var by default, where only root may write.
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = " ".join(f"{kind}_temp_path {folder}/nginx-{kind};" for kind in kinds)
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
