# SPDX-License-Identifier: Apache-2.0
"""Takes the Python samples out of a specification document, unmodified.

    python spec_samples.py PREFIX FOLDER      # writes FOLDER/PREFIX_case1.py, ...

The documents are looked for in ../shared/spec beside the repository, or in ADDNORM_SPEC_DIR; one is named by the start of its file name.
"""

import os
import re
import sys
from pathlib import Path

_REPOSITORY = Path(__file__).absolute().parents[3]
_FENCED_PYTHON = re.compile(r"^```python[ \t]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)


def spec_dir() -> Path:
    """The folder of the documents; it need not exist."""
    return Path(os.environ.get("ADDNORM_SPEC_DIR") or _REPOSITORY.parent / "shared" / "spec")


def find_document(prefix: str) -> Path | None:
    """The one document whose file name starts with `prefix`; None if there is none. ValueError if there are several."""
    found = sorted(spec_dir().glob(prefix + "*"))
    if len(found) > 1:
        raise ValueError(f"spec_samples: prefix {prefix!r} names {[path.name for path in found]} in {spec_dir()}, expected one document")
    return found[0] if found else None


def python_samples(text: str) -> list[str]:
    """The fenced Python blocks of `text`, in order, byte for byte."""
    samples = _FENCED_PYTHON.findall(text)
    if len(samples) != len(re.findall(r"^```python", text, re.MULTILINE)):
        raise ValueError("spec_samples: a block that begins with ```python has no end")
    return samples


def write_samples(prefix: str, folder: Path) -> list[Path]:
    """Writes the samples of document `prefix` into `folder`; returns their paths. FileNotFoundError if the document is absent."""
    document = find_document(prefix)
    if document is None:
        raise FileNotFoundError(f"no document {prefix}* in {spec_dir()}; set ADDNORM_SPEC_DIR to the folder of the documents")
    paths = []
    for number, sample in enumerate(python_samples(document.read_text(encoding="utf-8")), start=1):
        paths.append(Path(folder) / f"{prefix}_case{number}.py")
        paths[-1].write_text(sample, encoding="utf-8")
    return paths


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for path in write_samples(sys.argv[1], Path(sys.argv[2])):
        print(path)
