"""Calls in every manner what grpc_server.py serves at the address it is told."""

import queue
import sys

import grpc

PATIENCE = 20
channel = grpc.insecure_channel(sys.argv[1])


def the(name, kind="unary_unary"):
    return getattr(channel, kind)("/test.Calls/" + name)


# One message each way, with metadata before and after.
answer, call = the("Echo").with_call(b"hello", timeout=PATIENCE, metadata=(("x-asked", "1"),))
assert answer == b"hello", answer
assert ("x-initial", "first") in call.initial_metadata(), call.initial_metadata()
trailing = dict(call.trailing_metadata())
assert trailing["x-trailing"] == "last" and trailing["x-binary-bin"] == b"\x00\xff", trailing
large = bytes(range(256)) * 12_000
assert the("Echo")(large, timeout=PATIENCE) == large
assert the("Echo")(b"", timeout=PATIENCE) == b""

# Streams one way.
numbers = [int(message) for message in the("Pull", "unary_stream")(b"2000", timeout=PATIENCE)]
assert numbers == list(range(2000)), numbers[:10]
total = the("Push", "stream_unary")((b"%d" % number for number in range(2000)), timeout=PATIENCE)
assert int(total) == sum(range(2000)), total

# Both ways, each message only after the answer to the one before: nothing on the way may wait for more.
asked = queue.Queue()
answers = the("Both", "stream_stream")(iter(asked.get, None), timeout=PATIENCE)
for number in range(100):
    asked.put(b"%d" % number)
    assert next(answers) == b"re: %d" % number
asked.put(None)
assert list(answers) == []

# Failures, with all that is said of them.
try:
    the("Fail")(b"", timeout=PATIENCE)
    raise AssertionError("it did not fail")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
    assert error.details() == "ei n\u00e4in: 100 %", error.details()
    assert ("x-why", "because") in error.trailing_metadata(), error.trailing_metadata()
try:
    the("None")(b"", timeout=PATIENCE)
    raise AssertionError("there is no such method")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error

# A deadline that passes is the client's own; the server is told of it.
try:
    the("Slow")(b"", timeout=0.5)
    raise AssertionError("it did not time out")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
assert the("ToldOfCancelled")(b"", timeout=PATIENCE) == b"yes"
print("all as it should be")
