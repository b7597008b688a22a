"""Keeps a client on loopback: hosts that its code fixes are swapped for the sandbox's, anything else is refused and counted."""

import json
import os
import socket
import sys
from urllib.parse import urlsplit, urlunsplit

import requests

BASE = os.environ["SANDBOX_BASE"]
DOWNLOAD = os.environ["SANDBOX_DOWNLOAD"]
HOSTS = {
    "catalogue.dataspace.copernicus.eu": BASE,
    "identity.dataspace.copernicus.eu": BASE,
    "download.dataspace.copernicus.eu": DOWNLOAD,
}
refused = []


def _swap(url):
    parts = urlsplit(url)
    target = HOSTS.get(parts.hostname)
    if target is None:
        return url
    return urlunsplit((*urlsplit(target)[:2], *parts[2:]))


_send = requests.Session.send


def _send_to_sandbox(self, request, **kwargs):
    request.url = _swap(request.url)
    return _send(self, request, **kwargs)


requests.Session.send = _send_to_sandbox

_connect = socket.socket.connect
_getaddrinfo = socket.getaddrinfo


def _guarded_connect(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
        refused.append(str(address))
        raise OSError(f"connection to {address} refused: the test stays on loopback")
    return _connect(self, address)


def _guarded_getaddrinfo(host, *args, **kwargs):
    if host not in ("127.0.0.1", "::1", "localhost", None):
        refused.append(str(host))
        raise socket.gaierror(f"look-up of {host} refused: the test stays on loopback")
    return _getaddrinfo(host, *args, **kwargs)


socket.socket.connect = _guarded_connect
socket.getaddrinfo = _guarded_getaddrinfo


def report(**facts):
    """The last line of standard output is the result, as JSON."""
    print(json.dumps({**facts, "refused": refused}))
    sys.stdout.flush()
