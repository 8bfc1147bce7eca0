"""What the agent costs a laptop, beside collectd, zabbix-agent2 and prometheus-node-exporter.

Every program runs in a network namespace of its own, with a receiver of its own behind a virtual
cable whose bytes the kernel counts, headers included. All run at the same time.

`measure(...)` is what `tests/bench agent` calls; this file runs alone too, with `--help`. Root is
needed, for the namespaces.

How each number comes about:
  pss_mb, rss_mb       the median of three looks, children included
  cpu_s_per_hour       the process's own clock, which counts threads that are gone, and children
  wakeups_per_minute   voluntary context switches of all threads, and of those that came and went
  wire_bytes_per_day   bytes on the cable to the receiver, both ways, without Ethernet's headers
  disk_write_bytes_per_day   what the kernel says the process made dirty

Hours and days are extrapolated from the window, which is named in the result. Our agent runs by its
default intervals, or, in the short form, by these divided by 60, so that a minute does what an hour
does: its idle time is then too short by 60, its work is not. `per_day` of our agent means a school
day: ten hours awake, and nothing while the lid is closed; `per_24_hours_awake` the rest."""

import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
RECEIVERS = pathlib.Path(__file__).with_name("receivers.py")
FIXTURES = REPOSITORY / "agent/src/collect/fixtures"
PROGRAMS = {
    "collectd": "/usr/sbin/collectd",
    "zabbix_agent2": "/usr/sbin/zabbix_agent2",
    "prometheus_node_exporter": "/usr/bin/prometheus-node-exporter",
}
SCHEDULE = {"fast_s": 60, "network_s": 300, "disk_s": 300, "drive_s": 3600, "slow_s": 3600,
            "send_s": 300, "full_s": 14400}
TARGETS = ["classroom.bench.test", "canvas.bench.test", "schoology.bench.test"]
SCHOOL_DAY_HOURS = 10
# A report a minute, ten hours a day, thirty days.
MONTH_REPORTS = 60 * SCHOOL_DAY_HOURS * 30
MIB = 1024 * 1024
ETHERNET_HEADER = 14


def space(name):
    """The name of a network namespace of this run."""
    return f"rollcall-bench-{os.getpid()}-{name}"


def make_space(name):
    """A namespace with a loopback, and without IPv6, which would talk of itself on its own."""
    ip("netns", "add", name)
    ip("-n", name, "link", "set", "lo", "up")
    for links in ("all", "default"):
        ip("netns", "exec", name, "sysctl", "-qw", f"net.ipv6.conf.{links}.disable_ipv6=1")


class Cable:
    """A namespace for one program, and a cable from it to the receivers."""

    def __init__(self, name, at):
        self.space, self.other = space(name), space("receivers")
        self.at, self.links = at, []
        make_space(self.space)
        self.ours, self.theirs = self.lay(0)

    def lay(self, number):
        """One more cable: the address at this end, and at the receivers'."""
        near, far = f"n{self.at}c{number}", f"f{self.at}c{number}"
        ours, theirs = (f"10.213.{self.at}.{number * 4 + end}" for end in (1, 2))
        ip("link", "add", near, "netns", self.space, "type", "veth", "peer", "name", far,
           "netns", self.other)
        for space, link, address in ((self.space, near, ours), (self.other, far, theirs)):
            ip("-n", space, "address", "add", f"{address}/30", "dev", link)
            ip("-n", space, "link", "set", link, "up")
        # Neighbours that are known are not asked for: only what the programs send is counted.
        for space, link, other, address in ((self.space, near, far, theirs),
                                            (self.other, far, near, ours)):
            elsewhere = self.other if space == self.space else self.space
            there = json.loads(ip("-n", elsewhere, "-j", "link", "show", other))[0]["address"]
            ip("-n", space, "neigh", "replace", address, "lladdr", there, "dev", link,
               "nud", "permanent")
        if number == 0:
            ip("-n", self.space, "route", "add", "default", "via", theirs)
        self.links.append(near)
        return ours, theirs

    def bytes(self, number=0):
        text = ip("-n", self.space, "-s", "-j", "link", "show", self.links[number])
        stats = json.loads(text)[0]["stats64"]
        sides = (stats["rx"], stats["tx"])
        return sum(side["bytes"] - ETHERNET_HEADER * side["packets"] for side in sides)

    def remove(self):
        subprocess.run(["ip", "netns", "delete", self.space], stderr=subprocess.DEVNULL)


