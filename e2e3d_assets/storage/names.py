"""Which names objects may have: the same rule for a disk and a bucket, so that a product can move between them.

Traversal is the concern here. What an image set may be called is not: see ``partitions``.
"""

from .errors import Refused

MANIFEST = "manifest.json"
POINTER = "latest.json"

_LONGEST_SEGMENT_BYTES = 255  # of the usual file systems
_LONGEST_PATH_BYTES = 800  # S3 keys end at 1024 bytes, of which set, asset and revision take their share


def check_path(path: str) -> str:
    """The path itself if it is a relative POSIX path that stays where it is put.

    Raises:
        Refused: it is absolute, has empty, ``.`` or ``..`` segments, backslashes, control characters, or is too long.
    """
    problem = _problem(path)
    if problem:
        raise Refused(f"The name {_shown(path)} {problem}. Rename the file and try again.")
    return path


def check_component(name: str) -> str:
    """The name itself if it is one safe path segment.

    Raises:
        Refused: it is not.
    """
    if "/" in name:
        raise Refused(f"The name {_shown(name)} contains a slash. Use one plain name.")
    return check_path(name)


def is_below(path: str, folder: str) -> bool:
    """Whether the path lies below the folder; every path lies below the empty folder."""
    return not folder or path.startswith(folder + "/")


def _problem(path: str) -> str:
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if not path:
        return "is empty"
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        return "contains control characters"
    if "\\" in path:
        return "contains a backslash"
    if path.startswith("/"):
        return "is absolute"
    segments = path.split("/")
    if any(segment in ("", ".", "..") for segment in segments):
        return "has an empty, '.' or '..' segment"
    if len(encoded) > _LONGEST_PATH_BYTES or max(len(s.encode()) for s in segments) > _LONGEST_SEGMENT_BYTES:
        return f"is longer than {_LONGEST_SEGMENT_BYTES} bytes a segment or {_LONGEST_PATH_BYTES} bytes in all"
    return ""


def _shown(path: str) -> str:
    return ascii(path if len(path) <= 120 else path[:120] + "…")
