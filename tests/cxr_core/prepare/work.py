"""What workers are given in the tests: importable by name, as fresh processes need it."""

import os
from pathlib import Path

from cxr_core.prepare.pack import Shard, pack


def told(shard: Shard) -> list[str]:
    """Pack, and say each image's name in the file that ``TOLD`` names."""
    with Path(os.environ["TOLD"]).open("a") as file:
        file.writelines(f"{each.name}\n" for each in shard.originals)
    return pack(shard)


def dies_at_69(shard: Shard) -> list[str]:
    if any(each.name.endswith("/69.img") for each in shard.originals):
        os._exit(3)
    return pack(shard)


def fills_the_disk(shard: Shard) -> list[str]:
    with Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")
    return pack(shard)