class Program:
    """A process in a namespace, and its counters."""

    def __init__(self, name, cable, command, folder, environment=None, probes=False):
        self.name, self.cable, self.probes = name, cable, probes
        self.log = open(folder / f"{name}.log", "ab")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", cable.space, *map(str, command)],
            env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log)
        self.pid = self.process.pid

    def counters(self):
        stat = read(f"/proc/{self.pid}/stat").rsplit(")", 1)[1].split()
        children_s = (int(stat[13]) + int(stat[14])) / os.sysconf("SC_CLK_TCK")
        io = dict(line.split(": ") for line in read(f"/proc/{self.pid}/io").splitlines())
        return {
            "at": time.monotonic(),
            # CPUCLOCK_SCHED of the thread group; see clock_getcpuclockid(3).
            "cpu_s": time.clock_gettime((~self.pid << 3) | 2) + children_s,
            "switches": self.live_switches(),
            "wire": self.cable.bytes(),
            "probes": self.cable.bytes(1) if self.probes else 0,
            "written": int(io["write_bytes"]) - int(io["cancelled_write_bytes"]),
        }

    def live_switches(self):
        count = 0
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            try:
                text = (task / "status").read_text()
            except OSError:
                continue
            count += int(text.split("\nvoluntary_ctxt_switches:")[1].split()[0])
        return count

    def memory(self):
        """PSS and RSS in MiB, children included."""
        pids, total = [self.pid], [0, 0]
        while pids:
            pid = pids.pop()
            try:
                pids += map(int, read(f"/proc/{pid}/task/{pid}/children").split())
                rollup = read(f"/proc/{pid}/smaps_rollup")
            except OSError:
                continue
            for at, key in enumerate(("\nPss:", "\nRss:")):
                total[at] += int(rollup.split(key)[1].split()[0]) / 1024
        return total

    def stop(self):
        """Ends it, and gives the voluntary switches of its whole life, threads that are gone too."""
        live = self.live_switches() if self.process.poll() is None else 0
        self.process.send_signal(signal.SIGTERM)
        deadline = threading.Timer(10, self.process.kill)
        deadline.start()
        _, _, usage = os.wait4(self.pid, 0)
        deadline.cancel()
        self.process.returncode = 0
        self.log.close()
        return live, usage.ru_nvcsw


def measure(agent, collector, tool, folder, window_s=50, real_time=False, say=print):
    """Measures all programs for `window_s` and gives a result for each. `real_time` has our agent run
    by its default intervals instead of these divided by 60. `tool` is the program `rollcall-bench`."""
    if os.geteuid() != 0:
        raise RuntimeError("root is needed, for network namespaces")
    bench = Bench(*map(pathlib.Path, (agent, collector, tool, folder)), say)
    try:
        return bench.run(window_s, 1 if real_time else 60)
    finally:
        bench.clean_up()


