"""The other ends of what footprint.py measures: each speaks the protocol of its program as
far as that program's own server does, and drops what it is told."""

import http.client
import http.server
import json
import socket
import ssl
import struct
import sys
import time
import zlib

# The items of the template `Linux by Zabbix agent active` that need no discovery, and those that it
# would discover for one disk, one file system and one link.
ZABBIX_ITEMS = """
agent.hostname agent.ping agent.version kernel.maxfiles kernel.maxproc proc.num proc.num[,,run]
system.boottime system.cpu.intr system.cpu.load[all,avg1] system.cpu.load[all,avg5]
system.cpu.load[all,avg15] system.cpu.num system.cpu.switches system.cpu.util[,guest]
system.cpu.util[,guest_nice] system.cpu.util[,idle] system.cpu.util[,interrupt]
system.cpu.util[,iowait] system.cpu.util[,nice] system.cpu.util[,softirq] system.cpu.util[,steal]
system.cpu.util[,system] system.cpu.util[,user] system.hostname system.localtime
system.swap.size[,free] system.swap.size[,pfree] system.swap.size[,total] system.sw.arch
system.uname system.uptime system.users.num vfs.file.cksum[/etc/passwd,sha256]
vm.memory.size[available] vm.memory.size[pavailable] vm.memory.size[total]
vfs.fs.size[/,free] vfs.fs.size[/,pused] vfs.fs.size[/,total] vfs.fs.size[/,used]
vfs.fs.inode[/,pfree] vfs.file.contents[/sys/block/vda/stat] net.if.in[c0] net.if.in[c0,dropped]
net.if.in[c0,errors] net.if.out[c0] net.if.out[c0,dropped] net.if.out[c0,errors]
""".split()


def collectd(address):
    """Takes datagrams, as a collectd that listens does."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((address, 25826))
    while True:
        listener.recv(65536)


def zabbix(address):
    """Names the items, and says of every value that it was processed."""
    listener = socket.create_server((address, 10051))
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                zabbix_answer(connection)
            except (OSError, ValueError, struct.error):
                continue


def zabbix_answer(connection):
    connection.settimeout(10)
    head = receive(connection, 13)
    flags, length = head[4], struct.unpack("<I", head[5:9])[0]
    body = receive(connection, length)
    request = json.loads(zlib.decompress(body) if flags & 2 else body)
    count = len(request.get("data", []))
    if request["request"] == "active checks":
        checks = [{"key": key, "itemid": at, "delay": "1m", "lastlogsize": 0, "mtime": 0}
                  for at, key in enumerate(ZABBIX_ITEMS, 1)]
        answer = {"response": "success", "data": checks}
    else:
        told = f"processed: {count}; failed: 0; total: {count}; seconds spent: 0.000100"
        answer = {"response": "success", "info": told}
    text = json.dumps(answer).encode()
    connection.sendall(b"ZBXD\x01" + struct.pack("<II", len(text), 0) + text)


def receive(connection, length):
    data = b""
    while len(data) < length:
        piece = connection.recv(length - len(data))
        if not piece:
            raise OSError("it ended early")
        data += piece
    return data


def prometheus(address):
    """Reads an exporter once a minute over one connection, compressed, as Prometheus does."""
    connection = None
    while True:
        try:
            connection = connection or http.client.HTTPConnection(address, 9100, timeout=10)
            connection.request("GET", "/metrics", headers={
                "Accept": "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "Accept-Encoding": "gzip",
                "User-Agent": "Prometheus/2.42.0"})
            connection.getresponse().read()
        except OSError:
            connection = None
            time.sleep(1)
            continue
        time.sleep(60)


def web(address, certificate, key):
    """A learning platform: HTTPS that answers every question alike."""
    class Page(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = b"<!doctype html><title>Lessons</title>" + b"." * 2000
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer((address, 8444), Page)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True,
                                        do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    {"collectd": collectd, "zabbix": zabbix, "prometheus": prometheus, "web": web}[sys.argv[1]](
        *sys.argv[2:])
