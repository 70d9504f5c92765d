"""In a separate process, because a defect here is a segmentation fault."""

from __future__ import annotations

import subprocess
import sys

# Each round has types that msgspec has not seen, and threads that meet them at the same moment.
THREADS_MEET_NEW_TYPES = """
import sys, threading
import msgspec
from scaiwave.core.msgspec_decoders import get_decoder

sys.setswitchinterval(1e-6)

def meet(kind, start):
    start.wait()
    assert get_decoder(kind).decode(b'{"inner": {"id": "a", "f9": 1}}').inner.id == "a"

for number in range(40):
    fields = [("id", str)] + [(f"f{field}", int | None, None) for field in range(12)]
    inner = msgspec.defstruct(f"Inner{number}", fields)
    kind = msgspec.defstruct(f"Outer{number}", [("inner", inner)])
    start = threading.Barrier(6)
    threads = [threading.Thread(target=meet, args=(kind, start)) for _ in range(6)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print("alive")
"""


def test_success_threads_use_a_new_type_at_once() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", THREADS_MEET_NEW_TYPES], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "alive\n", "")
