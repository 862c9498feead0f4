# SPDX-License-Identifier: Apache-2.0
"""Takes the kernel sample out of spec 003, byte for byte.

    python extract_sample.py FOLDER      # writes FOLDER/layernorm_grad_custom.cpp

The document is looked for in ../shared/spec beside the repository, or in ADDNORM_SPEC_DIR, by the start of its file name.
"""

import os
import re
import sys
from pathlib import Path

_REPOSITORY = Path(__file__).absolute().parents[3]
_FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def spec_dir() -> Path:
    """The folder of the documents; it need not exist."""
    return Path(os.environ.get("ADDNORM_SPEC_DIR") or _REPOSITORY.parent / "shared" / "spec")


def find_document() -> Path | None:
    """The one document whose name starts with 003; None if there is none."""
    found = sorted(spec_dir().glob("003*"))
    if len(found) > 1:
        raise ValueError(f"{[path.name for path in found]} in {spec_dir()}, expected one document 003*")
    return found[0] if found else None


def kernel_sample(text: str) -> str:
    """The one fenced block that includes kernel_operator.h."""
    samples = [block for block in _FENCE.findall(text) if '#include "kernel_operator.h"' in block]
    if len(samples) != 1:
        raise ValueError(f"{len(samples)} blocks include kernel_operator.h, expected 1")
    return samples[0]


if __name__ == "__main__":
    document = find_document()
    if len(sys.argv) != 2 or document is None:
        sys.exit(__doc__ if len(sys.argv) != 2 else f"no document 003* in {spec_dir()}; set ADDNORM_SPEC_DIR")
    path = Path(sys.argv[1]) / "layernorm_grad_custom.cpp"
    path.write_text(kernel_sample(document.read_text(encoding="utf-8")), encoding="utf-8")
    print(path)
