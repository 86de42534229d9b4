"""gRPC's own client: calls a method of every shape and says what came of it.

usage: rpc_client.py HOST:PORT WHAT…"""
import queue
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

channel = grpc.insecure_channel(sys.argv[1])
PATIENCE = 30


def who():
    return channel.unary_unary("/weft.Real/Who")(b"", timeout=PATIENCE).decode()


def count():
    got = list(channel.unary_stream("/weft.Real/Count")(b"1000", timeout=PATIENCE))
    return f"{len(got)} messages, the last {got[-1].decode()}"


def total():
    numbers = (str(number).encode() for number in range(1000))
    return channel.stream_unary("/weft.Real/Total")(numbers, timeout=PATIENCE).decode()


def chat():
    # Each word is said when the one before it has been answered: nobody on the way waits for the end.
    words = queue.Queue()
    answers = channel.stream_stream("/weft.Real/Chat")(iter(words.get, None), timeout=PATIENCE)
    heard = []
    for word in (b"a", b"b", b"c"):
        words.put(word)
        heard.append(next(answers).decode())
    words.put(None)
    return ", ".join(heard + [answer.decode() for answer in answers])


def large():
    answers = channel.stream_stream("/weft.Real/Chat")(iter([bytes(3_000_000)] * 3), timeout=PATIENCE)
    return str(sum(len(answer) for answer in answers))


def deadline():
    try:
        channel.unary_unary("/weft.Real/Never")(b"", timeout=0.5)
    except grpc.RpcError as error:
        return f"{error.code().name}, {ended()}"


def cancel():
    call = channel.unary_unary("/weft.Real/Never").future(b"", timeout=PATIENCE)
    # Under way when something else has been answered on the same connection.
    who()
    call.cancel()
    return f"{call.code().name}, {ended()}"


def ended():
    return channel.unary_unary("/weft.Real/Ended")(b"", timeout=PATIENCE).decode()


def left():
    return channel.unary_unary("/weft.Real/Left")(b"", timeout=PATIENCE).decode()


def details(request):
    got = []
    call = channel.unary_stream("/weft.Real/Fail")(request, timeout=PATIENCE)
    try:
        got.extend(message.decode() for message in call)
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)
        failure = error_details_pb2.QuotaFailure()
        status.details[0].Unpack(failure)
        counted = dict(error.trailing_metadata())["counted-bin"]
        said = f"{error.code().name} {status.message} {failure.violations[0].description} {counted.hex()}"
        return " ".join([*got, said])


def fail():
    return details(b"")


def fail_later():
    return details(b"after one")


for what in sys.argv[2:]:
    print(globals()[what]())
