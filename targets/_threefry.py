"""The random numbers behind published component means: JAX's Threefry-2x32 generator, in NumPy.

Several benchmark targets are defined by `jax.random.uniform` of key 0, under the counter layout that was JAX's
default until 0.5 (`jax_threefry_partitionable=False`). Checked bit for bit against JAX 0.4.28 and 0.10.2.
"""

from __future__ import annotations

import numpy as np

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_U = np.uint32


def key(seed: int) -> np.ndarray:
    """The key of an integer seed below 2^32."""
    return np.array([0, seed], dtype=_U)


def _words(key: np.ndarray, n: int) -> np.ndarray:
    """n random words: the counters 0..n-1, padded by a zero to even length, first half paired with the second."""
    counters = np.zeros(n + n % 2, _U)
    counters[:n] = np.arange(n, dtype=_U)
    schedule = (key[0], key[1], key[0] ^ key[1] ^ _U(0x1BD11BDA))
    a, b = np.split(counters, 2)
    a, b = a + schedule[0], b + schedule[1]
    for group in range(5):
        for bits in _ROTATIONS[group % 2]:
            a = a + b
            b = ((b << _U(bits)) | (b >> _U(32 - bits))) ^ a
        a = a + schedule[(group + 1) % 3]
        b = b + schedule[(group + 2) % 3] + np.full(1, group + 1, _U)
    return np.concatenate([a, b])[:n]


def split(key: np.ndarray) -> np.ndarray:
    """Two child keys, (2, 2)."""
    return _words(key, 4).reshape(2, 2)


def uniform(key: np.ndarray, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """float32 uniforms: the top 23 bits of a word, scaled with one rounding as compiled JAX does."""
    unit = ((_words(key, int(np.prod(shape))) >> _U(9)) | _U(0x3F800000)).view(np.float32) - np.float32(1)
    scaled = (unit.astype(np.float64) * (high - low) + low).astype(np.float32)
    return np.maximum(np.float32(low), scaled).reshape(shape)


def integer(key: np.ndarray) -> int:
    """An integer below 2^30, as `jax.random.randint(key, (), 0, 2**30)`."""
    return int(_words(split(key)[1], 1)[0]) & (2**30 - 1)
