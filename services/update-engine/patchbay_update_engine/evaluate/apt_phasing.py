"""Ubuntu's phased updates: whether a host takes part yet.

apt draws a number from 0 to 100 with a generator seeded by source package, source version and machine-id, and
waits if it is above the update's Phased-Update-Percentage. The draw is `std::minstd_rand` seeded through
`std::seed_seq` and scaled by libstdc++'s `std::uniform_int_distribution`, so it has to be redone to the bit.

Rules: `PhasedUpgrader` of apt 2.6; C++ standard [rand.util.seedseq], [rand.predef].
"""

from functools import lru_cache

_MASK = 0xFFFFFFFF
_MODULUS = 2**31 - 1
_MULTIPLIER = 48_271
_VALUES = 101
_SCALE = (_MODULUS - 2) // _VALUES
"""minstd_rand yields 1 to 2^31 - 2; libstdc++ divides that range by the number of values, and redraws above."""


def waits(source: str, source_version: str, machine_id: str, percentage: int) -> bool:
    """Whether apt keeps the update back on this machine. Without a machine-id it never does."""
    if not machine_id or percentage >= 100:
        return False
    return draw(f"{source}-{source_version}-{machine_id}") > percentage


@lru_cache(maxsize=8_192)
def draw(text: str) -> int:
    """The number from 0 to 100 that apt draws for a seed text."""
    state = _seed(text.encode()) % _MODULUS or 1
    while True:
        state = state * _MULTIPLIER % _MODULUS
        value = (state - 1) // _SCALE
        if value < _VALUES:
            return value


def _seed(seeds: bytes) -> int:
    """The word that a one-word generator takes from a `std::seed_seq`: the last of four that it mixes."""
    size = 4
    words = [0x8B8B8B8B] * size
    count = len(seeds)
    shift = (size - 1) // 2
    middle = (size - shift) // 2
    far = middle + shift
    steps = max(count + 1, size)
    # `char` is signed on the machines that phase updates; the text is ASCII but for a hostile report.
    values = [value - 256 if value > 127 else value for value in seeds]
    for k in range(steps):
        mixed = _scramble(words[k % size] ^ words[(k + middle) % size] ^ words[(k - 1) % size])
        first = mixed * 1_664_525 & _MASK
        if k == 0:
            added = count
        elif k <= count:
            added = k % size + values[k - 1]
        else:
            added = k % size
        second = first + added & _MASK
        words[(k + middle) % size] = words[(k + middle) % size] + first & _MASK
        words[(k + far) % size] = words[(k + far) % size] + second & _MASK
        words[k % size] = second
    for k in range(steps, steps + size):
        mixed = _scramble(words[k % size] + words[(k + middle) % size] + words[(k - 1) % size] & _MASK)
        third = mixed * 1_566_083_941 & _MASK
        fourth = third - k % size & _MASK
        words[(k + middle) % size] ^= third
        words[(k + far) % size] ^= fourth
        words[k % size] = fourth
    return words[3]


def _scramble(value: int) -> int:
    return value ^ value >> 27
