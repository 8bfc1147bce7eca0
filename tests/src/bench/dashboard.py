"""Time to answer of the web pages: attention, the fleet filtered and sorted, a laptop's month and year, the first page.

Pages are asked for as a signed-in browser does, over one kept connection, one after the other, until each has been
answered some hundred times. Chromium measures how long the first page takes until it can be used.
"""

import http.cookies
import json
import re
import time
import urllib.parse
import urllib.request

from bench.processes import Process, settle, wait_for
from bench.query import percentiles
from bench.systems import Rollcall, free_port

PROGRAMS = ["rollcall-collector", "rollcall-simulator"]
PACKAGES = ["chromium", "chromium-driver"]

PAGE_MS, HISTORY_MS, FIRST_PAGE_MS, FIRST_PAGE_BYTES = 50, 30, 1000, 150_000
MONTH = 30
LOADS = 5


def run(bench):
    devices, days = bench.size(50, 10_000, 100_000), bench.size(2, 1, MONTH)
    # Some laptops have a report a minute of all the days; the others what a fleet of this size can be filled with.
    fine, asked = bench.size(2, 20, 100), bench.size(3, 200, 300)
    system = bench.system(Rollcall)
    if bench.options.store:
        system.data = bench.options.store
        bench.results.parameters(store="filled before")
    else:
        bench.results.parameters(devices=devices, days=days, laptops_with_30_days=fine)
        fill(bench, system, (devices, days, fine))
    started = time.monotonic()
    system.start()
    bench.say(f"ready after {time.monotonic() - started:.1f} s")
    bench.results.put("devices", system.json("/api/v1/summary")["devices"])
    rest(bench, system)
    desk = Desk(system)
    tell(bench, {name: ask(desk, paths, asked) for name, paths in questions(system).items()})
    first_page(bench, system, desk)


def fill(bench, system, sizes):
    devices, days, fine = sizes
    system.tool("rollcall-collector", ["init", "--data", system.data, "--name", "localhost", "--address", "127.0.0.1"])
    command = ["fill", "--data", system.data]
    system.tool("rollcall-simulator", [*command, "--devices", fine, "--days", bench.size(2, MONTH, MONTH)])
    system.tool("rollcall-simulator", [*command, "--first", fine, "--devices", devices - fine, "--days", days,
                                       "--step", bench.size(600, 3600, 3600)])
    bench.say("filled")


def rest(bench, system):
    """Waits until the rules have looked at everybody and the days are merged, which begins 10 s after the start."""
    settle(system.process, bench.size(1, 13, 60), bench.size(10, 60, 1200))
    bench.results.put("alerts", system.counted("rollcall_alerts"))


def questions(system):
    """What is asked, page by page; the addresses of one take turns."""
    found = list(every_device(system))
    sites = sorted({device["site"] for device in found})
    systems = sorted({device["os"] for device in found if device["os"]})
    # Those with a look a minute were filled in first.
    fine = min(found, key=lambda device: device["enrolled_at"])["id"]
    quote = urllib.parse.quote
    filtered = [f"/devices?site={quote(site)}" for site in sites[:3]]
    filtered += ["/devices?health=critical", "/devices?search=latitude", "/devices?search=batt&sort=battery",
                 "/devices?sort=disk&order=reversed&page=3"]
    filtered += [f"/devices?os={quote(name)}&sort=heard" for name in systems[:2]]
    history = f"/devices/{fine}/history.json?part=battery"
    return {
        "attention": ["/", *(f"/?site={quote(site)}" for site in sites[:2])],
        "fleet": ["/devices"],
        "fleet filtered": filtered,
        "laptop's page, a day": [f"/devices/{fine}?part=battery"],
        "laptop's history of 30 days": [f"{history}&range=month"],
        "laptop's page of 30 days": [f"/devices/{fine}?part=battery&range=month"],
        "laptop's history of a year": [f"{history}&range=year"],
        "reachability": ["/reachability"],
        "reports": ["/reports"],
    }


def every_device(system):
    page = ""
    while page is not None:
        answer = system.json(f"/api/v1/devices?page_size=1000{page and '&page=' + page}")
        yield from answer["devices"]
        page = answer["next_page"]


class Desk:
    """Somebody who has signed in."""

    def __init__(self, system):
        self.system = system
        opener = urllib.request.build_opener(NoRedirect)
        form = opener.open(f"http://{system.address}/sign-in")
        cookie = form.headers["Set-Cookie"].split(";")[0]
        secret = re.search(r'name="form" value="([^"]+)"', form.read().decode())[1]
        body = urllib.parse.urlencode({"token": system.token, "form": secret}).encode()
        request = urllib.request.Request(f"http://{system.address}/sign-in", body, {"Cookie": cookie})
        answer = opener.open(request)
        session = http.cookies.SimpleCookie()
        for given in answer.headers.get_all("Set-Cookie") or []:
            session.load(given)
        self.cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in session.items() if morsel.value)

    def get(self, path, encoding="identity"):
        return self.system.ask(path, {"Cookie": self.cookie, "Accept-Encoding": encoding})


