# SPDX-License-Identifier: Apache-2.0
"""The errors of the C++ side as Python users expect them: the right type, the public name, the hint that helps."""

import re


class PeerError(RuntimeError):
    """A call of several ranks failed because of another rank: it died, refused its arguments, has other ones, or left. Outputs are
    untouched, the text names the rank. Unless a rank only refused its arguments, the group of ranks is at its end: see
    addnorm.distributed.disconnect."""


class PeerTimeoutError(PeerError, TimeoutError):
    """A call of several ranks did not end within its timeout. Outputs are untouched, the text names the rank that is late."""


_TYPES = {
    "TypeError": TypeError,
    "NotImplementedError": NotImplementedError,
    "PeerError": PeerError,
    "PeerTimeoutError": PeerTimeoutError,
}
_SCHEMA = re.compile(r"Expected a value of type '([^']*)' for argument '([^']*)' but instead found type '([^']*)'")
_QUOTED = re.compile(r"'(\w+)'")
_ARTICLE = {"Optional[Tensor]": "a Tensor or None", "Tensor": "a Tensor", "float": "a float", "bool": "a bool", "int": "an int"}


def translate(api: str, error: Exception, names: dict[str, str] | None = None) -> Exception:
    """The exception to raise in place of `error`, which a kernel of torch.ops.addnorm raised on behalf of `api`.

    names: arguments of the kernel -> those of `api`, where they differ.
    """
    names = names or {}
    text = str(error)
    schema = _SCHEMA.search(text)
    if schema:
        wanted, argument, got = schema.groups()
        return TypeError(f"{api}: argument '{names.get(argument, argument)}' is of type {got}, expected {_ARTICLE.get(wanted, wanted)}")
    kind = type(error)
    prefix, separator, rest = text.partition(": ")
    if separator and prefix in _TYPES:
        kind, text = _TYPES[prefix], rest
    internal, separator, rest = text.partition(": ")
    if not separator or not internal.startswith(("torch.ops.addnorm.", "torch.ops.addnorm_parallel.")):
        return kind(f"{api}: {text}") if issubclass(kind, PeerError) else error
    return kind(f"{api}: " + _QUOTED.sub(lambda match: f"'{names.get(match.group(1), match.group(1))}'", rest))
