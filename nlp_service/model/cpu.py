"""What the processor of this machine multiplies fast."""

import re
from functools import cache
from pathlib import Path

# VNNI (four products of whole numbers in one instruction) with 512 and with 256 bits, and tiles of whole numbers.
_INT8 = {"avx512_vnni", "avx_vnni", "amx_int8"}


@cache
def fast_int8(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether eight-bit products are worth their rounding here. False where the machine does not tell (it is no Linux)."""
    try:
        found = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text("ascii", "replace"), re.MULTILINE)
    except OSError:
        return False
    return found is not None and not _INT8.isdisjoint(found[1].split())
