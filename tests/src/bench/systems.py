"""The systems under test: each with data of its own in a temporary folder, on free loopback ports,
configured as its own documentation says for one machine, and with nothing that would slow it down."""

import http.client
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.parse

from bench.processes import Process, Stop, disk_bytes, wait_for

READY_S = 120
RETENTION_DAYS = 400


def free_port(ports=(0,)):
    """A port of the loopback address that nobody has; the first free one of `ports`."""
    for port in ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise Stop(f"none of {ports} is free on 127.0.0.1")


class System:
    """What all of them have."""

    def __init__(self, bench, label=""):
        self.bench = bench
        self.folder = bench.folder / (self.name + label)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = None
        self.connection = None

    def bytes_on_disk(self):
        return disk_bytes(self.folder)

    def ask(self, path, headers=None, method="GET", body=None):
        """An answer's body, over one connection that is kept, as a dashboard keeps it."""
        for attempt in (1, 2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.address, timeout=120)
            try:
                self.connection.request(method, path, body=body, headers=headers or {})
                answer = self.connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                self.connection.close()
                self.connection = None
                if attempt == 2:
                    raise
                continue
            if answer.status >= 300:
                raise ValueError(f"{path}: {answer.status} {content[:300]!r}")
            return content

    def stop(self):
        self.hang_up()
        if self.process:
            self.process.stop()

    def kill(self):
        self.hang_up()
        self.process.kill()

    def hang_up(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def delete(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Rollcall(System):
    name = "rollcall"
    title = "Rollcall"

    def __init__(self, bench, label="", retention_days=RETENTION_DAYS):
        super().__init__(bench, label)
        self.data, self.fleet = self.folder / "data", self.folder / "fleet"
        self.config = self.folder / "collector.toml"
        # The reserve is for schools; a bench on a small disk is not to be refused by it.
        self.config.write_text(f"[store]\nreserve_mb = 64\nretention_days = {retention_days}\n")
        self.devices = 0

    def enrol(self, devices, connections):
        """An authority, a store, and laptops that have enrolled; `connections` can connect."""
        self.tool("rollcall-collector", ["init", "--data", self.data, "--name", "localhost",
                                         "--address", "127.0.0.1"])
        self.tool("rollcall-bench", ["fleet", "--data", self.data, "--devices", devices,
                                     "--connections", connections, "--out", self.fleet])
        self.devices = devices

    def fill(self, series, devices, first_sequence=1, seal=True, merge=False):
        """History past the wire, while the collector does not run."""
        return json.loads(self.tool("rollcall-bench", [
            "fill", "--data", self.data, "--series", series, "--fleet", self.fleet, "--devices", devices,
            "--first-sequence", first_sequence, *(["--seal"] if seal else []),
            *(["--merge"] if merge else [])]))

    def seal(self):
        """Seals everything, as time would, while the collector does not run; tells what that costs."""
        return json.loads(self.tool("rollcall-bench", ["seal", "--data", self.data]))

    def start(self, environment=None):
        """Runs it; it is ready when it says so on /readyz."""
        (self.data / "run.json").unlink(missing_ok=True)
        self.process = Process(self.name, [
            self.bench.binaries / "rollcall-collector", "run", "--data", self.data, "--config",
            self.config, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"], self.bench.logs, environment)
        run = wait_for(READY_S, "the collector to listen", self.read_run, self.process)
        self.address, self.grpc = run["http"], run["grpc"]
        wait_for(READY_S, "the collector to be ready", lambda: self.ask("/readyz"), self.process)
        self.token = (self.data / "admin-token").read_text().strip()
        return self

    def read_run(self):
        return json.loads((self.data / "run.json").read_text())

    def get(self, path):
        return self.ask(path, {"Authorization": f"Bearer {self.token}"})

    def json(self, path):
        return json.loads(self.get(path))

    def counted(self, name):
        """The sum of a metric that it tells of itself."""
        return sum_of(self.get("/metrics").decode(), name)

    def driver(self, series, connections, **load):
        return self.senders("laptops", series, connections, load)

    def morning(self, series, connections, **load):
        """All at once, each with what its spool has kept."""
        return self.senders("morning", series, connections, load)

    def senders(self, command, series, connections, load):
        return [command, "--series", series, "--fleet", self.fleet, "--collector", self.grpc,
                "--connections", connections, *arguments(load)]

    def first_laptop(self):
        """The identity of the first laptop."""
        with open(self.fleet) as lines:
            next(lines)
            return json.loads(next(lines))["device"]

    def points(self, device, metric, instance, days, points):
        """A laptop's series over the last days, as it was read."""
        start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * 86400))
        fields = {"metric": metric, "instance": instance, "from": start, "points": points, "resolution": "raw"}
        return self.get(f"/api/v1/devices/{device}/series?{urllib.parse.urlencode(fields)}")

    def history(self, device, days, points):
        """All numbers of a laptop over the last days."""
        start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * 86400))
        fields = {"from": start, "points": points}
        return self.get(f"/api/v1/devices/{device}/series?{urllib.parse.urlencode(fields)}")

    def bytes_on_disk(self):
        return disk_bytes(self.data)

    def tool(self, name, command):
        return self.bench.tool(self.bench.binaries / name, command)


