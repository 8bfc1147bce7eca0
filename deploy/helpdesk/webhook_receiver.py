#!/usr/bin/env python3
"""A receiver of Rollcall's signed webhooks, to start from: verifies each call and prints it as a line of JSON.

    webhook_receiver.py --secret-file FILE [--secret-file FILE] [--listen 127.0.0.1:8080]

A call is believed when one of the signatures in `webhook-signature` (parted by spaces) is the base64
HMAC-SHA-256 of `<webhook-id>.<webhook-timestamp>.<body>` by one of the secrets, and its time lies within five
minutes. Each id is taken once; a repetition is answered with success, so that the sender stops repeating it.
Behind a proxy that ends TLS this may stand as it is.
"""

import argparse
import base64
import collections
import hashlib
import hmac
import http.server
import json
import pathlib
import time

TOLERANCE_S = 300
BODY_BYTES = 1024 * 1024
REMEMBERED = 10_000


def key_of(text):
    """The key of a secret: what follows `whsec_` is base64, any other text is itself."""
    text = text.strip()
    return base64.b64decode(text[len("whsec_"):]) if text.startswith("whsec_") else text.encode()


def verify(headers, body, keys, now_s):
    """None when the call is believed, otherwise why not."""
    identity, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not identity:
        return "webhook-id is missing"
    if not sent.isdecimal() or abs(now_s - int(sent)) > TOLERANCE_S:
        return "webhook-timestamp is not within five minutes"
    signed = f"{identity}.{sent}.".encode() + body
    tags = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys]
    for signature in headers.get("webhook-signature", "").split(" "):
        version, _, tag = signature.partition(",")
        if version == "v1" and any(hmac.compare_digest(tag, ours) for ours in tags):
            return None
    return "webhook-signature is not of this body"


class Handler(http.server.BaseHTTPRequestHandler):
    keys = []
    seen = collections.OrderedDict()

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > BODY_BYTES:
            return self.answer(413)
        body = self.rfile.read(int(length))
        problem = verify(self.headers, body, self.keys, int(time.time()))
        if problem:
            print(json.dumps({"refused": problem}), flush=True)
            return self.answer(401)
        identity = self.headers["webhook-id"]
        if identity not in self.seen:
            print(json.dumps({"id": identity, "body": json.loads(body)}), flush=True)
            self.seen[identity] = True
            while len(self.seen) > REMEMBERED:
                self.seen.popitem(last=False)
        return self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--secret-file", action="append", required=True, type=pathlib.Path)
    parser.add_argument("--listen", default="127.0.0.1:8080")
    options = parser.parse_args()
    Handler.keys = [key_of(file.read_text()) for file in options.secret_file]
    host, _, port = options.listen.rpartition(":")
    server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
    print(json.dumps({"listening": f"{host}:{server.server_address[1]}"}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