class Bench:
    def __init__(self, agent, collector, tool, folder, say):
        self.agent, self.collector, self.tool, self.folder, self.say = agent, collector, tool, folder, say
        self.cables, self.receivers, self.programs = [], [], []
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, window_s, haste):
        subprocess.run(["ip", "netns", "delete", space("receivers")], stderr=subprocess.DEVNULL)
        make_space(space("receivers"))
        self.prepare_laptop(haste)
        self.start_ours("rollcall_agent_offline", 2)
        month = self.start_ours("rollcall_agent_month_offline", 6)
        online = self.start_ours("rollcall_agent", 1)
        self.start_peers()
        self.settle(haste, month)
        calibration = self.calibrate(online, haste)
        self.say(f"measuring {len(self.programs)} programs for {window_s} s")
        before = {p.name: p.counters() for p in self.programs}
        memory = {p.name: [] for p in self.programs}
        for _ in range(3):
            self.live(window_s / 3)
            for program in self.programs:
                memory[program.name].append(program.memory())
        after = {p.name: p.counters() for p in self.programs}
        results = {}
        for program in self.programs:
            live, whole = program.stop()
            gone = max(0, whole - live - calibration) if program.name.startswith("rollcall_agent") else 0
            results[program.name] = self.result(
                program, before[program.name], after[program.name], memory[program.name], gone, haste)
        return results

    def result(self, program, before, after, memory, gone, haste):
        ours = program.name.startswith("rollcall_agent")
        haste = haste if ours else 1
        window_s = after["at"] - before["at"]
        hours = window_s * haste / 3600
        # A day of a peer is a whole one: it sends whether or not anybody sits at the laptop.
        day = SCHOOL_DAY_HOURS if ours else 24
        gained = {key: after[key] - before[key] for key in before}
        result = {
            "pss_mb": round(statistics.median(pss for pss, _ in memory), 2),
            "rss_mb": round(statistics.median(rss for _, rss in memory), 2),
            "cpu_s_per_hour": round(gained["cpu_s"] / hours, 3),
            "wakeups_per_minute": round((gained["switches"] + gone) / hours / 60, 1),
            "wire_bytes_per_day": round(gained["wire"] / hours * day),
            "wire_bytes_per_24_hours_awake": round(gained["wire"] / hours * 24),
            "window_s": round(window_s, 1),
            "hours_in_window": round(hours, 3),
            "hours_of_day": day,
        }
        if ours:
            result |= {
                "disk_write_bytes_per_day": round(gained["written"] / hours * day),
                "disk_write_bytes_per_24_hours_awake": round(gained["written"] / hours * 24),
                "reachability_bytes_per_day": round(gained["probes"] / hours * day),
                "binary_mb": round(self.agent.stat().st_size / MIB, 2),
                "haste": haste,
            }
        return result

    # ---- our agent ----

    def prepare_laptop(self, haste):
        """A laptop with battery, drive, sensors and link, whose processor and memory are this
        machine's."""
        self.sys = self.folder / "sys"
        shutil.copytree(FIXTURES / "trees/worn-laptop/sys", self.sys, symlinks=True,
                        dirs_exist_ok=True)
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        answer = FIXTURES / "drive/nvme_healthy.json"
        smartctl = tools / "smartctl"
        smartctl.write_text(f"#!/bin/sh\nexec /bin/cat '{answer}'\n")
        smartctl.chmod(0o755)
        self.environment = {"PATH": f"{tools}:{os.environ['PATH']}"}
        self.minute_s, self.minute = 60 / haste, 0
        self.schedule = {key: max(1, value // haste) for key, value in SCHEDULE.items()}
        self.make_certificate()

    def make_certificate(self):
        names = ",".join(f"DNS:{name}" for name in TARGETS)
        key, certificate = self.folder / "web.key", self.folder / "web.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "30", "-subj", "/O=Bench/CN=bench.test", "-addext",
            f"subjectAltName={names}", "-keyout", key, "-out", certificate)
        roots = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
        bundle = self.folder / "roots.pem"
        bundle.write_text((roots.read_text() if roots.exists() else "") + certificate.read_text())
        self.environment["SSL_CERT_FILE"] = str(bundle)

    def start_ours(self, name, at):
        cable = self.cable(name, at)
        _, web = cable.lay(1)
        hosts = pathlib.Path("/etc/netns") / cable.space
        hosts.mkdir(parents=True, exist_ok=True)
        lines = ["127.0.0.1 localhost"] + [f"{web} {target}" for target in TARGETS]
        (hosts / "hosts").write_text("\n".join(lines) + "\n")
        self.receiver("web", web, self.folder / "web.pem", self.folder / "web.key")
        data, config = self.folder / name, self.folder / f"{name}.toml"
        collector = self.start_collector(name, cable.theirs)
        config.write_text(
            f'collector = "{collector}"\ndata = "{data}"\n[roots]\nsys = "{self.sys}"\n')
        token = self.folder / "token"
        out = run(self.collector, "token", "create", "--site", "Bench", "--uses", "1", "--expires",
                  "1d", "--data", self.folder / f"{name}-collector")
        token.write_text(next(word for word in out.split() if word.startswith("rc1.")))
        self.command = [self.agent, "--config", config, "--log", "warn"]
        run("ip", "netns", "exec", cable.space, *self.command, "enroll", "--token-file", token,
            env={**os.environ, **self.environment})
        return self.run_ours(name, cable)

    def run_ours(self, name, cable):
        config = self.folder / f"{name}.toml"
        # A copy, so that two agents share no page of it and each is charged with all it uses.
        binary = self.folder / f"{name}-binary"
        if not binary.exists():
            shutil.copy(self.agent, binary)
        program = Program(name, cable, [binary, "--config", config, "--log", "warn", "run"],
                          self.folder, self.environment, probes=True)
        self.programs.append(program)
        return program

    def start_collector(self, name, address):
        data, config = self.folder / f"{name}-collector", self.folder / f"{name}-collector.toml"
        lines = ["[agents.schedule]"] + [f"{key} = {value}" for key, value in self.schedule.items()]
        for target in TARGETS:
            lines += ["[[agents.targets]]", f'name = "{target}"', f'url = "https://{target}:8444/"']
        config.write_text("\n".join(lines) + "\n")
        run(self.collector, "init", "--data", data, "--name", "localhost", "--address", address)
        log = open(self.folder / f"{name}-collector.log", "ab")
        process = subprocess.Popen(
            ["ip", "netns", "exec", space("receivers"), str(self.collector), "run", "--data", str(data),
             "--config", str(config), "--grpc", f"{address}:8443", "--http", "127.0.0.1:0"],
            stdout=log, stderr=log)
        self.receivers.append(process)
        wait_for("the collector", lambda: (data / "run.json").exists())
        time.sleep(0.5)
        setattr(self, f"{name}_collector", process)
        return f"{address}:8443"

    def settle(self, haste, month):
        """Lets every probe run once, and takes the offline agents' collectors away."""
        self.live(8 if haste > 1 else 90)
        end(self.rollcall_agent_offline_collector)
        end(self.rollcall_agent_month_offline_collector)
        self.live(2 if haste > 1 else 150)
        self.age(month)

    def age(self, program):
        """Gives an agent without collector the spool of a month: its own reports, over and over."""
        program.stop()
        self.programs.remove(program)
        filled = run(self.tool, "absence", "--data", self.folder / program.name,
                     "--reports", MONTH_REPORTS)
        self.spool = json.loads(filled)
        self.say(f"a month without collector: {self.spool['reports']} reports, {self.spool['bytes']} bytes")
        self.run_ours(program.name, program.cable)
        self.live(8)

    def calibrate(self, online, haste):
        """The switches of threads that came and went from the start until now: the same agent is
        stopped and started, and then lives for as long again."""
        live, whole = online.stop()
        self.programs.remove(online)
        again = self.run_ours("rollcall_agent", online.cable)
        self.programs.sort(key=lambda program: program is not again)
        self.live(10 if haste > 1 else 92)
        return whole - live

    def live(self, seconds):
        """Lets time pass on the laptop: a minute of it is as long as our agent's fast interval."""
        end_at = time.monotonic() + seconds
        while (left := end_at - time.monotonic()) > 0:
            self.pass_minute()
            time.sleep(min(left, self.minute_s))

    def pass_minute(self):
        """A lesson: the battery goes down by 0.15 % a minute, power and heat go up and down."""
        self.minute += 1
        swing = (self.minute * 7) % 11 - 5
        now = 14_700_000 - 33_000 * (self.minute % 300)
        values = {"ENERGY_NOW": now, "CAPACITY": now * 100 // 22_060_000,
                  "POWER_NOW": 7_350_000 + swing * 300_000, "VOLTAGE_NOW": 11_340_000 - self.minute * 900}
        uevent = self.sys / "class/power_supply/BAT0/uevent"
        lines = []
        for line in uevent.read_text().splitlines():
            key = line.split("=")[0].removeprefix("POWER_SUPPLY_")
            lines.append(f"POWER_SUPPLY_{key}={values[key]}" if key in values else line)
        replace(uevent, "\n".join(lines) + "\n")
        for sensor in self.sys.glob("class/hwmon/*/temp1_input"):
            replace(sensor, f"{52_000 + swing * 700}\n")

    # ---- the others ----

    def start_peers(self):
        for at, (name, start) in enumerate({
            "collectd": self.start_collectd,
            "zabbix_agent2": self.start_zabbix,
            "prometheus_node_exporter": self.start_node_exporter,
        }.items(), 3):
            if shutil.which(PROGRAMS[name]):
                self.programs.append(start(name, self.cable(name, at)))
            else:
                self.say(f"{name} is not installed and is left out")

    def start_collectd(self, name, cable):
        """The plugins that Debian's configuration loads, with `network` in place of `rrdtool`, and
        once a minute as our agent, not every 10 s."""
        plugins = "battery cpu df disk entropy interface irq load memory processes swap users".split()
        config = self.folder / "collectd.conf"
        config.write_text("".join([
            f'Hostname "bench"\nInterval 60\nBaseDir "{self.folder}"\nPIDFile "{self.folder}/collectd.pid"\n',
            *(f"LoadPlugin {plugin}\n" for plugin in plugins),
            f'LoadPlugin network\n<Plugin network>\n  Server "{cable.theirs}" "25826"\n</Plugin>\n',
        ]))
        self.receiver("collectd", cable.theirs)
        return Program(name, cable, [PROGRAMS[name], "-f", "-C", config], self.folder)

    def start_zabbix(self, name, cable):
        """Active checks of the items in the template `Linux by Zabbix agent active`, every minute."""
        config = self.folder / "zabbix_agent2.conf"
        config.write_text(
            f"ServerActive={cable.theirs}\nServer={cable.theirs}\nHostname=bench\nLogType=console\n"
            f"ListenIP={cable.ours}\nControlSocket={self.folder}/zabbix.sock\n"
            f"PluginSocket={self.folder}/zabbix.plugin.sock\nPidFile={self.folder}/zabbix.pid\n")
        self.receiver("zabbix", cable.theirs)
        return Program(name, cable, [PROGRAMS[name], "-f", "-c", config], self.folder)

    def start_node_exporter(self, name, cable):
        """Its default collectors, read once a minute, which is Prometheus's default."""
        program = Program(name, cable,
                          [PROGRAMS[name], f"--web.listen-address={cable.ours}:9100"], self.folder)
        self.receiver("prometheus", cable.ours)
        return program

    # ---- what stands around ----

    def cable(self, name, at):
        subprocess.run(["ip", "netns", "delete", space(name)], stderr=subprocess.DEVNULL)
        cable = Cable(name, at)
        self.cables.append(cable)
        return cable

    def receiver(self, kind, address, *more):
        log = open(self.folder / f"{kind}-receiver.log", "ab")
        self.receivers.append(subprocess.Popen(
            ["ip", "netns", "exec", space("receivers"), sys.executable, str(RECEIVERS), kind, address,
             *map(str, more)], stdout=log, stderr=log))

    def clean_up(self):
        for program in self.programs:
            end(program.process)
        for process in self.receivers:
            end(process)
        for cable in self.cables:
            cable.remove()
            shutil.rmtree(f"/etc/netns/{cable.space}", ignore_errors=True)
        subprocess.run(["ip", "netns", "delete", space("receivers")], stderr=subprocess.DEVNULL)


def ip(*arguments):
    return run("ip", *arguments)


def run(*command, env=None):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=env)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def read(path):
    return pathlib.Path(path).read_text()


