"""Throughput and memory of the artifact store against a plain parallel copy of the same files, in one run.

``python -m e2e3d_assets_tests.benchmarks.bench_store [--rounds N]`` starts an S3 server of its own. "Store" is what
the IO manager does: hash and write a product, and read it back verified into an empty cache, in a process that has
loaded all definitions, as a run's has. "Plain" copies the same files to the same server and back with boto3's transfer
manager (the engine of ``aws s3 cp --recursive``), ten files at once. On a disk, "plain" is ``cp -r`` there and back.
"""

import argparse
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from e2e3d_assets_tests.integration import ceph

BIG, SMALL = (4, 32_000_000), (80, 1_500_000)
"""Files like depth maps or clouds, and files like photos: how many, bytes each."""
PLAIN_THREADS = 10


def make_product(root: Path) -> int:
    """Random files; gives their bytes."""
    generator = random.Random(1)
    for kind, (count, size) in {"big": BIG, "small": SMALL}.items():
        (root / kind).mkdir(parents=True)
        for number in range(count):
            (root / kind / f"{number:03d}.bin").write_bytes(generator.randbytes(size))
    return BIG[0] * BIG[1] + SMALL[0] * SMALL[1]


def store_write(url: str, product: Path, work: Path, options: dict) -> float:
    """Hash and commit a product, which on a disk moves its files."""
    import e2e3d_assets.definitions  # noqa: F401
    from e2e3d_assets.storage.artifacts import Artifact
    from e2e3d_assets.storage.store import ArtifactStore

    own = shutil.copytree(product, work / "own")
    store = ArtifactStore(url, work / "scratch", **options)
    return _timed(lambda: store.write(Artifact.from_directory(own), "bench", "product", "run"))


def store_read(url: str, product: Path, work: Path, options: dict) -> float:
    """Read all of the latest product, verified, from an empty cache; remove it then."""
    import e2e3d_assets.definitions  # noqa: F401
    from e2e3d_assets.storage.store import ArtifactStore

    store = ArtifactStore(url, work / "scratch", **options)
    seconds = _timed(lambda: store.latest("bench", "product").path())
    store.delete("bench")
    return seconds


def plain_write(url: str, product: Path, work: Path, options: dict) -> float:
    """Copy the files there."""
    if "://" not in url:
        return _timed(lambda: subprocess.run(["cp", "-r", product, Path(url) / "plain"], check=True))
    client, bucket = _client(options), urlsplit(url).netloc
    return _all_at_once(lambda name: client.upload_file(str(product / name), bucket, f"plain/{name}"), product)


def plain_read(url: str, product: Path, work: Path, options: dict) -> float:
    """Copy the files back; remove them then."""
    if "://" not in url:
        seconds = _timed(lambda: subprocess.run(["cp", "-r", Path(url) / "plain", work / "back"], check=True))
        shutil.rmtree(Path(url) / "plain")
        return seconds
    client, bucket = _client(options), urlsplit(url).netloc
    for folder in ("big", "small"):
        (work / folder).mkdir()
    seconds = _all_at_once(lambda name: client.download_file(bucket, f"plain/{name}", str(work / name)), product)
    for name in _names(product):
        client.delete_object(Bucket=bucket, Key=f"plain/{name}")
    return seconds


def _names(product: Path) -> list[str]:
    return [path.relative_to(product).as_posix() for path in product.rglob("*") if path.is_file()]


def _all_at_once(function: Callable[[str], object], product: Path) -> float:
    with ThreadPoolExecutor(PLAIN_THREADS) as pool:
        return _timed(lambda: list(pool.map(function, _names(product))))


def _client(options: dict) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=options["endpoint"],
        region_name=options["region"],
        aws_access_key_id=options["access_key_id"],
        aws_secret_access_key=options["secret_access_key"],
        config=Config(max_pool_connections=50),
    )


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _in_own_process(step: str, url: str, product: Path, options: dict) -> tuple[float, float]:
    """Seconds and peak megabytes of one step in a new process, so that memory and caches are its own."""
    with tempfile.TemporaryDirectory(dir=product.parent) as work:
        command = [sys.executable, "-m", __spec__.name, step, url, str(product), work, json.dumps(options)]
        return tuple(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))


def _compare(name: str, url: str, product: Path, size: int, rounds: int, options: dict) -> None:
    steps = (store_write, store_read, plain_write, plain_read)
    found = {step.__name__: [] for step in steps}
    for _ in range(rounds):
        for step, results in found.items():
            results.append(_in_own_process(step, url, product, options))
    seconds = {step: statistics.median(s for s, _ in results) for step, results in found.items()}
    memory = {step: max(m for _, m in results) for step, results in found.items()}
    for way in ("write", "read"):
        store, plain = f"store_{way}", f"plain_{way}"
        print(
            f"{name:>4} {way:>5}: store {size / seconds[store] / 1e6:5.0f} MB/s, {memory[store]:3.0f} MB of memory, "
            f"definitions loaded; plain {size / seconds[plain] / 1e6:5.0f} MB/s, {memory[plain]:3.0f} MB; "
            f"ratio {seconds[plain] / seconds[store]:.2f}"
        )


def main() -> None:
    """Compare on a disk and on an S3 server."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="bench-store-") as folder:
        root = Path(folder)
        size = make_product(root / "product")
        print(f"{BIG[0]} × {BIG[1] / 1e6:.0f} MB and {SMALL[0]} × {SMALL[1] / 1e6:.1f} MB, {rounds} rounds, medians")
        (root / "disk").mkdir()
        _compare("disk", str(root / "disk"), root / "product", size, rounds, {})
        if missing := ceph.missing_programs():
            print(f"S3 left out: no {', '.join(missing)}; apt-get install {ceph.PACKAGES}")
            return
        with ceph.serve(root / "ceph") as server:
            _client(server.options()).create_bucket(Bucket="bench")
            _compare("s3", "s3://bench", root / "product", size, rounds, server.options())


def _step() -> None:
    name, url, product, work, options = sys.argv[1:]
    seconds = globals()[name](url, Path(product), Path(work), json.loads(options))
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000]))


if __name__ == "__main__":
    _step() if len(sys.argv) == 6 else main()
