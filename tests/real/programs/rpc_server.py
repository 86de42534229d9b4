"""gRPC's own server, with a method of every shape. Messages are bytes, so there is nothing to generate.

usage: rpc_server.py PORT"""
import sys
import threading
from concurrent import futures

import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

cancelled = threading.Semaphore(0)


def who(_request, context):
    return dict(context.invocation_metadata()).get("weft-client-id", "nobody").encode()


def count(request, _context):
    for number in range(int(request)):
        yield str(number).encode()


def total(requests, _context):
    return str(sum(int(request) for request in requests)).encode()


def chat(requests, _context):
    for request in requests:
        yield b"heard " + request


def never(_request, context):
    # Ends when its caller has gone: by his deadline, or because he has cancelled.
    gone = threading.Event()
    if not context.add_callback(gone.set):
        gone.set()
    gone.wait(60)
    cancelled.release()
    return b""


def ended(_request, _context):
    return b"ended" if cancelled.acquire(timeout=20) else b"still there"


def left(_request, context):
    # gRPC's client rounds up what it says.
    return str(0 < context.time_remaining() < 31).encode()


def fail(request, context):
    violation = error_details_pb2.QuotaFailure.Violation(subject="caller", description="out of sheep")
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.QuotaFailure(violations=[violation]))
    status = status_pb2.Status(code=code_pb2.RESOURCE_EXHAUSTED, message="no, \u00fc%", details=[detail])
    if request == b"after one":
        yield b"one"
    whole = rpc_status.to_status(status)
    more = (("counted-bin", b"\x00\xff"),)
    context.abort_with_status(whole._replace(trailing_metadata=whole.trailing_metadata + more))


UNARY = {"Who": who, "Never": never, "Ended": ended, "Left": left}
handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in UNARY.items()}
handlers["Count"] = grpc.unary_stream_rpc_method_handler(count)
handlers["Fail"] = grpc.unary_stream_rpc_method_handler(fail)
handlers["Total"] = grpc.stream_unary_rpc_method_handler(total)
handlers["Chat"] = grpc.stream_stream_rpc_method_handler(chat)
server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("weft.Real", handlers),))
server.add_insecure_port(f"[::]:{sys.argv[1]}")
server.start()
server.wait_for_termination()
