"""What the agent takes of a laptop, beside other agents: memory, processor time, wake-ups, bytes sent."""

import json
import os
import pathlib
import time

from bench.processes import Process, tree
from bench.systems import Rollcall, free_port

PROGRAMS = ["rollcall-collector", "rollcall-agent", "rollcall-bench"]
PACKAGES = ["zabbix-agent2", "prometheus-node-exporter", "collectd-core"]


def run(bench):
    seconds = bench.size(3, 40, 600)
    bench.results.parameters(seconds=seconds)
    started = {"rollcall_agent": rollcall(bench)}
    for name, program, command in others(bench):
        if bench.packages.has(program, program):
            started[name] = Process(name, [bench.program(program), *command], bench.logs)
    time.sleep(bench.size(1, 8, 60))
    before = {name: counted(process) for name, process in started.items()}
    time.sleep(seconds)
    found = {}
    for name, process in started.items():
        process.check()
        found[name] = figures(process, before[name], counted(process), seconds)
        bench.results.put(name, found[name])
    for figure in ("pss_mb", "rss_mb", "cpu_s_per_hour", "wakeups_per_minute"):
        bench.results.row(figure.replace("_", " "), **{name: seen[figure] for name, seen in found.items()})
    bench.results.note("each program with its own defaults and nobody asking it; wake-ups are voluntary context "
                       "switches of all its threads")


def rollcall(bench):
    """A collector, and an agent that has enrolled with it."""
    system = bench.system(Rollcall)
    system.enrol(1, 1)
    token = bench.folder / "token"
    text = system.tool("rollcall-collector", ["token", "create", "--site", "Bench", "--uses", 1, "--data", system.data])
    token.write_text(next(word for word in text.split() if word.startswith("rc1.")))
    token.chmod(0o600)
    system.start()
    config = bench.folder / "agent.toml"
    config.write_text(f"collector = {json.dumps(system.grpc)}\n")
    options = ["--data", bench.folder / "agent-data", "--config", config]
    agent = bench.binaries / "rollcall-agent"
    bench.tool(agent, [*options, "enroll", "--collector", system.grpc, "--token-file", token])
    return Process("rollcall-agent", [agent, *options, "run"], bench.logs)


def others(bench):
    zabbix, collectd = bench.folder / "zabbix.conf", bench.folder / "collectd.conf"
    zabbix.write_text(f"LogType=console\nServer=127.0.0.1\nListenPort={free_port(range(20050, 32000, 7))}\nListenIP=127.0.0.1\n"
                      f"Hostname=bench\nControlSocket={bench.folder / 'zabbix.sock'}\n")
    plugins = "".join(f"LoadPlugin {name}\n" for name in ("cpu", "memory", "df", "disk", "interface", "load"))
    collectd.write_text(f'BaseDir "{bench.folder}"\nPIDFile "{bench.folder}/collectd.pid"\nInterval 60\n{plugins}')
    return [("zabbix_agent2", "zabbix_agent2", ["-c", zabbix, "-f"]),
            ("node_exporter", "prometheus-node-exporter", [f"--web.listen-address=127.0.0.1:{free_port()}"]),
            ("collectd", "collectd", ["-C", collectd, "-f"])]


def counted(process):
    return process.cpu_s(), wakeups(process.pid)


def wakeups(pid):
    total = 0
    for one in tree(pid):
        for task in os.listdir(f"/proc/{one}/task"):
            for line in pathlib.Path(f"/proc/{one}/task/{task}/status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    total += int(line.split()[1])
    return total


def figures(process, before, after, seconds):
    return {**process.memory_mb(), "cpu_s_per_hour": (after[0] - before[0]) / seconds * 3600,
            "wakeups_per_minute": (after[1] - before[1]) / seconds * 60, "wire_bytes_per_day": None}
