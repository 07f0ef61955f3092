"""A network in Chromium: our WebAssembly beside onnxruntime-web, in milliseconds, start-up and bytes.

python bench/browser.py RUN [--rounds 40] [--onnxruntime bench/data/onnxruntime-web-1.30.0.tgz]

Networks are that of a run (of `make demo`: digits) and, with random weights, that of the preset `folder` for
photographs of 64×64 and a transformer for the same. Both engines have one thread and the same page, and evaluate one
item at a time. In each round both are timed for as many evaluations as take about 0.1 s, in an order that changes. The
medians over rounds, and of the ratios of a round, are printed and written to bench/results/browser.KIND.json.

Start-up is from bytes in the memory of a new page to the first output. Bytes are those that a page with the network
holds, gzipped: engine, program or ONNX file, weights. `make bench/data/onnxruntime-web-1.30.0.tgz` downloads the peer;
the packages of `make test` and Chromium are needed.
"""

import argparse
import dataclasses
import gzip
import json
import shutil
import statistics
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ancestral
import measure
from ancestral import interop
from ancestral.base.errors import InputError
from ancestral.config import TransformerConfig, by_size, preset
from ancestral.data.spec import Codec, DataSpec
from ancestral.model import Model, build
from ancestral.page.program_builder import rounded
from ancestral.page.web_page import global_script

ENGINE = Path(ancestral.__file__).parent / "page"
PEER = measure.HERE / "data" / "onnxruntime-web-1.30.0.tgz"
PEER_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
ADDRESS = "http://bench.invalid/"
"""Chromium asks for it, and the program answers: no request leaves the machine."""
SECONDS = 0.1
STARTS = 7
PAGE = """<!doctype html><script src="network.js"></script><script>
const bytes = async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer());
const engines = {
  async ours(model, files, x) {
    const kernels = files["kernels.wasm"], program = JSON.parse(new TextDecoder().decode(files[model + ".json"]));
    const network = await Ancestral.network(kernels, program, files[model + ".bin"]);
    return async () => network.evaluate({ x, index: 500 });
  },
  async peer(model, files, x) {
    const ort = await import("./ort.wasm.bundle.min.mjs");
    Object.assign(ort.env.wasm, { numThreads: 1, proxy: false, wasmBinary: files["ort-wasm-simd-threaded.wasm"] });
    const session = await ort.InferenceSession.create(files[model + ".onnx"], { executionProviders: ["wasm"] });
    const shape = JSON.parse(new TextDecoder().decode(files[model + ".json"])).inputs.x.shape;
    const inputs = { x: new ort.Tensor("float32", x, shape), index: new ort.Tensor("int64", [500n], [1]) };
    if (session.inputNames.includes("labels")) inputs.labels = new ort.Tensor("int64", [-1n], [1]);
    return async () => (await session.run(inputs)).output.data;
  },
};
async function load(model) {
  const names = ["kernels.wasm", model + ".json", model + ".bin", model + ".onnx", "ort-wasm-simd-threaded.wasm"];
  const all = await Promise.all(names.map(async (name) => [name, await bytes(name)]));
  return [Object.fromEntries(all), new Float32Array((await bytes(model + ".x")).buffer)];
}
async function start(name, model) {
  const [files, x] = await load(model);
  const began = performance.now();
  await (await engines[name](model, files, x))();
  return performance.now() - began;
}
async function compare(model, rounds, seconds) {
  const [files, x] = await load(model), run = {}, result = { outputs: {}, times: { ours: [], peer: [] } }, count = {};
  for (const name of ["ours", "peer"]) {
    run[name] = await engines[name](model, files, x);
    result.outputs[name] = Array.from(await run[name]());
  }
  const time = async (name, evaluations) => {
    const began = performance.now();
    for (let i = 0; i < evaluations; i++) await run[name]();
    return (performance.now() - began) / evaluations;
  };
  for (const name of ["ours", "peer"]) {
    for (let i = 0; i < 5; i++) await time(name, 10);  // until the compilers of the browser have done their work
    count[name] = Math.max(1, Math.round((1000 * seconds) / (await time(name, 10))));
  }
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 ? ["ours", "peer"] : ["peer", "ours"]) {
      result.times[name].push(await time(name, count[name]));
    }
  }
  return result;
}
</script>"""


def models(run: str) -> Iterator[tuple[str, Model]]:
    """The name of each model, and the model, with the weights that both engines get."""
    trained = ancestral.load(run)
    torch.manual_seed(0)
    photos = DataSpec((3, 64, 64), Codec("uint8"))
    folder = by_size.complete(preset("folder"), photos.shape)
    transformer = dataclasses.replace(folder, net=TransformerConfig())
    others = (Model(build(config, photos), photos, config) for config in (folder, transformer))
    for name, model in zip(("run", "unet-64", "transformer-64"), (trained, *others), strict=True):
        net: nn.Module = model.diffusion.net
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.abs().max() < 1e-4:  # layers that begin as nothing would hide errors
                    nn.init.normal_(parameter, std=0.02)
                parameter.copy_(rounded(parameter))
        yield name, model


