"""What the packages are made of: CycloneDX 1.5 in JSON, from cargo's own metadata."""

import json
import time
import uuid

from project import REPOSITORY, Stop, run

TARGETS = {
    "rollcall-agent": ["x86_64-unknown-linux-gnu", "x86_64-pc-windows-gnu", "aarch64-apple-darwin"],
    "rollcall-collector": ["x86_64-unknown-linux-gnu"],
}


def write(project, out, made):
    """A bill of materials for each program that is in one of the packages."""
    names = [name for name in TARGETS if any(file.startswith(name) for file in made)]
    return [write_one(project, out, name) for name in names]


def write_one(project, out, name):
    file = out / f"{name}-{project.version}.cdx.json"
    file.write_text(json.dumps(describe(project, name), indent=1, sort_keys=True) + "\n")
    return file


def describe(project, name):
    packages, edges, root = dependencies(name)
    reference = {package["id"]: purl(package) for package in packages.values()}
    others = sorted((package for key, package in packages.items() if key != root), key=purl)
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"rollcall:{name}:{project.version}:{project.commit}")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(project.epoch)),
            "component": component(packages[root], "application"),
            "properties": [{"name": "rollcall:commit", "value": project.commit}],
        },
        "components": [component(package, "library") for package in others],
        "dependencies": sorted(
            ({"ref": reference[key], "dependsOn": sorted(reference[to] for to in edges[key])} for key in packages),
            key=lambda dependency: dependency["ref"],
        ),
    }


def dependencies(name):
    """What a program is linked from, on every system that it is built for: no tools of the build's tests."""
    packages, edges, root = {}, {}, None
    for target in TARGETS[name]:
        told = json.loads(run(["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target,
                               "--manifest-path", REPOSITORY / "Cargo.toml"]))
        known = {package["id"]: package for package in told["packages"]}
        nodes = {node["id"]: node for node in told["resolve"]["nodes"]}
        root = next((key for key, package in known.items() if package["name"] == name), None)
        if root is None:
            raise Stop(f"cargo knows no package {name}")
        waiting = [root]
        while waiting:
            key = waiting.pop()
            linked = [dep["pkg"] for dep in nodes[key]["deps"]
                      if any(kind["kind"] is None for kind in dep["dep_kinds"])]
            fresh = set(linked) - edges.setdefault(key, set())
            edges[key] |= fresh
            if key not in packages or fresh:
                packages[key] = known[key]
                waiting += sorted(fresh)
    return packages, edges, root


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, kind):
    told = {"type": kind, "name": package["name"], "version": package["version"], "purl": purl(package),
            "bom-ref": purl(package)}
    if package.get("license"):
        told["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if package.get("repository"):
        told["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return told


