# SPDX-License-Identifier: Apache-2.0
"""The text of the demo: the King James Bible as Debian's package bible-kjv-text ships it (4.4 MB, public domain).

The package holds one file, /usr/lib/bible.data: a small header, a table of offsets and 64 KiB windows of text, each compressed as
compress(1) does and stored without its 3-byte magic. gzip(1), which every Debian system has, unpacks one once the magic is put back.
ADDNORM_DEMO_TEXT names another file to read instead: a bible.data, or any plain text of at least 1 MB.
"""

import dataclasses
import hashlib
import itertools
import math
import os
import pathlib
import re
import struct
import subprocess

import torch

PACKAGE = "bible-kjv-text"
DATA_FILE = pathlib.Path("/usr/lib/bible.data")
SHA256 = "b5c4940bcfeee072c0935b5200d0f9d88a00a0199cb0961d16133458fcdfae5d"  # of the text without references, bible-kjv-text 4.38
MINIMUM_BYTES = 1_000_000
SPAN = 20_000  # characters; every tenth span is held out
COMPRESS_MAGIC = b"\x1f\x9d\x90"


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A text as symbol numbers. `train` and `held_out` are int64 tensors of disjoint spans, `symbols` the bytes they stand for."""

    source: str
    size: int
    sha256: str
    symbols: bytes
    train: torch.Tensor
    held_out: torch.Tensor

    def describe(self):
        known = " (as pinned)" if self.sha256 == SHA256 else ""
        return (
            f"{self.source}\n{self.size:,} bytes, sha256 {self.sha256[:16]}...{known}\n"
            f"{len(self.symbols)} symbols; {len(self.train):,} train, {len(self.held_out):,} held out (every tenth span of {SPAN:,})"
        )


def read_bible_data(data):
    """The text inside a bible.data file, as bytes. Raises ValueError if it is not one."""
    if data[:4] != b"EC02":
        raise ValueError("not a bible.data file: the signature EC02 is missing")
    (windows,) = struct.unpack_from(">I", data, 0x58)
    offsets = struct.unpack_from(f">{windows + 1}I", data, 0x5C)
    if offsets[-1] > len(data):
        raise ValueError(f"bible.data is cut short: {len(data)} bytes, expected {offsets[-1]}")
    gzip = ["gzip", "--decompress", "--stdout"]
    parts = [
        subprocess.run(gzip, input=COMPRESS_MAGIC + data[begin:end], capture_output=True, check=True).stdout
        for begin, end in itertools.pairwise(offsets)
    ]
    return b"".join(parts)


def prose(text):
    """The verses without the title line and the references ("Ge1:1 ") that begin the lines."""
    lines = text.split(b"\n", 1)[1] if text.startswith(b"Holy Bible") else text
    return re.sub(rb"^\w+:\d+ ", b"", lines, flags=re.MULTILINE)


def load():
    """The Corpus. Raises SystemExit with the cure if the text is not installed or too small."""
    path = pathlib.Path(os.environ.get("ADDNORM_DEMO_TEXT", DATA_FILE))
    if not path.is_file():
        raise SystemExit(f"{path} is missing. Install the text: apt-get install {PACKAGE} (or set ADDNORM_DEMO_TEXT to a text file)")
    raw = path.read_bytes()
    is_bible = raw[:4] == b"EC02"
    text = prose(read_bible_data(raw)) if is_bible else raw
    if len(text) < MINIMUM_BYTES:
        raise SystemExit(f"{path} holds {len(text)} bytes of text, expected at least {MINIMUM_BYTES}")
    source = f"King James Bible, Debian package {PACKAGE} ({path})" if is_bible else str(path)
    return from_text(text, source)


def from_text(text, source):
    """Splits `text` (bytes) into spans, numbers its symbols and holds every tenth span out."""
    symbols = bytes(sorted(set(text)))
    numbers = torch.frombuffer(bytearray(text), dtype=torch.uint8).long()
    table = torch.zeros(256, dtype=torch.long)
    table[list(symbols)] = torch.arange(len(symbols))
    spans = table[numbers].split(SPAN)
    train = torch.cat([span for i, span in enumerate(spans) if i % 10 != 9])
    held_out = torch.cat([span for i, span in enumerate(spans) if i % 10 == 9])
    return Corpus(source, len(text), hashlib.sha256(text).hexdigest(), symbols, train, held_out)


def bigram_loss(corpus):
    """Held-out cross entropy in nats of the best simple opponent: bigram counts of the training text, plus one each."""
    size = len(corpus.symbols)
    pairs = corpus.train[:-1] * size + corpus.train[1:]
    counts = torch.bincount(pairs, minlength=size * size).view(size, size).double() + 1
    log_p = (counts / counts.sum(1, keepdim=True)).log()
    loss = -log_p[corpus.held_out[:-1], corpus.held_out[1:]].mean().item()
    assert math.isfinite(loss)
    return loss