def replace(path, text):
    """Puts a file in place at once, as sysfs shows it: no reader sees half of it."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)


def wait_for(what, is_there, seconds=30):
    end_at = time.monotonic() + seconds
    while not is_there():
        if time.monotonic() > end_at:
            raise RuntimeError(f"{what} did not come up within {seconds} s")
        time.sleep(0.1)


def end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def table(results):
    """The figures as a table in Markdown."""
    keys = ["pss_mb", "rss_mb", "cpu_s_per_hour", "wakeups_per_minute", "wire_bytes_per_day",
            "disk_write_bytes_per_day", "binary_mb"]
    rows = ["| program | " + " | ".join(keys) + " |", "|---" * (len(keys) + 1) + "|"]
    for name, result in results.items():
        rows.append(f"| {name} | " + " | ".join(str(result.get(key, "")) for key in keys) + " |")
    return "\n".join(rows)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    target = REPOSITORY / "target"
    options.add_argument("--agent", default=target / "agent/rollcall-agent")
    options.add_argument("--collector", default=target / "release/rollcall-collector")
    options.add_argument("--tool", default=target / "release/rollcall-bench")
    options.add_argument("--folder", default="/tmp/rollcall-bench-agent", help="a scratch folder")
    options.add_argument("--window", type=float, default=50, metavar="SECONDS")
    options.add_argument("--real-time", action="store_true", help="by the default intervals")
    options.add_argument("--json", type=pathlib.Path, metavar="FILE")
    options = options.parse_args()
    shutil.rmtree(options.folder, ignore_errors=True)
    results = measure(options.agent, options.collector, options.tool, options.folder, options.window,
                      options.real_time)
    print(table(results))
    print(json.dumps(results, indent=2))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
