"""Says what h11 reads."""

import socket
import sys
import threading

import h11

from reading import say


def serve(stream):
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=300_000)
    request, body = None, b""
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(stream.recv(65536))
            elif event is h11.PAUSED:
                connection.start_next_cycle()
            elif isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                host = dict(request.headers)[b"host"].decode("latin-1")
                read = say(request.method.decode(), request.target.decode("latin-1"), host, body)
                answer = h11.Response(status_code=200, headers=[("x-read", read), ("content-length", "0")])
                stream.sendall(connection.send(answer) + connection.send(h11.EndOfMessage()))
                if connection.our_state is h11.MUST_CLOSE:
                    return
            else:
                return
    except h11.RemoteProtocolError as error:
        if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            refusal = h11.Response(status_code=error.error_status_hint, headers=[("content-length", "0")])
            stream.sendall(connection.send(refusal))
    except OSError:
        pass
    finally:
        stream.close()


listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
