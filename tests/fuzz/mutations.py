"""Files made from others by small damage; the same number always makes the same file."""

from collections.abc import Sequence
from random import Random

EDGES = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\0\0\0\x80",
    b"\xff" * 9 + b"\x01",
    b"\xff" * 7 + b"\x7f",
)
LARGEST = 2 << 20  # bytes of what is made


def mutated(seeds: Sequence[bytes], number: int) -> bytes:
    """Return file `number`: one of the seeds after one to eight changes."""
    random = Random(number)
    data = bytearray(random.choice(seeds))
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        CHANGES[random.randrange(len(CHANGES))](data, random, seeds)
    return bytes(data[:LARGEST])


def _flip(data: bytearray, random: Random, seeds: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _set(data: bytearray, random: Random, seeds: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)


def _edge(data: bytearray, random: Random, seeds: Sequence[bytes]) -> None:
    place, edge = random.randrange(len(data) + 1), random.choice(EDGES)
    data[place : place + random.choice((0, len(edge)))] = edge


def _cut(data: bytearray, random: Random, seeds: Sequence[bytes]) -> None:
    place = random.randrange(len(data) + 1)
    del data[place : place + random.choice((1, 4, 16, LARGEST))]


def _repeat(data: bytearray, random: Random, seeds: Sequence[bytes]) -> None:
    place = random.randrange(len(data) + 1)
    data[place:place] = data[place : place + random.randint(1, 64)] * random.choice((1, 2, 16))


def _number(data: bytearray, random: Random, seeds: Sequence[bytes]) -> None:
    """Change a number of four bytes by a little, or to its order reversed."""
    if len(data) > 4:
        place = random.randrange(len(data) - 4)
        value = int.from_bytes(data[place : place + 4], "little") + random.choice((-1, 1, 255, -256, 65_536))
        data[place : place + 4] = (value & 0xFFFFFFFF).to_bytes(4, random.choice(("little", "little", "big")))


def _splice(data: bytearray, random: Random, seeds: Sequence[bytes]) -> None:
    """Put a piece of another file in."""
    other = random.choice(seeds)
    start = random.randrange(len(other) + 1)
    place = random.randrange(len(data) + 1)
    data[place : place + random.choice((0, 32))] = other[start : start + random.randint(1, 64)]


CHANGES = (_flip, _flip, _set, _set, _edge, _edge, _cut, _repeat, _number, _number, _splice)
