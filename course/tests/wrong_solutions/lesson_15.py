"""Solutions of lesson 15: slips in a right one, each with a part of its hint, and right ones in other styles."""

WRONG: dict[str, dict[str, str]] = {
    "key": {
        "for word in (seed, number, index):": "the stream is missing",
        "for word in (seed, zlib.crc32(stream.encode()), number):": "all images would have the same noise",
        "for word in (seed, zlib.crc32(stream.encode()), index, number):": "the number before the index",
        "value = mix(value ^ word)": "γ is missing",
        "value = mix((value + word + GAMMA) & MASK)": "joined by XOR",
        "return float(seed + index)": "for seed = 0, stream = 'prior', number = 0, index = 0, the result is 0, not",
    },
    "normals": {
        "return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()[:count]": "take turns",
        "j = np.arange(count, dtype=np.uint64)": "each word makes two numbers",
        "u = ((words & np.uint64(0xFFFFFFFF)).astype(float) + 1) / 2**32\n"
        "turn = (words >> np.uint64(32)).astype(float) / 2**32\n"
        "return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]": "the halves are exchanged",
        "words = mix(np.uint64(key) ^ j)": "j is multiplied by γ and mixed",
        "u = ((words >> np.uint64(32)).astype(float) + 1) / 2**32": "round u to float32 before its logarithm",
        "u = np.maximum((words >> np.uint64(32)).astype(float) / 2**32, 1e-12).astype(np.float32).astype(float)": (
            "add 1 to them"
        ),
        "return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]": (
            "return float32, not float64"
        ),
        "return np.random.default_rng().standard_normal(count)": "draw no random numbers",
    },
    "estimate": {
        "return (q * x - b * answer) / (a * q - b * p)": "multiplied by its output_scale",
        'p, q = tables["target_x0"][t], tables["target_eps"][t]\n'
        'return (q * x - b * tables["output_scale"][t] * answer) / (a * q - b * p)': "number t − 1",
        'a, b = tables["signal"][t - 1], tables["noise"][t - 1]': "number t.",
        'x0 = (q * x - b * tables["output_scale"][t - 1] * answer) / (a * q - b * p)\n'
        "return (x - a * x0) / b": "the estimate of the noise",
        'return q * x - b * tables["output_scale"][t - 1] * answer': "divide by a q − b p",
    },
    "sampled": {
        'answer = network(tables["input_scale"][t - 1] * x, t)': "is t − 1",
        "answer = network(x, t - 1)": "multiplied by its input_scale",
        "x0 = estimate(x, answer, t, tables).clip(-1, 1)": "clip it to [-clip, clip]",
        "x0 = estimate(x, answer, t, tables)\n"
        "x = signal[s] * x0.clip(-clip, clip) + noise[s] * eps": "belongs to the clipped estimate",
        "for t, s in zip(times[:-1], times[1:-1]):": "the last step, to time 0, is missing",
        'answer = sum(network(tables["input_scale"][t - 1] * x, t - 1) for _ in range(2)) / 2': (
            "evaluates the network 10 times, where 5 would do"
        ),
    },
    "rounded": {
        "scale = np.abs(weight).max(keepdims=True) / levels": "one scale for all rows",
        "levels = 2 ** (bits - 1)": "one less than 2^(bits − 1)",
        "return np.round(weight / scale)": "these are the integers",
        "return np.trunc(weight / scale) * scale": "nearer to 0",
        "scale[scale == 0] = np.nan": "not a number",
    },
    "unpack": {
        "integers = (planes[:count] << 10) + (planes[count : 2 * count] << 2) - (2**17 - 1)": (
            "the lowest two bits are missing"
        ),
        "return ((high << 10) + (middle << 2) + low).reshape(rows, columns) * scale[:, None]": "131071 is missing",
        "high, middle, i = planes[count : 2 * count], planes[:count], np.arange(count)": (
            "the first plane holds the upper 8 bits"
        ),
        "low = planes[2 * count + i // 4] >> (6 - 2 * (i % 4)) & 3": "the first has the lowest two bits",
    },
}

OTHERWISE: dict[str, list[str]] = {
    "key": [
        """
def key(seed, stream, number, index):
    value = 0
    for word in (seed, zlib.crc32(bytes(stream, "ascii")), number, index):
        value = int(mix(np.array([((value ^ word) + GAMMA) % 2**64], dtype=np.uint64))[0])
    return value
"""
    ],
    "unpack": [
        """
def unpack(data, start, rows, columns):
    import struct

    count, matrix = rows * columns, np.empty((rows, columns))
    scale = struct.unpack_from(f"<{rows}f", data, start)
    begin = start + 4 * rows
    for i in range(count):
        low = data[begin + 2 * count + i // 4] // 4 ** (i % 4) % 4
        integer = 1024 * data[begin + i] + 4 * data[begin + count + i] + low - 131071
        matrix[i // columns, i % columns] = integer * scale[i // columns]
    return matrix
"""
    ],
}
