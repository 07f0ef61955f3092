"""Right solutions of the exercises of lesson 15 in other styles than that of its text."""

OTHERWISE = {
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
