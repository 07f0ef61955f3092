"""Solutions of lesson 15: wrong ones with a part of the hint that they must get, and right ones in other styles."""

ESTIMATE = """
def x0_of(x, answer, t, tables):
    a, b = tables["signal"][t], tables["noise"][t]
    p, q = tables["target_x0"][t - 1], tables["target_eps"][t - 1]
    return (q * x - b * tables["output_scale"][t - 1] * answer) / (a * q - b * p)
"""

WRONG: dict[str, dict[str, str]] = {
    "key": {
        """
def key(seed, stream, number, index):
    value = 0
    for word in (seed, number, index):
        value = mix(((value ^ word) + GAMMA) & MASK)
    return value
""": "the stream is missing",
        """
def key(seed, stream, number, index):
    value = 0
    for word in (seed, zlib.crc32(stream.encode()), number):
        value = mix(((value ^ word) + GAMMA) & MASK)
    return value
""": "all images would have the same noise",
        """
def key(seed, stream, number, index):
    value = 0
    for word in (seed, zlib.crc32(stream.encode()), index, number):
        value = mix(((value ^ word) + GAMMA) & MASK)
    return value
""": "the number before the index",
        """
def key(seed, stream, number, index):
    value = 0
    for word in (seed, zlib.crc32(stream.encode()), number, index):
        value = mix(value ^ word)
    return value
""": "γ is missing",
        """
def key(seed, stream, number, index):
    value = 0
    for word in (seed, zlib.crc32(stream.encode()), number, index):
        value = mix((value + word + GAMMA) & MASK)
    return value
""": "joined by XOR",
        """
def key(seed, stream, number, index):
    return float(seed + index)
""": "for seed = 0, stream = 'prior', number = 0, index = 0, the result is 0, not",
    },
    "normals": {
        """
def normals(key, count):
    j = np.arange((count + 1) // 2, dtype=np.uint64)
    words = mix(np.uint64(key) ^ mix(j * np.uint64(GAMMA)))
    u = ((words >> np.uint64(32)).astype(float) + 1) / 2**32
    turn = (words & np.uint64(0xFFFFFFFF)).astype(float) / 2**32
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * turn
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()[:count]
""": "take turns",
        """
def normals(key, count):
    j = np.arange(count, dtype=np.uint64)
    words = mix(np.uint64(key) ^ mix(j * np.uint64(GAMMA)))
    u = ((words >> np.uint64(32)).astype(float) + 1) / 2**32
    turn = (words & np.uint64(0xFFFFFFFF)).astype(float) / 2**32
    return np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * turn)
""": "each word makes two numbers",
        """
def normals(key, count):
    j = np.arange((count + 1) // 2, dtype=np.uint64)
    words = mix(np.uint64(key) ^ mix(j * np.uint64(GAMMA)))
    u = ((words & np.uint64(0xFFFFFFFF)).astype(float) + 1) / 2**32
    turn = (words >> np.uint64(32)).astype(float) / 2**32
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * turn
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
""": "the halves are exchanged",
        """
def normals(key, count):
    j = np.arange((count + 1) // 2, dtype=np.uint64)
    words = mix(np.uint64(key) ^ j)
    u = ((words >> np.uint64(32)).astype(float) + 1) / 2**32
    turn = (words & np.uint64(0xFFFFFFFF)).astype(float) / 2**32
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * turn
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
""": "j is multiplied by γ and mixed",
        """
def normals(key, count):
    j = np.arange((count + 1) // 2, dtype=np.uint64)
    words = mix(np.uint64(key) ^ mix(j * np.uint64(GAMMA)))
    u = ((words >> np.uint64(32)).astype(float) + 1) / 2**32
    turn = (words & np.uint64(0xFFFFFFFF)).astype(float) / 2**32
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * turn
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count].astype(np.float32)
""": "round u to float32 before its logarithm",
        """
def normals(key, count):
    j = np.arange((count + 1) // 2, dtype=np.uint64)
    words = mix(np.uint64(key) ^ mix(j * np.uint64(GAMMA)))
    u = np.maximum((words >> np.uint64(32)).astype(float) / 2**32, 1e-12).astype(np.float32).astype(float)
    turn = (words & np.uint64(0xFFFFFFFF)).astype(float) / 2**32
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * turn
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count].astype(np.float32)
""": "add 1 to them",
        """
def normals(key, count):
    j = np.arange((count + 1) // 2, dtype=np.uint64)
    words = mix(np.uint64(key) ^ mix(j * np.uint64(GAMMA)))
    u = (((words >> np.uint64(32)).astype(float) + 1) / 2**32).astype(np.float32).astype(float)
    turn = (words & np.uint64(0xFFFFFFFF)).astype(float) / 2**32
    radius, angle = np.sqrt(-2 * np.log(u)), 2 * np.pi * turn
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
""": "return float32, not float64",
        """
def normals(key, count):
    return np.random.default_rng().standard_normal(count)
""": "draw no random numbers",
    },
    "estimate": {
        """
def estimate(x, answer, t, tables):
    a, b = tables["signal"][t], tables["noise"][t]
    p, q = tables["target_x0"][t - 1], tables["target_eps"][t - 1]
    return (q * x - b * answer) / (a * q - b * p)
""": "multiplied by its output_scale",
        """
def estimate(x, answer, t, tables):
    a, b = tables["signal"][t], tables["noise"][t]
    p, q = tables["target_x0"][t], tables["target_eps"][t]
    return (q * x - b * tables["output_scale"][t] * answer) / (a * q - b * p)
""": "number t − 1",
        """
def estimate(x, answer, t, tables):
    a, b = tables["signal"][t - 1], tables["noise"][t - 1]
    p, q = tables["target_x0"][t - 1], tables["target_eps"][t - 1]
    return (q * x - b * tables["output_scale"][t - 1] * answer) / (a * q - b * p)
""": "number t.",
        """
def estimate(x, answer, t, tables):
    a, b = tables["signal"][t], tables["noise"][t]
    p, q = tables["target_x0"][t - 1], tables["target_eps"][t - 1]
    x0 = (q * x - b * tables["output_scale"][t - 1] * answer) / (a * q - b * p)
    return (x - a * x0) / b
""": "the estimate of the noise",
        """
def estimate(x, answer, t, tables):
    a, b = tables["signal"][t], tables["noise"][t]
    p, q = tables["target_x0"][t - 1], tables["target_eps"][t - 1]
    return q * x - b * tables["output_scale"][t - 1] * answer
""": "divide by a q − b p",
    },
    "sampled": {
        ESTIMATE
        + """
def sampled(network, x, times, tables, clip):
    signal, noise = tables["signal"], tables["noise"]
    for t, s in zip(times, times[1:]):
        answer = network(tables["input_scale"][t - 1] * x, t)
        x0 = x0_of(x, answer, t, tables).clip(-clip, clip)
        x = signal[s] * x0 + noise[s] * (x - signal[t] * x0) / noise[t]
    return x
""": "is t − 1",
        ESTIMATE
        + """
def sampled(network, x, times, tables, clip):
    signal, noise = tables["signal"], tables["noise"]
    for t, s in zip(times, times[1:]):
        x0 = x0_of(x, network(x, t - 1), t, tables).clip(-clip, clip)
        x = signal[s] * x0 + noise[s] * (x - signal[t] * x0) / noise[t]
    return x
""": "multiplied by its input_scale",
        ESTIMATE
        + """
def sampled(network, x, times, tables, clip):
    signal, noise = tables["signal"], tables["noise"]
    for t, s in zip(times, times[1:]):
        x0 = x0_of(x, network(tables["input_scale"][t - 1] * x, t - 1), t, tables).clip(-1, 1)
        x = signal[s] * x0 + noise[s] * (x - signal[t] * x0) / noise[t]
    return x
""": "clip it to [-clip, clip]",
        ESTIMATE
        + """
def sampled(network, x, times, tables, clip):
    signal, noise = tables["signal"], tables["noise"]
    for t, s in zip(times, times[1:]):
        x0 = x0_of(x, network(tables["input_scale"][t - 1] * x, t - 1), t, tables)
        eps = (x - signal[t] * x0) / noise[t]
        x = signal[s] * x0.clip(-clip, clip) + noise[s] * eps
    return x
""": "belongs to the clipped estimate",
        ESTIMATE
        + """
def sampled(network, x, times, tables, clip):
    signal, noise = tables["signal"], tables["noise"]
    for t, s in zip(times[:-1], times[1:-1]):
        x0 = x0_of(x, network(tables["input_scale"][t - 1] * x, t - 1), t, tables).clip(-clip, clip)
        x = signal[s] * x0 + noise[s] * (x - signal[t] * x0) / noise[t]
    return x
""": "the last step, to time 0, is missing",
        ESTIMATE
        + """
def sampled(network, x, times, tables, clip):
    signal, noise = tables["signal"], tables["noise"]
    for t, s in zip(times, times[1:]):
        scaled = tables["input_scale"][t - 1] * x
        x0 = x0_of(x, network(scaled, t - 1), t, tables).clip(-clip, clip)
        x0_again = x0_of(x, network(scaled, t - 1), t, tables).clip(-clip, clip)
        x = signal[s] * x0 + noise[s] * (x - signal[t] * x0_again) / noise[t]
    return x
""": "evaluates the network 10 times, where 5 would do",
    },
    "rounded": {
        """
def rounded(weight, bits):
    scale = np.abs(weight).max() / (2 ** (bits - 1) - 1)
    return np.round(weight / scale) * scale
""": "one scale for all rows",
        """
def rounded(weight, bits):
    scale = np.abs(weight).max(1, keepdims=True) / (2 ** (bits - 1))
    scale[scale == 0] = 1
    return np.round(weight / scale) * scale
""": "one less than 2^(bits − 1)",
        """
def rounded(weight, bits):
    scale = np.abs(weight).max(1, keepdims=True) / (2 ** (bits - 1) - 1)
    scale[scale == 0] = 1
    return np.round(weight / scale)
""": "these are the integers",
        """
def rounded(weight, bits):
    scale = np.abs(weight).max(1, keepdims=True) / (2 ** (bits - 1) - 1)
    scale[scale == 0] = 1
    return np.trunc(weight / scale) * scale
""": "nearer to 0",
        """
def rounded(weight, bits):
    with np.errstate(invalid="ignore"):
        scale = np.abs(weight).max(1, keepdims=True) / (2 ** (bits - 1) - 1)
        return np.round(weight / scale) * scale
""": "not a number",
    },
    "unpack": {
        """
def unpack(data, start, rows, columns):
    count = rows * columns
    scale = np.frombuffer(data, "<f4", rows, start).astype(float)
    planes = np.frombuffer(data, np.uint8, -1, start + 4 * rows).astype(int)
    integers = (planes[:count] << 10) + (planes[count : 2 * count] << 2) - (2**17 - 1)
    return integers.reshape(rows, columns) * scale[:, None]
""": "the lowest two bits are missing",
        """
def unpack(data, start, rows, columns):
    count = rows * columns
    scale = np.frombuffer(data, "<f4", rows, start).astype(float)
    planes = np.frombuffer(data, np.uint8, -1, start + 4 * rows).astype(int)
    high, middle, i = planes[:count], planes[count : 2 * count], np.arange(count)
    low = planes[2 * count + i // 4] >> 2 * (i % 4) & 3
    return ((high << 10) + (middle << 2) + low).reshape(rows, columns) * scale[:, None]
""": "131071 is missing",
        """
def unpack(data, start, rows, columns):
    count = rows * columns
    scale = np.frombuffer(data, "<f4", rows, start).astype(float)
    planes = np.frombuffer(data, np.uint8, -1, start + 4 * rows).astype(int)
    high, middle, i = planes[count : 2 * count], planes[:count], np.arange(count)
    low = planes[2 * count + i // 4] >> 2 * (i % 4) & 3
    return ((high << 10) + (middle << 2) + low - (2**17 - 1)).reshape(rows, columns) * scale[:, None]
""": "the first plane holds the upper 8 bits",
        """
def unpack(data, start, rows, columns):
    count = rows * columns
    scale = np.frombuffer(data, "<f4", rows, start).astype(float)
    planes = np.frombuffer(data, np.uint8, -1, start + 4 * rows).astype(int)
    high, middle, i = planes[:count], planes[count : 2 * count], np.arange(count)
    low = planes[2 * count + i // 4] >> (6 - 2 * (i % 4)) & 3
    return ((high << 10) + (middle << 2) + low - (2**17 - 1)).reshape(rows, columns) * scale[:, None]
""": "the first has the lowest two bits",
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
