# SPDX-License-Identifier: Apache-2.0
"""torch.npu.Stream and torch.npu.Event on a CPU, where work is complete when the call that asked for it returns."""

import time


class Stream:
    """The order of the calls. All streams are the same one."""

    def __init__(self, device=None, priority: int = 0, **kwargs):
        self.device_index = 0

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def query(self) -> bool:
        return True

    def wait_stream(self, stream: "Stream") -> None:
        """Nothing to wait for."""

    def wait_event(self, event: "Event") -> None:
        """Nothing to wait for."""

    def record_event(self, event: "Event | None" = None) -> "Event":
        event = Event() if event is None else event
        event.record(self)
        return event

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *exception) -> None:
        pass


class Event:
    """A point in time, read from the machine's clock by record()."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False):
        self._seconds: float | None = None

    def record(self, stream: Stream | None = None) -> None:
        self._seconds = time.perf_counter()

    def elapsed_time(self, end_event: "Event") -> float:
        """Milliseconds from this event to end_event."""
        if self._seconds is None or end_event._seconds is None:
            raise RuntimeError("torch.npu.Event.elapsed_time: both events must have been recorded")
        return (end_event._seconds - self._seconds) * 1e3

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def wait(self, stream: Stream | None = None) -> None:
        """Nothing to wait for."""

    def query(self) -> bool:
        return True