@contextmanager
def chromium(files: dict[str, bytes]) -> Iterator[Any]:
    """A function that opens a new page, whose files are these."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    if not program:
        raise InputError("Chromium is missing: apt-get install chromium")
    kinds = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])

        def answer(route: Any) -> None:
            name = route.request.url.removeprefix(ADDRESS) or "index.html"
            content_type = kinds.get(Path(name).suffix, "application/octet-stream")
            route.fulfill(body=files[name], content_type=content_type) if name in files else route.fulfill(status=404)

        def page() -> Any:
            opened = browser.new_page()
            opened.route("**/*", answer)
            opened.goto(ADDRESS)
            return opened

        yield page
        browser.close()


def size(*parts: bytes) -> int:
    """Bytes of files, each gzipped."""
    return sum(len(gzip.compress(part, 9)) for part in parts)


def run(options: argparse.Namespace) -> None:
    """Measure all networks and write the result file."""
    if not options.onnxruntime.is_file():
        raise InputError(f"{options.onnxruntime} is missing: make {PEER.relative_to(measure.HERE.parent)}")
    files = {"network.js": global_script("network.js", "Ancestral").encode()}
    files["kernels.wasm"] = (ENGINE / "kernels.wasm").read_bytes()
    files["index.html"] = PAGE.encode()
    with tarfile.open(options.onnxruntime) as archive:
        for name in PEER_FILES:
            member = archive.extractfile(f"package/dist/{name}")
            assert member is not None
            files[name] = member.read()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, chromium(files) as page:
        for name, model in models(options.run):
            compiled = interop.compile_network(model)
            interop.write_onnx(model, Path(folder) / "model.onnx")
            x = torch.randn(1, *model.spec.shape, generator=torch.Generator().manual_seed(1))
            files[f"{name}.json"], files[f"{name}.bin"] = json.dumps(compiled.program).encode(), compiled.weights
            files[f"{name}.onnx"] = (Path(folder) / "model.onnx").read_bytes()
            files[f"{name}.x"] = x.numpy().tobytes()
            with torch.no_grad():
                expected = model.diffusion.net(x, torch.tensor([500]))
            rows.append(_row(name, model, page, expected, files, options))
            print(json.dumps(rows[-1]), flush=True)
    measure.write_result("browser", torch.device("cpu"), {"rounds": options.rounds, "evaluate": "one item"}, rows)


def _row(
    name: str, model: Model, page: Any, expected: Tensor, files: dict[str, bytes], options: argparse.Namespace
) -> dict[str, Any]:
    """The measurements of a model."""
    starts: dict[str, list[float]] = {"ours": [], "peer": []}
    for round_ in range(STARTS):
        for engine in sorted(starts, reverse=bool(round_ % 2)):
            opened = page()
            starts[engine].append(opened.evaluate("([engine, model]) => start(engine, model)", [engine, name]))
            opened.close()
    opened = page()
    arguments = [name, options.rounds, SECONDS]
    result = opened.evaluate("([model, rounds, seconds]) => compare(model, rounds, seconds)", arguments)
    version = opened.evaluate("navigator.userAgent").rpartition("Chrome/")[2].split(" ")[0]
    opened.close()
    row: dict[str, Any] = {
        "model": name,
        "shape": list(model.spec.shape),
        "parameters": sum(parameter.numel() for parameter in model.diffusion.net.parameters()),
        "Chromium": version,
    }
    gzipped = {
        "ours": size(*(files[each] for each in ("network.js", "kernels.wasm", f"{name}.json", f"{name}.bin"))),
        "peer": size(*(files[each] for each in (*PEER_FILES, f"{name}.onnx"))),
    }
    largest = float(expected.abs().max())
    for engine in ("ours", "peer"):
        output = torch.tensor(result["outputs"][engine])
        row[engine] = {
            "milliseconds": measure.quartiles(result["times"][engine]),
            "start": statistics.median(starts[engine]),
            "bytes": gzipped[engine],
            "error": float((output - expected.flatten()).abs().max()) / largest,
        }
    row["ratio"] = measure.paired_ratio(result["times"]["ours"], result["times"]["peer"])
    return row


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run folder or model file")
    parser.add_argument("--rounds", type=int, default=40, help="number of timed rounds (default: 40)")
    parser.add_argument("--onnxruntime", type=Path, default=PEER, help="the npm package onnxruntime-web 1.30.0")
    with measure.errors_in_one_line():
        run(parser.parse_args())


if __name__ == "__main__":
    main()
