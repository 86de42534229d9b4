"""Speaks first, as a mail server does (RFC 5321), and takes one message over a connection.

usage: banner.py PORT"""
import socketserver
import sys


class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        def say(line):
            self.wfile.write(line.encode() + b"\r\n")

        say("220 mail.shop ready")
        for line in self.rfile:
            word = line.strip().upper()[:4]
            if word == b"DATA":
                say("354 go on")
                taken = 0
                while (text := self.rfile.readline()) not in (b".\r\n", b""):
                    taken += len(text)
                say(f"250 {taken} bytes taken")
            elif word == b"QUIT":
                say("221 bye")
                return
            else:
                say("250 mail.shop")


class Server(socketserver.ThreadingTCPServer):
    address_family = socketserver.socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True


Server(("::", int(sys.argv[1])), Mail).serve_forever()
