"""A web application in the middle: calls the next one with the trace headers that it was called with, and makes no spans.
The last one answers with those that it has heard. `/proxy` calls on through the sidecar as an HTTP proxy.

usage: hop.py PORT [URL of the next]"""
import json
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6

PASSED_ON = ("traceparent", "tracestate", "b3")


class Hop(BaseHTTPRequestHandler):
    def do_GET(self):
        heard = {name.lower(): value for name, value in self.headers.items()}
        heard = {name: heard[name] for name in heard if name in PASSED_ON or name.startswith("x-b3-")}
        answer = json.dumps(heard).encode()
        if len(sys.argv) > 2:
            proxies = {"http": "http://127.0.0.1:15001"} if self.path == "/proxy" else {}
            opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
            request = urllib.request.Request(sys.argv[2] + self.path, headers=heard)
            answer = opener.open(request, timeout=20).read()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


class Server(ThreadingHTTPServer):
    address_family = AF_INET6


Server(("::", int(sys.argv[1])), Hop).serve_forever()
