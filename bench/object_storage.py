"""Items per second and processor time of reading data from object storage, as docs/how-to/object-storage.md has them.

    python bench/object_storage.py [--images 1000] [--latency 0.03]

A server of this machine has the part of the interface of S3 that reading needs, and waits before each answer.
"""

import argparse
import asyncio
import hashlib
import io
import multiprocessing
import os
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, unquote

import numpy as np
import torch
from PIL import Image

from ancestral import data
from ancestral.data import Dataset, object_cache

SIDE, BATCH, IN_A_SHARD, ONE_AT_A_TIME = 64, 64, 250, 200
PAGE = 1000
"""Largest number of objects in an answer to a list."""


def make_objects(count: int) -> dict[str, bytes]:
    """Make PNGs of noise, and shards of them."""
    rng, objects = np.random.default_rng(0), dict[str, bytes]()
    for number in range(count):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(buffer, "PNG")
        objects[f"pics/{number:06d}.png"] = buffer.getvalue()
    pictures = list(objects.items())
    for start in range(0, count, IN_A_SHARD):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, raw in pictures[start : start + IN_A_SHARD]:
                info = tarfile.TarInfo(name.removeprefix("pics/"))
                info.size = len(raw)
                tar.addfile(info, io.BytesIO(raw))
        objects[f"set/{start:06d}.tar"] = buffer.getvalue()
    return objects


def list_page(objects: dict[str, bytes], query: str) -> bytes:
    """Answer a request for a list."""
    arguments = parse_qs(query)
    after = arguments.get("continuation-token", [""])[0]
    names = sorted(name for name in objects if name.startswith(arguments["prefix"][0]) and name > after)
    entries = "".join(
        f"<Contents><Key>{name}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>"
        f"&quot;{hashlib.md5(objects[name]).hexdigest()}&quot;</ETag><Size>{len(objects[name])}</Size></Contents>"
        for name in names[:PAGE]
    )
    more = len(names) > PAGE
    token = f"<NextContinuationToken>{names[PAGE - 1]}</NextContinuationToken>" if more else ""
    return (
        f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}</ListBucketResult>".encode()
    )


def serve(objects: dict[str, bytes], latency: float, port: "multiprocessing.Queue[int]") -> None:
    """Serve a bucket called data until the process ends."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()
                return
            await asyncio.sleep(latency)
            place, _, query = head.split()[1].partition("?")
            body = objects.get(unquote(place).removeprefix("/data/"), b"")
            status, extra = "200 OK", f'ETag: "{hashlib.md5(body).hexdigest()}"\r\n'
            if "list-type" in query:
                body = list_page(objects, query)
            elif match := re.search(r"(?i)range: bytes=(\d+)-(\d+)", head):
                first, last = int(match[1]), min(int(match[2]), len(body) - 1)
                status, extra = "206 Partial Content", f"{extra}Content-Range: bytes {first}-{last}/{len(body)}\r\n"
                body = body[first : last + 1]
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body)
            await writer.drain()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def measure(text: str, count: int, work: Callable[[], object]) -> None:
    """Print the rate and the processor time of reading `count` items."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{text:44} {count / wall:8,.0f} items/s {1e3 * processor / count:8.2f} ms of processor time an item")


def read_batches(dataset: Dataset, order: list[int]) -> None:
    """Read items as training does."""
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        dataset.prefetch(batch)
        for index in batch:
            dataset.read(index)


def main() -> None:
    """Measure all ways of reading."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.03, help="seconds before each answer")
    options = parser.parse_args()
    torch.set_num_threads(1)
    objects, port = make_objects(options.images), multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(objects, options.latency, port), daemon=True)
    server.start()
    count, order = options.images, np.random.default_rng(1).permutation(options.images).tolist()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port.get()}",
            "ANCESTRAL_CACHE": folder,
        }
        pictures = data.open("s3://data/pics", memory=0)
        shutil.rmtree(object_cache.folder())
        few = order[:ONE_AT_A_TIME]
        measure("folder, cold, one at a time", len(few), lambda: [pictures.read(index) for index in few])
        shutil.rmtree(object_cache.folder())
        measure("folder, cold, batches", count, lambda: read_batches(pictures, order))
        measure("folder, warm", count, lambda: read_batches(pictures, order))
        local = Path(folder) / "local"
        local.mkdir()
        for name, raw in objects.items():
            if name.startswith("pics/"):
                (local / name.removeprefix("pics/")).write_bytes(raw)
        on_disk = data.open(local, memory=0)
        measure("the same folder on this disk", count, lambda: read_batches(on_disk, order))
        measure("shards, cold: opened, kept whole", count, lambda: data.open("s3://data/set", memory=0))
        shards = data.open("s3://data/set", memory=0)
        measure("shards, warm", count, lambda: read_batches(shards, order))
        shutil.rmtree(folder)
        os.environ[object_cache.LIMIT] = repr(0.97 * sum(map(len, objects.values())) / 2 / 2**30)
        measure("shards, cold: opened, not kept", count, lambda: data.open("s3://data/set", memory=0))
        parts = data.open("s3://data/set", memory=0)
        measure("shards, in parts, batches", count, lambda: read_batches(parts, order))
        Path(folder).mkdir(exist_ok=True)
    server.terminate()


if __name__ == "__main__":
    main()