class VictoriaMetrics(System):
    name = "victoriametrics"
    title = "VictoriaMetrics"
    program = "victoria-metrics"
    packages = ["victoria-metrics"]

    def __init__(self, bench, label="", retention_days=RETENTION_DAYS):
        super().__init__(bench, label)
        self.retention_days = retention_days
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"

    def start(self, environment=None):
        self.process = Process(self.name, [
            self.bench.program(self.program), f"-storageDataPath={self.folder / 'data'}",
            f"-retentionPeriod={self.retention_days}d", f"-httpListenAddr={self.address}",
            "-loggerLevel=WARN", "-http.maxGracefulShutdownDuration=1s",
            # By default it closes connections after two minutes, for load balancers.
            "-http.connTimeout=24h", "-http.idleConnTimeout=1h"], self.bench.logs, environment)
        wait_for(READY_S, "VictoriaMetrics to listen", lambda: self.ask("/health"), self.process)
        return self

    def driver(self, series, connections, protocol="lines", **load):
        return ["tsdb", "--series", series, "--server", self.address, "--connections", connections,
                "--protocol", protocol, *arguments(load)]

    def query(self, expression, at=None):
        """The answer to an instant query, without its cache: another question each time would not
        be answered from it either."""
        fields = {"query": expression, "nocache": 1, **({"time": at} if at else {})}
        return json.loads(self.ask("/api/v1/query?" + urllib.parse.urlencode(fields)))["data"]["result"]

    def query_range(self, expression, start, end, step):
        fields = {"query": expression, "start": start, "end": end, "step": step, "nocache": 1}
        path = "/api/v1/query_range?" + urllib.parse.urlencode(fields)
        return json.loads(self.ask(path))["data"]["result"]

    def flush(self):
        """Makes what was pushed visible to queries; it does so by itself some seconds later."""
        self.ask("/internal/force_flush")

    def samples(self):
        """Samples that it has stored, as it counts them."""
        return sum_of(self.ask("/metrics").decode(), 'vm_rows{type="storage/', prefix=True)


class InfluxDb(System):
    name = "influxdb"
    title = "InfluxDB"
    program = "influxd"
    packages = ["influxdb"]

    def __init__(self, bench, label="", retention_days=RETENTION_DAYS):
        super().__init__(bench, label)
        self.retention_days = retention_days
        self.address = f"127.0.0.1:{free_port()}"
        self.config = self.folder / "influxdb.conf"
        folder = self.folder
        self.config.write_text(f"""
reporting-disabled = true
bind-address = "127.0.0.1:{free_port()}"
[meta]
  dir = "{folder / 'meta'}"
[data]
  dir = "{folder / 'data'}"
  wal-dir = "{folder / 'wal'}"
  index-version = "tsi1"
  max-series-per-database = 0
  max-values-per-tag = 0
  query-log-enabled = false
[http]
  bind-address = "{self.address}"
  log-enabled = false
  max-body-size = 0
[monitor]
  store-enabled = false
[logging]
  level = "error"
""")

    def start(self, environment=None):
        self.process = Process(self.name, [self.bench.program(self.program), "-config", self.config],
                               self.bench.logs, environment)
        wait_for(READY_S, "InfluxDB to listen", lambda: self.ask("/ping") is not None, self.process)
        duration = f"{self.retention_days}d"
        self.statement(f'CREATE DATABASE rollcall WITH DURATION {duration} REPLICATION 1 SHARD DURATION 7d')
        return self

    def statement(self, text):
        body = urllib.parse.urlencode({"q": text})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = json.loads(self.ask("/query?db=rollcall&epoch=ms", headers, "POST", body))
        error = answer["results"][0].get("error")
        if error:
            raise Stop(f"InfluxDB: {text}: {error}")
        return answer["results"][0].get("series", [])

    def driver(self, series, connections, **load):
        return ["tsdb", "--series", series, "--server", self.address, "--connections", connections,
                "--protocol", "lines", *arguments(load)]


def arguments(load):
    """Options of the measuring program: `reports_per_push=5` becomes `--reports-per-push 5`."""
    made = []
    for name, value in load.items():
        if value is not None and value is not False:
            made += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
    return made


def sum_of(text, name, prefix=False):
    """Adds up the samples of a metric in Prometheus' text."""
    total = 0.0
    for line in text.splitlines():
        if line.startswith(name) and (prefix or re.match(r"[ {]", line[len(name):len(name) + 1])):
            total += float(line.rpartition(" ")[2])
    return total


def version_of(command):
    """What a program says of itself, in one line."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        return ((done.stdout or done.stderr).strip().splitlines() or ["unknown"])[0]
    except (OSError, subprocess.TimeoutExpired):
        return None
