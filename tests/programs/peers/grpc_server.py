"""Answers calls of every manner; messages are bytes as they are."""

import threading
from concurrent import futures

import grpc

cancelled = threading.Semaphore(0)


def echo(message, call):
    call.send_initial_metadata((("x-initial", "first"),))
    call.set_trailing_metadata((("x-trailing", "last"), ("x-binary-bin", b"\x00\xff")))
    return message


def pull(message, call):
    for number in range(int(message)):
        yield b"%d" % number


def push(messages, call):
    return b"%d" % sum(int(message) for message in messages)


def both(messages, call):
    for message in messages:
        yield b"re: " + message


def slow(message, call):
    call.add_callback(cancelled.release)
    threading.Event().wait(30)
    return b"late"


def told_of_cancelled(message, call):
    return b"yes" if cancelled.acquire(timeout=10) else b"no"


def fail(message, call):
    call.set_trailing_metadata((("x-why", "because"),))
    call.abort(grpc.StatusCode.FAILED_PRECONDITION, "ei n\u00e4in: 100 %")


calls = grpc.method_handlers_generic_handler(
    "test.Calls",
    {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Pull": grpc.unary_stream_rpc_method_handler(pull),
        "Push": grpc.stream_unary_rpc_method_handler(push),
        "Both": grpc.stream_stream_rpc_method_handler(both),
        "Slow": grpc.unary_unary_rpc_method_handler(slow),
        "ToldOfCancelled": grpc.unary_unary_rpc_method_handler(told_of_cancelled),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
    },
)
server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
server.add_generic_rpc_handlers((calls,))
server.add_insecure_port("0.0.0.0:8080")
server.start()
server.wait_for_termination()