class NoRedirect(urllib.request.HTTPErrorProcessor):
    def http_response(self, request, response):
        return response


def ask(desk, paths, times):
    took, size = [], 0
    for path in paths:
        desk.get(path)
    times = max(times, len(paths))
    busy = desk.system.process.cpu_s()
    for turn in range(times):
        began = time.monotonic()
        size = max(size, len(desk.get(paths[turn % len(paths)])))
        took.append((time.monotonic() - began) * 1000)
    # Also what the collector did of its own accord meanwhile; on a busy machine it tells more than the time does.
    cpu_ms = (desk.system.process.cpu_s() - busy) * 1000 / times
    return {**percentiles(took), "cpu_ms": cpu_ms, "bytes": size}


def tell(bench, found):
    results = bench.results
    for name, times in found.items():
        key = re.sub(r"\W+", "_", name.replace("'s", ""))
        for part in ["p50_ms", "p99_ms", "cpu_ms", "bytes"]:
            results.put(f"{key}_{part}", times[part])
        results.row(name, **{"p50 ms": f"{times['p50_ms']:.3g}", "p99 ms": f"{times['p99_ms']:.3g}",
                             "cpu ms": f"{times['cpu_ms']:.3g}", "kB": f"{times['bytes'] / 1000:.1f}"})
    for name, most in [("attention", PAGE_MS), ("fleet", PAGE_MS), ("fleet filtered", PAGE_MS),
                       ("laptop's history of 30 days", HISTORY_MS)]:
        p99 = found[name]["p99_ms"]
        results.target(f"{name}: p99 under {most} ms", p99 < most, f"{p99:.3g} ms")


def first_page(bench, system, desk):
    page = desk.get("/", "gzip").decode("latin-1")
    if not page.startswith("\x1f\x8b"):
        bench.results.note("the first page came uncompressed")
    whole = desk.get("/").decode()
    assets = sorted(set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', whole)))
    size = len(page) + sum(len(desk.get(asset, "gzip")) for asset in assets)
    bench.results.put("first_page_bytes", size)
    bench.results.target(f"the first page with all it loads under {FIRST_PAGE_BYTES // 1000} kB on the wire",
                         size < FIRST_PAGE_BYTES, f"{size / 1000:.1f} kB")
    if bench.smoke or not bench.packages.has("chromedriver", "the first page in Chromium"):
        return
    usable = sorted(Chromium(bench, system, desk).loads(LOADS))[LOADS // 2]
    bench.results.put("first_page_usable_ms", usable)
    bench.results.target(f"the first page usable within {FIRST_PAGE_MS} ms in Chromium", usable < FIRST_PAGE_MS,
                         f"{usable:.0f} ms")


class Chromium:
    """A browser, by its own driver."""

    def __init__(self, bench, system, desk):
        self.page = f"http://{system.address}/"
        port = free_port()
        self.driver = f"http://127.0.0.1:{port}"
        process = Process("chromedriver", [bench.packages.program("chromedriver"), f"--port={port}"], bench.logs)
        wait_for(30, "the browser's driver", lambda: self.ask("GET", "/status"), process)
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={bench.folder / 'chromium'}"]
        wanted = {"browserName": "chrome", "goog:chromeOptions": {
            "binary": bench.packages.program("chromium"), "args": arguments}}
        made = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{made['sessionId']}"
        self.ask("POST", f"{self.session}/url", {"url": self.page + "sign-in"})
        for pair in desk.cookie.split("; "):
            name, value = pair.split("=", 1)
            self.ask("POST", f"{self.session}/cookie", {"cookie": {"name": name, "value": value, "path": "/"}})

    def ask(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.driver + path, data, {"Content-Type": "application/json"}, method=method)
        return json.load(urllib.request.urlopen(request, timeout=60))["value"]

    def loads(self, times):
        """How long the first page takes, in milliseconds, with nothing kept from the time before."""
        tool = f"{self.session}/goog/cdp/execute"
        self.ask("POST", tool, {"cmd": "Network.enable", "params": {}})
        self.ask("POST", tool, {"cmd": "Network.setCacheDisabled", "params": {"cacheDisabled": True}})
        script = "return performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
        try:
            for _ in range(times):
                self.ask("POST", f"{self.session}/url", {"url": self.page})
                yield self.ask("POST", f"{self.session}/execute/sync", {"script": script, "args": []})
        finally:
            self.ask("DELETE", self.session)
