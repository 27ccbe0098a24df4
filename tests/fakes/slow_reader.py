"""Read a video's last frame as a depth pass does, with a decoder that takes a second a packet: VIDEO."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from auglift.pipeline.frames.decoding import video
from auglift.pipeline.frames.decoding.decoder import feed
from auglift.pipeline.frames.sources import probe, read
from auglift.stores.reading.read_ahead import read_ahead


def slow_feed(*packet):
    if packet[1] == 3:
        print("decoding", flush=True)
    time.sleep(1 if packet[1] > 3 else 0)
    return feed(*packet)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the commands do
    path = Path(sys.argv[1])
    last = probe(path).frame_count - 1
    video.feed = slow_feed
    try:
        for _ in read_ahead(read(path, [last], 8, 1)):
            pass
    except KeyboardInterrupt:
        sys.exit(130)
